//! `agent tools …`: what holds for this machine's tools, asked and done by hand.

pub(super) mod baseline;
pub(super) mod lock;
pub(super) mod policy;
pub(super) mod sync;

use super::config::print_errors;
use crate::config::Config;
use crate::plan::Facts;
use crate::{boot, config, survey};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum ToolsCommand {
    /// Tell which of mise's backends may resolve, and who says otherwise.
    Policy(policy::PolicyArgs),
    /// Tell which programs of the image's tools are linked where no user's config replaces them.
    Baseline {
        #[command(subcommand)]
        command: Option<baseline::BaselineCommand>,
    },
    /// Check lockfiles against the configs beside them.
    Lock {
        #[command(subcommand)]
        command: lock::LockCommand,
    },
    /// Write what goes along to another machine as a tar archive.
    Export(sync::ExportArgs),
    /// Put in place what another machine exported.
    Import(sync::ImportArgs),
    /// Tell what goes along to another machine, what never does, and why.
    SyncList(sync::SyncListArgs),
}

pub(super) fn main(command: &ToolsCommand) -> u8 {
    match command {
        ToolsCommand::Policy(args) => policy::main(args),
        ToolsCommand::Baseline { command } => baseline::main(command.as_ref()),
        ToolsCommand::Lock { command } => lock::main(command),
        ToolsCommand::Export(args) => sync::export(args),
        ToolsCommand::Import(args) => sync::import(args),
        ToolsCommand::SyncList(args) => sync::list(args),
    }
}

/// The configuration and this machine, or the exit status where the configuration has errors,
/// which have been printed.
fn surveyed(file: Option<&PathBuf>) -> Result<(Config, Facts), u8> {
    let config = config::load(&boot::sources(file)).map_err(|e| print_errors(&e.errors))?;
    let (facts, _) = survey::survey(&config, None);
    Ok((config, facts))
}
