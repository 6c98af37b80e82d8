//! Nothing is lost, and nobody is fooled, wherever it is cut off: the agent is stopped before each
//! system call that changes something, killed there, and started again. Each test leaves a
//! table of the points it tried, which `tests/run` prints.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic; its helpers are no production code"
)]

#[path = "../namespace/sandbox.rs"]
#[allow(dead_code, reason = "each layer uses its own part")]
mod sandbox;
#[path = "../util/mod.rs"]
mod util;

mod calls;
mod table;
mod tracer;
mod trials;

mod container;
