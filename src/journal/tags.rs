//! What EC2 was told of a boot: the tags that should stand on the instance, and what is
//! known to stand there.
//!
//! Each attempt at a tag is an event in a file of its own, beside the ledger, so that it
//! outlives the boot: a later one must know that an earlier one left a failure phase. The
//! tags never change the outcome; the status only tells where they disagree with it.

use super::event::{Event, Problem, Record};
use super::status::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The file's name in an instance's state directory.
pub const NAME: &str = "tags";

/// How the boot ended: `complete` or `failed`; `pending` was set at the launch.
pub const BOOTSTRAP: &str = "mint:bootstrap";

/// What a failure is filed under.
pub const FAILURE_PHASE: &str = "mint:bootstrap-failure-phase";

/// `healthy` or `degraded`.
pub const HEALTH: &str = "mint:health";

/// One attempt at one tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagAttempt {
    /// The boot that it tells of.
    pub boot: String,
    /// The tag's key.
    pub key: String,
    /// Its value; `None` where it was to be removed.
    pub value: Option<String>,
    /// Why it could not be done; `None` where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A tag as the status tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// The value that this boot's end asks for; `None` where it must not be there.
    pub wanted: Option<String>,
    /// Is it known to stand so?
    pub agrees: bool,
    /// What was last written; `None` where nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// When it was last tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<Timestamp>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// The tags that an end asks for, in the order in which they are written: who reads
/// `failed` must find the phase already there. Nothing but words of closed sets goes into
/// a tag.
pub fn wanted(state: State, failure_phase: Option<&str>) -> Vec<(&'static str, Option<String>)> {
    let (bootstrap, health) = match state {
        State::Complete => ("complete", "healthy"),
        State::Degraded => ("complete", "degraded"),
        State::Failed => ("failed", "degraded"),
        State::Running | State::None => return Vec::new(),
    };
    let known = failure_phase.filter(|name| is_phase_name(name)).unwrap_or("unknown");
    let phase = (state == State::Failed).then(|| known.to_owned());
    vec![
        (FAILURE_PHASE, phase),
        (BOOTSTRAP, Some(bootstrap.to_owned())),
        (HEALTH, Some(health.to_owned())),
    ]
}

/// Can this stand in the tag of the failure phase? What cannot reads `unknown` there: an older
/// phase must not stay, and of what it is instead nothing may be told to everybody who
/// can read the tags.
fn is_phase_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Lays the attempts against what is wanted after `boot`.
pub fn fold(records: &[Record], boot: &str, wanted: &[(&str, Option<String>)]) -> Vec<Tag> {
    let tag = |(key, wanted): &(&str, Option<String>)| {
        let attempts = records.iter().filter_map(|r| match &r.event {
            Event::TagTried(attempt) if attempt.key == *key => Some((r.at, attempt)),
            _ => None,
        });
        let last = attempts.clone().next_back();
        let written = attempts.rev().find(|(_, a)| a.problem.is_none());
        let known = written.map(|(_, a)| &a.value);
        // Nobody but the agent writes a failure phase: where none was written, none is there.
        let absent = wanted.is_none() && known.is_none();
        // What an earlier boot wrote may have been changed since, by a launch above all.
        let ours = written.is_some_and(|(_, a)| a.boot == boot || wanted.is_none());
        let tried = last.filter(|(_, a)| a.boot == boot);
        Tag {
            key: (*key).to_owned(),
            wanted: wanted.clone(),
            agrees: absent || (ours && known == Some(wanted)),
            written: known.cloned().flatten(),
            tried: tried.map(|(at, _)| at),
            problem: tried.and_then(|(_, a)| a.problem.clone()),
        }
    };
    wanted.iter().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(boot: &str, key: &str, value: Option<&str>, well: bool) -> Record {
        let problem = (!well).then(|| Problem::new("tag-denied", "no", "allow it"));
        let (boot, key) = (boot.to_owned(), key.to_owned());
        let attempt = TagAttempt { boot, key, value: value.map(str::to_owned), problem };
        Record { at: Timestamp::UNIX_EPOCH, event: Event::TagTried(attempt) }
    }

    fn agreeing(records: &[Record], boot: &str, state: State, phase: Option<&str>) -> Vec<bool> {
        fold(records, boot, &wanted(state, phase)).iter().map(|t| t.agrees).collect()
    }

    #[test]
    fn the_phase_comes_before_the_failure_and_leaves_with_success() {
        let keys = |state| wanted(state, Some("tools")).into_iter().map(|(k, _)| k);
        assert!(keys(State::Failed).eq([FAILURE_PHASE, BOOTSTRAP, HEALTH]));
        assert_eq!(wanted(State::Degraded, None)[0], (FAILURE_PHASE, None));
        assert_eq!(wanted(State::Degraded, None)[1].1.as_deref(), Some("complete"));
        assert!(wanted(State::Running, None).is_empty());
    }

    #[test]
    fn nothing_but_a_plain_word_becomes_a_phase() {
        let phase = |name: Option<&str>| wanted(State::Failed, name)[0].1.clone().unwrap();
        for good in ["efs-mount", "user-script", &"x".repeat(64)] {
            assert_eq!(phase(Some(good)), good);
        }
        let long = "x".repeat(65);
        for bad in [None, Some(""), Some("Bad: token=abc\n"), Some("a b"), Some("ä"), Some(&*long)]
        {
            assert_eq!(phase(bad), "unknown", "{bad:?}");
        }
    }

    #[test]
    fn only_what_was_written_for_this_boot_agrees() {
        let mut records = vec![
            tried("a", BOOTSTRAP, Some("complete"), true),
            tried("a", HEALTH, Some("healthy"), false),
        ];
        assert_eq!(agreeing(&records, "a", State::Complete, None), [true, true, false]);
        assert_eq!(agreeing(&records, "b", State::Complete, None), [true, false, false]);
        records.push(tried("b", FAILURE_PHASE, Some("tools"), true));
        assert!(agreeing(&records, "b", State::Failed, Some("tools"))[0]);
        assert!(!agreeing(&records, "c", State::Complete, None)[0], "it still stands");
        records.push(tried("c", FAILURE_PHASE, None, true));
        assert!(agreeing(&records, "c", State::Complete, None)[0]);
    }
}
