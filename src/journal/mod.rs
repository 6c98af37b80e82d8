//! What happened: the only state there is.
//!
//! A boot appends [`event`]s to a file; [`status`] is a fold over them, and every
//! view of the boot is made from that. The [`ledger`] is a second such file, in a
//! place that outlives a restart, for the one question that spans boots: has this
//! script already run on this instance? The [`tags`] are a third: what EC2 was told.
//!
//! Truth in the face of a crash comes from two rules. `complete` is an event of its
//! own, appended and synced after everything else. And each boot names its runner
//! (kernel boot id, pid namespace, pid, start time): a journal without an end whose
//! runner is gone reads `failed: interrupted`.

pub mod event;
#[cfg(target_os = "linux")]
pub mod file;
#[cfg(target_os = "linux")]
pub mod ledger;
#[cfg(target_os = "linux")]
pub mod place;
pub mod status;
pub mod tags;

pub use event::{Event, Problem, Record};
pub use status::{State, Status};
