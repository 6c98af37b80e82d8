//! Stops the agent's own processes before each of their system calls that changes something, and
//! does there what the test wants: look, kill, or have the call fail.
//!
//! It is `ptrace(2)` on the program as it is built, so nothing is compiled in for tests. Who is
//! traced is told by what is executed: a process of the agent's is one whose program is the one under
//! test. What other programs do (a shell, mise, `ssh-keygen`) is not stopped; they are what the
//! agent runs.

use crate::calls::{self, Point};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// No traced command takes longer; one that does hangs, and is killed.
const LONGEST: Duration = Duration::from_secs(90);

/// What becomes of the call that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It is made.
    Go,
    /// `agent boot` is killed before it.
    KillBoot,
    /// The sandbox is killed before it: its first process, and with it everybody.
    KillAll,
    /// It is not made, and gives this error.
    Fail(Errno),
}

/// Which of the agent's programs a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `agent init`.
    Init,
    /// `agent boot`.
    Boot,
    /// `agent internal …`.
    Helper,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Boot => "boot",
            Self::Helper => "helper",
        }
    }

    /// Of what a command line says.
    fn of(pid: Pid) -> Option<Self> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = line.split(|b| *b == 0);
        let name = words.next()?;
        let agent = name == b"/proc/self/exe" || name.ends_with(b"agent");
        match words.next()? {
            b"init" if agent => Some(Self::Init),
            b"boot" if agent => Some(Self::Boot),
            b"internal" if agent => Some(Self::Helper),
            _ => None,
        }
    }
}

/// How a traced command ended.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) stderr: String,
    /// The points that were passed, in order; the last one is where it was killed.
    pub(crate) points: Vec<Point>,
    /// It had to be killed because it did not end.
    pub(crate) hung: bool,
}

struct Task {
    role: Option<Role>,
    /// Between the beginning and the end of a call.
    inside: bool,
    failing: Option<Errno>,
}

/// Runs `command` and asks `decide` before each call that matters.
#[track_caller]
pub(crate) fn trace(command: &Command, mut decide: impl FnMut(&Point) -> Act) -> Traced {
    let mut stderr = tempfile::tempfile().unwrap();
    let child = start(command, &stderr);
    let (ended, hung) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    watch(child, &ended, &hung);
    let mut tracer =
        Tracer { tasks: BTreeMap::new(), boot: None, init: None, points: Vec::new(), over: false };
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(child, options).unwrap();
    kill(child, Signal::SIGCONT).unwrap();
    loop {
        // Of this thread's own: other tests have children, too.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let status = match waitpid(Pid::from_raw(-1), Some(flags)) {
            Ok(status) => status,
            Err(Errno::EINTR) => continue,
            Err(Errno::ECHILD) => break,
            Err(e) => panic!("waitpid: {e}"),
        };
        tracer.serve(status, &mut decide);
    }
    ended.store(true, Ordering::SeqCst);
    Traced { stderr: text(&mut stderr), points: tracer.points, hung: hung.load(Ordering::SeqCst) }
}

/// Starts it stopped, before its program is executed, so that it can be seized.
fn start(command: &Command, stderr: &File) -> Pid {
    let mut stopped = Command::new("/bin/sh");
    stopped.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]);
    stopped.arg(command.get_program()).args(command.get_args());
    stopped.env_clear();
    stopped.envs(command.get_envs().filter_map(|(k, v)| v.map(|v| (k, v))));
    if let Some(directory) = command.get_current_dir() {
        stopped.current_dir(directory);
    }
    stopped.stdin(Stdio::null());
    stopped.stdout(Stdio::null()).stderr(stderr.try_clone().unwrap());
    stopped.process_group(0);
    #[allow(clippy::zombie_processes, reason = "the tracer waits for it with all others")]
    let child = stopped.spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let flags = WaitPidFlag::WUNTRACED | WaitPidFlag::__WNOTHREAD;
    let status = waitpid(pid, Some(flags)).unwrap();
    assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
    pid
}

/// Ends what takes too long.
fn watch(child: Pid, ended: &Arc<AtomicBool>, hung: &Arc<AtomicBool>) {
    let (ended, hung) = (ended.clone(), hung.clone());
    thread::spawn(move || {
        let limit = Instant::now() + LONGEST;
        while Instant::now() < limit {
            thread::sleep(Duration::from_millis(200));
            if ended.load(Ordering::SeqCst) {
                return;
            }
        }
        hung.store(true, Ordering::SeqCst);
        // Its children end with it (unshare's --kill-child).
        let _ = kill(child, Signal::SIGKILL);
    });
}

struct Tracer {
    tasks: BTreeMap<Pid, Task>,
    boot: Option<Pid>,
    init: Option<Pid>,
    points: Vec<Point>,
    /// Something was killed: from here on everybody just runs.
    over: bool,
}

impl Tracer {
    fn serve(&mut self, status: WaitStatus, decide: &mut impl FnMut(&Point) -> Act) {
        match status {
            WaitStatus::PtraceSyscall(pid) => {
                self.at_call(pid, decide);
                self.resume(pid, None);
            }
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => {
                let role = Role::of(pid);
                match role {
                    Some(Role::Boot) if self.boot.is_none() => self.boot = Some(pid),
                    Some(Role::Init) if self.init.is_none() => self.init = Some(pid),
                    _ => {}
                }
                self.tasks.insert(pid, Task { role, inside: true, failing: None });
                self.resume(pid, None);
            }
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_CLONE) => {
                // A thread is what its process is.
                if let Ok(new) = ptrace::getevent(pid) {
                    let role = self.tasks.get(&pid).and_then(|task| task.role);
                    let new = Pid::from_raw(i32::try_from(new).unwrap());
                    if same_process(pid, new) {
                        self.tasks.insert(new, Task { role, inside: false, failing: None });
                    }
                }
                self.resume(pid, None);
            }
            WaitStatus::PtraceEvent(pid, ..) => self.resume(pid, None),
            // A signal that is on its way to it.
            WaitStatus::Stopped(pid, signal) => self.resume(pid, Some(signal)),
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                self.tasks.remove(&pid);
            }
            _ => {}
        }
    }

    fn at_call(&mut self, pid: Pid, decide: &mut impl FnMut(&Point) -> Act) {
        let Some(task) = self.tasks.get_mut(&pid) else { return };
        task.inside = !task.inside;
        if !task.inside {
            if let Some(errno) = task.failing.take() {
                calls::set_result(pid, -(errno as i64));
            }
            return;
        }
        let Some(role) = task.role else { return };
        if self.over {
            return;
        }
        let Some(call) = calls::look(pid) else { return };
        let point = Point { number: self.points.len(), role: role.word(), call };
        let act = decide(&point);
        self.points.push(point);
        match act {
            Act::Go => {}
            Act::Fail(errno) => {
                calls::cancel(pid);
                task.failing = Some(errno);
            }
            Act::KillBoot => self.kill(self.boot),
            Act::KillAll => self.kill(self.init.or(self.boot)),
        }
    }

    fn kill(&mut self, whom: Option<Pid>) {
        if let Some(pid) = whom {
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.over = true;
    }

    fn resume(&self, pid: Pid, signal: Option<Signal>) {
        let task = self.tasks.get(&pid);
        let stopped_at_calls = task.is_some_and(|t| t.inside || (t.role.is_some() && !self.over));
        // One that was killed meanwhile is no longer there to be resumed.
        let _ =
            if stopped_at_calls { ptrace::syscall(pid, signal) } else { ptrace::cont(pid, signal) };
    }
}

fn same_process(a: Pid, b: Pid) -> bool {
    let group = |pid: Pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|l| l.strip_prefix("Tgid:").map(|t| t.trim().to_owned()))
    };
    group(a).is_some() && group(a) == group(b)
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
