//! A terminal whose other end a test holds: it sees the screen and presses the keys.
#![allow(dead_code, reason = "each layer uses its own part")]

use nix::pty::openpty;
use nix::unistd::tcgetpgrp;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// No test waits longer for one thing to happen.
const PATIENCE: Duration = Duration::from_secs(40);

/// Nor for what a program that has ended may still show.
const AFTER_THE_END: Duration = Duration::from_secs(3);

/// How often it is looked for.
const EVERY: Duration = Duration::from_millis(10);

pub(crate) const CTRL_C: &str = "\u{3}";
pub(crate) const CTRL_Z: &str = "\u{1a}";
pub(crate) const CTRL_BACKSLASH: &str = "\u{1c}";

/// A terminal and the program on it, which is killed where the test ends first.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    /// How much of the screen has been looked at.
    read: usize,
    path: PathBuf,
}

impl Terminal {
    /// Starts `command` with the terminal on its three standard descriptors.
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let pty = openpty(None, None).unwrap();
        let path = nix::unistd::ttyname(&pty.slave).unwrap();
        let slave = || pty.slave.try_clone().unwrap();
        let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        // The command holds copies of the slave; they must go for the reader to see an end.
        drop(command);
        let screen = Arc::new(Mutex::new(String::new()));
        let mut master = File::from(pty.master);
        let keyboard = master.try_clone().unwrap();
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut chunk = [0; 1024];
            while let Ok(n @ 1..) = master.read(&mut chunk) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..n]));
            }
        });
        Self { child, keyboard, screen, read: 0, path }
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Everything that has been shown so far.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// Waits for a text behind what was seen before. What is typed is shown as well, so a test
    /// looks for what it did not type.
    #[track_caller]
    pub(crate) fn see(&mut self, text: &str) {
        let mut read = self.read;
        self.wait(&format!("{text:?} on the screen"), |terminal| {
            let screen = terminal.screen();
            let at = screen[terminal.read..].find(text);
            read = terminal.read + at.unwrap_or(0) + text.len();
            at.is_some()
        });
        self.read = read;
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line.
    pub(crate) fn line(&mut self, line: &str) {
        self.press(&format!("{line}\r"));
    }

    /// Waits until the leader of the terminal's foreground group is a program of this name: the
    /// one that a key's signal goes to.
    #[track_caller]
    pub(crate) fn belongs_to(&mut self, name: &str) {
        self.wait(&format!("{name} in the foreground"), |terminal| {
            let group = tcgetpgrp(&terminal.keyboard).unwrap();
            let found = fs::read_to_string(format!("/proc/{group}/comm")).unwrap_or_default();
            found.trim_end() == name
        });
    }

    /// Gives the terminal another size, as a window does that is made larger.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let mut stty = Command::new("stty");
        stty.args(["rows", &rows.to_string(), "columns", &columns.to_string()]);
        assert!(stty.stdin(File::open(&self.path).unwrap()).status().unwrap().success());
    }

    /// Waits for the end of the program and returns its exit status.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < end, "no end:\n{}", self.screen());
            thread::sleep(EVERY);
        }
    }

    #[track_caller]
    fn wait(&mut self, what: &str, mut there: impl FnMut(&Self) -> bool) {
        let mut end = Instant::now() + PATIENCE;
        let mut ended = None;
        while !there(self) {
            let now = Instant::now();
            if ended.is_none() {
                ended = self.child.try_wait().unwrap();
                // What it said last may still be on its way to the screen.
                end = if ended.is_some() { end.min(now + AFTER_THE_END) } else { end };
            }
            assert!(now < end, "no {what}; ended: {ended:?}:\n{}", self.screen());
            thread::sleep(EVERY);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
