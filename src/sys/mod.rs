//! The seam to the kernel: everything that is Linux and nothing that is policy.
//!
//! This is the only room where `unsafe` may stand, each block with its SAFETY
//! line. What the volume phase asks of the kernel goes through the [`Kernel`]
//! trait, so that each refusal (not mounted, read-only, full, foreign-owned, no
//! capability) is tested without privilege, against [`fake::Fake`].
//!
//! One rule of the house is kept here: the C library's user and group look-ups
//! are never called. A static glibc that meets `passwd: files systemd` in
//! nsswitch.conf loads a second C library and crashes; [`users`] reads the files.

mod bare;
pub mod beneath;
pub mod c_main;
pub mod cgroup;
pub mod clock;
pub mod early;
pub mod environ;
#[cfg(test)]
pub mod fake;
pub mod files;
pub mod instance;
pub mod kernel;
pub mod memory;
pub mod mounts;
pub mod namespaces;
pub mod notify;
pub mod nvme;
pub mod placed;
pub mod privilege;
pub mod process;
pub mod quiet;
pub mod replace;
pub mod signals;
pub mod spawn;
pub mod start;
pub mod terminal;
pub mod trusted;
pub mod users;

pub use kernel::{Kernel, Linux};
