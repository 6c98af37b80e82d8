//! Running mise outside a boot, for the commands `agent tools …`: to its end or to a deadline.

use crate::sys::users::Credentials;
use crate::sys::{files, process, spawn};
use nix::sys::signal::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running mise is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The most that is kept of each of its streams, in bytes.
const MAX_OUTPUT: u64 = 4 << 20;

/// What mise said and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `mise` in the root directory (which has no config of a user's) with this process's
/// environment, changed by `variables`.
///
/// # Errors
/// It can't be started, or didn't end within `deadline`; it has been killed then.
pub fn mise(
    mise: &Path,
    arguments: &[&str],
    variables: &BTreeMap<String, String>,
    deadline: Duration,
) -> io::Result<Output> {
    let mut command = Command::new(mise);
    command.args(arguments).current_dir("/").envs(variables);
    to_end(command, deadline)
}

/// Runs the helper `agent internal NAME` as another user: what root would ask of the files of
/// a user, that user asks.
///
/// # Errors
/// It can't be started, gave no answer, or didn't end within `deadline`.
pub fn helper<I: Serialize, O: DeserializeOwned>(
    name: &str,
    input: &I,
    user: Credentials,
    deadline: Duration,
) -> io::Result<O> {
    let request = files::memory_file("request", &serde_json::to_vec(input)?)?;
    let mut command = Command::new(spawn::SELF);
    command.args(["internal", name]).env_clear().current_dir("/").stdin(request);
    let output = supervised(command, Some(user), deadline)?;
    Ok(serde_json::from_str(&output.stdout)?)
}

/// Runs `command` to its end.
///
/// # Errors
/// It can't be started, or didn't end within `deadline`; it has been killed then.
pub fn to_end(mut command: Command, deadline: Duration) -> io::Result<Output> {
    command.stdin(Stdio::null());
    supervised(command, None, deadline)
}

fn supervised(
    mut command: Command,
    credentials: Option<Credentials>,
    deadline: Duration,
) -> io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let setup = spawn::Setup {
        own_group: true,
        credentials,
        parent_death: Some(Signal::SIGKILL),
        ..spawn::Setup::default()
    };
    spawn::prepare(&mut command, setup);
    let limit = Instant::now() + deadline;
    let mut child = command.spawn()?;
    let streams = (drain(child.stdout.take()), drain(child.stderr.take()));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > limit {
            if let Ok(group) = i32::try_from(child.id()) {
                let _ = process::signal_group(group, Signal::SIGKILL);
            }
            let _ = child.wait();
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it did not end within {} s", deadline.as_secs()),
            ));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    // Whatever it left running holds the pipes open.
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = process::signal_group(group, Signal::SIGKILL);
    }
    let text = |reader: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    Ok(Output { status, stdout: text(streams.0), stderr: text(streams.1) })
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut bytes);
        }
        bytes
    })
}
