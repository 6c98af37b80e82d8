//! The way in for `fuzz/`; in no program.

use super::{Name, Parsed};
use crate::init::handoff::Stand;
use std::ffi::OsString;
use std::time::Duration;

/// What was made of a command line.
#[derive(Debug)]
pub enum Read {
    /// The workload's command, and both graces together.
    Run(Vec<OsString>, Duration),
    /// A text, and the exit status.
    Say(String, u8),
}

/// Reads a command line as PID 1 does.
pub fn parse(name: Name, arguments: Vec<OsString>) -> Read {
    match super::parse(name, arguments) {
        Parsed::Run(options) => {
            let stand = options.amend(Stand::default());
            Read::Run(options.command, stand.grace + stand.leftover_grace)
        }
        Parsed::Say(text) | Parsed::SayAside(text) => Read::Say(text, 0),
        Parsed::Wrong(text, status) => Read::Say(text, status),
    }
}
