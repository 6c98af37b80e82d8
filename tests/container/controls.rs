//! Negative controls: what the other tests look for is absent where no agent is PID 1, so
//! they can fail.

use crate::engine::{podman, ready};
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe};
use crate::seen::keep_sample;

#[test]
fn without_a_boot_there_is_no_status() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).argument("--entrypoint=sleep").start(&["infinity"]);
    let status = sandbox.exec(&["agent", "status"]);
    assert_eq!(status.status, 4, "{}", status.stdout);
    assert!(status.stdout.contains("no boot has begun"), "{}", status.stdout);
    keep_sample("none", &status.stdout);
    assert_eq!(podman(&["healthcheck", "run", &sandbox.name]).status, 1);
}

/// The journal of a dead sandbox on the volume is no status of another that never booted.
#[test]
fn an_old_volume_does_not_make_a_status() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let booted = Recipe::on(&volume).start(IDLE);
    assert_eq!(booted.settled().state(), "complete");
    drop(booted);
    let idle = Recipe::on(&volume).argument("--entrypoint=sleep").start(&["infinity"]);
    assert_eq!(idle.status().state(), "none");
}

/// Another user than the sandbox's may not look into the home. Not to be allowed to look is
/// not the same as nothing to see.
#[test]
fn a_status_that_cannot_be_read_says_so() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete");
    sandbox.exec(&["chmod", "700", "/home/iteron"]).good();
    // Root without a capability is a user like any other.
    let status = sandbox.exec_with(&["--user=0"], &["agent", "status"]);
    let text = status.stdout + &status.stderr;
    assert_ne!(status.status, 0, "{text}");
    assert!(text.contains("Permission denied"), "{text}");
}

/// A PID 1 without handlers is deaf to TERM (`pid_namespaces(7)`): stopping it takes
/// podman's whole patience. So the stop tests measure the agent, not podman.
#[test]
fn a_plain_program_as_first_process_ignores_the_stop() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).argument("--entrypoint=sleep").start(&["infinity"]);
    let stop = podman(&["stop", "--time", "2", &sandbox.name]);
    assert!(stop.took.as_secs() >= 2, "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 137);
}

#[test]
fn a_wrong_command_line_is_refused() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_sandbox, output) = Recipe::on(&volume)
        .argument("--entrypoint=[\"agent\",\"init\",\"--bogus\"]")
        .run(&["true"]);
    assert_eq!(output.status, 64);
    assert!(output.stderr.contains("--bogus"), "{}", output.stderr);
}
