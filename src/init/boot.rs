//! PID 1's side of the boot: start it, wait for its end, cancel it where a stop is
//! asked for, and clean up after one that died.

use super::Init;
use super::handoff::{self, Stand};
use super::reap::Ended;
use super::supervise::HURRY;
use crate::sys::{files, signals, spawn};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The boot keeps its deadline itself; this much later PID 1 stops believing that.
const MARGIN: Duration = Duration::from_secs(30);

/// How long recording the end of a boot that died may take.
const RECOVERY_TAKES: Duration = Duration::from_secs(10);

/// What the boot came to.
pub(super) enum Booted {
    /// Complete or degraded.
    Usable,
    /// Failed, with the one-line reason.
    Failed(String),
    /// Cut off by this signal.
    Cancelled(i32),
}

struct Running {
    pid: i32,
    pipe: File,
    received: Vec<u8>,
}

impl Init {
    /// Boots, and returns what it came to and how PID 1 stands to the workload.
    pub(super) fn boot(&mut self, payload: Option<OsString>) -> (Booted, Stand) {
        let mut boot = match self.start_boot(payload) {
            Ok(boot) => boot,
            Err(e) => {
                self.record(&["--unstarted".into(), e.to_string().into()]);
                let reason = format!(
                    "failed: the boot cannot be started: {e}; next: mount /proc in the sandbox and check its process limit"
                );
                return (Booted::Failed(reason), Stand::default());
            }
        };
        let (ended, cancelled) = self.await_boot(&mut boot);
        boot.receive();
        let received = handoff::read(&boot.received);
        self.mounts = received.mounts;
        let stand = received.stand.unwrap_or_default();
        if let Some(signal) = cancelled {
            if !matches!(ended, Some(Ended { signal: None, .. })) {
                self.recover(&signals::name(signal));
            }
            let name = signals::name(signal);
            let reason =
                received.reason.unwrap_or_else(|| format!("the boot was cut off by {name}"));
            self.report.error(&reason);
            return (Booted::Cancelled(signal), stand);
        }
        let booted = match ended {
            // 2 is degraded: usable, and the status says so.
            Some(Ended { status: 0 | 2, signal: None, .. }) => Booted::Usable,
            Some(Ended { signal: None, status, .. }) => {
                let none = || format!("failed: the boot ended with status {status} and no result");
                Booted::Failed(received.reason.unwrap_or_else(none))
            }
            Some(Ended { signal: Some(signal), .. }) => self.died(&signals::name(signal), &stand),
            None => self.died("its deadline", &stand),
        };
        (booted, stand)
    }

    fn start_boot(&mut self, payload: Option<OsString>) -> io::Result<Running> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let stdin = match payload {
            Some(p) => Stdio::from(files::memory_file("user-script", p.as_bytes())?),
            None => Stdio::null(),
        };
        let mut command = Command::new(spawn::SELF);
        command.arg0("agent").args(["boot", "--from-init"]);
        if let Some(config) = &self.options.config {
            command.arg("--config").arg(config);
        }
        if self.options.json {
            command.args(["--log-format", "json"]);
        }
        command.stdin(stdin).stdout(Stdio::from(write));
        spawn::prepare(&mut command, spawn::Setup { own_group: true, ..spawn::Setup::default() });
        let pid = pid_of(&command.spawn()?);
        self.reaper.wait_for(pid);
        Ok(Running { pid, pipe: read.into(), received: Vec::new() })
    }

    /// Waits for the boot's end. `None` is one that had to be given up.
    fn await_boot(&mut self, boot: &mut Running) -> (Option<Ended>, Option<i32>) {
        let began = Instant::now();
        let mut limit = began + Stand::default().deadline + MARGIN;
        let mut told = false;
        let mut cancelled: Option<i32> = None;
        loop {
            // Look in once a second: the handoff arrives without a signal.
            match signals::next(Some(Duration::from_secs(1))) {
                Some(libc::SIGCHLD) => self.reaper.reap(),
                Some(signal) if asks_to_stop(signal) && cancelled.is_some() => {
                    limit = limit.min(Instant::now() + HURRY);
                }
                Some(signal) if asks_to_stop(signal) => {
                    cancelled = Some(signal);
                    self.asked = Some(Instant::now());
                    signals::send(boot.pid, signal);
                    limit = Instant::now() + self.grace_while_booting(boot);
                }
                _ => {}
            }
            if let Some(ended) = self.reaper.ended() {
                return (Some(ended), cancelled);
            }
            boot.receive();
            if !told
                && cancelled.is_none()
                && let Some(stand) = handoff::read(&boot.received).stand
            {
                told = true;
                limit = began + stand.deadline + MARGIN;
            }
            if Instant::now() >= limit {
                self.kill_boot(boot);
                return (None, cancelled);
            }
        }
    }

    fn grace_while_booting(&self, boot: &Running) -> Duration {
        let stand = handoff::read(&boot.received).stand.unwrap_or_default();
        self.options.amend(stand).grace
    }

    fn kill_boot(&mut self, boot: &Running) {
        signals::send(boot.pid, libc::SIGKILL);
        let patience = Instant::now() + Duration::from_secs(2);
        while self.reaper.ended().is_none() && Instant::now() < patience {
            if signals::next(Some(Duration::from_millis(100))) == Some(libc::SIGCHLD) {
                self.reaper.reap();
            }
        }
    }

    /// The boot is dead and could not say why: what it had started is ended too, and
    /// its end is recorded by another process.
    fn died(&mut self, by: &str, stand: &Stand) -> Booted {
        self.stop_leftovers(stand);
        self.recover(by);
        Booted::Failed(format!(
            "failed: the boot process was ended by {by}; `agent status` tells in which phase"
        ))
    }

    fn recover(&mut self, by: &str) {
        self.record(&[by.into()]);
    }

    /// Has another process record what became of the boot.
    fn record(&mut self, what: &[OsString]) {
        let mut arguments = vec![OsString::from("recover")];
        arguments.extend_from_slice(what);
        if let Some(config) = &self.options.config {
            arguments.extend(["--config".into(), config.into()]);
        }
        let patience = RECOVERY_TAKES.min(self.left_of_stop());
        self.helper(arguments, patience);
    }
}

impl Running {
    /// Takes what has arrived; the pipe never blocks.
    fn receive(&mut self) {
        let mut chunk = [0u8; 4096];
        while self.received.len() < handoff::MAX {
            match self.pipe.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(n) => self.received.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            }
        }
    }
}

/// Does this signal ask a boot to stop?
pub(super) fn asks_to_stop(signal: i32) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP)
}

/// The child is reaped by its number; the standard library's handle is let go.
pub(super) fn pid_of(child: &std::process::Child) -> i32 {
    i32::try_from(child.id()).unwrap_or(-1)
}
