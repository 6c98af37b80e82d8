//! `agent`, the first process of a sandbox: one library, two programs.
//!
//! **Plan → run → journal → views.** What the operator wrote is read by [`config`] and
//! resolved by [`plan`] into an ordered list of phases, pure data. The `engine` runs it,
//! a phase at a time, and appends what happened to the [`journal`]. Everything that
//! people and machines see ([`views`], exit statuses, health checks) is a fold over
//! that journal.
//!
//! Two processes share the guest's program: PID 1 (`init`), which only supervises, and
//! the `boot`, its child, which holds everything that can fail. docs/architecture.md is
//! the map.

pub mod command_line;
pub mod config;
pub mod journal;
pub mod plan;
pub mod stub;
pub mod tools;
pub mod views;

#[cfg(target_os = "linux")]
pub mod boot;
#[cfg(target_os = "linux")]
pub mod clean;
#[cfg(target_os = "linux")]
pub mod cli;
#[cfg(target_os = "linux")]
pub mod ec2;
#[cfg(target_os = "linux")]
pub mod engine;
#[cfg(target_os = "linux")]
pub mod idle;
#[cfg(target_os = "linux")]
pub mod init;
#[cfg(target_os = "linux")]
pub mod log;
#[cfg(target_os = "linux")]
pub mod observe;
#[cfg(target_os = "linux")]
pub mod phases;
#[cfg(target_os = "linux")]
pub mod rehearsal;
#[cfg(target_os = "linux")]
pub mod support;
#[cfg(target_os = "linux")]
pub mod survey;
#[cfg(target_os = "linux")]
pub mod sys;
