//! What this process may do: capabilities (`capabilities(7)`), the subreaper
//! attribute, and whether it can be looked into.

use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use std::io;

/// The capabilities that the agent ever asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Mount and unmount filesystems.
    SysAdmin,
    /// Become another user.
    SetUid,
    /// Set the group and the supplementary groups.
    SetGid,
    /// Change the owner of a file.
    Chown,
    /// Send signals to processes of another user.
    Kill,
    /// Grow a mounted ext4.
    SysResource,
}

impl Need {
    /// The name that `capsh` and container engines use.
    pub fn name(self) -> &'static str {
        match self {
            Need::SysAdmin => "CAP_SYS_ADMIN",
            Need::SetUid => "CAP_SETUID",
            Need::SetGid => "CAP_SETGID",
            Need::Chown => "CAP_CHOWN",
            Need::Kill => "CAP_KILL",
            Need::SysResource => "CAP_SYS_RESOURCE",
        }
    }

    fn capability(self) -> Capability {
        match self {
            Need::SysAdmin => Capability::CAP_SYS_ADMIN,
            Need::SetUid => Capability::CAP_SETUID,
            Need::SetGid => Capability::CAP_SETGID,
            Need::Chown => Capability::CAP_CHOWN,
            Need::Kill => Capability::CAP_KILL,
            Need::SysResource => Capability::CAP_SYS_RESOURCE,
        }
    }
}

/// Does this process have the capability in its effective set? `false` where the
/// kernel doesn't tell.
pub fn has(need: Need) -> bool {
    caps::has_cap(None, CapSet::Effective, need.capability()).unwrap_or(false)
}

/// Makes this process adopt the orphans among its descendants
/// (`PR_SET_CHILD_SUBREAPER`, prctl(2)), as PID 1 does by nature.
///
/// # Errors
/// What `prctl(2)` says.
pub fn become_subreaper() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Asks the kernel for `signal` when this process's parent ends (`PR_SET_PDEATHSIG`, prctl(2)).
///
/// # Errors
/// What `prctl(2)` says.
pub fn at_parent_death(signal: Signal) -> io::Result<()> {
    Ok(prctl::set_pdeathsig(signal)?)
}

/// Closes this process to core dumps and to other processes of the same user
/// (`PR_SET_DUMPABLE`, prctl(2)): it may hold the user's script.
///
/// # Errors
/// What `prctl(2)` says.
pub fn forbid_dump() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}
