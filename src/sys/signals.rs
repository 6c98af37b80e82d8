//! Signals as a queue: blocked once, then taken one at a time.
//!
//! PID 1 installs no handler. It blocks every signal and takes each from the
//! kernel's own queue with `sigtimedwait(2)`: nothing runs at an arbitrary
//! instruction, nothing is lost between a check and a wait, and the kernel's rule
//! that an unhandled signal to PID 1 of a namespace is discarded does not apply
//! to blocked ones (`pid_namespaces(7)`).
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// All 64 signals as the kernel has them; the C library keeps two (32, 33) out of its own sets.
pub(super) const ALL: u64 = u64::MAX;

/// A set of the kernel's.
pub(super) fn of_kernel(mask: u64) -> SigSet {
    let mut set = *SigSet::empty().as_ref();
    // SAFETY: a set of the C library begins with the kernel's, and the rest is empty.
    unsafe {
        (&raw mut set).cast::<u64>().write(mask);
        SigSet::from_sigset_t_unchecked(set)
    }
}

/// Blocks every signal, and returns the mask that was in force, for the children. A fault of this
/// process's own ends it all the same, blocked or not; one that somebody sent is a signal like any
/// other, and would end a process that doesn't block it.
///
/// # Errors
/// What `sigprocmask(2)` says.
pub fn block_all() -> io::Result<SigSet> {
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, None, Some(&mut before))?;
    let all = ALL;
    // SAFETY: the set outlives the call, which reads its 8 bytes; the old one isn't asked for.
    let done = unsafe {
        let (how, none) = (libc::SIG_SETMASK, std::ptr::null_mut::<u64>());
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const all, none, size_of::<u64>())
    };
    if done == 0 { Ok(before) } else { Err(io::Error::last_os_error()) }
}

/// What whoever started this program may have ignored, and this program changes. SIGCHLD: the kernel
/// would tell of no child's end and keep no status (`waitpid(2)`). SIGPIPE: Rust's way to start a
/// program sets it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    children: bool,
    pipe: bool,
}

/// Asks for SIGCHLD where this process was started with that ignored. Returns what was ignored, for
/// the children.
///
/// # Errors
/// What `signal(2)` says.
pub fn hear_of_children() -> io::Result<Ignored> {
    // SAFETY: no handler is installed.
    let before = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    let children = matches!(before, SigHandler::SigIgn);
    // Where Rust's own start has run, nobody knows: then it is as usual.
    Ok(Ignored { children, pipe: cfg!(target_env = "gnu") && is_ignored(libc::SIGPIPE) })
}

fn is_ignored(signal: i32) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set; the structure outlives the call and is valid while all zero.
    let now = unsafe {
        libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr());
        now.assume_init()
    };
    now.sa_sigaction == libc::SIG_IGN
}

impl Ignored {
    /// Ignores it again, for the program that this child becomes. Async-signal-safe.
    ///
    /// # Errors
    /// What `signal(2)` says.
    pub fn give_back(self) -> io::Result<()> {
        for (one, ignored) in [(Signal::SIGCHLD, self.children), (Signal::SIGPIPE, self.pipe)] {
            if ignored {
                // SAFETY: no handler is installed.
                unsafe { signal(one, SigHandler::SigIgn) }?;
            }
        }
        Ok(())
    }
}

/// Takes the next pending signal's number, waiting at most `timeout` (for ever
/// where `None`). Returns `None` when the time is up or the wait was disturbed.
/// A number, not a name: real-time signals are forwarded too.
pub fn next(timeout: Option<Duration>) -> Option<i32> {
    let limit = timeout.map(|t| libc::timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let limit_ptr = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    take(ALL, limit_ptr)
}

/// Sends SIGCHLD to this process: children that have ended are still to be reaped. It comes behind
/// every signal of a lower number (`signal(7)`), and like every SIGCHLD stands for all of them.
pub fn remind_of_children() {
    if let Ok(me) = i32::try_from(std::process::id()) {
        send(me, libc::SIGCHLD);
    }
}

/// Takes `signal` out of the queue, if it is blocked and came.
pub fn forget(signal: i32) {
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    take(1 << (signal - 1), &at_once);
}

fn take(set: u64, limit: *const libc::timespec) -> Option<i32> {
    let nothing = std::ptr::null_mut::<libc::siginfo_t>();
    // SAFETY: the set and the time outlive the call; a null siginfo_t and a null time are
    // allowed by sigtimedwait(2).
    let signal = unsafe {
        libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, nothing, limit, size_of::<u64>())
    };
    debug_assert!(signal > 0 || matches!(Errno::last(), Errno::EAGAIN | Errno::EINTR));
    i32::try_from(signal).ok().filter(|s| *s > 0)
}

/// Sends signal number `signal` to `pid`, or to the group `-pid` (`kill(2)`).
/// Somebody who is gone is no error; real-time signals are allowed. A leader who has left its
/// group empty gets the group's signals.
pub fn send(pid: i32, signal: i32) {
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    let kill = |to| unsafe { libc::kill(to, signal) };
    if kill(pid) != 0 && pid < -1 && Errno::last() == Errno::ESRCH {
        kill(-pid);
    }
}

/// Is there no other process that this one may signal? For PID 1 those are all of its namespace
/// (`kill(2)`, -1), also one that has ended and isn't reaped yet.
pub fn nobody_else() -> bool {
    // SAFETY: kill(2) takes two integers; signal 0 only asks.
    unsafe { libc::kill(-1, 0) != 0 && Errno::last() == Errno::ESRCH }
}

/// Sends stop signal `signal` to this process's whole group, and stops with it until somebody
/// sends CONT. A group that nobody could continue is spared by the kernel (`setpgid(2)`, orphaned).
pub fn stop_group(signal: i32) {
    let Ok(named) = Signal::try_from(signal) else { return };
    send(0, signal);
    let only = SigSet::from(named);
    let _ = only.thread_unblock();
    let _ = only.thread_block();
}

/// The conventional name of a signal number, as `kill -l` prints it with `SIG` before.
pub fn name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}
