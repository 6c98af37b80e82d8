//! The guest duties: what makes a copy of a machine image into this instance, and lets its owner
//! in. Before everything that needs a user, and as much of it as can be done where the metadata
//! service is away or another duty has failed.
//!
//! What is done once an instance has its beginning and its end in the [ledger](once): cut
//! off in between, it is done again; on a later boot nothing of it is touched, so what the
//! user has changed since stays.

mod authorized;
mod host_keys;
mod hostname;
mod login;
mod machine_id;
mod mending;
mod once;
mod partition;
mod root_disk;
mod superblock;
mod tool;

pub use authorized::helper as authorized_keys_helper;
pub(super) use login::at_mounted_home;

use crate::engine::{Context, Report};
use crate::plan::GuestWork;
use nix::unistd::geteuid;

/// Does one duty.
pub async fn run(work: &GuestWork, cx: &mut Context<'_>) -> Report {
    if !geteuid().is_root() {
        return Report::skipped("the agent is not root, and cannot change the machine");
    }
    match work {
        GuestWork::MachineId => machine_id::run(cx).await,
        GuestWork::Hostname(hostname) => hostname::run(hostname, cx),
        GuestWork::HostKeys { types } => host_keys::run(types, cx).await,
        GuestWork::Login(login) => login::run(login, cx).await,
        GuestWork::RootDisk => root_disk::run(cx).await,
    }
}
