//! Not PID 1 (`podman run --init`, or under another supervisor): the agent adopts orphans all
//! the same, and ends what is left of its own and nobody else's.

use crate::rehearse::Rehearsal;
use crate::sandbox::Sandbox;
use crate::util::run;

/// Prints the command lines of this file's daemons that run, one a line.
const DAEMONS: &str = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done 2>/dev/null | grep -x 'sleep 471. '";

#[test]
fn one_that_is_not_pid_1_says_so_and_boots_all_the_same() {
    let sandbox = Sandbox::new().script("#!/bin/sh\nexit 0\n");
    let ended = run(sandbox.pid1(&["sh", "-c", "agent init -- agent status --json; exit $?"]));
    let ended = ended.expect(0).says("not PID 1 but ");
    assert_eq!(ended.json()["state"], "complete");
}

#[test]
fn orphans_are_adopted_and_reaped() {
    let script = "i=0; while [ $i -lt 300 ]; do (: &); i=$((i+1)); done; sleep 0.5; grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l; exit 7";
    // The true PID 1 here does not reap: what is adopted elsewhere would stay.
    let outer = "agent init --no-boot -- sh -c \"$0\"; echo $? > /mnt/out/code & exec sleep 300";
    let sandbox = Sandbox::new();
    let mut running = crate::util::start(sandbox.pid1(&["sh", "-c", outer, script]));
    assert_eq!(sandbox.out("code"), "7\n");
    assert!(!running.has_ended());
}

#[test]
fn what_is_left_of_the_workload_is_ended_and_its_neighbours_are_not() {
    let sandbox = Sandbox::new();
    let outer = format!(
        "sleep 4711 & agent init --no-boot -- sh -c 'setsid sleep 4712 & sleep 0.1; exit 5'; code=$?; {DAEMONS}; exit $code"
    );
    let ended = run(sandbox.pid1(&["sh", "-c", &outer])).expect(5);
    assert_eq!(ended.stdout, "sleep 4711 \n", "{ended:#?}");
}

#[test]
fn a_boot_that_dies_is_an_outcome_here_too() {
    let sandbox =
        Sandbox::new().script("#!/bin/sh\nsetsid sleep 4711 &\nkill -9 $PPID\nsleep 300\n");
    let outer = format!(
        "agent init --on-boot-failure hold -- agent status --quiet; code=$?; {DAEMONS}; exit $code"
    );
    let ended = run(sandbox.pid1(&["sh", "-c", &outer])).expect(1);
    assert_eq!(ended.stdout, "", "{ended:#?}");
}

/// `exec` says "permission denied" where a directory on PATH is closed (execvp(3)); shells
/// say "not found" all the same.
#[test]
fn a_command_that_is_nowhere_is_127_although_a_directory_on_path_is_closed() {
    let look = "mkdir -m 0 /tmp/closed; export PATH=/tmp/closed:$PATH
        agent init --no-boot nonexistent; echo $?; agent init --no-boot /etc/passwd; echo $?";
    let ended = Rehearsal::of("#!/bin/sh\nexit 0\n").then(look).expect(0);
    assert_eq!(ended.stdout, "127\n126\n");
    assert!(ended.stderr.contains("nonexistent: not found"), "{ended:#?}");
}

/// Without PATH `exec` looks in /bin and /usr/bin (execvp(3)).
#[test]
fn without_path_a_command_is_looked_for_where_exec_does() {
    let look = "env -u PATH /mnt/bin/agent init --no-boot ls -d /; echo $?
        env -u PATH /mnt/bin/agent init --no-boot nonexistent; echo $?";
    let ended = Sandbox::new().init(&["--no-boot"], look).expect(0);
    assert_eq!(ended.stdout, "/\n0\n127\n");
}

/// The image for another processor is the most usual reason; a shell would say something odd.
#[test]
fn a_program_for_another_processor_is_named_so() {
    let sandbox = Sandbox::new();
    // A header, as far as the kernel reads it: a program of 64 bits for s390x.
    let header =
        r"\177ELF\002\002\001\000\000\000\000\000\000\000\000\000\000\002\000\026\000\000\000\001";
    let script = format!(
        "printf '{header}' > /tmp/other; head -c 200 /dev/zero >> /tmp/other; chmod +x /tmp/other
         for name in /tmp/other other; do PATH=$PATH:/tmp; agent init --no-boot $name; echo $?; done"
    );
    let ended = sandbox.init(&["--no-boot"], &script).expect(0);
    assert_eq!(ended.stdout, "126\n126\n", "{ended:#?}");
    let said = ended.stderr.matches("other: a program for s390x, and this machine is").count();
    assert_eq!(said, 2, "{ended:#?}");
}

/// The kernel says "not found" of what is there.
#[test]
fn a_missing_interpreter_is_named() {
    let look = "printf '#!/no/such/shell -e\\nexit 0\\n' > /tmp/script; chmod +x /tmp/script
        agent init --no-boot /tmp/script; echo $?
        sed 's,/lib64/ld-linux-x86-64.so.2,/lib64/xx-linux-x86-64.so.2,' /bin/true > /tmp/other; chmod +x /tmp/other
        case $(uname -m) in x86_64) agent init --no-boot /tmp/other; echo $?;; *) echo 127; echo /lib64/xx >&2;; esac";
    let ended = Sandbox::new().init(&["--no-boot"], look).expect(0);
    assert_eq!(ended.stdout, "127\n127\n", "{ended:#?}");
    for name in ["/no/such/shell;", "/lib64/xx"] {
        assert!(ended.stderr.contains(&format!("needs to run is not: {name}")), "{ended:#?}");
    }
}

#[test]
fn a_subreaper_that_cannot_see_what_is_left_says_so_at_once() {
    let line = "unshare --mount sh -c 'mount -t tmpfs none /proc; exec agent init --no-boot --subreaper --leftover-grace 8s -- sh -c \"setsid sleep 4711 & sleep 0.1; exit 4\"'; exit $?";
    let ended = Sandbox::new().init(&["--no-boot", "--leftover-grace", "300ms"], line).expect(4);
    assert!(ended.stderr.contains("can't be asked to end: /proc is not"), "{ended:#?}");
    assert!(ended.took.as_secs() < 8, "{ended:#?}");
}

/// Each of them has a successor and ends, a thousand times a second: a list of processes is old
/// when it has been read.
#[test]
fn whoever_is_always_another_process_is_ended_too() {
    let sandbox = Sandbox::new();
    let perl = "$SIG{TERM} = 'IGNORE'; setpgrp(0, 0);
        for (1 .. 4) { next if fork; while (1) { my $p = fork; exit 0 if $p; select(undef, undef, undef, 0.001) } }";
    sandbox.put_out("fleeing.pl", perl);
    let outer = "agent init --no-boot --leftover-grace 200ms -- sh -c 'perl /mnt/out/fleeing.pl; sleep 0.2; exit 5'; code=$?
        grep -l perl /proc/[0-9]*/comm 2>/dev/null; exit $code";
    let ended = run(sandbox.pid1(&["sh", "-c", outer])).expect(5);
    assert_eq!(ended.stdout, "", "{ended:#?}");
    assert!(ended.stderr.contains("killed: perl"), "{ended:#?}");
}
