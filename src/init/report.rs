//! What PID 1 says of itself. It goes straight to standard error, without a logging
//! framework that allocates and locks.

use super::options::Verbosity;
use crate::sys::terminal;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// Kubernetes shows the content of this file as the container's reason of termination.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// A reason longer than this is cut: Kubernetes keeps 4096 bytes.
const MAX_REASON: usize = 2048;

/// The voice of PID 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    json: bool,
    verbosity: Verbosity,
}

impl Report {
    pub(super) fn new(json: bool, verbosity: Verbosity) -> Self {
        Self { json, verbosity }
    }

    /// Is each signal and each child named?
    pub(super) fn names_each(self) -> bool {
        self.verbosity >= Verbosity::EACH
    }

    pub(super) fn info(self, text: &str) {
        if self.verbosity >= Verbosity::INFO {
            self.line("info", "", text);
        }
    }

    pub(super) fn warn(self, text: &str) {
        if self.verbosity >= Verbosity::WARNINGS {
            self.line("warn", "warning: ", text);
        }
    }

    pub(super) fn error(self, text: &str) {
        self.line("error", "", text);
    }

    /// One write a line. An error to write is no error of ours, and a line that nobody
    /// takes off the pipe is dropped: PID 1 blocks on nothing but a signal.
    fn line(self, level: &str, prefix: &str, text: &str) {
        let line = if self.json {
            let time = jiff::Timestamp::now().to_string();
            let object = serde_json::json!({ "time": time, "level": level, "message": text });
            format!("{object}\n")
        } else {
            format!("agent: {prefix}{}\n", one_line(text))
        };
        terminal::say(&line, Duration::ZERO);
    }
}

/// Leaves the reason where the cluster looks for it, if there is such a place.
pub(super) fn terminate(reason: &str) {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().write(true).truncate(true).custom_flags(flags).open(TERMINATION_LOG);
    if let Ok(mut file) = file {
        let cut = reason.floor_char_boundary(MAX_REASON);
        let _ = file.write_all(reason.get(..cut).unwrap_or_default().as_bytes());
    }
}

/// A process names itself as it likes, and so do files; a line stays one, and a terminal's orders text.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
