//! One command: its own process group, its user, its environment and no other, its
//! output in a file, its end at a deadline.
//!
//! The output goes straight to the file, not through a pipe: a daemon that the
//! command leaves behind keeps a place to write to after the boot has ended, and
//! cannot keep the boot waiting for the end of a stream.

use super::context::Context;
use crate::config::value::millis;
use crate::journal::event::ScriptEnd;
use crate::plan::{self, Environment};
use crate::sys::users::Credentials;
use crate::sys::{files, process, spawn};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::time::{self, MissedTickBehavior};

/// How long a killed process may take to disappear; longer means it hangs in the kernel.
const KILL_TAKES: Duration = Duration::from_secs(2);

/// How often a group that was asked to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The most that is read back of a command's output, in bytes.
const MAX_OUTPUT: u64 = 1 << 20;

/// What is kept of a log that grew too large, in bytes.
const KEPT: u64 = 64 << 10;

/// How a command ended.
#[derive(Debug)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that was not ours.
    Signaled(i32),
    /// Ended by us at its deadline.
    Deadline,
    /// Ended by us because the boot was asked to stop.
    Cancelled,
    /// It never started.
    NotStarted(io::Error),
}

impl End {
    /// What is recorded of it, where it had `allowed` time. `None` is a run that was cut off, or that
    /// the machine had no room for or its disk did not give, which says nothing of what was to
    /// run: the next boot repeats it.
    pub fn record(&self, allowed: Duration) -> Option<ScriptEnd> {
        match self {
            Self::Exited(status) => Some(ScriptEnd::Exit(*status)),
            Self::Deadline => Some(ScriptEnd::Deadline(millis(allowed))),
            Self::NotStarted(e) => match e.raw_os_error() {
                Some(
                    libc::EAGAIN
                    | libc::ENOMEM
                    | libc::EMFILE
                    | libc::ENFILE
                    | libc::ENOSPC
                    | libc::EIO
                    | libc::EROFS
                    | libc::EINTR,
                ) => None,
                code => Some(ScriptEnd::NotStarted(code.unwrap_or(0))),
            },
            Self::Signaled(_) | Self::Cancelled => None,
        }
    }
}

/// A command's output file.
pub struct Log {
    file: File,
    /// Its path.
    pub path: PathBuf,
    start: u64,
}

impl Log {
    /// The output of what is run from here on goes to the end of `file`.
    pub fn new(file: File, path: PathBuf) -> Self {
        let start = file.metadata().map_or(0, |m| m.len());
        Self { file, path, start }
    }

    /// Output that is read back and not kept, held in memory: a full disk doesn't lose it.
    ///
    /// # Errors
    /// What `memfd_create(2)` says.
    pub fn in_memory(path: PathBuf) -> io::Result<Self> {
        Ok(Self::new(files::memory_file("output", b"")?, path))
    }

    /// Marks the present end: [`Log::output`] starts here.
    pub fn mark(&mut self) {
        self.start = self.file.metadata().map_or(0, |m| m.len());
    }

    /// The end of what was written since the mark.
    pub fn output(&self) -> String {
        let end = self.file.metadata().map_or(0, |m| m.len());
        let start = self.start.min(end).max(end.saturating_sub(MAX_OUTPUT));
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        let read = self.file.read_at(&mut bytes, start).unwrap_or(0);
        bytes.truncate(read);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Adds a line of our own.
    pub fn say(&self, line: &str) {
        use std::io::Write;
        let _ = writeln!(&self.file, "agent: {line}");
    }

    /// Keeps only the end when it has grown too large: a command that never stops talking
    /// must not fill the disk, and its last words are what is wanted. Appending writers go
    /// on at the new end.
    fn keep_below(&mut self, max: u64) {
        let Ok(length) = self.file.metadata().map(|m| m.len()) else { return };
        if length <= max {
            return;
        }
        let mut tail = vec![0; usize::try_from(KEPT.min(max / 2)).unwrap_or(0)];
        let from = length.saturating_sub(tail.len() as u64);
        let read = self.file.read_at(&mut tail, from).unwrap_or(0);
        if self.file.set_len(0).is_ok() {
            use std::io::Write;
            self.say("the log grew past its limit (log.max_size); only its end was kept:");
            let _ = (&self.file).write_all(tail.get(..read).unwrap_or_default());
            self.start = 0;
        }
    }
}

/// What is run. [`plan::Command`] is one; the user script is another.
pub struct Invocation<'a> {
    /// Program and arguments; the first is looked up in the child's PATH where it has no slash.
    pub argv: Vec<OsString>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Environment.
    pub environment: &'a Environment,
    /// Who it is.
    pub identity: Identity,
}

/// Whom a command becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The sandbox user.
    #[default]
    SandboxUser,
    /// Whoever the agent is: root, where it runs as root.
    Agent,
    /// Another account; only root can become one.
    Other(Credentials),
}

impl<'a> From<&'a plan::Command> for Invocation<'a> {
    fn from(c: &'a plan::Command) -> Self {
        Self {
            argv: c.argv.iter().map(OsString::from).collect(),
            cwd: c.cwd.clone(),
            environment: &c.environment,
            identity: Identity::SandboxUser,
        }
    }
}

/// Runs `what` until it ends, its deadline passes, or the boot is asked to stop. The
/// deadline is the phase's.
pub async fn run(what: &Invocation<'_>, log: &mut Log, cx: &Context<'_>) -> End {
    run_until(cx.limit, what, log, cx).await
}

/// The same with a deadline of its own.
pub async fn run_until(
    limit: Instant,
    what: &Invocation<'_>,
    log: &mut Log,
    cx: &Context<'_>,
) -> End {
    if cx.cancel.requested().is_some() {
        return End::Cancelled;
    }
    log.keep_below(cx.max_log.0);
    let end = match start(what, log, cx) {
        Ok(mut child) => supervise(&mut child, limit, log, cx).await,
        Err(e) => End::NotStarted(e),
    };
    log.keep_below(cx.max_log.0);
    end
}

fn start(what: &Invocation<'_>, log: &Log, cx: &Context<'_>) -> io::Result<Child> {
    let Some((program, arguments)) = what.argv.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let mut command = std::process::Command::new(program);
    command.args(arguments).current_dir(&what.cwd).env_clear();
    command.envs(variables(what.environment));
    command.stdin(Stdio::null()).stdout(log.file.try_clone()?).stderr(log.file.try_clone()?);
    let setup = spawn::Setup {
        own_group: true,
        credentials: match &what.identity {
            Identity::SandboxUser => cx.credentials(),
            Identity::Agent => None,
            Identity::Other(credentials) => Some(credentials.clone()),
        },
        // A boot that is killed takes its command with it: nothing runs on unseen.
        parent_death: Some(Signal::SIGKILL),
        ..spawn::Setup::default()
    };
    spawn::prepare(&mut command, setup);
    Command::from(command).spawn()
}

/// The environment that a command gets.
pub fn variables(environment: &Environment) -> impl Iterator<Item = (OsString, OsString)> {
    let passed: Vec<(OsString, OsString)> = std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|n| environment.passes(n)))
        .collect();
    let own = |map: &std::collections::BTreeMap<String, String>| -> Vec<(OsString, OsString)> {
        map.iter().map(|(n, v)| (n.into(), v.into())).collect()
    };
    own(&environment.default).into_iter().chain(passed).chain(own(&environment.set))
}

async fn supervise(child: &mut Child, limit: Instant, log: &mut Log, cx: &Context<'_>) -> End {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let mut tick = time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let limit = time::sleep_until(limit.into());
    tokio::pin!(limit);
    let asked = loop {
        tokio::select! {
            biased;
            status = child.wait() => return ended(status),
            () = &mut limit => break End::Deadline,
            () = cx.cancel.wait() => break End::Cancelled,
            _ = tick.tick() => log.keep_below(cx.max_log.0),
        }
    };
    if let Some(group) = group {
        end_group(child, group, cx.plan.grace.0).await;
    }
    asked
}

/// TERM to the whole group; once it is empty or the grace is over, KILL to what is left.
/// The group outlives its leader: a shell ends at TERM, what it waited for cleans up.
async fn end_group(child: &mut Child, group: i32, grace: Duration) {
    let _ = process::signal_group(group, Signal::SIGTERM);
    let patience = Instant::now() + grace;
    let _ = time::timeout_at(patience.into(), child.wait()).await;
    while process::group_lives(group) && Instant::now() < patience {
        time::sleep(LOOK_EVERY).await;
    }
    let _ = process::signal_group(group, Signal::SIGKILL);
    let _ = time::timeout(KILL_TAKES, child.wait()).await;
}

fn ended(status: io::Result<ExitStatus>) -> End {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, Some(signal)) => End::Signaled(signal),
            (None, None) => End::Exited(-1),
        },
        Err(e) => End::NotStarted(e),
    }
}
