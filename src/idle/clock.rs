//! The clocks by which idle time is counted (`clock_gettime(2)`). The wall clock is not among
//! them: it may be set.

use crate::sys::clock::kernel_boot_id;
use nix::time::{ClockId, clock_gettime};
use std::io;
use std::time::Duration;

/// One moment, as this machine counts since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// Which start: the kernel's boot id.
    pub start: String,
    /// How long the machine has run since, in milliseconds; hibernation is not counted.
    pub up_ms: u64,
    /// How long it has been hibernated since, in milliseconds.
    pub away_ms: u64,
}

impl Now {
    /// This moment.
    ///
    /// # Errors
    /// The kernel has no such clock.
    pub fn read() -> io::Result<Self> {
        let read = |clock| Ok::<_, io::Error>(Duration::from(clock_gettime(clock)?));
        let up = read(ClockId::CLOCK_MONOTONIC)?;
        let all = read(ClockId::CLOCK_BOOTTIME)?;
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let start = kernel_boot_id().to_owned();
        Ok(Self { start, up_ms: ms(up), away_ms: ms(all.saturating_sub(up)) })
    }
}
