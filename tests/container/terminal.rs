//! `podman run -it`: the workload has the terminal.

use crate::engine::ready;
use crate::guard::Volume;
use crate::sandbox::{Recipe, Sandbox};
use nix::pty::openpty;
use std::fs::File;
use std::io::{Read, Write};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A sandbox on a terminal that the test holds the other end of.
struct OnTerminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    /// How much of the screen has been looked at.
    read: usize,
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
        Self { child, keyboard, screen, read: 0, _sandbox: sandbox }
    }

    /// Waits for a text behind what was seen before.
    #[track_caller]
    fn see(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen.lock().unwrap().clone();
            if let Some(at) = screen[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            assert!(Instant::now() < end, "no {text:?} on the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    #[track_caller]
    fn ended(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < end, "no end:\n{}", self.screen.lock().unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
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
    terminal.see("bash-");
    // The kernel's line discipline, not bash, makes a signal of the key: it must be in
    // force, and the foreground group must be the job's.
    terminal.press("echo start; sh -c 'echo run''ning; exec sleep 100'\r");
    terminal.see("running");
    terminal.press("\u{1a}");
    terminal.see("Stopped");
    terminal.see("bash-");
    terminal.press("fg\r");
    terminal.see("exec sleep 100'");
    terminal.press("\u{3}");
    terminal.see("bash-");
    terminal.press("exit 11\r");
    assert_eq!(terminal.ended(), 11);
    let screen = terminal.screen.lock().unwrap().clone();
    assert!(!screen.contains("no job control"), "{screen}");
}
