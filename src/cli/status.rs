//! `agent status`.

use super::args::StatusArgs;
use super::print;
use crate::journal::State;
use crate::observe;
use crate::views::status::Text;
use crate::views::timeline::Timeline;

pub(super) fn main(args: &StatusArgs) -> u8 {
    let config = args.config.as_deref();
    let status = if args.wait {
        observe::ended(config, args.timeout.0, &observe::boot_may_begin)
    } else {
        observe::status(config)
    };
    if args.json {
        match serde_json::to_string_pretty(&status) {
            Ok(json) => print(&format_args!("{json}\n")),
            Err(e) => eprintln!("agent: the status cannot be printed: {e}"),
        }
    } else if !args.quiet {
        print(&Text(&status));
        if args.timeline {
            print(&format_args!("\n{}", Timeline(&status)));
        }
    }
    match status.state {
        State::Degraded if args.allow_degraded => 0,
        state => state.exit_code(),
    }
}
