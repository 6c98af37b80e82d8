//! Steps that are run once an instance: one that succeeded is not repeated, any other is.

use crate::provision::{expect_states, step, with};
use crate::sandbox::Sandbox;
use std::fs;

/// Notes each run, then does what the test wants of this one: `out/then`.
fn counting(more: &str, then: &str) -> Sandbox {
    let script = "echo run >> /mnt/out/runs; . /mnt/out/then";
    with(&[step("setup", &format!("run = \"once\"\n{more}"), script)]).counting(then)
}

#[test]
fn a_step_that_succeeded_is_not_run_at_the_next_boot_and_says_when_it_was() {
    let sandbox = counting("", "exit 0");
    sandbox.look().is("complete");
    let again = sandbox.look().is("complete");
    expect_states(&again, &[("setup", "skipped")]);
    let note = again.status["steps"][0]["notes"][0].as_str().unwrap();
    assert!(note.starts_with("already ran on this instance, at 2"), "{note}");
    sandbox.look_after("agent boot || exit 9").is("complete");
    assert_eq!(sandbox.runs(), 1);
}

/// The counterpart: without `run = "once"` it runs each time.
#[test]
fn a_step_runs_at_every_boot_by_default() {
    let sandbox = with(&[step("always", "", "echo run >> /mnt/out/runs")]);
    sandbox.look().is("complete");
    sandbox.look().is("complete");
    assert_eq!(sandbox.runs(), 2);
}

#[test]
fn a_step_that_failed_is_run_again_at_the_next_boot_until_it_succeeds() {
    let sandbox = counting("", "exit 3");
    sandbox.look().is("failed").problem("provision", "step-failed");
    let seen = sandbox.look().is("failed");
    let note = &seen.status["steps"][0]["notes"][0];
    assert_eq!(*note, "its last run here ended badly; repeating");
    sandbox.put_out("then", "exit 0");
    sandbox.look().is("complete");
    sandbox.look().is("complete");
    assert_eq!(sandbox.runs(), 3);
}

#[test]
fn a_step_past_its_deadline_is_run_again_at_the_next_boot() {
    let sandbox = counting("deadline = \"500ms\"", "sleep 300");
    sandbox.look().is("failed").problem("provision", "step-deadline");
    sandbox.put_out("then", "exit 0");
    sandbox.look().is("complete");
    assert_eq!(sandbox.runs(), 2);
}

/// As a power cut, or the memory limit of the whole container.
#[test]
fn a_step_that_was_cut_off_by_kill_is_repeated_at_the_next_boot() {
    let sandbox = counting("", "echo up > /mnt/out/up; sleep 300");
    let mut life = sandbox.start(&[], ":");
    life.reaches(&sandbox, "up");
    life.signal(9);
    life.end();
    let ledger = fs::read_to_string(sandbox.path("home/.local/state/agent/test/scripts")).unwrap();
    assert!(ledger.contains("step-began") && !ledger.contains("step-ended"), "{ledger}");
    sandbox.put_out("then", "exit 0");
    let seen = sandbox.look().is("complete");
    assert_eq!(
        seen.status["steps"][0]["notes"][0], "its last run here was cut off; repeating",
        "{:#}",
        seen.status
    );
    assert_eq!(sandbox.runs(), 2);
}

#[test]
fn a_boot_that_is_killed_in_a_step_reads_interrupted_and_the_step_too() {
    let sandbox = with(&[
        step("cut", "run = \"once\"", "[ -e /mnt/out/again ] || kill -9 $PPID; sleep 0.5"),
        step("later", "", ":"),
    ]);
    let seen = sandbox.look().is("failed").problem("provision", "boot-died");
    expect_states(&seen, &[("cut", "interrupted"), ("later", "not-run")]);
    sandbox.put_out("again", "x");
    expect_states(&sandbox.look().is("complete"), &[("cut", "ok"), ("later", "ok")]);
}

#[test]
fn a_step_that_was_changed_is_another_step() {
    let sandbox = counting("", "exit 0");
    sandbox.look().is("complete");
    let amend = |text: &str| format!("[[step]]\nname = \"setup\"\n{text}\n");
    let sandbox = sandbox.config("conf.d/50.toml", &amend("deadline = \"5m\""));
    expect_states(&sandbox.look().is("complete"), &[("setup", "skipped")]);
    let sandbox = sandbox.config("conf.d/50.toml", &amend("environment = { A = \"1\" }"));
    expect_states(&sandbox.look().is("complete"), &[("setup", "ok")]);
    assert_eq!(sandbox.runs(), 2);
}

#[test]
fn another_instance_on_the_same_volume_runs_it() {
    let sandbox = counting("", "exit 0");
    sandbox.look().is("complete");
    let sandbox = sandbox.variable("AGENT__BOOTSTRAP__INSTANCE", "recreated");
    sandbox.look().is("complete");
    assert_eq!(sandbox.runs(), 2);
}

#[test]
fn steps_and_the_script_keep_their_records_apart() {
    let sandbox = counting("", "exit 0").script("#!/bin/sh\necho run >> /mnt/out/scripts\n");
    sandbox.look().is("complete");
    let seen = sandbox.look().is("complete");
    assert_eq!(seen.attempt(), 1);
    assert_eq!((sandbox.runs(), sandbox.out("scripts").lines().count()), (1, 1));
}

#[test]
fn a_step_whose_record_is_damaged_is_not_run() {
    let sandbox = counting("", "exit 0");
    sandbox.look().is("complete");
    let ledger = sandbox.path("home/.local/state/agent/test/scripts");
    fs::write(&ledger, "no record\n").unwrap();
    let seen = sandbox.look().is("failed").problem("provision", "step-no-record");
    assert_eq!(seen.phase("provision")["problems"][0]["filed_under"], "setup");
    assert_eq!(sandbox.runs(), 1);
}

#[test]
fn a_record_that_does_not_last_is_told() {
    let sandbox = counting("", "exit 0");
    fs::create_dir_all(sandbox.path("home/.local")).unwrap();
    sandbox.mode("home/.local", 0o755);
    std::os::unix::fs::symlink("/tmp", sandbox.path("home/.local/state")).unwrap();
    sandbox.look().is("degraded").problem("provision", "step-record-passing");
}
