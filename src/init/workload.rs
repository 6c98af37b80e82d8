//! The workload: COMMAND, its signals, and its end.

use super::Init;
use super::boot::pid_of;
use super::handoff::Stand;
use crate::config::value::human;
use crate::sys::users::Credentials;
use crate::sys::{memory, signals, spawn, terminal};
use nix::unistd::Gid;
use std::io::{self, IsTerminal};
use std::process::Command;
use std::time::{Duration, Instant};

/// Exit status of a command that cannot be executed, and of one that is not found (POSIX sh, 2.8.2).
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Exit status of a workload that SIGKILL ended, or should have.
const KILLED: u8 = 128 + 9;

/// How long a killed workload may take to disappear, and how often it is killed.
const KILL_TAKES: Duration = Duration::from_secs(1);
const MAX_KILLS: u32 = 3;

impl Init {
    /// Starts COMMAND, supervises it to its end, stops what is left; returns its status.
    pub(super) fn workload(&mut self, stand: &Stand) -> u8 {
        let pid = match self.start_workload(stand) {
            Ok(pid) => pid,
            Err(e) => {
                let name = self.options.command.first().cloned().unwrap_or_default();
                let status = self.status_of(&e, stand);
                match status {
                    NOT_FOUND => self.report.error(&format!("{}: not found", name.display())),
                    _ => self.report.error(&format!("{}: {e}", name.display())),
                }
                self.stop_leftovers(stand);
                return status;
            }
        };
        let status = self.supervise(pid, stand);
        if io::stdin().is_terminal() {
            terminal::take_foreground();
        }
        self.stop_leftovers(stand);
        status
    }

    /// 127 where COMMAND is nowhere, 126 where it is there and can't be executed. `exec`
    /// says "permission denied" also where a directory on PATH is closed to the user
    /// (execvp(3)), so it is looked for again.
    fn status_of(&self, e: &io::Error, stand: &Stand) -> u8 {
        let name = self.options.command.first().cloned().unwrap_or_default();
        let own = stand.variables.iter().find(|(n, _)| n == "PATH").map(|(_, path)| path.into());
        let path = own.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        let by_path = !name.as_encoded_bytes().contains(&b'/');
        let nowhere = by_path && !std::env::split_paths(&path).any(|d| d.join(&name).exists());
        if e.kind() == io::ErrorKind::NotFound || nowhere { NOT_FOUND } else { NOT_EXECUTABLE }
    }

    fn start_workload(&mut self, stand: &Stand) -> io::Result<i32> {
        let Some((program, arguments)) = self.options.command.split_first() else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, value) in &stand.variables {
            command.env(name, value);
        }
        let credentials = stand.become_user.as_ref().map(|(uid, gid, groups)| Credentials {
            uid: *uid,
            gid: *gid,
            groups: groups.iter().map(|g| Gid::from_raw(*g)).collect(),
        });
        let setup = spawn::Setup {
            own_group: true,
            foreground: io::stdin().is_terminal(),
            credentials,
            parent_death: None,
            mask: Some(self.mask),
        };
        spawn::prepare(&mut command, setup);
        let pid = pid_of(&command.spawn()?);
        self.reaper.wait_for(pid);
        Ok(pid)
    }

    /// Forwards every signal to the workload's process group until it has ended. TERM
    /// also sets the time at which it will be killed; one that doesn't end even then
    /// hangs in the kernel and is given up.
    fn supervise(&mut self, pid: i32, stand: &Stand) -> u8 {
        let mut kill_at: Option<Instant> = None;
        let mut kills = 0;
        memory::let_go_of_program();
        loop {
            let wait = kill_at.map(|at| at.saturating_duration_since(Instant::now()));
            match signals::next(wait) {
                Some(libc::SIGCHLD) => {
                    self.reaper.reap();
                    if let Some(ended) = self.reaper.ended() {
                        return ended.status;
                    }
                }
                Some(signal) if ours(signal) => {}
                Some(signal) => {
                    if signal == libc::SIGTERM {
                        kill_at.get_or_insert_with(|| Instant::now() + stand.grace);
                    }
                    signals::send(-pid, signal);
                }
                None if kills == MAX_KILLS => return KILLED,
                None => {
                    if kills == 0 {
                        self.report.warn(&format!(
                            "the workload did not end within {} of SIGTERM; killing it",
                            human(stand.grace)
                        ));
                    }
                    signals::send(-pid, libc::SIGKILL);
                    kills += 1;
                    kill_at = Some(Instant::now() + KILL_TAKES);
                }
            }
        }
    }
}

/// Signals that the kernel sends to PID 1 for what PID 1 itself did: writing to a closed
/// pipe, and touching the terminal from the background.
fn ours(signal: i32) -> bool {
    matches!(signal, libc::SIGPIPE | libc::SIGTTIN | libc::SIGTTOU)
}
