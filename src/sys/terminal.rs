//! The controlling terminal, and standard error.
#![allow(unsafe_code)]

use crate::sys::signals;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{self, Pid};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// Is standard error a terminal, so that a person is watching?
pub fn watched() -> bool {
    io::stderr().is_terminal()
}

/// The process group in the foreground of the controlling terminal, where one of the standard
/// descriptors is that terminal.
pub fn foreground() -> Option<Pid> {
    on_controlling(|terminal| unistd::tcgetpgrp(terminal))
}

/// Is standard input a terminal? Asked without the buffer that `std::io::stdin` has.
pub fn attached() -> bool {
    // SAFETY: the call takes a number; a closed descriptor is an answer.
    unsafe { libc::isatty(libc::STDIN_FILENO) == 1 }
}

/// Is this process's own group in the foreground of its terminal?
pub fn has_foreground() -> bool {
    foreground() == Some(unistd::getpgrp())
}

/// Is the terminal this process's group's alone? Not in the background, and not before a pager or
/// behind a pipe: whoever is at the other end may want it too.
pub fn is_all_ours() -> bool {
    attached() && io::stdout().is_terminal() && has_foreground()
}

/// Takes the foreground of the terminal back for this process's own group. Signals must be
/// blocked, else a background process is stopped.
pub fn take_foreground() {
    on_controlling(|terminal| unistd::tcsetpgrp(terminal, unistd::getpgrp()));
}

/// Gives the foreground of the terminal to process group `group`. Returns whether that was done.
pub fn give_foreground(group: i32) -> bool {
    on_controlling(|terminal| unistd::tcsetpgrp(terminal, Pid::from_raw(group))).is_some()
}

/// Behind a pipe standard input is no terminal, before one standard output isn't.
fn on_controlling<T>(act: impl Fn(BorrowedFd) -> nix::Result<T>) -> Option<T> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().find_map(|fd| act(fd).ok())
}

/// Gives the controlling terminal up, so that a session of a child's can have it
/// (`TIOCNOTTY`, `tty_ioctl(4)`). Signals must be blocked: where this process leads the session of
/// that terminal, the kernel sends HUP and CONT to the foreground. They tell of this call and of
/// nothing else, so they are taken off the queue: a child would end of the HUP.
pub fn give_up() {
    // SAFETY: the request takes no argument.
    let given_up = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCNOTTY) == 0 };
    if given_up && unistd::getsid(None) == Ok(unistd::getpid()) {
        signals::forget(libc::SIGHUP);
        signals::forget(libc::SIGCONT);
    }
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
    let ready = poll(&mut fds, patience).is_ok_and(|ready| ready > 0);
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    if !ready || fds.iter().any(|fd| fd.revents().is_some_and(|seen| seen.intersects(gone))) {
        return;
    }
    let cut = line.floor_char_boundary(MAX_LINE - 1);
    let whole = line.get(..cut).filter(|_| cut < line.len()).map(|start| format!("{start}\n"));
    let bytes = whole.as_deref().unwrap_or(line).as_bytes();
    let done = match unwaiting() {
        Some(mut terminal) => terminal.write_all(bytes),
        None => stderr.write_all(bytes),
    };
    // The reader went away just now, and SIGPIPE came for this write; where signals are passed
    // on, it is nobody else's.
    if done.is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
        signals::forget(libc::SIGPIPE);
    }
}

/// Standard error for a write that doesn't wait, where it is a terminal: one that has room for a
/// byte says that it can be written to, and keeps whoever writes more. Opened anew, as the flag
/// would be everybody's who shares the descriptor.
fn unwaiting() -> Option<File> {
    if !watched() {
        return None;
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    File::options().write(true).custom_flags(flags).open("/proc/self/fd/2").ok()
}
