//! The guest's command line: one file a command, each returning its exit status.
//!
//! `agent init` is not here: PID 1 reads its own few options before any of this is set
//! up (see [`crate::init`]).

mod args;
mod boot;
mod clean;
mod config;
mod idle;
mod internal;
mod logs;
mod plan;
mod status;
mod tags;
mod tools;
mod trial;

use crate::command_line;
use args::{Cli, Command};
use std::ffi::OsString;

/// Prints to standard output; whoever closed it early has seen enough.
fn print(text: &dyn std::fmt::Display) {
    use std::io::Write;
    let _ = write!(std::io::stdout().lock(), "{text}");
}

/// Prints `value` as JSON; `what` names it where that fails. Returns whether it was printed.
fn print_json(value: &impl serde::Serialize, what: &str) -> bool {
    let json = serde_json::to_string_pretty(value);
    match &json {
        Ok(json) => print(&format_args!("{json}\n")),
        Err(e) => eprintln!("agent: {what} cannot be printed: {e}"),
    }
    json.is_ok()
}

/// Runs the command that `arguments` name (the program's own name first).
pub fn main(arguments: Vec<OsString>) -> u8 {
    let cli: Cli = match command_line::read(arguments) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match cli.command {
        Command::Init { arguments } => crate::init::main(crate::init::Name::Agent, arguments),
        Command::Boot(args) => boot::main(&args),
        Command::Plan(args) => plan::main(&args),
        Command::Config { command } => config::main(&command),
        Command::Status(args) => status::main(&args),
        Command::Tags(args) => tags::main(&args),
        Command::Idle(args) => idle::main(&args),
        Command::Clean(args) => clean::main(&args),
        Command::Logs(args) => logs::main(&args),
        Command::Tools { command } => tools::main(&command),
        Command::Try(args) => trial::main(args),
        Command::Internal { command } => internal::main(command),
    }
}
