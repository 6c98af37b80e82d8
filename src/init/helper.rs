//! What PID 1 has others do: whatever reads a file, or may hang.

use super::Init;
use super::boot::{asks_to_stop, pid_of};
use crate::sys::{signals, spawn};
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

impl Init {
    /// Runs `agent internal ARGUMENTS` to its end, for as long as there is `patience`; then it is
    /// killed. Returns whether it ended well.
    pub(super) fn helper<A: AsRef<OsStr>>(
        &mut self,
        arguments: impl IntoIterator<Item = A>,
        patience: Duration,
    ) -> bool {
        let mut command = Command::new(spawn::SELF);
        command.arg("internal").args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        std::os::unix::process::CommandExt::arg0(&mut command, "agent");
        spawn::prepare(&mut command, spawn::Setup { own_group: true, ..spawn::Setup::default() });
        let Ok(child) = command.spawn() else { return false };
        let pid = pid_of(&child);
        self.reaper.wait_for(pid);
        let limit = Instant::now() + patience;
        loop {
            if let Some(ended) = self.reaper.ended() {
                return ended.status == 0;
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                signals::send(-pid, libc::SIGKILL);
                return false;
            }
            match signals::next(Some(left)) {
                Some(libc::SIGCHLD) => self.reaper.reap(),
                Some(signal) if asks_to_stop(signal) => {
                    self.asked.get_or_insert_with(Instant::now);
                }
                _ => {}
            }
        }
    }
}
