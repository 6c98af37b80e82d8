//! Processes seen from outside: who still lives, who descends from whom, and how
//! to end a whole group.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::time::Duration;

/// When process `pid` started, in clock ticks since the kernel booted: field 22 of
/// `proc_pid_stat(5)`. With the boot id it names one process for all time, where
/// a bare pid may have been given to another.
///
/// # Errors
/// The process is gone, or `/proc` is not mounted or doesn't show it.
pub fn start_ticks(pid: i32) -> io::Result<u64> {
    stat(pid).map(|s| s.start_ticks)
}

/// How long ago process `pid` started; `None` where that cannot be seen.
pub fn age(pid: i32) -> Option<Duration> {
    let up = fs::read_to_string("/proc/uptime").ok()?;
    let up: f64 = up.split_ascii_whitespace().next()?.parse().ok()?;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let started = start_ticks(pid).ok()? as f64 / ticks as f64;
    Duration::try_from_secs_f64(up - started).ok()
}

/// Whose process `pid` is: its effective user; `None` where that cannot be seen. The owner of
/// its directory in `/proc` doesn't tell: that is root's of a process that is closed to others.
pub fn uid(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

struct Stat {
    state: u8,
    parent: i32,
    start_ticks: u64,
}

fn stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has another form")))
}

/// The command name (field 2) may hold spaces and parentheses, so the fields are
/// counted from the last closing one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|&b| b == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let parent = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, start_ticks })
}

/// Is the process `pid` that started at `start` (ticks) still running? A zombie is
/// not: it has ended and only waits for its parent.
pub fn lives(pid: i32, start: u64) -> bool {
    stat(pid).is_ok_and(|s| s.start_ticks == start && s.state != b'Z' && s.state != b'X')
}

/// All living descendants of process `root`, without `root` itself: what a
/// subreaper is answerable for.
pub fn descendants(root: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pairs: Vec<(i32, i32)> = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let s = stat(pid).ok()?;
            (s.state != b'Z').then_some((pid, s.parent))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(pairs.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// Does /proc show this process's own pid namespace, so that its numbers can be used?
pub fn proc_is_ours() -> bool {
    fs::read_link("/proc/self")
        .is_ok_and(|own| own.as_os_str() == std::process::id().to_string().as_str())
}

/// The command name of a process as `ps` shows it (`proc_pid_comm(5)`), `?` where it is gone.
pub fn name(pid: i32) -> String {
    fs::read(format!("/proc/{pid}/comm")).map_or_else(
        |_| "?".to_owned(),
        |s| String::from_utf8_lossy(s.strip_suffix(b"\n").unwrap_or(&s)).into_owned(),
    )
}

/// A child that has been reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// It exited with this status, 0 to 255.
    Exited {
        /// Which child.
        pid: i32,
        /// Its status.
        status: i32,
    },
    /// A signal ended it, a real-time one perhaps.
    Signaled {
        /// Which child.
        pid: i32,
        /// The signal's number.
        signal: i32,
    },
    /// A signal stopped it; it lives on.
    Stopped {
        /// Which child.
        pid: i32,
        /// The signal's number.
        signal: i32,
    },
    /// There are children, and none has ended.
    NoneEnded,
    /// There are no children.
    Childless,
}

/// Reaps one child that has ended, any of them, without waiting (`waitpid(2)`), or tells of one
/// that was stopped.
/// nix's wrapper knows no real-time signals and would lose a child that one ended.
pub fn reap() -> Reaped {
    loop {
        let mut status = 0;
        // SAFETY: the status is written to an integer of our own that outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
        if pid == 0 {
            return Reaped::NoneEnded;
        }
        if pid < 0 {
            match nix::errno::Errno::last() {
                nix::errno::Errno::EINTR => continue,
                _ => return Reaped::Childless,
            }
        }
        if let Some(reaped) = of_status(pid, status) {
            return reaped;
        }
    }
}

/// What `status` (`waitpid(2)`) says of child `pid`; `None` where it says that it goes on.
pub fn of_status(pid: i32, status: i32) -> Option<Reaped> {
    if libc::WIFEXITED(status) {
        Some(Reaped::Exited { pid, status: libc::WEXITSTATUS(status) })
    } else if libc::WIFSIGNALED(status) {
        Some(Reaped::Signaled { pid, signal: libc::WTERMSIG(status) })
    } else if libc::WIFSTOPPED(status) {
        Some(Reaped::Stopped { pid, signal: libc::WSTOPSIG(status) })
    } else {
        None
    }
}

/// Puts /dev/null where standard input, output or error are closed, as Rust's start does, so that
/// no file that is opened later takes their place.
pub fn open_standard() {
    for fd in 0..=2 {
        // SAFETY: integers, and a string that ends with NUL; the lowest free number is `fd`.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) < 0 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
}

/// Makes a write to a pipe that nobody reads an error (EPIPE) instead of a signal, as Rust's start
/// does.
pub fn ignore_broken_pipes() {
    // SAFETY: no handler is installed.
    let _ = unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// Sends `signal` to every member of process group `group`; a group with nobody
/// left in it is no error.
///
/// # Errors
/// What `kill(2)` says, except ESRCH.
pub fn signal_group(group: i32, signal: Signal) -> io::Result<()> {
    match killpg(Pid::from_raw(group), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Is there anybody in process group `group`, be it a zombie that nobody reaped?
pub fn group_lives(group: i32) -> bool {
    !matches!(killpg(Pid::from_raw(group), None), Err(Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_cannot_shift_the_fields() {
        let line = b"42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        let s = parse_stat(line).unwrap();
        assert_eq!((s.state, s.parent, s.start_ticks), (b'S', 7, 987_654));
        assert!(parse_stat(b"").is_none());
        assert!(parse_stat(b"1 (x) S 1").is_none());
    }

    #[test]
    fn this_process_lives_and_another_start_does_not() {
        let me = std::process::id() as i32;
        let start = start_ticks(me).unwrap();
        assert!(lives(me, start));
        assert!(!lives(me, start + 1));
    }

    #[test]
    fn a_child_is_a_descendant() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let found = descendants(std::process::id() as i32);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&(child.id() as i32)), "{found:?}");
    }
}
