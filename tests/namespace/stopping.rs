//! The stop sequence: TERM, the grace, KILL; first the workload, then all that is left, and what
//! had to be killed is named. Well inside 30 s, whatever runs.

use crate::sandbox::Sandbox;
use crate::util::{Ended, eventually, start, unprivileged};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Starts the workload, waits until it is up, sends TERM.
#[track_caller]
fn stop(sandbox: &Sandbox, options: &[&str], script: &str) -> Ended {
    let mut all = vec!["--no-boot"];
    all.extend(options);
    let mut life = sandbox.start(&all, script);
    life.reaches(sandbox, "up");
    life.signal(15);
    let ended = life.end();
    assert!(ended.took.as_secs() < 30, "a stop ends within 30 s: {ended:#?}");
    ended
}

#[test]
fn a_workload_that_ignores_term_is_killed_after_the_grace_and_that_is_said() {
    let ended = stop(
        &Sandbox::new(),
        &["--grace", "400ms"],
        "trap '' TERM; echo up > /mnt/out/up; while :; do sleep 1; done",
    );
    ended.expect(137).says("the workload did not end within 400 ms of SIGTERM; killing it");
}

#[test]
fn a_workload_that_ignores_term_is_killed_after_the_default_grace() {
    let ended = stop(
        &Sandbox::new(),
        &[],
        "trap '' TERM; echo up > /mnt/out/up; while :; do sleep 1; done",
    );
    let ended = ended.expect(137).says("did not end within 7.0 s");
    assert!(ended.took.as_secs() >= 6, "{ended:#?}");
}

#[test]
fn a_workload_that_ends_within_the_grace_is_not_killed() {
    let ended = stop(
        &Sandbox::new(),
        &["--grace", "20s"],
        "trap 'sleep 0.5; exit 6' TERM; echo up > /mnt/out/up; while :; do sleep 0.1; done",
    );
    assert!(!ended.expect(6).stderr.contains("kill"));
}

#[test]
fn a_second_term_does_not_prolong_the_grace() {
    let sandbox = Sandbox::new();
    let mut life = sandbox.start(
        &["--no-boot", "--grace", "2s"],
        "trap '' TERM; echo up > /mnt/out/up; while :; do sleep 1; done",
    );
    life.reaches(&sandbox, "up");
    let ended = {
        for _ in 0..5 {
            life.signal(15);
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
        life.end()
    };
    assert!(ended.expect(137).took.as_secs() < 20);
}

#[test]
fn a_second_request_to_stop_makes_the_grace_short() {
    let sandbox = Sandbox::new();
    let mut life = sandbox.start(
        &["--no-boot", "--grace", "20s"],
        "trap 'echo got > /mnt/out/got' TERM; echo up > /mnt/out/up; while :; do sleep 0.1; done",
    );
    life.reaches(&sandbox, "up");
    life.signal(15);
    life.reaches(&sandbox, "got");
    life.signal(15);
    assert!(life.end().expect(137).took.as_secs() < 10);
}

/// What is said is how long it really had.
#[test]
fn a_kill_after_a_second_request_names_the_time_that_the_workload_had() {
    let sandbox = Sandbox::new();
    let mut life = sandbox.start(
        &["--no-boot", "--grace", "20s"],
        "trap '' TERM; echo up > /mnt/out/up; while :; do sleep 0.1; done",
    );
    life.reaches(&sandbox, "up");
    life.signal(15);
    std::thread::sleep(Duration::from_millis(300));
    life.signal(15);
    let ended = life.end().expect(137);
    let said = ended.stderr.split("did not end within ").nth(1).unwrap();
    let said: f64 = said.split(" s of SIGTERM").next().unwrap().parse().unwrap();
    assert!((1.2..10.0).contains(&said), "{ended:#?}");
}

#[test]
fn what_is_rewritten_to_term_asks_to_stop_too() {
    let sandbox = Sandbox::new();
    let mut life = sandbox.start(
        &["--no-boot", "--grace", "400ms", "--rewrite", "INT:TERM"],
        "trap '' TERM; echo up > /mnt/out/up; while :; do sleep 0.1; done",
    );
    life.reaches(&sandbox, "up");
    life.signal(2);
    life.end().expect(137).says("did not end within 400 ms of SIGTERM");
}

/// A daemon that ignores TERM, in a session of its own.
const STUBBORN: &str =
    "setsid sh -c 'trap \"\" TERM; echo up > /mnt/out/stubborn; while :; do sleep 0.1; done' &
    while [ ! -e /mnt/out/stubborn ]; do sleep 0.05; done";

#[test]
fn a_second_request_shortens_the_time_of_what_the_workload_leaves() {
    let sandbox = Sandbox::new();
    let script = format!(
        "{STUBBORN}; trap 'echo ended > /mnt/out/ended; exit 6' TERM; echo up > /mnt/out/up
         while :; do sleep 0.1; done"
    );
    let mut life = sandbox.start(&["--no-boot", "--leftover-grace", "18s"], &script);
    life.reaches(&sandbox, "up");
    life.signal(15);
    life.reaches(&sandbox, "ended");
    std::thread::sleep(Duration::from_millis(300));
    life.signal(15);
    let ended = life.end().expect(6).says("killed: sh (");
    assert!(ended.took.as_secs() < 12, "{ended:#?}");
}

/// Whoever entered from outside (`podman exec`) is nobody's child here.
#[test]
fn whoever_entered_the_namespace_is_asked_to_end_too() {
    let sandbox = Sandbox::new();
    let script =
        "echo up > /mnt/out/up; while [ ! -s /mnt/out/entered ]; do sleep 0.05; done; exit 6";
    let mut life = sandbox.start(&["--no-boot", "--leftover-grace", "15s"], script);
    life.reaches(&sandbox, "up");
    let pid = life.pid1().to_string();
    let visitor = "trap 'echo asked > /mnt/out/asked; exit 0' TERM; echo up > /mnt/out/entered
        while :; do sleep 0.1; done";
    let mut enter = unprivileged("nsenter");
    enter.args(["--target", &pid, "--user", "--mount", "--pid", "--preserve-credentials"]);
    enter.args(["sh", "-c", visitor]);
    let mut visitor = start(enter);
    eventually("somebody entered", || {
        assert!(!visitor.has_ended(), "{:#?}", visitor.take_output());
        fs::read_to_string(sandbox.path("out/entered")).ok()
    });
    let ended = life.end().expect(6);
    assert_eq!(sandbox.out("asked"), "asked\n", "{ended:#?}");
    assert!(!ended.stderr.contains("killed"), "{ended:#?}");
    visitor.end();
}

/// The numbers in another namespace's /proc are others'.
#[test]
fn nobody_is_named_where_proc_is_another_namespaces() {
    let sandbox = Sandbox::new();
    let script =
        "setsid sh -c 'trap \"\" TERM; echo up > /mnt/out/stubborn; while :; do sleep 0.1; done' &
        while [ ! -e /mnt/out/stubborn ]; do sleep 0.05; done; exit 6";
    // A pid namespace of its own below the sandbox's, and the sandbox's /proc.
    let line = format!(
        "unshare --pid --fork --kill-child agent init --no-boot --leftover-grace 200ms -- sh -c '{}'",
        script.replace('\'', "'\\''")
    );
    let ended = sandbox.init(&["--no-boot"], &line).expect(6);
    assert!(ended.stderr.contains("killed: no names can be seen"), "{ended:#?}");
}

/// Whoever ends as fast as it is reaped doesn't keep a request from being heard.
#[test]
fn a_request_is_heard_in_a_storm_of_ends() {
    let sandbox = Sandbox::new();
    let perl = "$SIG{CHLD} = 'DEFAULT'; for (1 .. 6) { next if fork; while (1) {
        my $p = fork; if (!defined $p) { next } if (!$p) { fork; exit 0 } waitpid($p, 0) } }";
    sandbox.put_out("storm.pl", perl);
    let script = "perl /mnt/out/storm.pl & trap 'exit 6' TERM
        sleep 0.5; echo up > /mnt/out/up; while :; do sleep 0.1; done";
    let mut life = sandbox.start(&["--no-boot", "--leftover-grace", "300ms"], script);
    life.reaches(&sandbox, "up");
    life.signal(15);
    let ended = life.end().expect(6);
    assert!(ended.took.as_secs() < 20, "{ended:#?}");
}

/// Real-time signals queue: who sends them without end keeps one at hand at each look.
#[test]
fn a_flood_of_signals_does_not_put_the_end_off() {
    let flood = "$SIG{TERM} = $SIG{RTMIN} = 'IGNORE'; $SIG{NUM40} = 'IGNORE';
        for (1 .. 2) { next if fork; kill(40, 1) while 1 } open(F, '>/mnt/out/up'); print F 'up'; close F; sleep 1 while 1";
    for (options, least) in [(["--grace", "1s"], 1), (["--grace", "20s"], 0)] {
        let sandbox = Sandbox::new();
        sandbox.put_out("flood.pl", flood);
        let mut all = vec!["--no-boot", "--leftover-grace", "300ms"];
        all.extend(options);
        let mut life = sandbox.start(&all, "exec perl /mnt/out/flood.pl");
        life.reaches(&sandbox, "up");
        let asked = Instant::now();
        life.signal(15);
        if least == 0 {
            std::thread::sleep(Duration::from_millis(300));
            life.signal(15);
        }
        life.end().expect(137).says("the workload did not end within 1.");
        assert!((least..12).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
    }
}

/// A process names itself as it likes.
#[test]
fn what_is_killed_cannot_write_lines_of_its_own() {
    let sandbox = Sandbox::new();
    let perl = r#"$SIG{TERM} = "IGNORE"; open(F, ">/proc/self/comm"); syswrite(F, "a\nagent: ok\e[3"); close F;
        if (fork) { exit 5 } open(F, ">/mnt/out/up"); print F "up"; close F; sleep 1 while 1"#;
    sandbox.put_out("forger.pl", perl);
    let script = "perl /mnt/out/forger.pl; while [ ! -s /mnt/out/up ]; do sleep 0.05; done; exit 5";
    let ended = sandbox.init(&["--no-boot", "--leftover-grace", "200ms"], script).expect(5);
    assert!(ended.stderr.contains(r"killed: a\nagent: ok\u{1b}["), "{ended:#?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
}

#[test]
fn a_stopped_workload_is_ended_too() {
    let ended = stop(
        &Sandbox::new(),
        &["--grace", "400ms"],
        "(sleep 0.3; echo up > /mnt/out/up) & kill -STOP $$",
    );
    // It is continued, so that the signal reaches it.
    ended.expect(143);
}

/// A leader can leave for the group of its child: the signals to its own reach nobody.
#[test]
fn a_workload_that_left_its_group_is_stopped_within_bounds() {
    if !Path::new("/usr/bin/perl").exists() {
        return;
    }
    let perl = r#"my $c = fork(); if (!$c) { setpgrp(0, 0); sleep 300 } select(undef, undef, undef, 0.3); setpgrp(0, $c); open(F, ">/mnt/out/up"); print F "up"; close F; $SIG{TERM} = "IGNORE"; sleep 1 while 1;"#;
    let ended = stop(&Sandbox::new(), &["--grace", "400ms"], &format!("exec perl -e '{perl}'"));
    ended.expect(137);
}

#[test]
fn what_the_workload_leaves_gets_term_first() {
    let sandbox = Sandbox::new();
    let daemon = "trap 'echo got > /mnt/out/got; exit 0' TERM; echo up > /mnt/out/up; while :; do sleep 0.1; done";
    let script = format!(
        "setsid sh -c '{}' & while [ ! -e /mnt/out/up ]; do sleep 0.05; done; exit 5",
        daemon.replace('\'', "'\\''")
    );
    let ended = sandbox.init(&["--no-boot", "--leftover-grace", "10s"], &script).expect(5);
    assert_eq!(sandbox.out("got"), "got\n");
    assert!(!ended.stderr.contains("killed"), "{ended:#?}");
}

#[test]
fn what_ignores_term_is_killed_and_named() {
    let daemon = "trap \"\" TERM; echo up > /mnt/out/up; while :; do sleep 0.1; done";
    let script = format!(
        "setsid sh -c '{daemon}' & while [ ! -e /mnt/out/up ]; do sleep 0.05; done; exit 5"
    );
    let ended = Sandbox::new().init(&["--no-boot", "--leftover-grace", "300ms"], &script).expect(5);
    let line = ended.stderr.lines().find(|l| l.contains("killed: "));
    let line = line.unwrap_or_else(|| panic!("{ended:#?}"));
    let word = line.split("killed: ").nth(1).unwrap();
    assert!(word.contains("sh (") && word.contains(')'), "{line}");
}

/// A stopped process takes no TERM.
#[test]
fn what_is_stopped_is_killed_too() {
    let script = "setsid sleep 300 & sleep 0.1; kill -STOP $!; exit 5";
    let ended = Sandbox::new().init(&["--no-boot", "--leftover-grace", "300ms"], script).expect(5);
    assert!(ended.took.as_secs() < 30, "{ended:#?}");
}

#[test]
fn many_leftovers_are_all_ended() {
    let script = "i=0; while [ $i -lt 200 ]; do setsid sleep 300 & i=$((i+1)); done; exit 5";
    let ended = Sandbox::new().init(&["--no-boot"], script).expect(5);
    assert!(ended.took.as_secs() < 30, "{ended:#?}");
}

/// The end of an orphan by a signal without a name must not hide the others.
#[test]
fn leftovers_are_ended_although_one_of_them_dies_of_a_real_time_signal() {
    let sandbox = Sandbox::new();
    let daemon = "trap \"echo got > /mnt/out/got; exit 0\" TERM; echo up > /mnt/out/up; while :; do sleep 0.1; done";
    let script = format!(
        "setsid sh -c '{daemon}' & while [ ! -e /mnt/out/up ]; do sleep 0.05; done
         (sh -c 'sleep 0.3; kill -35 $$' &); (sh -c 'trap \"kill -35 \\$\\$\" TERM; while :; do sleep 0.1; done' &); sleep 0.1; exit 5"
    );
    sandbox.init(&["--no-boot", "--leftover-grace", "10s"], &script).expect(5);
    assert_eq!(sandbox.out("got"), "got\n");
}

#[test]
fn a_stop_after_a_boot_takes_the_configured_graces() {
    let sandbox = Sandbox::new().config(
        "agent.toml",
        "[boot]\ngrace = \"100ms\"\n[init]\ngrace = \"300ms\"\nleftover_grace = \"200ms\"\n",
    );
    let mut life =
        sandbox.start(&[], "trap '' TERM; echo up > /mnt/out/up; while :; do sleep 1; done");
    life.reaches(&sandbox, "up");
    life.signal(15);
    life.end().expect(137).says("within 300 ms of SIGTERM");
}

/// A wait is cut short where whoever waits was stopped and goes on (signal(7)): a debugger, a
/// frozen control group, somebody's STOP.
#[test]
fn the_grace_is_as_long_where_pid_1_itself_is_stopped_and_continued_in_it() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo got > /mnt/out/got; sleep 2; exit 6' TERM
        echo up > /mnt/out/up; while :; do sleep 0.1; done";
    let mut life = sandbox.start(&["--no-boot", "--grace", "20s"], script);
    life.reaches(&sandbox, "up");
    life.signal(15);
    life.reaches(&sandbox, "got");
    stop_and_continue(life.pid1());
    let ended = life.end().expect(6);
    assert!(!ended.stderr.contains("kill"), "{ended:#?}");
}

#[test]
fn nothing_is_killed_for_a_stop_of_pid_1_that_nobody_asked_the_workload_to_share() {
    for option in ["--verbose", "--quiet"] {
        let sandbox = Sandbox::new();
        let script =
            "echo up > /mnt/out/up; while [ ! -e /mnt/out/end ]; do sleep 0.1; done; exit 6";
        let mut life = sandbox.start(&["--no-boot", option], script);
        life.reaches(&sandbox, "up");
        stop_and_continue(life.pid1());
        sandbox.put_out("end", "now");
        let ended = life.end().expect(6);
        assert!(!ended.stderr.contains("kill"), "{ended:#?}");
    }
}

/// From outside; from inside the kernel spares PID 1.
fn stop_and_continue(pid1: i32) {
    let is = |state: char| {
        let status = std::fs::read_to_string(format!("/proc/{pid1}/status")).unwrap();
        status.contains(&format!("\nState:\t{state}")).then_some(())
    };
    crate::util::signal(pid1, 19);
    eventually("PID 1 is stopped", || is('T'));
    crate::util::signal(pid1, 18);
    eventually("PID 1 waits again", || is('S'));
}
