//! The end: exit statuses, and stops that stay inside the engine's patience.

use crate::engine::ready;
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe};
use std::time::Duration;

/// podman's default patience, after which it kills by itself.
const ENGINE: Duration = Duration::from_secs(10);

#[test]
fn the_exit_status_is_the_workloads() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    for (line, status) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -SEGV $$", 139),
    ] {
        let (_sandbox, output) = Recipe::on(&volume).run(&["sh", "-c", line]);
        assert_eq!(output.status, status, "{line}: {}", output.stderr);
    }
}

#[test]
fn a_workload_that_cannot_start_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    for (program, status) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let (_sandbox, output) = Recipe::on(&volume).run(&[program]);
        assert_eq!(output.status, status, "{}", output.stderr);
        assert!(output.stderr.contains(program), "{}", output.stderr);
    }
}

#[test]
fn an_idle_sandbox_stops_at_once() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(3), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143);
}

/// The workload's own answer to TERM is what the container ends with.
#[test]
fn a_workload_that_handles_term_ends_in_its_own_way() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "trap 'echo bye; exit 5' TERM; touch ~/ready; while :; do sleep 0.1; done";
    let sandbox = Recipe::on(&volume).start(&["bash", "-c", line]);
    sandbox.wait_for_file("/home/iteron/ready");
    sandbox.stop().good();
    assert_eq!(sandbox.exit_status(), 5);
    assert!(sandbox.logs().contains("bye"));
}

/// The agent ends it within podman's default patience, so what it says reaches the log.
#[test]
fn a_workload_that_ignores_term_is_killed_before_the_engine_does() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "trap '' TERM; touch ~/ready; while :; do sleep 1; done";
    let sandbox = Recipe::on(&volume).start(&["bash", "-c", line]);
    sandbox.wait_for_file("/home/iteron/ready");
    let stop = sandbox.stop();
    assert!(stop.took < ENGINE + Duration::from_secs(2), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 137);
    let logs = sandbox.logs();
    assert!(logs.contains("of SIGTERM; killing it"), "{logs}");
}

/// The workload is gone at once; what it left gets a second of its own, then is killed by name.
#[test]
fn a_daemon_that_ignores_term_is_killed_and_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let daemon = "setsid bash -c \"trap '' TERM; touch ~/ready; exec sleep 1000\" & ";
    let line = format!("{daemon} exec sleep infinity");
    let sandbox = Recipe::on(&volume).start(&["bash", "-c", &line]);
    sandbox.wait_for_file("/home/iteron/ready");
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(8), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143, "the status is the workload's");
    assert!(sandbox.logs().contains("killed: sleep ("), "{}", sandbox.logs());
}

/// What agents run in: a tmux server started by `podman exec` is nobody's child but PID 1's.
#[test]
fn a_tmux_server_does_not_delay_the_stop() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    sandbox.exec(&["tmux", "new-session", "-d", "-s", "work", "cowsay moo >~/moo; cat"]).good();
    sandbox.wait_for_file("/home/iteron/moo");
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(5), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143);
}

/// A workload that ends by itself takes what it started with it.
#[test]
fn leftovers_end_with_the_workload() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "setsid sleep 1000 & setsid sleep 1000 & exit 3";
    let (_sandbox, output) = Recipe::on(&volume).run(&["bash", "-c", line]);
    assert_eq!(output.status, 3);
    assert!(output.took < Duration::from_secs(20), "{:?}", output.took);
    assert!(!output.stderr.contains("killed"), "TERM was enough: {}", output.stderr);
}

/// Every signal that a person sends reaches the workload, not only TERM.
#[test]
fn other_signals_reach_the_workload() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "trap 'echo usr1; touch ~/usr1' USR1; trap 'exit 4' INT; touch ~/ready
        while :; do sleep 0.1; done";
    let sandbox = Recipe::on(&volume).start(&["bash", "-c", line]);
    sandbox.wait_for_file("/home/iteron/ready");
    crate::engine::podman(&["kill", "--signal", "USR1", &sandbox.name]).good();
    sandbox.wait_for_file("/home/iteron/usr1");
    crate::engine::podman(&["kill", "--signal", "INT", &sandbox.name]).good();
    assert_eq!(sandbox.ended(), 4);
}
