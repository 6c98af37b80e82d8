//! Signals as a queue: blocked once, then taken one at a time.
//!
//! PID 1 installs no handler. It blocks every signal and takes each from the
//! kernel's own queue with `sigtimedwait(2)`: nothing runs at an arbitrary
//! instruction, nothing is lost between a check and a wait, and the kernel's rule
//! that an unhandled signal to PID 1 of a namespace is discarded does not apply
//! to blocked ones (`pid_namespaces(7)`).
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use std::io;
use std::time::Duration;

/// The signals that are blocked, as the kernel has them: all but the synchronous faults, and but
/// the two that the C library keeps for itself (32 and 33).
pub(super) const BLOCKED: u64 = !(of(libc::SIGSEGV)
    | of(libc::SIGBUS)
    | of(libc::SIGFPE)
    | of(libc::SIGILL)
    | of(libc::SIGTRAP)
    | of(32)
    | of(33));

const fn of(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// A set of the kernel's.
pub(super) fn of_kernel(mask: u64) -> SigSet {
    let mut set = *SigSet::empty().as_ref();
    // SAFETY: a set of the C library begins with the kernel's, and the rest is empty.
    unsafe {
        (&raw mut set).cast::<u64>().write(mask);
        SigSet::from_sigset_t_unchecked(set)
    }
}

/// Blocks every signal but the synchronous faults (a fault while blocked would
/// kill without a trace) and returns the mask that was in force, for the children.
///
/// # Errors
/// What `sigprocmask(2)` says.
pub fn block_all() -> io::Result<SigSet> {
    let mut all = SigSet::all();
    for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP]
    {
        all.remove(fault);
    }
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut before))?;
    Ok(before)
}

/// Takes the next pending signal's number, waiting at most `timeout` (for ever
/// where `None`). Returns `None` when the time is up or the wait was disturbed.
/// A number, not a name: real-time signals are forwarded too.
pub fn next(timeout: Option<Duration>) -> Option<i32> {
    let set = SigSet::all();
    let limit = timeout.map(|t| libc::timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let limit_ptr = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the set and the timespec outlive the call; a null siginfo_t is
    // allowed by sigtimedwait(2).
    let signal = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), limit_ptr) };
    match signal {
        s if s > 0 => Some(s),
        _ => {
            debug_assert!(matches!(Errno::last(), Errno::EAGAIN | Errno::EINTR));
            None
        }
    }
}

/// Sends signal number `signal` to `pid`, or to the group `-pid` (`kill(2)`).
/// Somebody who is gone is no error; real-time signals are allowed.
pub fn send(pid: i32, signal: i32) {
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    let _ = unsafe { libc::kill(pid, signal) };
}

/// The conventional name of a signal number, as `kill -l` prints it with `SIG` before.
pub fn name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}
