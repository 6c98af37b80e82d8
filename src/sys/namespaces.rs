//! A sandbox of namespaces that needs no root: `user_namespaces(7)`, `mount_namespaces(7)`,
//! `pid_namespaces(7)`.
#![allow(unsafe_code)]

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use std::fs;
use std::io;
use std::path::Path;

/// The user that root becomes before it makes a namespace: what it maps must not own the
/// machine's files and devices.
const NOBODY: u32 = 65534;

/// Gives up root for good, for the user `nobody`. Whoever is not root stays who they are.
///
/// # Errors
/// The capability to change user is missing.
pub fn give_up_root() -> io::Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    // A change of user makes /proc/self root's (prctl(2), PR_SET_DUMPABLE), and the
    // maps below are written there.
    prctl::set_dumpable(true)?;
    Ok(())
}

/// Enters new user, mount, IPC, UTS and (for children) pid namespaces, in which the
/// calling user is `uid:gid` and has every capability.
///
/// # Errors
/// The machine doesn't allow user namespaces to this user (EPERM, ENOSPC).
pub fn enter(uid: u32, gid: u32) -> io::Result<()> {
    let (outer_uid, outer_gid) = (Uid::effective(), Gid::effective());
    unshare(
        CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {outer_uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {outer_gid} 1"))?;
    Ok(())
}

/// Keeps `CAP_SYS_ADMIN` across the next exec of a user who is not root (ambient
/// capabilities, `capabilities(7)`).
///
/// # Errors
/// The capability is not held.
pub fn keep_mount_capability() -> io::Result<()> {
    let wanted = Capability::CAP_SYS_ADMIN;
    caps::raise(None, CapSet::Inheritable, wanted)
        .and_then(|()| caps::raise(None, CapSet::Ambient, wanted))
        .map_err(io::Error::other)
}

/// Drops every capability for good, and the way to get any back through a set-user-ID
/// program (`PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// What `prctl(2)` and `capset(2)` say.
pub fn give_up_capabilities() -> io::Result<()> {
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    prctl::set_no_new_privs()?;
    Ok(())
}

/// Makes every mount of this namespace read-only, and keeps its changes from the machine.
///
/// # Errors
/// What `mount(2)` and `mount_setattr(2)` say.
pub fn freeze_mounts() -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    const MOUNT_ATTR_RDONLY: u64 = 1;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let attr = MountAttr { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a NUL-terminated literal and the structure has the size and
    // layout that mount_setattr(2) gives for its first version.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            std::ptr::from_ref(&attr),
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(Errno::last().into()) }
}

/// Mounts an empty filesystem in memory.
///
/// # Errors
/// What `mount(2)` says.
pub fn mount_empty(at: &Path, mode: u32) -> io::Result<()> {
    let options = format!("mode={mode:o}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("rehearsal"), at, Some("tmpfs"), flags, Some(options.as_str()))?)
}

/// Mounts this pid namespace's own `/proc`.
///
/// # Errors
/// EPERM where parts of the present `/proc` are hidden, as in most containers.
pub fn mount_proc() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)?)
}

/// Shows the file or directory `from` at `to` as well (a bind mount).
///
/// # Errors
/// What `mount(2)` says.
pub fn bind(from: &Path, to: &Path) -> io::Result<()> {
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}
