//! `agent tools policy`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {}

pub(super) fn main(_args: &PolicyArgs) -> u8 {
    70
}
