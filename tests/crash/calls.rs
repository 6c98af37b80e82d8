//! The system calls at which something changes that outlives them, and what they are about.

use nix::sys::ptrace;
use nix::unistd::Pid;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// A call that is about to be made by one of the agent's processes.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// The how-manieth of its run.
    pub(crate) number: usize,
    /// Whose: `init`, `boot` or `helper`.
    pub(crate) role: &'static str,
    pub(crate) call: Call,
}

/// A call and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// The file, without what differs from run to run.
    pub(crate) about: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}({})", self.role, self.call.name, self.call.about)
    }
}

/// Where a call's path is among its arguments.
#[derive(Clone, Copy)]
enum About {
    /// A directory descriptor here, a path behind it.
    At(usize),
    /// A path.
    Path(usize),
    /// A descriptor.
    Descriptor(usize),
    Nothing,
}

/// Calls that change something wherever they are made. `openat` and writes are looked at more closely.
const CHANGING: &[(libc::c_long, &str, About)] = &[
    (libc::SYS_openat, "openat", About::At(0)),
    (libc::SYS_write, "write", About::Descriptor(0)),
    (libc::SYS_writev, "writev", About::Descriptor(0)),
    (libc::SYS_pwrite64, "pwrite64", About::Descriptor(0)),
    (libc::SYS_ftruncate, "ftruncate", About::Descriptor(0)),
    (libc::SYS_fallocate, "fallocate", About::Descriptor(0)),
    (libc::SYS_fsync, "fsync", About::Descriptor(0)),
    (libc::SYS_fdatasync, "fdatasync", About::Descriptor(0)),
    (libc::SYS_syncfs, "syncfs", About::Descriptor(0)),
    (libc::SYS_renameat, "renameat", About::At(2)),
    (libc::SYS_renameat2, "renameat2", About::At(2)),
    (libc::SYS_unlinkat, "unlinkat", About::At(0)),
    (libc::SYS_mkdirat, "mkdirat", About::At(0)),
    (libc::SYS_linkat, "linkat", About::At(2)),
    (libc::SYS_symlinkat, "symlinkat", About::At(1)),
    (libc::SYS_mknodat, "mknodat", About::At(0)),
    (libc::SYS_fchmod, "fchmod", About::Descriptor(0)),
    (libc::SYS_fchmodat, "fchmodat", About::At(0)),
    (libc::SYS_fchown, "fchown", About::Descriptor(0)),
    (libc::SYS_fchownat, "fchownat", About::At(0)),
    (libc::SYS_utimensat, "utimensat", About::At(0)),
    (libc::SYS_mount, "mount", About::Path(1)),
    (libc::SYS_umount2, "umount2", About::Path(0)),
    (libc::SYS_flock, "flock", About::Descriptor(0)),
    (libc::SYS_execve, "execve", About::Path(0)),
    (libc::SYS_clone, "clone", About::Nothing),
    (libc::SYS_clone3, "clone3", About::Nothing),
    (libc::SYS_kill, "kill", About::Nothing),
    (libc::SYS_sethostname, "sethostname", About::Nothing),
    (libc::SYS_exit_group, "exit_group", About::Nothing),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename", About::Path(1)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "rmdir", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_link, "link", About::Path(1)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_symlink, "symlink", About::Path(1)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, "chmod", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chown, "chown", About::Path(0)),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_vfork, "vfork", About::Nothing),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_fork, "fork", About::Nothing),
];

/// The call at whose beginning `pid` stands, where it changes something.
pub(crate) fn look(pid: Pid) -> Option<Call> {
    let (number, arguments) = entry(pid)?;
    let (_, name, about) = CHANGING.iter().find(|(n, ..)| *n == number)?;
    let about = match *about {
        About::Nothing => String::new(),
        About::Path(at) => string(pid, arguments[at])?,
        About::Descriptor(at) => {
            let path = descriptor(pid, arguments[at])?;
            // Pipes, sockets and devices forget.
            if !path.starts_with('/') || path.starts_with("/proc") || path.ends_with(" (deleted)") {
                return None;
            }
            path
        }
        About::At(at) => {
            if number == libc::SYS_openat && reads_only(arguments[2]) {
                return None;
            }
            let path = string(pid, arguments[at + 1])?;
            if path.starts_with('/') {
                path
            } else {
                let directory = descriptor(pid, arguments[at]).unwrap_or_default();
                format!("{directory}/{path}")
            }
        }
    };
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_open && reads_only(arguments[1]) {
        return None;
    }
    if about.starts_with("/dev/null") {
        return None;
    }
    Some(Call { name, about: lasting(&about) })
}

fn reads_only(flags: u64) -> bool {
    let changing = (libc::O_CREAT | libc::O_WRONLY | libc::O_RDWR | libc::O_TRUNC) as u64;
    flags & changing == 0
}

/// A path without its random parts.
fn lasting(path: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in path.split('/') {
        let random = |part: &str| part.len() >= 6 && part.chars().all(|c| c.is_ascii_hexdigit());
        let parts: Vec<&str> = word.split('-').map(|p| if random(p) { "*" } else { p }).collect();
        words.push(parts.join("-"));
    }
    words.join("/")
}

#[allow(unsafe_code)]
fn entry(pid: Pid) -> Option<(libc::c_long, [u64; 6])> {
    let info = ptrace::syscall_info(pid).ok()?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: the kernel filled the member that `op` names.
    let entry = unsafe { info.u.entry };
    Some((libc::c_long::try_from(entry.nr).ok()?, entry.args))
}

fn descriptor(pid: Pid, number: u64) -> Option<String> {
    let number = number as i32;
    let link = match number {
        libc::AT_FDCWD => format!("/proc/{pid}/cwd"),
        _ => format!("/proc/{pid}/fd/{number}"),
    };
    fs::read_link(link).ok().map(|path| path.to_string_lossy().into_owned())
}

fn string(pid: Pid, at: u64) -> Option<String> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut bytes = [0u8; 512];
    // To the end of its page at most: the next one may be nobody's.
    let length = (4096 - at % 4096).min(512);
    let read = memory.read_at(&mut bytes[..usize::try_from(length).ok()?], at).ok()?;
    let text = bytes[..read].split(|b| *b == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Has the call at whose beginning `pid` stands not made.
#[cfg(target_arch = "x86_64")]
pub(crate) fn cancel(pid: Pid) {
    if let Ok(mut registers) = ptrace::getregs(pid) {
        registers.orig_rax = u64::MAX;
        let _ = ptrace::setregs(pid, registers);
    }
}

/// What the call at whose end `pid` stands gives.
#[cfg(target_arch = "x86_64")]
pub(crate) fn set_result(pid: Pid, result: i64) {
    if let Ok(mut registers) = ptrace::getregs(pid) {
        registers.rax = result as u64;
        let _ = ptrace::setregs(pid, registers);
    }
}
