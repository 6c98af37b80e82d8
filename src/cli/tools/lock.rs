//! `agent tools lock`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Check.
    Check,
}

pub(super) fn main(_command: &LockCommand) -> u8 {
    70
}
