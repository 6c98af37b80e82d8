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
        let Some(memory) = self.memory.as_ref().filter(|_| !self.ours) else { return };
        let kills = memory.kills().unwrap_or(self.seen);
        if kills > self.seen {
            self.seen = kills;
            let who = if killed == workload {
                "the workload".to_owned()
            } else {
                format!("process {killed}")
            };
            let limit = memory.limit().map_or(String::new(), |l| format!(" of {}", Bytes(l)));
            let text = format!(
                "{who} was killed by the kernel's out-of-memory killer; next: raise the memory limit{limit}, or let it use less"
            );
            report.error(&text);
            if killed == workload {
                report::terminate(&text);
            }
        }
    }
}
