//! `agent try`: a whole boot on this machine, without root and without a container
//! engine, in namespaces that end with it.
//!
//! What is real: PID 1, the boot, the phases, mise, the user's script, the lack of
//! privilege. What is made: a throw-away home on a filesystem in memory, and a view of
//! the machine in which everything else is read-only and other homes, /run and /tmp are
//! empty. The network is the machine's own, and so are its abstract sockets: a
//! rehearsal is for trying one's own script, not for running a stranger's.

mod stage;

pub use stage::play;

use crate::config::{self, Sources};
use crate::init::reap::of_signal;
use crate::stub::payload::Script;
use crate::survey;
use crate::sys::process::{self, Reaped};
use crate::sys::{files, namespaces, signals, spawn};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The rehearsal's user: the contract's.
const UID: u32 = 1000;
const USER: &str = "iteron";
const HOME: &str = "/home/iteron";

/// Where the rehearsal keeps what it shows to the sandbox; itself in memory.
const PROPS: &str = "/run/rehearsal";

/// What to rehearse.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The user script.
    pub bootstrap: Option<PathBuf>,
    /// The agent's configuration.
    pub config: Option<PathBuf>,
    /// What to run in the sandbox afterwards.
    pub command: Vec<OsString>,
}

/// What the first process of the namespaces is told, as JSON on its standard input's
/// replacement (a memory file).
#[derive(Debug, Serialize, Deserialize)]
struct Stage {
    /// The user script, if any.
    script: Option<Vec<u8>>,
    /// The text of the config file; empty for the defaults.
    config: String,
    /// Mount points, besides the home, that the config declares.
    volumes: Vec<PathBuf>,
    /// This program.
    own: Program,
    /// mise, if there is one.
    mise: Option<Program>,
    /// What `/etc/resolv.conf` leads to, and holds.
    resolver: Option<(PathBuf, String)>,
    /// The home that must not be seen.
    hidden_home: Option<PathBuf>,
    /// COMMAND; bytes, since it need not be UTF-8.
    command: Vec<Vec<u8>>,
}

/// A program file of the machine that is shown in the rehearsal.
#[derive(Debug, Serialize, Deserialize)]
struct Program {
    /// Where it is; the rehearsal's user may not be able to get there.
    path: PathBuf,
    /// An inherited descriptor, open for reading.
    descriptor: i32,
}

impl Program {
    fn open(path: &Path) -> Result<(Self, File), String> {
        let told = |e: io::Error| format!("{}: {e}", path.display());
        let real = fs::canonicalize(path).map_err(told)?;
        let file = File::open(&real).map_err(told)?;
        files::let_inherit(&file).map_err(told)?;
        Ok((Self { path: real, descriptor: file.as_raw_fd() }, file))
    }
}

/// Why there is no rehearsal: one line with the way out.
#[derive(Debug)]
pub enum Refusal {
    /// What was asked for can't be read, or is wrong.
    Request(String),
    /// This machine doesn't let it happen.
    Machine(String),
}

/// Rehearses, and returns COMMAND's status, or the state of the boot as `agent status`
/// tells it.
///
/// # Errors
/// See [`Refusal`].
pub fn run(request: &Request) -> Result<u8, Refusal> {
    let (told, _open) = prepare(request).map_err(Refusal::Request)?;
    enter(&told).map_err(Refusal::Machine)
}

fn enter(told: &Stage) -> Result<u8, String> {
    let json = serde_json::to_vec(told).map_err(|e| e.to_string())?;
    namespaces::give_up_root().map_err(|e| {
        format!("root cannot become nobody for the rehearsal: {e}; run it as an ordinary user")
    })?;
    namespaces::enter(UID, UID).map_err(|e| {
        format!(
            "this machine does not let you make user namespaces: {e}; allow it with \
             `sysctl kernel.unprivileged_userns_clone=1` (Debian), \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu) or \
             `sysctl user.max_user_namespaces=10000`, or run outside of a container"
        )
    })?;
    namespaces::keep_mount_capability().map_err(|e| e.to_string())?;
    start(&json).map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("the rehearsal cannot be started: {e}; make this program executable for all (chmod a+rx)")
        }
        _ => format!("the rehearsal cannot be started: {e}"),
    })
}

/// Reads what will no longer be reachable inside.
fn prepare(request: &Request) -> Result<(Stage, Vec<File>), String> {
    use std::os::unix::ffi::OsStrExt;
    let script = request.bootstrap.as_deref().map(read_script).transpose()?;
    let sources = match &request.config {
        Some(path) => Sources::file(path),
        None => Sources { directory: None, main: "/nonexistent".into(), ..Sources::standard() },
    };
    let config = config::load(&sources)
        .map_err(|e| e.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let (facts, _) = survey::survey(&config, None);
    let (own, own_file) = Program::open(Path::new(spawn::SELF))?;
    let mise = facts.mise.as_deref().map(Program::open).transpose()?;
    let mut kept = vec![own_file];
    let mise = mise.map(|(program, file)| {
        kept.push(file);
        program
    });
    let config_text = match &request.config {
        Some(path) => fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?,
        None => String::new(),
    };
    let told = Stage {
        script: script.map(|s| s.bytes().to_vec()),
        config: config_text,
        volumes: config
            .volumes
            .iter()
            .map(|v| v.target.clone())
            .filter(|t| t != Path::new("~") && t != Path::new(HOME))
            .collect(),
        own,
        mise,
        resolver: fs::canonicalize("/etc/resolv.conf")
            .ok()
            .and_then(|path| Some((path.clone(), fs::read_to_string(path).ok()?))),
        hidden_home: std::env::var_os("HOME").map(PathBuf::from).filter(|h| may_be_hidden(h)),
        command: request.command.iter().map(|c| c.as_bytes().to_vec()).collect(),
    };
    Ok((told, kept))
}

/// A home that isn't also what the sandbox lives on.
fn may_be_hidden(home: &Path) -> bool {
    const NEEDED: &[&str] =
        &["/", "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr", "/var"];
    home.is_absolute() && !NEEDED.iter().any(|needed| home == Path::new(needed))
}

fn read_script(path: &Path) -> Result<Script, String> {
    let told = |e: &dyn std::fmt::Display| format!("the bootstrap script {}: {e}", path.display());
    let mut bytes = Vec::new();
    files::open_regular(path)
        .and_then(|f| f.take(crate::stub::payload::MAX_SCRIPT + 1).read_to_end(&mut bytes))
        .map_err(|e| told(&e))?;
    Script::from_bytes(bytes).map_err(|e| told(&e))
}

/// Starts the first process of the pid namespace and waits for it. It ends with this
/// process, and the kernel ends the namespace with it.
fn start(told: &[u8]) -> io::Result<u8> {
    let memory = files::memory_file("rehearsal", told)?;
    files::let_inherit(&memory)?;
    let number = memory.as_raw_fd();
    let mut command = Command::new(spawn::SELF);
    command.arg0("agent").args(["internal", "rehearse", &number.to_string()]);
    command.stdin(Stdio::inherit());
    spawn::prepare(
        &mut command,
        spawn::Setup { parent_death: Some(Signal::SIGKILL), ..spawn::Setup::default() },
    );
    signals::block_all()?;
    let child = command.spawn()?;
    drop(memory);
    let pid = i32::try_from(child.id()).unwrap_or(-1);
    loop {
        match signals::next(None) {
            Some(libc::SIGCHLD) => match process::reap() {
                Reaped::Exited { status, .. } => return Ok(u8::try_from(status).unwrap_or(1)),
                Reaped::Signaled { signal, .. } => return Ok(of_signal(signal)),
                Reaped::NoneEnded | Reaped::Stopped { .. } => {}
                Reaped::Childless => return Err(io::Error::other("its first process is lost")),
            },
            // A signal from the terminal has reached the sandbox by itself.
            Some(libc::SIGTERM | libc::SIGHUP) => signals::send(pid, libc::SIGTERM),
            _ => {}
        }
    }
}
