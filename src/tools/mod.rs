//! What the agent knows of tools and of mise, without a boot around it: where its files lie,
//! what they declare, which backends may resolve, what a lockfile is worth, what goes along
//! to another machine, how it is proved that nothing has changed.
//!
//! The phase [`tools`](crate::phases::tools) uses this at boot, `agent tools` by hand and in
//! image builds. docs/tools.md tells operators what it promises, and what it can't.

pub mod manifest;
pub mod places;
pub mod policy;

#[cfg(target_os = "linux")]
pub mod baseline;
#[cfg(target_os = "linux")]
pub mod lock;
#[cfg(target_os = "linux")]
pub mod look;
#[cfg(target_os = "linux")]
pub mod output;
#[cfg(target_os = "linux")]
pub mod proof;
#[cfg(target_os = "linux")]
pub mod run;
#[cfg(target_os = "linux")]
pub mod sync;
#[cfg(target_os = "linux")]
pub mod verify;
