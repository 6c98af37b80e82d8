//! `agent`: the guest's program. Parse, call, exit status; the rest is the library.
//!
//! On glibc the program begins at C's `main`, without what Rust does before its own. To an init
//! that is of no use, and was half of its instructions: the bounds of the stack out of
//! /proc/self/maps, a second stack, a handler on it. What does matter of it is done here.
#![cfg_attr(target_env = "gnu", no_main)]

use agent::init::Name;
#[cfg(target_env = "gnu")]
use std::io::Write;

/// The exit status.
fn run() -> u8 {
    // PID 1 is entered before the machinery of the other commands is touched: what it pages in,
    // it keeps.
    init().unwrap_or_else(|| {
        agent::sys::process::ignore_broken_pipes();
        agent::cli::main(std::env::args_os().collect())
    })
}

/// `None` where something else than an init is asked for.
fn init() -> Option<u8> {
    let mut arguments = std::env::args_os();
    let program = arguments.next()?;
    // An image that was made for another init calls this program by that one's name.
    let name = Name::of(&program);
    if name == Name::Agent && arguments.next()? != "init" {
        return None;
    }
    Some(agent::init::main(name, arguments.collect()))
}

/// The C library calls it by this name; the arguments it has given to the standard library too.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "a name; the program has no other `main`")]
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    agent::sys::process::open_standard();
    let status = run();
    // What stands in its buffer would be lost: flushing it is a part of Rust's end.
    let _ = std::io::stdout().flush();
    status.into()
}

#[cfg(not(target_env = "gnu"))]
fn main() -> std::process::ExitCode {
    run().into()
}
