//! `agent try`.

use super::args::TryArgs;
use crate::rehearsal::{self, Refusal, Request};

/// Exit status where what is to be rehearsed can't be read (`sysexits.h`, EX_NOINPUT).
const NO_INPUT: u8 = 66;

/// Exit status where this machine can't rehearse (`sysexits.h`, EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;

pub(super) fn main(args: TryArgs) -> u8 {
    let request = Request { bootstrap: args.bootstrap, config: args.config, command: args.command };
    match rehearsal::run(&request) {
        Ok(status) => status,
        Err(Refusal::Request(e)) => {
            eprintln!("agent: try: {e}");
            NO_INPUT
        }
        Err(Refusal::Machine(e)) => {
            eprintln!("agent: try: {e}");
            UNAVAILABLE
        }
    }
}
