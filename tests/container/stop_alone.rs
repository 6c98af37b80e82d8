//! The end of an agent that is PID 1 alone (`--no-boot`): every way in which an engine and a person
//! ask for it, and that it comes in time, with the status that engines expect.

use crate::engine::{Output, podman, ready};
use crate::sandbox::{IDLE, Recipe, Sandbox};
use std::time::Duration;

/// The workload ignores TERM.
const STUBBORN: &str = "trap '' TERM; echo up; while :; do sleep 0.1; done";

/// It leaves a daemon that ignores TERM, too.
const ALL_STUBBORN: &str = "trap '' TERM
    setsid sh -c 'trap \"\" TERM; touch /tmp/up; while :; do sleep 0.1; done' &
    while [ ! -e /tmp/up ]; do sleep 0.05; done; echo up; while :; do sleep 0.1; done";

/// Starts it, and waits until it is up.
fn up(recipe: Recipe, line: &str) -> Sandbox {
    let sandbox = recipe.start(&["bash", "-c", line]);
    sandbox.says("up");
    sandbox
}

fn stop_within(sandbox: &Sandbox, seconds: &str) -> Output {
    podman(&["stop", "--time", seconds, &sandbox.name])
}

#[test]
fn an_idle_one_stops_at_once() {
    if !ready() {
        return;
    }
    let sandbox = Recipe::alone().start(IDLE);
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(3), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143);
    assert_eq!(sandbox.logs(), "", "a stop that went well is no news");
}

/// The longest way there is: the workload and its daemon ignore everything.
#[test]
fn the_slowest_stop_ends_before_the_engine_loses_patience() {
    if !ready() {
        return;
    }
    let sandbox = up(Recipe::alone(), ALL_STUBBORN);
    let stop = sandbox.stop();
    assert!(stop.took > Duration::from_secs(7), "a workload has 7 s: {:?}", stop.took);
    assert!(stop.took < Duration::from_secs(10), "podman waits 10 s: {:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 137);
    let logs = sandbox.logs();
    assert!(logs.contains("did not end within 7.0 s of SIGTERM; killing it"), "{logs}");
    let named: Vec<_> = logs.lines().filter(|line| line.contains("killed: ")).collect();
    assert!(named.len() == 1 && named[0].contains("sh ("), "{logs}");
}

/// Nothing of a stop can be seen where the engine's patience is shorter than the graces.
#[test]
fn an_engine_without_patience_kills() {
    if !ready() {
        return;
    }
    let sandbox = up(Recipe::alone(), STUBBORN);
    let stop = stop_within(&sandbox, "1");
    assert!(stop.took < Duration::from_secs(5), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 137);
    let sandbox =
        up(Recipe::alone_with(&["--grace=300ms", "--leftover-grace=300ms"]), ALL_STUBBORN);
    stop_within(&sandbox, "3");
    assert!(sandbox.logs().contains("killed: sh ("), "{}", sandbox.logs());
}

#[test]
fn a_second_request_shortens_the_grace() {
    if !ready() {
        return;
    }
    let sandbox = up(Recipe::alone_with(&["--grace=20s"]), STUBBORN);
    sandbox.signal("TERM");
    sandbox.signal("TERM");
    let ended = podman(&["wait", &sandbox.name]);
    assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
    assert_eq!(sandbox.exit_status(), 137);
}

#[test]
fn a_kill_is_a_kill() {
    if !ready() {
        return;
    }
    let sandbox = up(Recipe::alone(), STUBBORN);
    sandbox.signal("KILL");
    assert_eq!(sandbox.ended(), 137);
}

/// `STOPSIGNAL`, or `--stop-signal`: nginx wants QUIT, postgres INT.
#[test]
fn another_stop_signal_is_the_workloads_own() {
    if !ready() {
        return;
    }
    let recipe = Recipe::alone().argument("--stop-signal=QUIT");
    let sandbox = up(recipe, "trap 'echo quit; exit 6' QUIT; echo up; while :; do sleep 0.1; done");
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(5), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 6);
    assert!(sandbox.logs().contains("quit"), "{}", sandbox.logs());
}

/// What the workload has left by a daemon's way goes with it, and gets to say goodbye.
#[test]
fn a_daemon_gets_term_and_time_to_end() {
    if !ready() {
        return;
    }
    let line = "setsid bash -c 'trap \"echo bye; exit\" TERM; echo up; while :; do sleep 0.1; done' & exec sleep infinity";
    let sandbox = up(Recipe::alone(), line);
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(5), "{:?}", stop.took);
    let logs = sandbox.logs();
    assert!(logs.contains("bye") && !logs.contains("killed"), "{logs}");
    assert_eq!(sandbox.exit_status(), 143);
}
