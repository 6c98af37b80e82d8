//! Reaping. Signals of one kind coalesce in the kernel (`signal(7)`): one SIGCHLD may
//! stand for a thousand ended children, so each is answered by reaping all there are.

use super::report::Report;
use crate::sys::process::{self, Reaped};
use crate::sys::quiet::{BATCH, Wakes};
use crate::sys::signals;

/// How a child ended: its exit status, or 128+n for signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) status: u8,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
}

/// Reaps, and remembers the one child that is waited for.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    awaited: Option<i32>,
    ended: Option<Ended>,
    /// The signal that stopped the awaited child, until it is taken.
    stopped: Option<i32>,
    /// A child was ended by SIGKILL since that was last asked.
    killed: Option<i32>,
    /// Where others than the awaited child are named as they are reaped.
    tell: Option<Report>,
    /// There was no child left at the last look.
    pub(super) childless: bool,
}

impl Reaper {
    /// From here on, the end of `pid` is kept for [`Reaper::ended`].
    pub(super) fn wait_for(&mut self, pid: i32) {
        self.awaited = Some(pid);
        self.ended = None;
    }

    /// From here on, every other child is named as it is reaped.
    pub(super) fn tell(&mut self, report: Report) {
        self.tell = Some(report);
    }

    /// The signal that stopped the awaited child since the last call.
    pub(super) fn take_stopped(&mut self) -> Option<i32> {
        self.stopped.take()
    }

    /// A child that SIGKILL has ended since the last call.
    pub(super) fn take_killed(&mut self) -> Option<i32> {
        self.killed.take()
    }

    /// How the awaited child ended, if it has.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Which ends are somebody's matter; `kills`: those by SIGKILL are.
    pub(super) fn wakes(&self, kills: bool) -> Wakes {
        match self.tell {
            Some(_) => Wakes::Every,
            None if kills => Wakes::Killed,
            None => Wakes::Awaited,
        }
    }

    /// Reaps the children that have ended: all of them, or as many as may be before somebody looks
    /// at the signals again. A SIGCHLD for the rest is pending then.
    pub(super) fn reap(&mut self) {
        for _ in 0..BATCH {
            if !self.take(process::reap()) {
                return;
            }
        }
        signals::remind_of_children();
    }

    /// Takes one child that has been reaped. Returns whether it was one, so that there may be more.
    pub(super) fn take(&mut self, reaped: Reaped) -> bool {
        match reaped {
            Reaped::Exited { pid, status } => {
                self.note(pid, u8::try_from(status).unwrap_or(u8::MAX), None);
            }
            Reaped::Signaled { pid, signal } => self.note(pid, of_signal(signal), Some(signal)),
            Reaped::Stopped { pid, signal } if self.awaited == Some(pid) => {
                self.stopped = Some(signal);
            }
            Reaped::Stopped { .. } => {}
            Reaped::NoneEnded | Reaped::Childless => {
                self.childless = reaped == Reaped::Childless;
                return false;
            }
        }
        true
    }

    fn note(&mut self, pid: i32, status: u8, signal: Option<i32>) {
        // The awaited one's end matters most, whoever else is reaped with it.
        let foremost = self.awaited == Some(pid) || self.ended.is_none();
        if signal == Some(libc::SIGKILL) && foremost {
            self.killed = Some(pid);
        }
        if self.awaited == Some(pid) {
            self.awaited = None;
            self.ended = Some(Ended { status, signal });
        } else if let Some(report) = self.tell {
            report.warn(&match signal {
                Some(signal) => format!("reaped process {pid}: ended by {}", signals::name(signal)),
                None => format!("reaped process {pid}: exit status {status}"),
            });
        }
    }
}

/// The status that shells and engines give to a process that signal `n` ended: 128+n.
pub fn of_signal(signal: i32) -> u8 {
    128u8.saturating_add(u8::try_from(signal).unwrap_or(127))
}
