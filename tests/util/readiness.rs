//! Whether this machine has what a layer of tests needs.

use std::io::Write;
use std::sync::OnceLock;

/// Whether a layer can run on this machine, looked at once.
pub(crate) type Readiness = OnceLock<Result<(), String>>;

/// Can this layer run here? Where it can't, says so once, past the test harness's capture, and
/// every test of it passes without having tested. With `AGENT_REQUIRE_ALL=1` that is a failure.
pub(crate) fn layer_is_ready(
    layer: &str,
    readiness: &Readiness,
    look: impl FnOnce() -> Result<(), String>,
) -> bool {
    let ready = readiness.get_or_init(|| {
        let found = look();
        if let Err(reason) = &found {
            let _ = writeln!(std::io::stderr(), "skipped: tests/{layer}: {reason}");
        }
        found
    });
    if let Err(reason) = ready {
        let required = std::env::var("AGENT_REQUIRE_ALL").is_ok_and(|v| v == "1");
        assert!(!required, "AGENT_REQUIRE_ALL=1, but: {reason}");
    }
    ready.is_ok()
}
