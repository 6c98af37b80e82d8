//! `podman run -it`: the workload has the terminal.

use crate::engine::{ready, wait_for};
use crate::guard::Volume;
use crate::sandbox::{Recipe, Sandbox};
use nix::pty::openpty;
use std::fs::File;
use std::io::{Read, Write};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A sandbox on a terminal that the test holds the other end of.
struct OnTerminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    _sandbox: Sandbox,
}

impl OnTerminal {
    fn start(recipe: Recipe, command: &[&str]) -> Self {
        let (sandbox, mut podman) = recipe.on_terminal(command);
        let pty = openpty(None, None).unwrap();
        let slave = || pty.slave.try_clone().unwrap();
        let child = podman.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        // The command holds copies of the slave; they must go for the reader to see an end.
        drop(podman);
        let screen = Arc::new(Mutex::new(String::new()));
        let mut master = File::from(pty.master);
        let keyboard = master.try_clone().unwrap();
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut chunk = [0; 1024];
            while let Ok(n @ 1..) = master.read(&mut chunk) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..n]));
            }
        });
        Self { child, keyboard, screen, _sandbox: sandbox }
    }

    fn see(&self, text: &str) {
        wait_for(text, PATIENCE, || self.screen.lock().unwrap().contains(text).then_some(()));
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn ended(&mut self) -> i32 {
        wait_for("podman's end", PATIENCE, || self.child.try_wait().unwrap()).code().unwrap()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_workload_reads_from_the_terminal() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    // A background process group that reads is stopped by SIGTTIN instead.
    let line = "tty; echo ready; read -r x; echo got:$x; exit 6";
    let mut terminal = OnTerminal::start(Recipe::on(&volume), &["bash", "-c", line]);
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
    let mut terminal = OnTerminal::start(Recipe::on(&volume), &["bash", "-c", line]);
    terminal.see("ready");
    terminal.press("\u{3}");
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
    let mut terminal = OnTerminal::start(recipe, &["sleep", "infinity"]);
    terminal.see("tools: ok");
    terminal.press("\u{3}");
    assert_eq!(terminal.ended(), 130);
}

/// An interactive shell has job control: it is the leader of the terminal's foreground group.
#[test]
fn a_shell_has_job_control() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let mut terminal = OnTerminal::start(Recipe::on(&volume), &["bash", "--norc", "-i"]);
    terminal.press("sleep 100\r");
    std::thread::sleep(Duration::from_millis(500));
    terminal.press("\u{1a}");
    terminal.see("Stopped");
    terminal.press("kill %1; exit 11\r");
    assert_eq!(terminal.ended(), 11);
    let screen = terminal.screen.lock().unwrap().clone();
    assert!(!screen.contains("no job control"), "{screen}");
}
