//! `agent tools export`, `import` and `sync-list`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {}

#[derive(Debug, Args)]
pub(crate) struct SyncListArgs {}

pub(super) fn export(_args: &ExportArgs) -> u8 {
    70
}

pub(super) fn import(_args: &ImportArgs) -> u8 {
    70
}

pub(super) fn list(_args: &SyncListArgs) -> u8 {
    70
}
