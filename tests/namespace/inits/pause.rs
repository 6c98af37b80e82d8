//! `catatonit -P`: nothing is run; a pod's first container reaps for the others until it is told to
//! end.

use super::{Init, PLACES, Place, none_defunct, state};
use crate::sandbox::Sandbox;
use crate::util::{child_of, children, eventually, signal, start};
use std::fs;

/// Waits until it has gone to the directory that it waits in, and returns it. By then every signal
/// is blocked.
fn pausing(pid1: i32, place: Place) -> i32 {
    eventually("it pauses", || {
        let pid = if place == Place::First { pid1 } else { child_of(pid1) };
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        (command.starts_with("/mnt/bin/catatonit\0-") && cwd.as_os_str() == "/").then_some(pid)
    })
}

#[test]
fn a_pause_ends_with_0_by_term_and_by_int() {
    for place in PLACES {
        for end in [15, 2] {
            let sandbox = Sandbox::new();
            let init = Init::ours("catatonit").with(&["-P"]).after("cd /tmp").at(place);
            let running = start(init.command(&sandbox, &[]));
            signal(pausing(child_of(running.pid()), place), end);
            running.end().expect(0);
        }
    }
}

#[test]
fn a_pause_takes_no_other_signal_for_its_end() {
    let sandbox = Sandbox::new();
    // Somebody else in the namespace, who makes orphans for it.
    let others = "(while [ ! -e /mnt/out/up ]; do sleep 0.02; done
        i=0; while [ $i -lt 50 ]; do (: &); i=$((i+1)); done; echo made >/mnt/out/made; exec sleep 60) &
        echo up >/mnt/out/up";
    let init = Init::ours("catatonit").with(&["-P"]).after(&format!("cd /tmp; {others}"));
    let mut scene = init.start_in(sandbox, &[]);
    scene.reaches("up");
    scene.reaches("made");
    pausing(scene.pid, Place::First);
    none_defunct(scene.pid);
    for other in (1..=64).filter(|s| ![2, 9, 15, 19].contains(s)) {
        scene.signal(other);
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!scene.has_ended());
    assert_eq!(state(scene.pid), 'S');
    scene.signal(15);
    scene.end().expect(0);
}

/// A program beside it is not run.
#[test]
fn a_pause_runs_nothing() {
    let sandbox = Sandbox::new();
    let init = Init::ours("catatonit").with(&["-gP"]).after("cd /tmp");
    let running = start(init.command(&sandbox, &["sh", "-c", "echo ran >/mnt/out/ran"]));
    let pid1 = pausing(child_of(running.pid()), Place::First);
    assert!(children(pid1).is_empty());
    signal(pid1, 15);
    running.end().expect(0);
    assert!(!sandbox.path("out/ran").exists());
}
