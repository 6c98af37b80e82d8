//! The workload: COMMAND, its signals, and its end.

use super::Init;
use super::boot::pid_of;
use super::handoff::Stand;
use super::options::Target;
use super::report::Report;
use crate::config::value::{Bytes, human};
use crate::sys::cgroup::Memory;
use crate::sys::quiet::{Quiet, Route, Woken};
use crate::sys::users::Credentials;
use crate::sys::{signals, spawn, terminal};
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

/// What is left of the grace at the second request to stop.
const HURRY: Duration = Duration::from_secs(1);

impl Init {
    /// Starts COMMAND, supervises it to its end, stops what is left; returns its status.
    pub(super) fn workload(&mut self, stand: &Stand) -> u8 {
        if self.options.duties.tell_reaped || self.report.names_each() {
            self.reaper.tell(self.report);
        }
        if self.options.duties.pause {
            return self.pause(stand);
        }
        let pid = match self.start_workload(stand) {
            Ok(pid) => pid,
            Err(e) => {
                let name = self.options.command.first().cloned().unwrap_or_default();
                let status = self.status_of(&e, stand);
                match e.kind() {
                    io::ErrorKind::NotFound => {
                        self.report.error(&format!("{}: not found", name.display()))
                    }
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
        self.options.duties.status(status)
    }

    /// Runs nothing: reaps until a signal asks to end (a pod's pause container).
    fn pause(&mut self, stand: &Stand) -> u8 {
        let quiet = Quiet::new(0, 0, false, |signal| match signal {
            libc::SIGTERM | libc::SIGINT => Route::Wake,
            _ => Route::Drop,
        });
        while !matches!(self.next(None, Some(&quiet)), Some(libc::SIGTERM | libc::SIGINT)) {}
        self.stop_leftovers(stand);
        0
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
        let usual =
            if e.kind() == io::ErrorKind::NotFound || nowhere { NOT_FOUND } else { NOT_EXECUTABLE };
        self.options.duties.cannot_execute.unwrap_or(usual)
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
        let on_terminal = io::stdin().is_terminal();
        let session = self.options.duties.session;
        if session && on_terminal {
            terminal::give_up();
        }
        let setup = spawn::Setup {
            own_group: true,
            own_session: session,
            foreground: on_terminal && !session,
            credentials,
            parent_death: None,
            mask: Some(self.mask),
        };
        spawn::prepare(&mut command, setup);
        let pid = pid_of(&command.spawn()?);
        self.reaper.wait_for(pid);
        Ok(pid)
    }

    /// Forwards every signal to the workload until it has ended. TERM also sets the time at
    /// which it will be killed, a second one brings that near; one that doesn't end even then
    /// hangs in the kernel and is given up.
    fn supervise(&mut self, pid: i32, stand: &Stand) -> u8 {
        let mut stop = Stopping::default();
        let mut watch = MemoryWatch::new();
        let quiet = self.quiet(pid, watch.memory.is_some());
        loop {
            let wait = stop.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
            match self.next(wait, Some(&quiet)) {
                Some(libc::SIGCHLD) => {
                    if let Some(killed) = self.reaper.take_killed() {
                        watch.tell(killed, pid, self.report);
                    }
                    if let Some(ended) = self.reaper.ended() {
                        return ended.status;
                    }
                    if let Some(signal) = self.reaper.take_stopped() {
                        self.follow_stop(pid, signal);
                    }
                }
                Some(signal) if self.route(signal) == Route::Drop => {}
                Some(signal) => self.forward(signal, pid, &mut stop, stand),
                None if stop.kills == MAX_KILLS => return KILLED,
                None => {
                    if stop.kills == 0 {
                        self.report.warn(&format!(
                            "the workload did not end within {} of SIGTERM; killing it",
                            human(stop.given)
                        ));
                    }
                    watch.ours = true;
                    signals::send(-pid, libc::SIGKILL);
                    stop.kills += 1;
                    stop.kill_at = Some(Instant::now() + KILL_TAKES);
                }
            }
        }
    }

    /// The next signal; where children have ended, they are reaped. What `quiet` can do alone it
    /// does, unless a time is set or everything is to be told.
    fn next(&mut self, wait: Option<Duration>, quiet: Option<&Quiet>) -> Option<i32> {
        let woken = match quiet {
            Some(quiet) if wait.is_none() && !self.reaper.tells() => Some(quiet.keep()),
            _ => signals::next(wait).map(Woken::Signal),
        };
        match woken? {
            Woken::Signal(libc::SIGCHLD) => {
                self.reaper.reap();
                Some(libc::SIGCHLD)
            }
            Woken::Signal(signal) => Some(signal),
            Woken::Child(child) => {
                self.reaper.take(child);
                self.reaper.reap();
                Some(libc::SIGCHLD)
            }
        }
    }

    /// What is done for the workload `pid` without thinking.
    fn quiet(&self, pid: i32, kills: bool) -> Quiet {
        Quiet::new(self.receiver(pid), pid, kills, |signal| self.route(signal))
    }

    fn receiver(&self, pid: i32) -> i32 {
        if self.options.duties.target == Target::Group { -pid } else { pid }
    }

    fn route(&self, signal: i32) -> Route {
        let duties = &self.options.duties;
        let stop = !duties.drop_in && signal == libc::SIGTERM;
        match duties.rewritten(signal) {
            _ if ours(signal) && !duties.session => Route::Drop,
            _ if stop => Route::Wake,
            None => Route::Drop,
            Some(libc::SIGSTOP) if duties.session && signal != libc::SIGSTOP => Route::Wake,
            Some(other) => Route::Send(other),
        }
    }

    fn forward(&self, received: i32, pid: i32, stop: &mut Stopping, stand: &Stand) {
        let duties = &self.options.duties;
        let sent = duties.rewritten(received);
        if self.report.names_each() {
            let what =
                sent.map_or("dropped".into(), |s| format!("sent on as {}", signals::name(s)));
            self.report.info(&format!("received {}: {what}", signals::name(received)));
        }
        let to = self.receiver(pid);
        if let Some(signal) = sent {
            signals::send(to, signal);
        }
        if received == libc::SIGTERM && !duties.drop_in {
            stop.asked(stand.grace);
            // A stopped process takes no TERM before it goes on (signal(7)).
            signals::send(to, libc::SIGCONT);
        }
        // Whoever stopped this process from its terminal waits for it to stop.
        if duties.session && sent == Some(libc::SIGSTOP) && received != libc::SIGSTOP {
            signals::send(0, libc::SIGSTOP);
        }
    }

    /// The workload was stopped, from the terminal or by asking for it. Where a shell started
    /// this process as its job, that shell must see the job stop: the terminal is taken back
    /// and this process stops too; when it is continued, so is the workload. PID 1 is nobody's
    /// job: the workload stays stopped until somebody sends CONT, which is forwarded.
    fn follow_stop(&self, pid: i32, signal: i32) {
        let on_terminal = io::stdin().is_terminal();
        let by_job_control = matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
        if self.first || !(on_terminal || by_job_control) {
            return;
        }
        if on_terminal {
            terminal::take_foreground();
        }
        // Nothing but CONT is answered from here on; it is then forwarded like every signal.
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        signals::send(me, libc::SIGSTOP);
        if on_terminal {
            terminal::give_foreground(pid);
        }
    }
}

/// A stop of the workload that is under way.
#[derive(Default)]
struct Stopping {
    kill_at: Option<Instant>,
    /// The grace that was given.
    given: Duration,
    kills: u32,
}

impl Stopping {
    /// The first request gives the whole grace; another one means that somebody is waiting.
    fn asked(&mut self, grace: Duration) {
        let now = Instant::now();
        match self.kill_at {
            None => {
                self.given = grace;
                self.kill_at = Some(now + grace);
            }
            Some(at) => self.kill_at = Some(at.min(now + HURRY)),
        }
    }
}

/// Tells a SIGKILL of the kernel's out-of-memory killer from somebody else's.
struct MemoryWatch {
    memory: Option<Memory>,
    seen: u64,
    /// The workload is being killed by this process.
    ours: bool,
}

impl MemoryWatch {
    fn new() -> Self {
        let memory = Memory::own();
        let seen = memory.as_ref().and_then(Memory::kills).unwrap_or(0);
        Self { memory, seen, ours: false }
    }

    fn tell(&mut self, killed: i32, workload: i32, report: Report) {
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
            report.error(&format!(
                "{who} was killed by the kernel's out-of-memory killer; next: raise the memory limit{limit}, or let it use less"
            ));
        }
    }
}

/// Signals that the kernel sends to PID 1 for what PID 1 itself did: writing to a closed
/// pipe, and touching the terminal from the background.
fn ours(signal: i32) -> bool {
    matches!(signal, libc::SIGPIPE | libc::SIGTTIN | libc::SIGTTOU)
}
