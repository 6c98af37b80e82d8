//! `agent boot`.

use super::args::BootArgs;
use crate::boot::{self, Ended, Request};

/// Exit status where another boot is running (`sysexits.h`, EX_TEMPFAIL).
const BUSY: u8 = 75;

/// Exit status of a command line that asks for what there is not (`sysexits.h`, EX_USAGE).
const USAGE: u8 = 64;

pub(super) fn main(args: &BootArgs) -> u8 {
    let request = Request {
        config: args.config.clone(),
        again: args.again,
        only: args.only.clone(),
        no_tags: args.no_tags,
        user_data: args.user_data.clone(),
        from_init: args.from_init,
        log_format: args.log_format.clone(),
    };
    match boot::run(&request) {
        Ended::In(state) => state.exit_code(),
        Ended::Busy => BUSY,
        Ended::NoSuchPhase => USAGE,
    }
}
