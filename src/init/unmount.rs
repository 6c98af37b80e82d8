//! The mounts that the boot made, unmade after everything that used them has ended.
//!
//! With the mount namespace they would go anyway, but not before whoever shares the namespace
//! has ended, and without a word where their last writes fail.

use super::Init;
use std::ffi::OsString;
use std::time::Duration;

/// The contract's time for a whole stop, with a margin for the end of this process.
const STOP_TAKES: Duration = Duration::from_millis(29_500);

/// How long unmounting may take; a dead network filesystem hangs. Less is left where the rest of a
/// stop took its time, but never nothing.
const MOST: Duration = Duration::from_secs(5);
const LEAST: Duration = Duration::from_millis(500);

impl Init {
    /// What is left of the time for a stop; all of it where none was asked for.
    pub(super) fn left_of_stop(&self) -> Duration {
        STOP_TAKES.saturating_sub(self.asked.map_or(Duration::ZERO, |at| at.elapsed()))
    }

    /// Unmounts what the boot has mounted, the last one first.
    pub(super) fn unmount(&mut self) {
        if self.mounts.is_empty() {
            return;
        }
        let mut arguments = vec![OsString::from("unmount")];
        arguments.extend(self.mounts.drain(..).rev().map(OsString::from));
        let patience = self.left_of_stop().clamp(LEAST, MOST);
        if !self.helper(arguments, patience) {
            self.report.warn("not everything that the boot mounted was unmounted");
        }
    }
}
