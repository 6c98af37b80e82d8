//! What the black-box tests share: a directory of its own for each test, the program
//! under test, and waits that all have a deadline.
#![allow(dead_code, reason = "each layer uses its own part")]

pub(crate) mod metadata;
pub(crate) mod moto;

use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No test waits longer for one program. It is long because machines that run tests are
/// shared and slow; a test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Who runs the tests where they are started by root: a user with no rights at all.
pub(crate) const NOBODY: u32 = 65534;

/// What the program sees of this machine's environment: nothing that a developer may
/// have set for an agent of their own.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program under test, where the build left it.
pub(crate) fn built() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agent"))
}

/// The program as a command with a known environment.
pub(crate) fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(built());
    command.args(arguments);
    clean(&mut command);
    command
}

/// Gives `command` a known environment.
pub(crate) fn clean(command: &mut Command) {
    command.env_clear().env("PATH", PATH).env("HOME", "/nonexistent").current_dir("/");
}

/// Are the tests run by root?
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `program` run by somebody who is not root: as it is, or with root given up.
pub(crate) fn unprivileged(program: impl AsRef<Path>) -> Command {
    let program = program.as_ref();
    let mut command = Command::new(if is_root() { Path::new("setpriv") } else { program });
    if is_root() {
        let id = NOBODY.to_string();
        command.args([&format!("--reuid={id}"), &format!("--regid={id}")]);
        command.arg("--clear-groups").arg("--").arg(program);
    }
    clean(&mut command);
    command
}

/// A fresh directory on a disk (what must survive a restart must not be in memory), open to
/// the user that [`unprivileged`] programs run as.
pub(crate) fn fresh() -> TempDir {
    let dir = tempfile::Builder::new().prefix("agent-test-").tempdir_in("/var/tmp").unwrap();
    give(dir.path(), 0o755);
    dir
}

/// Gives `path` to the user that [`unprivileged`] programs run as.
pub(crate) fn give(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A directory in `parent`, given away.
pub(crate) fn directory(parent: &Path, name: &str) -> PathBuf {
    let path = parent.join(name);
    fs::create_dir_all(&path).unwrap();
    give(&path, 0o755);
    path
}

/// A file in `parent`, readable by all.
pub(crate) fn file(parent: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = parent.join(name);
    fs::write(&path, content).unwrap();
    give(&path, 0o644);
    path
}

/// The program where [`unprivileged`] users can reach it: as it was built, or a copy in
/// `dir` where a directory above is closed to them.
pub(crate) fn reachable(dir: &Path) -> PathBuf {
    let open = |p: &Path| p.metadata().is_ok_and(|m| m.mode() & 0o001 != 0);
    if !is_root() || built().ancestors().all(open) {
        return built().into();
    }
    let copy = dir.join("agent");
    fs::copy(built(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// The exit status; -1 where a signal ended it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Both streams, for a search.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self:#?}"))
    }

    /// Asserts the exit status and shows everything where it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self:#?}");
        self
    }

    /// Asserts that standard error says `part`.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "{part:?} is not said: {self:#?}");
        self
    }
}

/// A program that runs. It and its process group are killed where the test ends first.
pub(crate) struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    began: Instant,
}

/// Starts `command` with its output in files: a daemon that it leaves cannot keep the test
/// waiting for the end of a stream.
#[track_caller]
pub(crate) fn start(mut command: Command) -> Running {
    let stdout = tempfile::tempfile().unwrap();
    let stderr = tempfile::tempfile().unwrap();
    command.stdin(Stdio::null());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    command.process_group(0);
    let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    Running { child, stdout, stderr, began: Instant::now() }
}

/// Runs `command` to its end.
#[track_caller]
pub(crate) fn run(command: Command) -> Ended {
    start(command).end()
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Has it ended?
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said so far, for a test that fails.
    pub(crate) fn take_output(&mut self) -> (String, String) {
        (text(&mut self.stdout), text(&mut self.stderr))
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let limit = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= limit {
                let (stdout, stderr) = (text(&mut self.stdout), text(&mut self.stderr));
                panic!("no end within {PATIENCE:?}\nstdout: {stdout}\nstderr: {stderr}");
            }
            thread::sleep(Duration::from_millis(5));
        };
        Ended {
            status,
            stdout: text(&mut self.stdout),
            stderr: text(&mut self.stderr),
            took: self.began.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|s| s.is_none()) {
            signal(-self.pid(), 9);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends signal number `n` to `pid`, or to the group `-pid`; real-time ones too, which nix
/// has no name for.
pub(crate) fn signal(pid: i32, n: i32) {
    let script = format!("kill -{n} {pid}");
    let _ = Command::new("/bin/sh").args(["-c", &script]).stderr(Stdio::null()).status();
}

/// Waits until `done` gives something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < limit, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The child of process `pid`, once it has one.
#[track_caller]
pub(crate) fn child_of(pid: i32) -> i32 {
    eventually(&format!("a child of {pid}"), || children(pid).first().copied())
}

/// The children of process `pid`.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect()
}
