//! The guest duties of a machine, with real accounts and keys: this needs root. Each test has mount and
//! host-name namespaces of its own, with its own /etc, /home, /usr and state, so nothing of this
//! machine changes. The metadata service is the tests' own.

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

mod by_hand;
mod duties;
mod failures;
mod waiting;
