//! `agent config`.

use super::args::ConfigCommand;
use super::print;
use crate::config::{self, ConfigError, Sources};

pub(super) fn main(command: &ConfigCommand) -> u8 {
    let ConfigCommand::Check { files } = command;
    if files.is_empty() {
        return match config::load(&Sources::standard()) {
            Ok(config) if config.sources.is_empty() => {
                print(&"nothing is configured; the defaults hold\n");
                0
            }
            Ok(config) => {
                print(&format_args!("ok: {}\n", config.sources.join(", ")));
                0
            }
            Err(e) => print_errors(&e.errors),
        };
    }
    let mut failed = 0;
    for file in files {
        // The environment is no part of the file that is checked.
        let sources = Sources { environment: Vec::new(), ..Sources::file(file) };
        match config::load(&sources) {
            Ok(_) => print(&format_args!("{}: ok\n", file.display())),
            Err(e) => failed = print_errors(&e.errors),
        }
    }
    failed
}

/// Prints errors in the form that editors jump to; returns the exit status.
pub(super) fn print_errors(errors: &[ConfigError]) -> u8 {
    for error in errors {
        eprintln!("{error}");
    }
    1
}
