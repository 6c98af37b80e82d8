//! `agent status`.

use super::args::StatusArgs;
use super::print;
use crate::journal::{State, Status};
use crate::observe;
use crate::views::status::Text;
use crate::views::timeline::Timeline;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How often a waiting `status` looks.
const EVERY: Duration = Duration::from_millis(100);

pub(super) fn main(args: &StatusArgs) -> u8 {
    let config = args.config.as_deref();
    let status = if args.wait { wait(args.timeout.0, config) } else { observe::status(config) };
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

/// Waits until a boot has ended. A boot whose runner is gone has ended too, so only a
/// boot that lives, or none at all, is waited for; neither beyond `timeout`.
fn wait(timeout: Duration, config: Option<&Path>) -> Status {
    let limit = Instant::now() + timeout;
    loop {
        let status = observe::status(config);
        let left = limit.saturating_duration_since(Instant::now());
        let may_change = match status.state {
            State::Running => true,
            State::None => observe::boot_may_begin(),
            _ => false,
        };
        if !may_change || left.is_zero() {
            return status;
        }
        thread::sleep(EVERY.min(left));
    }
}
