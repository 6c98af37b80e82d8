//! The workload on a terminal. It has a process group of its own, so a shell that started this
//! process sees a job of two groups; what the kernel does to the one that is in the foreground,
//! this process does to the other.
//!
//! The terminal is lent to the workload at its start where it is this job's alone, and else when
//! the workload asks for it, which the kernel answers by stopping it (`SIGTTIN`, `SIGTTOU`).

use super::Init;
use crate::sys::{signals, terminal};

impl Init {
    /// The workload was stopped, from the terminal or by asking for it. If it asked for a terminal
    /// that is this job's, it gets it and goes on. Where a shell started this process, that shell
    /// must see the whole job stop: the terminal is taken back and this process's group stops too;
    /// when it is continued, so is the workload. PID 1 is nobody's job: the workload stays stopped
    /// until somebody sends CONT, which is forwarded.
    pub(super) fn follow_stop(&mut self, pid: i32, signal: i32) {
        // Whoever stops this process stops its child through it; a child that was stopped alone is
        // nobody's affair here.
        if self.options.duties.suspends {
            return;
        }
        let asks = matches!(signal, libc::SIGTTIN | libc::SIGTTOU);
        if asks && terminal::has_foreground() && terminal::give_foreground(pid) {
            self.lent = true;
            signals::send(-pid, libc::SIGCONT);
            return;
        }
        let by_job_control = asks || signal == libc::SIGTSTP;
        if self.first || !(by_job_control || self.lent) {
            return;
        }
        self.take_terminal_back();
        // Nothing but CONT is answered from here on; `continued` has the rest.
        signals::stop_group(if by_job_control { signal } else { libc::SIGTSTP });
    }

    /// Somebody continued this process. Returns whether it is the job of a terminal; the terminal
    /// is lent again if the shell has put the job in the foreground.
    pub(super) fn continued(&mut self, pid: i32) -> bool {
        let Some(foreground) = terminal::foreground().filter(|_| !self.first) else {
            return false;
        };
        if self.lent && foreground.as_raw() != pid {
            self.lent = terminal::has_foreground() && terminal::give_foreground(pid);
        }
        true
    }

    /// A script around this process goes on with the terminal, whoever had it last.
    pub(super) fn take_terminal_back(&self) {
        if self.lent {
            terminal::take_foreground();
        }
    }
}
