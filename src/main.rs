//! `agent`: the guest's program. Parse, call, exit status; the rest is the library.
#![allow(unsafe_code)] // one attribute: see EARLY

use agent::init::Name;
use agent::sys::process;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Where there is no EARLY, PID 1 comes this way too.
    match init() {
        Some(status) => status.into(),
        None => agent::cli::main(std::env::args_os().collect()).into(),
    }
}

/// PID 1, which is entered before the machinery of the other commands is touched: what it pages
/// in, it keeps. `None` where something else is asked for.
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

/// What Rust does before `main` is of no use to an init and would be half of its instructions:
/// the bounds of the stack out of /proc/self/maps, a second stack, a handler on it. glibc calls
/// the functions of this section before that; among them, and first, the one by which
/// `std::env::args_os` gets the arguments. The part of Rust's start that does matter, that no
/// file is opened as standard output, is done here.
#[cfg(target_env = "gnu")]
#[used]
#[unsafe(link_section = ".init_array")]
static EARLY: extern "C" fn() = {
    extern "C" fn early() {
        process::open_standard();
        if let Some(status) = init() {
            process::exit(status);
        }
    }
    early
};
