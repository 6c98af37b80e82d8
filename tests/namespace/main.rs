//! The agent as PID 1 of real namespaces, without a container engine and without root.
//!
//! Two ways in: `agent try`, the rehearsal that users run ([`rehearse`]), and `unshare`,
//! where the test decides what the sandbox looks like ([`sandbox`]). Where the tests are run by
//! root they give it up first.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic; its helpers are no production code"
)]

#[path = "../util/mod.rs"]
mod util;

#[path = "../util/pty.rs"]
mod pty;

mod rehearse;
mod sandbox;

mod clean;
mod config_sources;
mod environment;
mod health;
mod hostile;
mod idle;
mod idle_stop;
mod inits;
mod interrupted;
mod job_control;
mod logs_bundle;
mod machine;
mod on_terminal;
mod once;
mod outcomes;
mod policy;
mod provision;
mod provision_once;
mod reaping;
mod rehearsal;
mod script_kinds;
mod secrets;
mod signals;
mod starting;
mod status;
mod stopping;
mod storm;
mod subreaper;
mod unmounting;
mod user_data;
mod voice;
mod volume;
