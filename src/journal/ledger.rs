//! The ledger: what has been done on which instance, across restarts.
//!
//! It holds the beginning and the end of each run of the user script and of the steps
//! that are run once, of the guest duties, and that the instance has been complete; each synced before the
//! boot goes on. A begin without an end is a run that was cut off.

use super::event::{DutyRun, Event, Record, ScriptEnd, ScriptRun, StepRun};

/// The file's name in a state directory.
pub const NAME: &str = "scripts";

/// Is this an event of a ledger?
pub fn belongs(event: &Event) -> bool {
    matches!(
        event,
        Event::ScriptBegan(_)
            | Event::ScriptEnded { .. }
            | Event::StepBegan(_)
            | Event::StepEnded(_)
            | Event::DutyBegan(_)
            | Event::DutyEnded(_)
            | Event::InstanceCompleted { .. }
    )
}

/// What the ledger says of one script on one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// How often it was started.
    pub attempts: u32,
    /// How the last run ended; `None` where it was cut off, or never started.
    pub last: Option<ScriptEnd>,
    /// When the last run ended.
    pub at: Option<jiff::Timestamp>,
}

/// Folds the ledger for the script with hash `payload` on `instance`.
pub fn history(records: &[Record], instance: &str, payload: &str) -> History {
    let mut history = History { attempts: 0, last: None, at: None };
    let ours = |run: &ScriptRun| run.instance == instance && run.payload == payload;
    for record in records {
        match &record.event {
            Event::ScriptBegan(run) if ours(run) => {
                history.attempts = history.attempts.max(run.attempt);
                history.last = None;
                history.at = None;
            }
            Event::ScriptEnded { run, end } if ours(run) => {
                history.attempts = history.attempts.max(run.attempt);
                history.last = Some(*end);
                history.at = Some(record.at);
            }
            _ => {}
        }
    }
    history
}

/// The script that was started last on `instance`, whichever it was.
pub fn latest<'a>(records: &'a [Record], instance: &str) -> Option<&'a ScriptRun> {
    records.iter().rev().find_map(|record| match &record.event {
        Event::ScriptBegan(run) if run.instance == instance => Some(run),
        _ => None,
    })
}

/// What the ledger says of one step on one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastStep {
    /// It was never started, or did something else then.
    None,
    /// Its last run was cut off.
    CutOff,
    /// Its last run ended so, at this time.
    Ended(ScriptEnd, jiff::Timestamp),
}

/// Folds the ledger for the step `ours`.
pub fn past_step(records: &[Record], ours: &StepRun) -> PastStep {
    records.iter().fold(PastStep::None, |past, record| match &record.event {
        Event::StepBegan(run) if run == ours => PastStep::CutOff,
        Event::StepEnded(ended) if ended.run == *ours => {
            ended.end.map_or(PastStep::CutOff, |end| PastStep::Ended(end, record.at))
        }
        _ => past,
    })
}

/// What the ledger says of one guest duty on one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastDuty {
    /// It was never begun, on an instance of which nothing is recorded.
    None,
    /// It was never begun, but the agent has booted this instance before: what is there is the
    /// instance's own.
    Older,
    /// It was cut off before its end.
    CutOff,
    /// It was done at this time.
    Done(jiff::Timestamp),
}

/// Folds the ledger for the duty `ours`.
pub fn past_duty(records: &[Record], ours: &DutyRun) -> PastDuty {
    let mut past = PastDuty::None;
    for record in records {
        past = match &record.event {
            Event::DutyBegan(run) if run == ours => PastDuty::CutOff,
            Event::DutyEnded(run) if run == ours => PastDuty::Done(record.at),
            Event::DutyBegan(_) | Event::DutyEnded(_) => past,
            // Duties come before scripts and steps, in the first boot too.
            _ if past == PastDuty::None => PastDuty::Older,
            _ => past,
        };
    }
    // For another subject than the last it is done anew.
    let known = |run: &DutyRun| (&run.instance, run.duty) == (&ours.instance, ours.duty);
    let other = records
        .iter()
        .any(|r| matches!(&r.event, Event::DutyBegan(run) | Event::DutyEnded(run) if known(run)));
    if past == PastDuty::Older && other { PastDuty::None } else { past }
}

/// Has a boot of `instance` come to its end and been well?
pub fn was_complete(records: &[Record], instance: &str) -> bool {
    let ours = |e: &Event| matches!(e, Event::InstanceCompleted { instance: i } if i == instance);
    records.iter().any(|record| ours(&record.event))
}

#[cfg(test)]
mod tests {
    use super::super::event::{PhaseResult, StepEnded};
    use super::*;
    use crate::plan::PhaseName;

    fn run(attempt: u32) -> ScriptRun {
        ScriptRun { instance: "i".into(), payload: "p".into(), attempt }
    }

    fn records(events: Vec<Event>) -> Vec<Record> {
        events.into_iter().map(|event| Record { at: jiff::Timestamp::UNIX_EPOCH, event }).collect()
    }

    #[test]
    fn a_begin_without_an_end_was_cut_off() {
        let end = ScriptEnd::Exit(3);
        let all = records(vec![
            Event::ScriptBegan(run(1)),
            Event::ScriptEnded { run: run(1), end },
            Event::ScriptBegan(run(2)),
        ]);
        assert_eq!(history(&all[..2], "i", "p").last, Some(end));
        assert_eq!(history(&all, "i", "p"), History { attempts: 2, last: None, at: None });
        assert_eq!(history(&all, "other", "p").attempts, 0);
        assert_eq!(history(&all, "i", "other").attempts, 0);
    }

    #[test]
    fn a_step_is_known_by_instance_name_and_definition() {
        let run = |instance: &str, definition: &str| StepRun {
            instance: instance.into(),
            step: "packages".into(),
            definition: definition.into(),
        };
        let ended = |end| {
            Event::StepEnded(StepEnded {
                run: run("i", "d"),
                result: PhaseResult::Ok,
                end,
                elapsed_ms: 1,
                notes: vec![],
            })
        };
        let good = Some(ScriptEnd::Exit(0));
        let all = records(vec![Event::StepBegan(run("i", "d")), ended(good)]);
        let at = jiff::Timestamp::UNIX_EPOCH;
        assert_eq!(past_step(&all, &run("i", "d")), PastStep::Ended(ScriptEnd::Exit(0), at));
        assert_eq!(past_step(&all[..1], &run("i", "d")), PastStep::CutOff);
        assert_eq!(past_step(&all, &run("i", "changed")), PastStep::None);
        assert_eq!(past_step(&all, &run("other", "d")), PastStep::None);
        let killed = records(vec![Event::StepBegan(run("i", "d")), ended(None)]);
        assert_eq!(past_step(&killed, &run("i", "d")), PastStep::CutOff);
    }

    #[test]
    fn a_duty_is_done_once_for_a_subject_and_what_an_older_agent_found_is_the_instances_own() {
        let run = |subject: &str| DutyRun {
            instance: "i".into(),
            duty: PhaseName::Hostname,
            subject: subject.into(),
        };
        let began = || Event::DutyBegan(run("a"));
        let script = || Event::ScriptBegan(self::run(1));
        let past = |events: Vec<Event>, subject: &str| past_duty(&records(events), &run(subject));
        let at = jiff::Timestamp::UNIX_EPOCH;
        assert_eq!(past(vec![], "a"), PastDuty::None);
        assert_eq!(past(vec![began()], "a"), PastDuty::CutOff);
        assert_eq!(past(vec![began(), script()], "a"), PastDuty::CutOff);
        let done = || vec![began(), Event::DutyEnded(run("a")), script()];
        assert_eq!(past(done(), "a"), PastDuty::Done(at));
        assert_eq!(past(done(), "b"), PastDuty::None, "another name is another duty");
        assert_eq!(past(vec![script()], "a"), PastDuty::Older);
        let other = DutyRun { duty: PhaseName::Login, ..run("a") };
        assert_eq!(past(vec![script(), Event::DutyEnded(other)], "a"), PastDuty::Older);
    }

    #[test]
    fn that_one_instance_was_complete_says_nothing_of_another() {
        let all = records(vec![Event::InstanceCompleted { instance: "i".into() }]);
        assert!(was_complete(&all, "i") && !was_complete(&all, "j"));
        assert!(all.iter().all(|r| belongs(&r.event)));
    }
}
