//! `agent try`.

use super::args::TryArgs;
use crate::rehearsal::{self, Request};

/// Exit status where this machine can't rehearse (`sysexits.h`, EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;

pub(super) fn main(args: TryArgs) -> u8 {
    let request = Request { bootstrap: args.bootstrap, config: args.config, command: args.command };
    match rehearsal::run(&request) {
        Ok(status) => status,
        Err(e) => {
            eprintln!("agent: try: {e}");
            UNAVAILABLE
        }
    }
}
