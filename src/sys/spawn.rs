//! What happens in a child between fork and exec: its process group, its terminal,
//! its signal mask, its credentials.
#![allow(unsafe_code)]

use crate::sys::users::Credentials;
use crate::sys::{signals, terminal};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{self, Gid, Pid, Uid};
use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The program that runs now, also where its file has been moved or replaced (`proc(5)`).
pub const SELF: &str = "/proc/self/exe";

/// How a child differs from its parent.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Leader of a process group of its own (`setpgid(2)`).
    pub own_group: bool,
    /// Leader of a session of its own (`setsid(2)`), in which the terminal on standard input
    /// becomes the controlling one where nobody else holds it.
    pub own_session: bool,
    /// Takes the controlling terminal's foreground, where standard input is one.
    pub foreground: bool,
    /// Becomes this user and group for good; `None` stays who it is.
    pub credentials: Option<Credentials>,
    /// Signal that the kernel sends it when its parent ends (`PR_SET_PDEATHSIG`).
    pub parent_death: Option<Signal>,
    /// The signal mask it starts with; `None` means an empty one.
    pub mask: Option<SigSet>,
    /// What it starts with ignored.
    pub ignored: signals::Ignored,
    /// Set in its environment; for a process of one thread alone.
    pub variables: Vec<(CString, CString)>,
    /// Gets the sockets that were handed to this process (`sd_listen_fds(3)`): LISTEN_PID names
    /// it. For a process of one thread alone.
    pub listens: bool,
    /// Starts in this directory, if it may go there as who it is then.
    pub directory: Option<CString>,
    /// The program's file with its arguments, the name first, where it is a program and never a
    /// script: what the kernel doesn't know is an error then, not given to a shell as by
    /// `execvp(3)`. For a process of one thread alone.
    pub program: Option<(CString, Vec<CString>)>,
}

/// Arranges for `command` to start as `setup` says. Errors come out of `spawn()`.
pub fn prepare(command: &mut Command, setup: Setup) {
    let parent = Pid::this();
    // SAFETY: between fork and exec only async-signal-safe calls are made
    // (signal-safety(7)): system calls on values that were allocated before. Where the environment
    // is changed this process has one thread, so nobody held a lock as it was forked.
    unsafe {
        command.pre_exec(move || in_child(&setup, parent));
    }
}

/// Closes every descriptor of this process from `first` on (`close_range(2)`): those that somebody
/// passed through it to a child are the child's now, and an end that only the child should hold
/// would stay open here. An older kernel leaves them. Nobody in this process may use one of them.
pub fn close_from(first: u32) {
    // SAFETY: the call takes three integers, and PID 1 opens what it reads each time.
    unsafe { libc::close_range(first, u32::MAX, 0) };
}

/// Keeps every descriptor from `first` on from the next program that this process becomes
/// (`close_range(2)` with `CLOSE_RANGE_CLOEXEC`, Linux 5.11).
///
/// # Errors
/// The kernel doesn't know the call.
pub fn keep_from_exec(first: u32) -> io::Result<()> {
    // SAFETY: the call takes three integers; it closes nothing now, it marks descriptors.
    let done =
        unsafe { libc::close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn in_child(setup: &Setup, parent: Pid) -> io::Result<()> {
    if setup.own_session {
        unistd::setsid()?;
        terminal::make_controlling();
    } else if setup.own_group {
        unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    }
    if setup.foreground {
        // SIGTTOU is still blocked here, so the call cannot stop this process. No
        // terminal, or not ours to take, is the normal case of a service.
        let _ = unistd::tcsetpgrp(io::stdin(), unistd::getpid());
    }
    if let Some(user) = &setup.credentials {
        become_user(user)?;
    }
    if let Some(directory) = &setup.directory {
        let _ = unistd::chdir(directory.as_c_str());
    }
    // After the change of user, which clears it (prctl(2)).
    if let Some(signal) = setup.parent_death {
        prctl::set_pdeathsig(signal)?;
        // Gone between fork and here? 0 is a parent outside of this pid namespace.
        let now = unistd::getppid();
        if now != parent && now.as_raw() != 0 {
            return Err(io::Error::other("the parent ended first"));
        }
    }
    set_environment(setup);
    setup.ignored.give_back()?;
    let mask = setup.mask.unwrap_or_else(SigSet::empty);
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    if let Some((file, arguments)) = &setup.program {
        unistd::execv(file, arguments)?;
    }
    Ok(())
}

/// Here rather than by [`Command::env`], which fixes the environment before the child has a number.
fn set_environment(setup: &Setup) {
    let own = setup.listens.then(|| CString::new(std::process::id().to_string()).ok()).flatten();
    let listens = own.as_deref().map(|own| (c"LISTEN_PID", own));
    let given = setup.variables.iter().map(|(name, value)| (name.as_c_str(), value.as_c_str()));
    for (name, value) in given.chain(listens) {
        // SAFETY: two strings that the call copies; nobody else reads or writes the environment.
        unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) };
    }
}

/// Groups first, then the group, then the user: the other way round the right to
/// change groups would already be gone (`credentials(7)`).
fn become_user(user: &Credentials) -> io::Result<()> {
    let gid = Gid::from_raw(user.gid);
    let uid = Uid::from_raw(user.uid);
    let groups: &[Gid] = &user.groups;
    unistd::setgroups(groups)?;
    unistd::setresgid(gid, gid, gid)?;
    unistd::setresuid(uid, uid, uid)?;
    Ok(())
}
