//! A program that begins at C's `main`, without what Rust does before its own.
//!
//! To an init that is of no use, and was half of its instructions: the bounds of the stack out of
//! /proc/self/maps, a second stack, a handler on it. What does matter of it, that no file is
//! opened as standard output and that what stands in a buffer is written, is done here.

use super::process;
use std::io::Write;

/// Runs `program` for C's `main`; returns the exit status.
pub fn run(program: fn() -> u8) -> std::ffi::c_int {
    process::open_standard();
    let status = program();
    let _ = std::io::stdout().flush();
    status.into()
}

/// Makes a function that returns the exit status the program's `main`: on glibc C's, which has
/// given the arguments to the standard library too, elsewhere Rust's. The crate is `no_main` where
/// it is C's.
#[macro_export]
macro_rules! main {
    ($program:path) => {
        #[cfg(target_env = "gnu")]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> std::ffi::c_int {
            $crate::sys::c_main::run($program)
        }

        #[cfg(not(target_env = "gnu"))]
        fn main() -> std::process::ExitCode {
            $program().into()
        }
    };
}
