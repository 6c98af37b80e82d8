//! `agent`: the guest's program. Parse, call, exit status; the rest is the library.

use agent::init::Name;
use agent::sys::process;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Where nothing runs before, PID 1 comes this way too.
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

agent::before_main!(|| {
    process::open_standard();
    if let Some(status) = init() {
        process::exit(status);
    }
});
