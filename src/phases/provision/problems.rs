//! The problems of a step in words: what failed and the next step.

use crate::config::value::human;
use crate::engine::command::{End, Log};
use crate::engine::{excerpt, redact};
use crate::journal::Problem;
use crate::plan::Step;
use crate::sys::{files, signals};
use std::io;
use std::path::Path;
use std::time::Duration;

/// What to do about a step that ended badly.
const AGAIN: &str =
    "read its log and mend what it names; the next boot runs it again, and so does `agent boot`";

/// How the attempts at a step went.
pub(super) struct Attempts {
    /// How the last one ended.
    pub(super) end: End,
    /// How many there were.
    pub(super) made: u32,
    /// The time they had together.
    pub(super) allowed: Duration,
}

/// What the end of a step means; `None` is a good end.
pub(super) fn of(attempts: &Attempts, step: &Step, log: &Log) -> Option<Problem> {
    let name = &step.name;
    let count = match step.attempts {
        1 => String::new(),
        all => format!(" (attempt {} of {all})", attempts.made),
    };
    let problem = match &attempts.end {
        End::Exited(0) => return None,
        End::Exited(status) => Problem::new(
            "step-failed",
            format!("step {name} ended with status {status}{count}"),
            AGAIN,
        ),
        End::Signaled(signal) => Problem::new(
            "step-killed",
            format!("step {name} was killed by {}{count}", signals::name(*signal)),
            "the next boot runs it again, and so does `agent boot`; SIGKILL without an operator is most often the memory limit",
        ),
        End::Deadline => deadline(attempts, step),
        End::Cancelled => Problem::new(
            "step-interrupted",
            format!("step {name} was cut off by a request to stop"),
            "the next boot runs it again",
        ),
        End::NotStarted(e) => return Some(cannot_start(e, step).log(&log.path)),
    };
    Some(about(step, problem).evidence(excerpt_of(step, log)).log(&log.path))
}

fn deadline(attempts: &Attempts, step: &Step) -> Problem {
    let (name, allowed) = (&step.name, human(attempts.allowed));
    if attempts.allowed < step.deadline.0 {
        return Problem::new(
            "step-deadline",
            format!("step {name} did not end within the {allowed} that were left to the boot"),
            "raise boot.deadline, or look in the step's log for what it waits for",
        );
    }
    Problem::new(
        "step-deadline",
        format!("step {name} did not end within its {allowed}"),
        "look in its log for what it waits for; raise the step's `deadline` where it needs longer",
    )
}

fn cannot_start(e: &io::Error, step: &Step) -> Problem {
    let program = step.argv.first().map_or("", String::as_str);
    let (why, next) = match e.kind() {
        io::ErrorKind::NotFound if Path::new(program).is_file() => (
            format!("{program} is there, and the interpreter that it names is not"),
            "install the interpreter by an earlier step, or correct the program's first line",
        ),
        io::ErrorKind::NotFound => (
            format!("{program} is not found"),
            "install it by an earlier step, or correct the step's `command`",
        ),
        _ => (
            format!("{program}: {e}"),
            "check that its user can execute the program and enter the directory",
        ),
    };
    not_started(step, &why, next)
}

/// It was not begun, for a reason that is known.
pub(super) fn not_started(step: &Step, why: &str, next: &str) -> Problem {
    let message = format!("step {} cannot be started: {why}", step.name);
    about(step, Problem::new("step-not-started", message, next))
}

/// No log, no step: its reasons would be lost.
pub(super) fn no_log(step: &Step, e: &io::Error) -> Problem {
    let message = format!("the log of step {} cannot be opened: {e}", step.name);
    about(step, Problem::new("log-unwritable", message, "make room in the state directory"))
}

/// A step that is run once must not be run where that cannot be recorded.
pub(super) fn no_record(step: &Step, e: &io::Error) -> Problem {
    let next = if files::no_room(e) {
        "make room for it, then run `agent boot`"
    } else {
        "mend the record, or remove it to let the step run; without it the step might run twice"
    };
    let message = format!("the record of step {} cannot be used: {e}", step.name);
    about(step, Problem::new("step-no-record", message, next))
}

/// The record is in memory, what the steps did is not.
pub(super) fn no_lasting_record(why: &str) -> Problem {
    Problem::new(
        "step-record-passing",
        "which steps have run on this instance is recorded in memory alone: a restart will run them again",
        "make /var/lib/agent writable, or ~/.local/state/agent a directory on the volume, without a link on its way",
    )
    .evidence(why)
}

fn about(step: &Step, problem: Problem) -> Problem {
    problem.filed_under(&step.failure_phase)
}

/// The end of what it said, without the secrets that it was given or that the agent has.
fn excerpt_of(step: &Step, log: &Log) -> String {
    let given = step.environment.set.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    excerpt(&redact::redact(&log.output(), given))
}
