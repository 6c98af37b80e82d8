//! The guest's command line: one file a command, each returning its exit status.
//!
//! `agent init` is not here: PID 1 reads its own few options before any of this is set
//! up (see [`crate::init`]).

mod args;
mod boot;
mod config;
mod internal;
mod plan;
mod status;
mod trial;

use args::{Cli, Command};
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::OsString;

/// Exit status for a command line that cannot be understood; 2 means "degraded" here.
const USAGE: u8 = crate::init::USAGE;

/// Prints to standard output; whoever closed it early has seen enough.
fn print(text: &dyn std::fmt::Display) {
    use std::io::Write;
    let _ = write!(std::io::stdout().lock(), "{text}");
}

/// Runs the command that `arguments` name (the program's own name first).
pub fn main(arguments: Vec<OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return match e.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => USAGE,
            };
        }
    };
    match cli.command {
        Command::Init { arguments } => crate::init::main(arguments),
        Command::Boot(args) => boot::main(&args),
        Command::Plan(args) => plan::main(&args),
        Command::Config { command } => config::main(&command),
        Command::Status(args) => status::main(&args),
        Command::Try(args) => trial::main(args),
        Command::Internal { command } => internal::main(command),
    }
}
