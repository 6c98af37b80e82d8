//! The command line: what each command says, its exit status, and every error that a
//! configuration can have. And the metadata client, against a service that the test starts
//! on the loopback. Needs nothing but the program (no namespaces, no root); `agent tools policy`
//! is tried with releases of mise from the npm registry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic; its helpers are no production code"
)]

#[path = "../util/readiness.rs"]
mod readiness;
#[path = "../util/mod.rs"]
mod util;

mod clean;
mod config_files;
mod config_keys;
mod config_rules;
mod config_steps;
mod config_values;
mod environment;
mod help;
mod init;
mod metadata;
mod plan;
mod status;
mod stub;
mod tools_baseline;
mod tools_lock;
mod tools_policy;
mod tools_sync;
