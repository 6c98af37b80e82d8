//! What PID 1 says, where nobody listens: it waits for no reader, and what happens to its own
//! words is none of the workload's business.

use crate::sandbox::Sandbox;
use crate::util::{Ended, eventually, run, signal, start};
use std::process::Command;

/// Makes standard error something that nobody reads, then becomes the agent by the words that
/// are given, its name first.
const UNREAD: &str = r#"
import os, pty, signal, sys
kind, words = sys.argv[1], sys.argv[2:]
read, write = pty.openpty() if kind == "terminal" else os.pipe()
if kind == "full":
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
# Held open by the program itself, who doesn't read it.
os.set_inheritable(read, kind != "closed")
os.dup2(write, 2)
os.execvp("agent", words)
"#;

/// The agent as PID 1, whose standard error is of this kind.
fn unread(sandbox: &Sandbox, kind: &str, words: &[&str], script: &str) -> Command {
    let python = ["/usr/bin/python3", "-c", UNREAD, kind];
    // The workload itself would be ended by a word to nobody.
    let script = format!("exec 2>/dev/null; {script}");
    sandbox.pid1(&[&python, words, &["--", "sh", "-c", &script]].concat())
}

const AGENT: [&str; 4] = ["agent", "init", "--no-boot", "--verbose"];
const DUMB_INIT: [&str; 2] = ["dumb-init", "--verbose"];

#[track_caller]
fn orphans_are_named(kind: &str) -> Ended {
    // More lines than a pipe or a terminal holds.
    let script = "i=0; while [ $i -lt 3000 ]; do (: &); i=$((i+1)); done; exit 4";
    run(unread(&Sandbox::new(), kind, &AGENT, script)).expect(4)
}

#[test]
fn a_full_pipe_does_not_stop_it() {
    orphans_are_named("full");
}

#[test]
fn a_closed_pipe_does_not_stop_it() {
    orphans_are_named("closed");
}

/// A terminal with room for one byte says that it can be written to, and keeps who writes two.
#[test]
fn a_terminal_that_nobody_reads_does_not_stop_it() {
    orphans_are_named("terminal");
}

/// A write to a closed pipe sends SIGPIPE to who writes; somebody else's is passed on.
#[test]
fn a_line_that_goes_nowhere_is_no_signal_for_the_workload() {
    let script = "trap 'exit 13' PIPE; trap 'echo got > /mnt/out/got' USR1
        echo up > /mnt/out/up; while :; do sleep 0.05; done";
    for words in [&AGENT[..], &DUMB_INIT] {
        let sandbox = Sandbox::new();
        let running = start(unread(&sandbox, "closed", words, script));
        assert_eq!(sandbox.out("up"), "up\n");
        let pid1 = crate::util::child_of(running.pid());
        signal(pid1, 10);
        assert_eq!(sandbox.out("got"), "got\n");
        signal(pid1, 13);
        running.end().expect(13);
    }
}

/// One signal that is told is one line: no line is a signal again.
#[test]
fn lines_that_go_nowhere_keep_nobody_busy() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo got > /mnt/out/got' USR1; echo up > /mnt/out/up
        while [ ! -e /mnt/out/end ]; do sleep 0.05; done; exit 4";
    let running = start(unread(&sandbox, "closed", &DUMB_INIT, script));
    assert_eq!(sandbox.out("up"), "up\n");
    let pid1 = crate::util::child_of(running.pid());
    signal(pid1, 10);
    assert_eq!(sandbox.out("got"), "got\n");
    let waits = || {
        let status = std::fs::read_to_string(format!("/proc/{pid1}/status")).unwrap();
        status.lines().find(|l| l.starts_with("voluntary_ctxt_switches")).unwrap().to_owned()
    };
    // The trap's shell ends a sleep now and then, each a wait of PID 1 at most.
    let before = waits();
    eventually("it is quiet", || (waits() == before).then_some(()));
    sandbox.put_out("end", "now");
    running.end().expect(4);
}
