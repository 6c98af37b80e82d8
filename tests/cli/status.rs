//! `agent status` where nothing has booted, and its options. These run outside of any
//! sandbox: the states that a boot leaves are shown in the namespace layer.

use crate::util::{Ended, agent, fresh, run};
use std::time::Duration;

const NONE: i32 = 4;
const USAGE: i32 = 64;

/// `agent status` with the directories that it looks into empty, as far as a user can
/// have their own.
fn status(arguments: &[&str]) -> Ended {
    let dir = fresh();
    let mut all = vec!["status"];
    all.extend(arguments);
    let mut command = agent(&all);
    command.env("AGENT__USER__HOME", dir.path()).env("XDG_RUNTIME_DIR", dir.path());
    run(command)
}

#[test]
fn nothing_booted_is_status_4_and_says_what_to_do() {
    let ended = status(&[]).expect(NONE);
    assert!(ended.stdout.starts_with("no boot has begun"), "{ended:#?}");
    assert!(ended.stdout.contains("next: `agent boot` boots"), "{ended:#?}");
}

#[test]
fn nothing_booted_in_json_is_the_same_state_under_the_documented_schema() {
    let json = status(&["--json"]).expect(NONE).json();
    assert_eq!((&json["schema"], &json["state"]), (&"agent.status/1".into(), &"none".into()));
    assert!(json.get("boot").is_none(), "{json}");
}

#[test]
fn allow_degraded_forgives_nothing_else() {
    status(&["--allow-degraded"]).expect(NONE);
}

#[test]
fn quiet_prints_nothing_and_keeps_the_status() {
    for option in ["--quiet", "-q"] {
        assert_eq!(status(&[option]).expect(NONE).all(), "");
    }
}

#[test]
fn a_wait_ends_at_its_timeout() {
    let ended = status(&["--wait", "--timeout", "300ms", "--quiet"]).expect(NONE);
    assert!(ended.took >= Duration::from_millis(300), "it did not wait: {ended:#?}");
    assert!(ended.took < Duration::from_secs(10), "{ended:#?}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (arguments, part) in [
        (&["--json", "--quiet"] as &[&str], "--quiet"),
        (&["--timeline", "--json"], "--json"),
        (&["--timeline", "--quiet"], "--quiet"),
        (&["--timeout", "3s"], "--wait"),
        (&["--wait", "--timeout", "soon"], "\"soon\" is not a length of time"),
        (&["--wait", "--timeout", "0s"], "out of range"),
        (&["--wait", "--timeout"], "--timeout"),
    ] {
        status(arguments).expect(USAGE).says(part);
    }
}

/// A health check must not depend on a configuration that is being mended.
#[test]
fn a_broken_configuration_does_not_hide_the_state() {
    let mut command = agent(&["status", "--quiet"]);
    command.env("AGENT__BOOT__NONSENSE", "1");
    assert_eq!(run(command).expect(NONE).all(), "");
}
