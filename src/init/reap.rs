//! Reaping. Signals of one kind coalesce in the kernel (`signal(7)`): one SIGCHLD may
//! stand for a thousand ended children, so each is answered by reaping all there are.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How a child ended: its exit status, or 128+n for signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) pid: i32,
    pub(super) status: u8,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
}

/// Reaps, and remembers the one child that is waited for.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    awaited: Option<i32>,
    ended: Option<Ended>,
    /// There was no child left at the last look.
    pub(super) childless: bool,
}

impl Reaper {
    /// From here on, the end of `pid` is kept for [`Reaper::ended`].
    pub(super) fn wait_for(&mut self, pid: i32) {
        self.awaited = Some(pid);
        self.ended = None;
    }

    /// How the awaited child ended, if it has.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Reaps every child that has ended.
    pub(super) fn reap(&mut self) {
        self.childless = false;
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => {
                    // The kernel keeps the low eight bits of an exit status (exit(3)).
                    self.note(pid, u8::try_from(code & 0xff).unwrap_or(1), None);
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    let number = signal as i32;
                    let status = 128u8.saturating_add(u8::try_from(number).unwrap_or(127));
                    self.note(pid, status, Some(number));
                }
                Ok(WaitStatus::StillAlive) => return,
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => {
                    self.childless = true;
                    return;
                }
            }
        }
    }

    fn note(&mut self, pid: Pid, status: u8, signal: Option<i32>) {
        if self.awaited == Some(pid.as_raw()) {
            self.awaited = None;
            self.ended = Some(Ended { pid: pid.as_raw(), status, signal });
        }
    }
}
