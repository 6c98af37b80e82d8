//! The controlling terminal, and standard error.
#![allow(unsafe_code)]

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// Is standard error a terminal, so that a person is watching?
pub fn watched() -> bool {
    io::stderr().is_terminal()
}

/// Is standard input a terminal? Asked without the buffer that `std::io::stdin` has.
pub fn attached() -> bool {
    // SAFETY: the call takes a number; a closed descriptor is an answer.
    unsafe { libc::isatty(libc::STDIN_FILENO) == 1 }
}

/// Takes the foreground of the terminal on standard input back for this process's
/// own group. Signals must be blocked, else a background process is stopped.
pub fn take_foreground() {
    let _ = unistd::tcsetpgrp(io::stdin(), unistd::getpgrp());
}

/// Gives the foreground of the terminal on standard input to process group `group`.
pub fn give_foreground(group: i32) {
    let _ = unistd::tcsetpgrp(io::stdin(), unistd::Pid::from_raw(group));
}

/// Gives the controlling terminal up, so that a session of a child's can have it
/// (`TIOCNOTTY`, `tty_ioctl(4)`). Signals must be blocked: the kernel sends HUP and CONT.
pub fn give_up() {
    // SAFETY: the request takes no argument.
    let _ = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCNOTTY) };
}

/// Makes the terminal on standard input the controlling one of this session, where it is a
/// terminal and nobody's (`TIOCSCTTY`, `tty_ioctl(4)`). Async-signal-safe.
pub fn make_controlling() {
    // SAFETY: the request takes an integer; 0 takes nothing from another session.
    let _ = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) };
}

/// The most that standard error takes at once from this program; a pipe that polls
/// writable has that much room (`pipe(7)`, PIPE_BUF).
const MAX_LINE: usize = 4096;

/// Writes one line to standard error, cut at 4096 bytes, if it takes one within
/// `patience`; else the line is dropped. Whoever reads the other end of a pipe must not
/// be able to stop a boot or PID 1, and the journal holds the truth.
pub fn say(line: &str, patience: Duration) {
    let mut stderr = io::stderr().lock();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
    if poll(&mut fds, patience).is_ok_and(|ready| ready > 0) {
        let cut = line.floor_char_boundary(MAX_LINE - 1);
        let _ = match line.get(..cut) {
            Some(start) if cut < line.len() => stderr.write_all(format!("{start}\n").as_bytes()),
            _ => stderr.write_all(line.as_bytes()),
        };
    }
}
