//! A boot that is cut off, by whatever: it reads failed and interrupted, never complete and
//! never running for ever, and what it left is cleaned up.

use crate::sandbox::{Sandbox, Seen};
use crate::util::{children, eventually, signal};
use std::fs;
use std::time::{Duration, Instant};

/// In the first life it does what `out/first` says; in later ones it ends well.
const FIRST: &str = "#!/bin/sh\necho \"$0\" > /mnt/out/path\nif [ ! -e /mnt/out/started ]; then\necho $$ > /mnt/out/started\nsetsid sleep 4711 &\n. /mnt/out/first\nfi\nexit 0\n";

fn first(then: &str) -> Sandbox {
    let sandbox = Sandbox::new().script_file(FIRST);
    sandbox.put_out("first", then);
    sandbox
}

/// Prints what a cut-off script left: its file, and its processes.
const LEFT: &str = "p=$(cat /mnt/out/path); ls -d \"$p\" \"${p%/*}\" >> /mnt/out/left 2>/dev/null
for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done 2>/dev/null | grep -x 'sleep 4711 ' >> /mnt/out/left
echo end >> /mnt/out/left";

#[track_caller]
fn repeats(sandbox: &Sandbox) {
    let seen = sandbox.look().is("complete");
    assert_eq!(seen.attempt(), 2, "{:#?}", seen.ended);
}

#[track_caller]
fn interrupted(seen: Seen, by: &str) {
    let seen = seen.is("failed");
    assert_eq!(seen.status["interrupted"], by, "{:#?}", seen.ended);
    assert_eq!(seen.status["phase"], "user-script");
    assert_eq!(seen.phase("user-script")["state"], "interrupted");
    assert!(seen.summary().starts_with("failed: interrupted in user-script"), "{}", seen.summary());
    assert!(seen.summary().contains(by), "{}", seen.summary());
}

#[test]
fn a_boot_that_is_killed_is_an_outcome_and_pid_1_survives() {
    let sandbox = first("kill -9 $PPID; sleep 300");
    let seen = sandbox.look_after(LEFT);
    assert!(
        seen.ended.stderr.contains("the boot process was ended by SIGKILL"),
        "{:#?}",
        seen.ended
    );
    interrupted(seen, "SIGKILL");
    assert_eq!(sandbox.out("left"), "end\n", "what the boot had started and written is gone");
    repeats(&sandbox);
}

#[test]
fn a_boot_that_crashes_is_named_by_its_signal() {
    let sandbox = first("kill -6 $PPID; sleep 300");
    interrupted(sandbox.look(), "SIGABRT");
    repeats(&sandbox);
}

#[test]
fn a_boot_that_is_killed_ends_the_sandbox_by_default() {
    let sandbox = first("kill -9 $PPID; sleep 300");
    sandbox
        .init(&[], "echo the workload must not start")
        .expect(1)
        .says("failed: the boot process was ended by SIGKILL");
    repeats(&sandbox);
}

/// The journal of a life that is over, read from the volume.
fn journal(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("home/.local/state/agent/test/journal")).unwrap()
}

#[test]
fn a_stop_while_the_script_runs_is_recorded_and_ends_with_128_and_the_signal() {
    for (number, name) in [(15, "SIGTERM"), (2, "SIGINT"), (3, "SIGQUIT"), (1, "SIGHUP")] {
        let sandbox = first("sleep 300").no_run();
        let mut life = sandbox.start(&[], "echo the workload must not start");
        life.reaches(&sandbox, "started");
        life.signal(number);
        let ended = life.end().expect(128 + number);
        assert_eq!(ended.stdout, "", "{ended:#?}");
        let journal = journal(&sandbox);
        let last = journal.lines().last().unwrap();
        assert!(last.contains("\"boot-ended\"") && last.contains("\"failed\""), "{journal}");
        assert!(last.contains(&format!("\"interrupted\":\"{name}\"")), "{journal}");
        assert!(!journal.contains("\"complete\""), "{journal}");
        repeats(&sandbox);
    }
}

#[test]
fn a_script_that_ignores_the_stop_is_killed_within_the_grace() {
    let sandbox = first("trap '' TERM; while :; do sleep 1; done")
        .no_run()
        .variable("AGENT__BOOT__GRACE", "500ms");
    let mut life = sandbox.start(&[], ":");
    life.reaches(&sandbox, "started");
    life.signal(15);
    let ended = life.end().expect(143);
    assert!(ended.took.as_secs() < 30, "a stop ends within 30 s: {ended:#?}");
    assert!(journal(&sandbox).lines().last().unwrap().contains("SIGTERM"));
    repeats(&sandbox);
}

/// As a power cut, or the memory limit of the whole container.
#[test]
fn a_sandbox_that_is_killed_while_the_script_runs_repeats_it_at_the_next_start() {
    let sandbox = first("sleep 300").no_run();
    let mut life = sandbox.start(&[], ":");
    life.reaches(&sandbox, "started");
    life.signal(9);
    life.end();
    assert!(!journal(&sandbox).contains("boot-ended"), "nobody was left to write it");
    let before = sandbox.init(&["--no-boot"], "agent status --json").expect(4);
    assert_eq!(before.json()["state"], "none", "another life says nothing of this one");
    repeats(&sandbox);
}

/// Nobody records this end: the boot was run by hand, so PID 1 does not wait for it.
#[test]
fn a_boot_by_hand_that_is_killed_reads_failed_at_once() {
    let sandbox = first("kill -9 $PPID; sleep 300");
    let command = "agent boot; agent status --json > /mnt/out/status; echo $? > /mnt/out/code";
    sandbox.init(&["--no-boot"], command).expect(0);
    assert_eq!(sandbox.out("code"), "1\n");
    let status: serde_json::Value = serde_json::from_str(&sandbox.out("status")).unwrap();
    assert_eq!(
        (&status["state"], &status["interrupted"]),
        (&"failed".into(), &"runner gone".into())
    );
    let command = "agent status --wait --timeout 30s --quiet";
    sandbox.init(&["--no-boot"], command).expect(4);
}

#[test]
fn a_boot_by_hand_that_is_asked_to_stop_records_it() {
    let sandbox = first("sleep 300");
    let command = "agent boot & while [ ! -e /mnt/out/started ]; do sleep 0.05; done
                   kill -TERM $!; wait $!; echo $? > /mnt/out/code; agent status --json";
    let ended = sandbox.init(&["--no-boot"], command).expect(1);
    assert_eq!(
        (&ended.json()["state"], &ended.json()["interrupted"]),
        (&"failed".into(), &"SIGTERM".into())
    );
    assert_eq!(sandbox.out("code"), "1\n");
    repeats(&sandbox);
}

#[test]
fn a_boot_that_hangs_cannot_hold_up_a_stop() {
    // Stopped by SIGSTOP it takes no TERM.
    let sandbox = first("sleep 300");
    let mut life = sandbox.start(&[], ":");
    life.reaches(&sandbox, "started");
    let pid1 = life.pid1();
    let boot = eventually("the boot", || children(pid1).first().copied());
    signal(boot, 19);
    life.signal(15);
    let ended = life.end().expect(143);
    assert!(ended.took.as_secs() < 30, "a stop ends within 30 s: {ended:#?}");
    repeats(&sandbox);
}

/// Whoever asks twice doesn't wait for the whole grace of a boot that hangs.
#[test]
fn a_second_request_makes_the_time_of_a_boot_that_hangs_short() {
    let sandbox = first("sleep 300");
    let mut life = sandbox.start(&["--grace", "20s", "--leftover-grace", "100ms"], ":");
    life.reaches(&sandbox, "started");
    let pid1 = life.pid1();
    let boot = eventually("the boot", || children(pid1).first().copied());
    signal(boot, 19);
    let asked = Instant::now();
    life.signal(15);
    std::thread::sleep(Duration::from_millis(200));
    life.signal(15);
    life.end().expect(143);
    assert!(asked.elapsed().as_secs() < 15, "{:?}", asked.elapsed());
    repeats(&sandbox);
}

#[test]
fn a_journal_that_was_torn_costs_only_its_torn_line() {
    let sandbox = first("sleep 300").no_run();
    let mut life = sandbox.start(&[], ":");
    life.reaches(&sandbox, "started");
    life.signal(9);
    life.end();
    let path = sandbox.path("home/.local/state/agent/test/journal");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    let seen = sandbox.look().is("complete");
    assert_eq!((seen.attempt(), &seen.status["unreadable_lines"]), (2, &1.into()));
}
