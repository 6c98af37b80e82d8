//! `agent`: the guest's program. Parse, call, exit status; the rest is the library.
#![cfg_attr(target_env = "gnu", no_main)]

use agent::init::Name;

agent::main!(run);

/// Returns the exit status.
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
