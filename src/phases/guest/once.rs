//! Once an instance: has a duty been done on this one, and is what is there the instance's own?

use crate::config::value::OnFailure;
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::journal::event::{DutyRun, Event};
use crate::journal::ledger::{PastDuty, past_duty};
use crate::journal::place::Ledger;
use crate::survey::guest::cloud_init_served;
use std::io;
use std::path::Path;

/// Where a duty stands on this instance.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It was done; the text says when.
    Done(String),
    /// It never was, and what is there is this instance's all the same: an agent without this
    /// duty has booted it before, or a cloud-init has done it.
    Own(&'static str),
    /// It is to be done; the text says why again.
    Due(Option<&'static str>),
    /// Which instance this is cannot be told.
    Unknown,
}

/// The record of one duty.
pub(super) struct Once {
    ledger: Ledger,
    run: DutyRun,
    pub(super) stand: Stand,
    /// Its last run here was cut off, or did not come to its end.
    pub(super) cut_off: bool,
}

impl Once {
    /// Looks the running phase's duty up, as it is done for `subject`.
    pub(super) fn of(subject: &str, cx: &Context<'_>) -> Self {
        let instance = cx.plan.instance.id.clone();
        let run = DutyRun { instance, duty: cx.phase, subject: subject.to_owned() };
        let ledger = cx.open_ledger();
        let past = past_duty(&ledger.records, &run);
        let stand = match is_known(cx) {
            true => stand(past, &run.instance, cx.repeats()),
            false => Stand::Unknown,
        };
        Self { ledger, run, stand, cut_off: past == PastDuty::CutOff }
    }

    /// Records that it begins, synced.
    pub(super) fn begin(&self) -> Result<(), Problem> {
        self.append(Event::DutyBegan(self.run.clone()))
    }

    /// Records that it is done, synced.
    pub(super) fn end(&self) -> Result<(), Problem> {
        self.append(Event::DutyEnded(self.run.clone()))
    }

    /// That the record will not last is told: the next boot does the duty again.
    pub(super) fn warn(&self, report: &mut Report) {
        let Some(why) = &self.ledger.passing else { return };
        let problem = Problem::new(
            "guest-record-passing",
            format!(
                "that {} was done is recorded in memory alone: the next boot repeats it",
                self.run.duty.word()
            ),
            "put /var/lib/agent on a disk",
        );
        report.problems.push((OnFailure::Degrade, problem.evidence(why.clone())));
    }

    fn append(&self, event: Event) -> Result<(), Problem> {
        let written = match &self.ledger.appender {
            Ok(appender) => appender.append_durably(event),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        };
        written.map_err(|e| {
            Problem::new(
                "guest-record",
                format!("{} is done once an instance, and the record of it cannot be used: {e}", self.run.duty.word()),
                "make room on the disk, or mend the record in /var/lib/agent; then run `agent boot`",
            )
        })
    }
}

/// Is the instance known by its own name? The metadata tells it, the firmware of a Nitro machine,
/// the configuration; a machine id is what a copied disk brings along.
pub(super) fn is_known(cx: &Context<'_>) -> bool {
    cx.facts.told.read || matches!(cx.plan.instance.source.as_str(), "config" | "firmware")
}

fn stand(past: PastDuty, instance: &str, repeat: bool) -> Stand {
    match past {
        _ if repeat => Stand::Due(Some("done again because it was asked for")),
        PastDuty::Done(at) => Stand::Done(at.strftime("%F %T UTC").to_string()),
        PastDuty::CutOff => Stand::Due(Some("its last run here was cut off; repeating")),
        PastDuty::Older => Stand::Own("an agent without this duty has booted this instance before"),
        PastDuty::None => match cloud_init_served(Path::new("/")) {
            Some(served) if served == instance => {
                Stand::Own("cloud-init has done it on this instance before")
            }
            _ => Stand::Due(None),
        },
    }
}

/// Nothing is done that was done before.
pub(super) fn not_repeated(at: &str, cx: &Context<'_>) -> Report {
    let phase = cx.phase.word();
    Report::skipped(format!(
        "done on this instance, at {at}; not repeated (`agent boot --only {phase} --again` would)"
    ))
}

/// Without knowing which instance it is, nothing that is once an instance is done.
pub(super) fn unknown_instance() -> Report {
    Report::skipped(
        "which instance this is cannot be told without the metadata; nothing is changed",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_repeated_only_where_it_is_asked_for_or_was_cut_off() {
        let done = PastDuty::Done(jiff::Timestamp::UNIX_EPOCH);
        let none = "i-00000000000000000";
        assert!(matches!(stand(done, none, false), Stand::Done(at) if at.starts_with("1970")));
        assert!(matches!(stand(done, none, true), Stand::Due(Some(_))));
        assert!(matches!(stand(PastDuty::CutOff, none, false), Stand::Due(Some(_))));
        assert!(matches!(stand(PastDuty::Older, none, false), Stand::Own(_)));
        assert_eq!(stand(PastDuty::None, none, false), Stand::Due(None));
    }
}
