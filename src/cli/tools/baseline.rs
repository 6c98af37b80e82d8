//! `agent tools baseline`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Make the links; for image builds, as root.
    Link,
}

pub(super) fn main(_command: &BaselineCommand) -> u8 {
    70
}
