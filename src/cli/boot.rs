//! `agent boot`.

use super::args::BootArgs;
use crate::boot::{self, Ended, Request};

/// Exit status where another boot is running (`sysexits.h`, EX_TEMPFAIL).
const BUSY: u8 = 75;

pub(super) fn main(args: &BootArgs) -> u8 {
    let request = Request {
        config: args.config.clone(),
        again: args.again,
        no_tags: args.no_tags,
        user_data: args.user_data.clone(),
        from_init: args.from_init,
        log_format: args.log_format.clone(),
    };
    match boot::run(&request) {
        Ended::In(state) => state.exit_code(),
        Ended::Busy => BUSY,
    }
}
