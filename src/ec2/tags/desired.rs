//! Which tags say what the journal says. Pure.
//!
//! Every value is from a closed set or of a checked form: nothing that a script, a tool or
//! an error text said can reach a tag, which everybody in the account can read.

use super::Tag;
use crate::journal::State;

/// How the boot ended: `pending` (set at the launch), `complete` or `failed`.
pub const BOOTSTRAP: &str = "mint:bootstrap";
/// What a failure is filed under; absent where nothing failed.
pub const FAILURE_PHASE: &str = "mint:bootstrap-failure-phase";
/// `healthy` or `degraded`.
pub const HEALTH: &str = "mint:health";

/// Longest name of a failure phase, in characters.
const LONGEST_PHASE: usize = 64;

/// The tags for a boot in this state, in the order in which they are to be written: whoever
/// sees `failed` finds the phase there already. None while the boot runs or has not begun;
/// the launch's `pending` stands then.
///
/// `failure_phase` is the name that a failure is filed under. One that is no such name
/// reads `unknown`: an older one must not stay, and what it holds instead is not to be told.
///
/// A tag of an earlier failure is not removed by this: [`delete`](super::delete) does it.
pub fn desired(state: State, failure_phase: Option<&str>) -> Vec<Tag> {
    let (bootstrap, health) = match state {
        State::Complete => ("complete", "healthy"),
        State::Degraded => ("complete", "degraded"),
        State::Failed => ("failed", "degraded"),
        State::Running | State::None => return Vec::new(),
    };
    let mut tags = Vec::new();
    if state == State::Failed {
        let phase = failure_phase.filter(|p| is_phase_name(p)).unwrap_or("unknown");
        tags.push(Tag::new(FAILURE_PHASE, phase));
    }
    tags.push(Tag::new(BOOTSTRAP, bootstrap));
    tags.push(Tag::new(HEALTH, health));
    tags
}

/// Can this stand in the tag of the failure phase?
pub fn is_phase_name(name: &str) -> bool {
    (1..=LONGEST_PHASE).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: State, phase: Option<&str>) -> Vec<(String, String)> {
        desired(state, phase).into_iter().map(|t| (t.key, t.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.into(), value.into())
    }

    #[test]
    fn a_failure_names_its_phase_first() {
        assert_eq!(
            told(State::Failed, Some("efs-mount")),
            [pair(FAILURE_PHASE, "efs-mount"), pair(BOOTSTRAP, "failed"), pair(HEALTH, "degraded")]
        );
    }

    #[test]
    fn a_good_end_has_no_phase_even_where_one_is_given() {
        for phase in [None, Some("tools")] {
            assert_eq!(
                told(State::Complete, phase),
                [pair(BOOTSTRAP, "complete"), pair(HEALTH, "healthy")]
            );
            assert_eq!(
                told(State::Degraded, phase),
                [pair(BOOTSTRAP, "complete"), pair(HEALTH, "degraded")]
            );
        }
    }

    #[test]
    fn what_has_not_ended_says_nothing() {
        assert!(desired(State::Running, None).is_empty());
        assert!(desired(State::None, None).is_empty());
    }

    #[test]
    fn what_is_no_name_of_a_phase_does_not_reach_the_tag() {
        let long = "a".repeat(65);
        for bad in [
            None,
            Some(""),
            Some("Tools"),
            Some("a b"),
            Some("mise: 401 token=x"),
            Some("ä"),
            Some(&*long),
        ] {
            assert_eq!(
                told(State::Failed, bad).first(),
                Some(&pair(FAILURE_PHASE, "unknown")),
                "{bad:?}"
            );
        }
        assert!(is_phase_name(&"a".repeat(64)));
        assert!(is_phase_name("user-script"));
    }
}
