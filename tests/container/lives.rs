//! Restarts, recreations and neighbours: what a life of a sandbox says of another.

use crate::engine::ready;
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe, Sandbox};

/// A script that leaves a line a run on the volume.
const COUNTING: &str = "#!/bin/sh\necho run >>~/runs\n";

fn runs(sandbox: &Sandbox) -> usize {
    sandbox.exec(&["cat", "/home/iteron/runs"]).good().lines().count()
}

#[test]
fn a_restart_is_a_new_boot_of_the_same_instance() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).script(COUNTING).start(IDLE);
    let first = sandbox.settled();
    assert_eq!(first.state(), "complete", "{}", sandbox.logs());
    sandbox.restart();
    let second = sandbox.settled();
    assert_eq!(second.state(), "complete", "{}", sandbox.logs());
    assert_ne!(first.boot(), second.boot(), "the status is of the new life");
    assert_eq!(first.instance(), second.instance());
    assert_eq!(runs(&sandbox), 1, "a script that ended well is not repeated");
    assert_eq!(second.attempt(), 1);
    assert!(second.notes().contains("not repeated"), "{}", second.notes());
}

#[test]
fn a_recreated_sandbox_is_a_new_instance_on_the_old_volume() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let first = Recipe::on(&volume).script(COUNTING).start(IDLE);
    let before = first.settled();
    first.sh("echo mine >~/.bashrc; rmdir ~/.local/bin").good();
    drop(first);
    let second = Recipe::on(&volume).script(COUNTING).start(IDLE);
    let after = second.settled();
    assert_eq!(after.state(), "complete", "{}", second.logs());
    assert_ne!(before.instance(), after.instance());
    assert_eq!(runs(&second), 2, "a new instance runs the script");
    assert_eq!(after.attempt(), 1, "attempts are counted by instance");
    assert_eq!(second.exec(&["cat", "/home/iteron/.bashrc"]).good(), "mine\n");
    second.sh("test -d ~/.local/bin").good();
}

/// Both boot at once on one home: neither reads the other's state, neither waits.
#[test]
fn two_sandboxes_share_a_volume() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    // The first mount copies and chowns; two at once are podman's affair, not ours.
    drop(Recipe::on(&volume).start(IDLE));
    let slow = "#!/bin/sh\nsleep 1; echo run >>~/runs\n";
    let one = Recipe::on(&volume).script(slow).start(IDLE);
    let two = Recipe::on(&volume).script(slow).start(IDLE);
    let (first, second) = (one.settled(), two.settled());
    assert_eq!((first.state(), second.state()), ("complete", "complete"));
    assert_ne!(first.instance(), second.instance());
    assert_ne!(first.journal(), second.journal());
    assert_eq!(runs(&one), 2);
    // The end of one says nothing of the other.
    one.stop().good();
    assert_eq!(two.status().boot(), second.boot());
}

/// Between the start of a new life and its own boot there is nothing to tell: the old
/// `complete` must not be taken for the new one.
#[test]
fn an_old_complete_is_not_told_of_a_new_life() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    // The first boot passes at once; every later one waits for the file.
    let script = "#!/bin/sh\ntouch ~/first-done\n";
    let sandbox = Recipe::on(&volume).script(script).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete");
    drop(sandbox);
    let waits = "#!/bin/sh\nuntil test -e ~/go; do sleep 0.1; done\n";
    let sandbox = Recipe::on(&volume).script(waits).start(IDLE);
    for _ in 0..5 {
        let state = sandbox.status();
        assert!(["none", "running"].contains(&state.state()), "{}", state.summary());
    }
    sandbox.sh("touch ~/go").good();
    assert_eq!(sandbox.settled().state(), "complete");
}

/// State on the volume is bounded, but only what is old goes: another sandbox on the same
/// volume may still want its own.
#[test]
fn old_state_of_other_instances_is_pruned_and_young_state_is_not() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).env("AGENT__TOOLS__ENABLED", "off").start(IDLE);
    let journal = sandbox.settled().journal().to_owned();
    let base = journal.rsplitn(3, '/').last().unwrap();
    let make = format!(
        "cd {base}; for i in $(seq 30); do mkdir old$i young$i; touch young$i/journal
        touch --date='1 year ago' old$i/journal; done"
    );
    sandbox.sh(&make).good();
    sandbox.restart();
    assert_eq!(sandbox.settled().state(), "complete");
    let left = sandbox.exec(&["ls", base]).good();
    let count = |kind: &str| left.lines().filter(|name| name.starts_with(kind)).count();
    assert!(count("old") <= 10, "{left}");
    assert_eq!(count("young"), 30, "{left}");
}
