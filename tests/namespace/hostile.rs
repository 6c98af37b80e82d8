//! PID 1 where something that it could count on is missing: processes, /proc, room on the stack or
//! for signals, its own file, or a child that nobody else holds.

use crate::sandbox::Sandbox;
use crate::util::{Ended, run};

/// `agent init --no-boot -- sh -c SCRIPT` as PID 1, after `prelude` in the shell that becomes it.
#[track_caller]
fn after(prelude: &str, script: &str) -> Ended {
    let line = format!("{prelude}; exec agent init --no-boot -- sh -c \"$0\"");
    run(Sandbox::new().pid1(&["bash", "-c", &line, script]))
}

/// An orphan, a signal that is passed on, a daemon that is asked to end, and one that is killed.
const EVERYTHING: &str =
    "trap 'got=1' USR1; kill -USR1 1; while [ -z \"$got\" ]; do sleep 0.05; done
    (sh -c 'exit 3' &); setsid sleep 300 &
    setsid sh -c 'trap \"\" TERM; echo > /tmp/up; while :; do sleep 0.1; done' &
    while [ ! -e /tmp/up ]; do sleep 0.05; done; exit 4";

#[test]
fn a_limit_of_processes_is_told_as_that() {
    let ended = after("ulimit -u 1", "exit 4").expect(126);
    assert!(
        ended.stderr.contains("sh: no process can be started, a limit is reached"),
        "{ended:#?}"
    );
    // Negative control: the same limit, and room below it.
    after("ulimit -u 1000", "exit 4").expect(4);
}

/// Whoever has to be killed at the end is killed, though nobody can be named.
#[test]
fn without_proc_everything_else_works() {
    let ended = after("mount -t tmpfs tmpfs /proc", EVERYTHING).expect(4);
    assert!(ended.took.as_secs() < 20, "{ended:#?}");
}

#[test]
fn without_room_for_queued_signals_everything_works() {
    after("ulimit -i 0", EVERYTHING).expect(4);
    after("ulimit -i 0", "kill -35 1; sleep 30").expect(128 + 35);
}

#[test]
fn a_small_stack_is_enough() {
    after("ulimit -s 64", EVERYTHING).expect(4);
}

/// The loop gives the program back to the kernel, and takes it from its file again for the end.
#[test]
fn its_own_file_may_be_deleted_or_replaced_while_it_runs() {
    let copy = "cp /mnt/bin/agent /mnt/out/agent; PATH=/mnt/out:$PATH";
    for meanwhile in ["rm", "cp /bin/true /mnt/out/new; mv /mnt/out/new"] {
        let script = format!("{meanwhile} /mnt/out/agent; {EVERYTHING}");
        let ended = after(copy, &script).expect(4);
        assert!(ended.stderr.contains("killed: sh ("), "{ended:#?}");
    }
    // Nobody can write to a program that runs (ETXTBSY).
    after(copy, ": > /mnt/out/agent; exit 4").expect(2).says("Text file busy");
}

/// Whoever traces a child is told of its end first; PID 1 afterwards.
#[test]
fn the_end_of_a_traced_workload_is_not_missed() {
    let script = "strace -qq -o /dev/null -p $$ & while ! grep -q '^TracerPid:.[1-9]' /proc/$$/status; do :; done
        (sh -c 'exit 3' &)";
    after(":", &format!("{script}; exit 6")).expect(6);
    after(":", &format!("{script}; kill -9 $$")).expect(137);
}

/// A child may ask its parent to trace it (PTRACE_TRACEME), which PID 1 doesn't do: such a child
/// stops at its next signal for good, and only KILL ends it.
#[test]
fn a_workload_that_wants_to_be_traced_is_stopped_within_bounds() {
    let python = "import ctypes, os, signal
ctypes.CDLL(None).ptrace(0, 0, 0, 0)
os.kill(1, signal.SIGTERM)
os.kill(os.getpid(), signal.SIGUSR1)";
    let agent = ["agent", "init", "--no-boot", "--grace", "300ms", "--"];
    let command = ["/usr/bin/python3", "-c", python];
    run(Sandbox::new().pid1(&[&agent[..], &command].concat())).expect(137);
}
