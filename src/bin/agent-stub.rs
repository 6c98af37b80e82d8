//! `agent-stub`: the host's program. It runs where sandboxes are launched from, so it is
//! built of the portable half of the library alone.

use agent::stub::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os()).into()
}
