//! What has been done on this instance already, a section of the user-data each.

use crate::config::value::millis;
use crate::engine::Context;
use crate::journal::Problem;
use crate::journal::event::{Event, PhaseResult, ScriptEnd, StepEnded, StepRun};
use crate::journal::ledger::{PastStep, past_step};
use crate::journal::place::Ledger;
use crate::sys::files;
use std::io;
use std::time::Instant;

/// The record of the sections. In the ledger they stand beside the operator's steps.
pub(super) struct Sections {
    ledger: Ledger,
    instance: String,
    /// All is to be done again, by hand.
    repeat: bool,
}

/// One of them.
pub(super) struct Section<'a> {
    ledger: &'a Ledger,
    run: StepRun,
    repeat: bool,
    began: Instant,
}

impl Sections {
    pub(super) fn open(cx: &Context<'_>) -> Self {
        let instance = cx.plan.instance.id.clone();
        Self { ledger: cx.open_ledger(), instance, repeat: cx.repeats() }
    }

    /// What is recorded won't outlive a restart.
    pub(super) fn passing(&self) -> Option<Problem> {
        let why = self.ledger.passing.as_deref()?;
        let problem = Problem::new(
            "user-data-record-passing",
            "what the user-data has done on this instance is recorded in memory alone: a restart will do it again",
            "make /var/lib/agent writable",
        );
        Some(problem.evidence(why))
    }

    /// The section `name`, which is known by the SHA-256 `definition` of all that it does.
    pub(super) fn section(&self, name: &str, definition: String) -> Section<'_> {
        let step = format!("user-data/{name}");
        let run = StepRun { instance: self.instance.clone(), step, definition };
        Section { ledger: &self.ledger, run, repeat: self.repeat, began: Instant::now() }
    }
}

impl Section<'_> {
    /// What became of it before, as far as that counts now.
    pub(super) fn past(&self) -> PastStep {
        if self.repeat { PastStep::None } else { self.recorded() }
    }

    /// What is recorded of it.
    pub(super) fn recorded(&self) -> PastStep {
        past_step(&self.ledger.records, &self.run)
    }

    /// Records its beginning.
    pub(super) fn begin(&self) -> Result<(), Problem> {
        self.append(Event::StepBegan(self.run.clone()))
    }

    /// Records its end. One that was cut off has none, and is repeated.
    pub(super) fn end(&self, end: Option<ScriptEnd>) -> Result<(), Problem> {
        let Some(end) = end else { return Ok(()) };
        let result = if end.good() { PhaseResult::Ok } else { PhaseResult::Failed };
        self.append(Event::StepEnded(StepEnded {
            run: self.run.clone(),
            result,
            end: Some(end),
            elapsed_ms: millis(self.began.elapsed()),
            notes: Vec::new(),
        }))
    }

    fn append(&self, event: Event) -> Result<(), Problem> {
        let written = match &self.ledger.appender {
            Ok(appender) => appender.append_durably(event),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        };
        written.map_err(|e| {
            let next = if files::no_room(&e) {
                "make room for it, then run `agent boot`"
            } else {
                "mend the record, or remove it to let all of it be done; without it it might be done twice"
            };
            let message = format!("the record of what the user-data has done cannot be used: {e}");
            Problem::new("user-data-no-record", message, next)
        })
    }
}

/// A note on a section that is not repeated.
pub(super) fn done(what: &str, at: jiff::Timestamp) -> String {
    format!("{what}: done on this instance, at {}; not repeated", at.strftime("%F %T UTC"))
}
