//! `podman run -it`: the workload has the terminal.

use crate::engine::ready;
use crate::guard::Volume;
use crate::pty::{CTRL_C, CTRL_Z};
use crate::sandbox::Recipe;

#[test]
fn the_workload_reads_from_the_terminal() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    // A background process group that reads is stopped by SIGTTIN instead.
    let line = "tty; echo ready; read -r x; echo got:$x; exit 6";
    let (_sandbox, mut terminal) = Recipe::on(&volume).on_terminal(&["bash", "-c", line]);
    terminal.see("/dev/pts/");
    terminal.see("ready");
    terminal.press("hello\r");
    terminal.see("got:hello");
    assert_eq!(terminal.ended(), 6);
}

#[test]
fn ctrl_c_reaches_the_workload() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.2; done";
    let (_sandbox, mut terminal) = Recipe::on(&volume).on_terminal(&["bash", "-c", line]);
    terminal.see("ready");
    terminal.press(CTRL_C);
    terminal.see("caught");
    assert_eq!(terminal.ended(), 9);
}

#[test]
fn ctrl_c_during_the_boot_ends_it() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let recipe = Recipe::on(&volume).script("#!/bin/sh\nsleep 300\n");
    let (_sandbox, mut terminal) = recipe.on_terminal(&["sleep", "infinity"]);
    terminal.see("tools: ok");
    terminal.press(CTRL_C);
    assert_eq!(terminal.ended(), 130);
}

/// An interactive shell has job control: it is the leader of the terminal's foreground group.
#[test]
fn a_shell_has_job_control() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_sandbox, mut terminal) = Recipe::on(&volume).on_terminal(&["bash", "--norc", "-i"]);
    terminal.see("bash-");
    // The kernel's line discipline, not bash, makes a signal of the key: it must be in
    // force, and the foreground group must be the job's.
    terminal.press("echo start; sh -c 'echo run''ning; exec sleep 100'\r");
    terminal.see("running");
    terminal.press(CTRL_Z);
    terminal.see("Stopped");
    terminal.see("bash-");
    terminal.press("fg\r");
    terminal.see("exec sleep 100'");
    terminal.press(CTRL_C);
    terminal.see("bash-");
    terminal.press("exit 11\r");
    assert_eq!(terminal.ended(), 11);
    let screen = terminal.screen();
    assert!(!screen.contains("no job control"), "{screen}");
}
