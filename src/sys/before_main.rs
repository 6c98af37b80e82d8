//! Running before `main`.

/// Runs a closure before Rust's own start. What that does (the bounds of the stack out of
/// /proc/self/maps, a second stack, a handler on it) is of no use to an init and would be half of
/// its instructions. glibc calls the functions of this section before that; among them, and first,
/// the one by which `std::env::args_os` gets the arguments. With another C library nothing runs.
///
/// Rust's start also opens /dev/null where a standard descriptor is closed: that is for the closure to
/// do ([`open_standard`](crate::sys::process::open_standard)). A macro, because what a library
/// puts there would run in every program that is linked with it, its tests among them.
#[macro_export]
macro_rules! before_main {
    ($run:expr) => {
        #[cfg(target_env = "gnu")]
        #[used]
        #[unsafe(link_section = ".init_array")]
        static BEFORE_MAIN: extern "C" fn() = {
            extern "C" fn before_main() {
                $run()
            }
            before_main
        };
    };
}
