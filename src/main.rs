//! `agent`: the guest's program. Parse, call, exit status; the rest is the library.

use agent::init::Name;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next();
    let rest: Vec<OsString> = arguments.collect();
    // An image that was made for another init calls this program by that one's name.
    let name = program.as_deref().map_or(Name::Agent, Name::of);
    if name != Name::Agent {
        return agent::init::main(name, rest).into();
    }
    // PID 1 is entered before the machinery of the other commands is touched: what it
    // pages in, it keeps.
    if let Some((first, rest)) = rest.split_first()
        && first == "init"
    {
        return agent::init::main(Name::Agent, rest.to_vec()).into();
    }
    agent::cli::main(program.into_iter().chain(rest).collect()).into()
}
