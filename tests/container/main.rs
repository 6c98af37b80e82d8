//! The sandbox in real containers: podman, the image of `image/build`, and the flags that
//! the container contract names.
//!
//! What is tested is what an operator sees from outside: exit statuses, `podman logs`,
//! `podman exec … agent status`, files on the volume. Each test has containers, volumes
//! and images of its own and removes them, also where it fails.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `AGENT_TEST_IMAGE` | the image under test (default `localhost/agent-sandbox:small`) |
//! | `AGENT_REQUIRE_ALL=1` | a missing podman or image is a failure, not a skipped layer |
//! | `AGENT_STATUS_SAMPLES=DIR` | write what `agent status` prints of each failure to `DIR/CODE.txt` |
//! | `SSL_CERT_FILE`, `NODE_EXTRA_CA_CERTS` | a CA bundle that the sandboxes' network needs too |
//! | `AUBE_*`, `npm_config_*` | settings of the tool installer, given to the sandboxes |
//!
//! ```sh
//! cargo test --test container -- --test-threads 4
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic; its helpers are no production code"
)]

#[path = "../util/readiness.rs"]
mod readiness;

#[path = "../util/pty.rs"]
mod pty;

mod engine;
mod guard;
mod hostile;
mod sandbox;
mod seen;

mod bootstrap;
mod bootstrap_failures;
mod config_failures;
mod controls;
mod drop_in;
mod first_start;
mod health;
mod interrupted;
mod lives;
mod memory_limit;
mod orphans;
mod privileged;
mod provision;
mod secrecy;
mod stop;
mod stop_alone;
mod terminal;
mod terminal_alone;
mod tool_baseline;
mod tool_drift;
mod tool_failures;
mod tool_interpreter;
mod tool_interrupted;
mod tool_locks;
mod tool_policy;
mod tool_proof;
mod tool_races;
mod tool_repair;
mod tool_sync;
mod tools;
mod volume_failures;
