//! The ledger: which script has run on which instance, across restarts.
//!
//! It holds only [`Event::ScriptBegan`] and [`Event::ScriptEnded`], each synced before
//! the boot goes on. A begin without an end is a run that was cut off.

use super::event::{Event, Record, ScriptEnd, ScriptRun};

/// The file's name in a state directory.
pub const NAME: &str = "scripts";

/// Is this an event of a ledger?
pub fn belongs(event: &Event) -> bool {
    matches!(event, Event::ScriptBegan(_) | Event::ScriptEnded { .. })
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
