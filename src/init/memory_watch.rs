//! A SIGKILL that nobody here has sent may be the kernel's, for want of memory.

use super::report::{self, Report};
use crate::config::value::Bytes;
use crate::sys::cgroup::Memory;

/// Tells a SIGKILL of the kernel's out-of-memory killer from somebody else's.
pub(super) struct MemoryWatch {
    memory: Option<Memory>,
    seen: u64,
    /// The workload is being killed by this process.
    pub(super) ours: bool,
}

impl MemoryWatch {
    /// `seen` is how many it had killed before, where that is known already.
    pub(super) fn new(seen: Option<u64>) -> Self {
        let memory = Memory::own();
        let seen = seen.or_else(|| memory.as_ref()?.kills()).unwrap_or(0);
        Self { memory, seen, ours: false }
    }

    /// Can it be told here at all?
    pub(super) fn sees(&self) -> bool {
        self.memory.is_some()
    }

    /// Child `killed` was ended by SIGKILL; says so where it was the out-of-memory killer's.
    pub(super) fn tell(&mut self, killed: i32, workload: i32, report: Report) {
        if self.ours || self.unseen() == 0 {
            return;
        }
        if killed == workload {
            report::terminate(&self.say("the workload was", report));
        } else {
            self.say(&format!("process {killed} was"), report);
        }
    }

    /// The workload has failed. A child of its own that the killer took is no child of this
    /// process, so it is known by the count alone.
    pub(super) fn tell_others(&mut self, report: Report) {
        match self.unseen() {
            0 => {}
            1 => drop(self.say("a child of the workload was", report)),
            n => drop(self.say(&format!("{n} children of the workload were"), report)),
        }
    }

    /// How many it has killed since the last time.
    fn unseen(&mut self) -> u64 {
        let kills = self.memory.as_ref().and_then(Memory::kills).unwrap_or(self.seen);
        kills.saturating_sub(std::mem::replace(&mut self.seen, kills))
    }

    fn say(&self, who: &str, report: Report) -> String {
        let limit = self.memory.as_ref().and_then(Memory::limit);
        let limit = limit.map_or(String::new(), |l| format!(" of {}", Bytes(l)));
        let text = format!(
            "{who} killed by the kernel's out-of-memory killer; next: raise the memory limit{limit}, or let it use less"
        );
        report.error(&text);
        text
    }
}
