//! Volumes of a machine on real block devices: loop devices, which need root. Each test has a
//! mount namespace of its own, with its own /etc and state, so nothing of this machine changes.

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

mod machine;

mod ebs;
mod efs;
mod foreign;
mod repair;
mod root_disk;
