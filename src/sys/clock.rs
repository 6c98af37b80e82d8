//! Time as the journal needs it: the wall clock for people, the kernel's boot id
//! to tell one power-on from the next.

use std::fs;
use std::sync::OnceLock;

/// The kernel's random id of this power-on, `random(4)`:
/// `/proc/sys/kernel/random/boot_id`. Empty where `/proc` is not mounted.
pub fn kernel_boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|s| s.trim().to_owned())
            .unwrap_or_default()
    })
}
