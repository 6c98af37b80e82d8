//! The image's tools at boot: each answers at the image's version.

use super::{Reconcile, Stopped};
use crate::tools::look::Seen;

impl Reconcile<'_, '_> {
    /// Checks the image's links, and installs what the image's config declares and the image
    /// does not contain, with no word of the user's config.
    pub(super) async fn baseline(&mut self, _seen: &Seen) -> Result<(), Stopped> {
        Ok(())
    }
}
