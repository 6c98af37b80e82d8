//! How what root was told to run has ended, in words.

use crate::config::value::human;
use crate::engine::Context;
use crate::engine::command::{End, Log};
use crate::journal::Problem;
use crate::sys::signals;
use std::io;

/// What an end means; `None` is a good one. What was said stands in the log alone, which only
/// root can read: it may repeat what the user-data holds.
pub(super) fn problem(
    end: &End,
    what: &str,
    code: &str,
    next: &str,
    log: &Log,
    cx: &Context<'_>,
) -> Option<Problem> {
    let of = |kind: &str, message: String, next: &str| {
        Problem::new(&format!("{code}-{kind}"), message, next).log(&log.path)
    };
    Some(match end {
        End::Exited(0) => return None,
        End::Exited(status) => of("failed", format!("{what} ended with status {status}"), next),
        End::Signaled(signal) => of(
            "killed",
            format!("{what} was killed by {}", signals::name(*signal)),
            "the next boot repeats it; SIGKILL without an operator is most often the memory limit",
        ),
        End::Deadline => of(
            "deadline",
            format!("{what} did not end within {} of the phase", human(cx.phase_deadline())),
            "look in its log for what it waits for; raise user_data.deadline where it needs longer",
        ),
        End::Cancelled => of(
            "interrupted",
            format!("{what} was cut off by a request to stop"),
            "the next boot repeats it",
        ),
        End::NotStarted(e) => of(
            "not-started",
            format!("{what} cannot be started: {e}"),
            "check that its interpreter is in the image and can be executed",
        ),
    })
}

/// No log, no run: its reasons would be lost.
pub(super) fn no_log(what: &str, e: &io::Error) -> Problem {
    let message = format!("the log of {what} cannot be opened: {e}");
    Problem::new("log-unwritable", message, "make room in the state directory")
}
