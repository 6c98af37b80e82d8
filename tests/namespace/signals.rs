//! Signals that reach the workload, and what it starts with. What every init does, each signal and each
//! status one by one, is in [`crate::inits`].

use crate::sandbox::Sandbox;
use crate::util::{eventually, run, unprivileged};
use std::path::Path;

/// Parent and child of one process group note what they get. RT 35 is RTMIN+1 of glibc.
const NOTING: &str = r#"
use strict; use warnings;
my %number = (HUP => 1, INT => 2, QUIT => 3, ILL => 4, TRAP => 5, BUS => 7, FPE => 8, SEGV => 11, USR1 => 10, USR2 => 12, TERM => 15, WINCH => 28, NUM35 => 35);
my $who = fork() ? "parent" : "child";
for my $name (keys %number) {
    $SIG{$name} = sub { open(my $f, ">>", "/mnt/out/got") or die; syswrite $f, "$who $number{$name}\n" };
}
open(my $f, ">>", "/mnt/out/ready") or die; syswrite $f, "$who\n";
while (! -e "/mnt/out/stop") { select(undef, undef, undef, 0.05) }
exit 11;
"#;

#[test]
fn every_signal_is_forwarded_to_the_workloads_whole_group() {
    if !Path::new("/usr/bin/perl").exists() {
        return; // a shell's children cannot trap INT and QUIT (POSIX sh, 2.11)
    }
    let sandbox = Sandbox::new();
    sandbox.put_out("noting.pl", NOTING);
    sandbox.put_out("got", "");
    let mut life = sandbox.start(&["--no-boot", "--grace", "20s"], "exec perl /mnt/out/noting.pl");
    life.reaches(&sandbox, "ready");
    eventually("both are ready", || (sandbox.out("ready").lines().count() == 2).then_some(()));
    // Faults among them, which somebody may send, more than once.
    let sent = [1, 2, 3, 4, 5, 7, 8, 10, 11, 11, 11, 12, 28, 35, 15];
    for (before, signal) in sent.into_iter().enumerate() {
        life.signal(signal);
        let both = [format!("child {signal}"), format!("parent {signal}")];
        eventually(&format!("{both:?}"), || {
            let got = sandbox.out("got");
            let mut new: Vec<&str> = got.lines().skip(2 * before).collect();
            new.sort();
            (new == both).then_some(())
        });
    }
    sandbox.put_out("stop", "now");
    life.end().expect(11);
}

#[test]
fn signals_from_inside_are_forwarded_too() {
    Sandbox::new()
        .init(&["--no-boot"], "trap 'exit 12' USR1; kill -USR1 1; n=0; while [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done")
        .expect(12);
}

/// The kernel spares PID 1 of a namespace what comes from inside (pid_namespaces(7)).
#[test]
fn pid_1_cannot_be_killed_or_stopped_from_inside() {
    let script = "kill -KILL 1; kill -STOP 1; sleep 0.2; exit 13";
    let ended = Sandbox::new().init(&["--no-boot"], script).expect(13);
    assert!(ended.took.as_secs() < 30);
}

#[test]
fn a_workload_that_ends_on_term_is_128_and_15() {
    let sandbox = Sandbox::new();
    let mut life = sandbox.start(&["--no-boot"], "echo up > /mnt/out/up; exec sleep 300");
    life.reaches(&sandbox, "up");
    life.signal(15);
    life.end().expect(143);
}

#[test]
fn a_workload_that_ends_well_on_term_is_0() {
    let sandbox = Sandbox::new();
    let script = "trap 'exit 0' TERM; echo up > /mnt/out/up; while :; do sleep 0.1; done";
    let mut life = sandbox.start(&["--no-boot"], script);
    life.reaches(&sandbox, "up");
    life.signal(15);
    life.end().expect(0);
}

/// The lines of /proc/self/status that tell how a program was started.
const MASKS: &str = "grep -E '^Sig(Blk|Ign)' /proc/self/status";

/// What `script` prints as PID 1 itself, without the agent: whoever runs the tests may ignore a
/// signal or leave a descriptor open, and that is none of the agent's business.
#[track_caller]
fn plain(sandbox: &Sandbox, script: &str) -> String {
    run(sandbox.pid1(&["sh", "-c", script])).expect(0).stdout
}

#[test]
fn the_workload_starts_with_the_signal_masks_it_would_have_without_the_agent() {
    let sandbox = Sandbox::new();
    let mut seen = Vec::new();
    for before in ["", "trap '' USR1 HUP PIPE; "] {
        let script = |program: &str| format!("{before}exec {program} sh -c \"{MASKS}\"");
        let without = plain(&sandbox, &script(""));
        let with = plain(&sandbox, &script("agent init --no-boot --"));
        assert_eq!(without, with);
        assert_eq!(without, plain(&sandbox, &script("agent init --no-boot --quiet --")));
        // In a group of its own, with a variable more: the whole way.
        assert_eq!(without, plain(&sandbox, &script("agent init --")));
        assert!(with.contains("SigBlk:\t0000000000000000"), "{with}");
        seen.push(with);
    }
    // Negative control: what is ignored is told.
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn the_workload_after_a_boot_and_the_script_in_it_start_with_the_same_masks() {
    let sandbox = Sandbox::new().script(format!("#!/bin/sh\n{MASKS} > /mnt/out/script\n"));
    let without = plain(&sandbox, MASKS);
    assert_eq!(sandbox.init(&[], MASKS).expect(0).stdout, without);
    assert_eq!(sandbox.out("script"), without);
}

#[test]
fn the_workload_leads_a_group_of_its_own() {
    let ended = Sandbox::new().init(&[], "cut -d ' ' -f 1,5 /proc/$$/stat").expect(0);
    let (pid, group) = ended.stdout.trim().split_once(' ').unwrap();
    assert_eq!(pid, group);
}

#[test]
fn neither_the_workload_nor_the_script_inherits_a_descriptor_of_the_agents() {
    // The shell that lists them has none of its own open.
    let list = "for f in /proc/$$/fd/*; do echo ${f##*/}; done";
    let sandbox = Sandbox::new().script(format!("#!/bin/sh\n{list} > /mnt/out/script\n"));
    let without = plain(&sandbox, list);
    assert_eq!(sandbox.init(&[], list).expect(0).stdout, without);
    // A script file is open in the shell that reads it, under a number of the shell's choice.
    let of_the_agent =
        |text: &str| text.lines().filter(|l| l.parse::<u32>().is_ok_and(|n| n < 10)).count();
    assert!(
        of_the_agent(&sandbox.out("script")) <= of_the_agent(&without),
        "{}",
        sandbox.out("script")
    );
}

/// What PID 1 opens later would take its number, and be the workload's.
#[test]
fn a_standard_descriptor_that_was_closed_is_dev_null() {
    let look = "for n in 0 1 2; do readlink /proc/self/fd/$n; done > /mnt/out/seen";
    for options in ["--no-boot", "--verbose --no-boot", "--verbose"] {
        let sandbox = Sandbox::new();
        let script = format!("exec agent init {options} -- sh -c '{look}' <&- 2>&-");
        run(sandbox.pid1(&["sh", "-c", &script])).expect(0);
        let seen = sandbox.out("seen");
        let [of_input, _, of_error] = seen.lines().collect::<Vec<_>>()[..] else {
            panic!("{seen}")
        };
        assert_eq!((of_input, of_error), ("/dev/null", "/dev/null"), "{options}");
    }
}

/// Negative control for the whole file: a status is not invented by `unshare`.
#[test]
fn without_the_agent_unshare_gives_the_status_back_as_it_is() {
    let mut command = unprivileged("unshare");
    command.args(["--user", "--pid", "--fork", "--", "sh", "-c", "exit 77"]);
    run(command).expect(77);
}

/// Started by somebody who ignores SIGCHLD, a process is told of no child's end and gets no
/// status (waitpid(2)).
#[test]
fn a_status_is_not_lost_where_the_agent_is_started_with_sigchld_ignored() {
    let sandbox = Sandbox::new();
    let ignoring = ["env", "--ignore-signal=CHLD"];
    let exits = ["sh", "-c", "exit 3"];
    for agent in [&["agent", "init", "--no-boot"][..], &["agent", "init", "--no-boot", "--quiet"]] {
        run(sandbox.pid1(&[&ignoring[..], agent, &exits].concat())).expect(3);
    }
    let agent = ["agent", "init", "--no-boot", "--"];
    // The workload ignores it, as it would without the agent.
    let tells = ["grep", "^SigIgn", "/proc/self/status"];
    let with = run(sandbox.pid1(&[&ignoring[..], &agent, &tells].concat())).expect(0).stdout;
    let without = run(sandbox.pid1(&[&ignoring[..], &tells].concat())).expect(0).stdout;
    assert_eq!(with, without);
    let otherwise = run(sandbox.pid1(&[&agent[..], &tells].concat())).expect(0).stdout;
    assert_ne!(with, otherwise);
}

/// A leader can leave for the group of its child; its own is empty then.
#[test]
fn a_workload_that_left_its_group_gets_its_signals_all_the_same() {
    if !Path::new("/usr/bin/perl").exists() {
        return;
    }
    let sandbox = Sandbox::new();
    let perl = r#"my $c = fork(); if (!$c) { setpgrp(0, 0); sleep 300 }
        select(undef, undef, undef, 0.05) until getpgrp($c) == $c; setpgrp(0, $c);
        $SIG{USR1} = sub { exit 12 }; open(F, ">/mnt/out/up"); print F "up"; close F; sleep 1 while 1;"#;
    sandbox.put_out("leaving.pl", perl);
    for option in ["--quiet", "--verbose"] {
        sandbox.put_out("up", "");
        let mut life = sandbox.start(&["--no-boot", option], "exec perl /mnt/out/leaving.pl");
        life.reaches(&sandbox, "up");
        life.signal(10);
        life.end().expect(12);
    }
}
