//! The agent on a real machine: Debian's cloud kernel and systemd in QEMU, the metadata service at
//! its own address, volumes that come and go, power that is cut.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `AGENT_TEST_BINARY` | the program under test (default: the build's own, which is slow here) |
//! | `AGENT_REQUIRE_ALL=1` | a missing QEMU or image is a failure, not a skipped layer |
//! | `AGENT_VM_ACCELERATION` | `kvm` or `tcg`; otherwise KVM is tried |
//! | `AGENT_VM_CACHE` | where images and machines are (default `target/vm`) |
//! | `AGENT_VM_PATIENCE=4` | every wait for a machine is four times as long: for a computer with other work |
//! | `AGENT_VM_KEEP=1` | a machine whose test failed keeps its disks and logs |
//!
//! ```sh
//! tests/vm/image
//! cargo test --test vm -- --test-threads 2
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic; its helpers are no production code"
)]

#[path = "../util/readiness.rs"]
mod readiness;
mod rig;
#[path = "../util/mod.rs"]
mod util;

mod again;
mod archive;
mod bench;
mod clean;
mod cloud_init;
mod failures;
mod formats;
mod ground;
mod guest_duties;
mod idle;
mod instance;
mod life;
mod machine_image;
mod packages;
mod storage;
mod sync;
