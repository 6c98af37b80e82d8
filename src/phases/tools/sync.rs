//! An import of tools that was cut off: the look at the disk has finished it, or says why not.

use super::Reconcile;
use crate::journal::Problem;
use crate::tools::look::Seen;

impl Reconcile<'_, '_> {
    /// Tells what became of it. Config and lock may be of two machines where it is stuck, so
    /// the boot is not well then.
    pub(super) fn import_cut_off(&mut self, seen: &Seen) {
        self.report.notes.extend(seen.sync.resumed.clone());
        if let Some(why) = &seen.sync.stuck {
            self.problem(
                Problem::new(
                    "tools-import-stuck",
                    "an import of tools was cut off and cannot be finished: config and lock may not belong together",
                    seen.sync.way_out.clone(),
                )
                .evidence(why.clone()),
            );
        }
    }
}
