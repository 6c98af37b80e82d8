//! The host's command line: what `agent-stub` understands.

mod check;
mod does;
mod encode;
mod inspect;
mod launch;
mod plan;

use crate::command_line;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The most that is read of a file that may be a user-data, in bytes.
const MAX_READ: u64 = super::payload::MAX_SCRIPT + 1;

/// The host's side of the sandbox: hands the user's script over to the guest.
#[derive(Debug, Parser)]
#[command(name = "agent-stub", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Examples, for machines:
  agent-stub render --vm-name default --efs-id fs-0123456789abcdef0 --output user-data
  agent-stub size                          how much of the 16384 bytes is left
  agent-stub inspect user-data             what a user-data is and would do
  agent-stub check cloud-config.yaml       what of it a machine would not do
  agent-stub plan --user-data user-data --config agent.toml

For containers:
  agent-stub encode setup.sh > sandbox.env && podman run --env-file sandbox.env …
  agent-stub decode sandbox.env            the script's length and hash
  agent-stub plan --config agent.toml --bootstrap setup.sh")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the user-data that a machine is launched with
    Render(launch::RenderArgs),
    /// Tell how a user-data's room is spent, and how much script still fits
    Size(launch::SizeArgs),
    /// Tell what a user-data is, holds and would do
    Inspect(inspect::InspectArgs),
    /// Tell whether a machine would take a user-data, or every reason why not
    Check(check::CheckArgs),
    /// Print the line for a container's --env-file that carries a script
    Encode {
        /// The script
        file: PathBuf,
    },
    /// Tell what script an env-file carries
    Decode {
        /// The env-file, or the bare text of the variable
        file: PathBuf,
        /// Print the script itself, and nothing else
        #[arg(long)]
        show: bool,
    },
    /// Print the boot that a config and a script or user-data would cause
    Plan(plan::PlanArgs),
}

impl Command {
    /// Options that contradict each other, where the parser cannot see it.
    fn misuse(&self) -> Option<&'static str> {
        match self {
            Self::Render(args) => args.launch.misuse(),
            Self::Size(args) => args.launch.misuse(),
            _ => None,
        }
    }
}

/// What a command came to.
#[derive(Debug, Default)]
struct Done {
    /// For standard output.
    text: Vec<u8>,
    /// For standard error, a line each.
    said: Vec<String>,
    /// It failed.
    failed: bool,
}

impl From<Vec<u8>> for Done {
    fn from(text: Vec<u8>) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<String> for Done {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

/// Runs the command that `arguments` name; returns the exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli: Cli = match command_line::read(arguments) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    if let Some(why) = cli.command.misuse() {
        eprintln!("agent-stub: {why}");
        return command_line::USAGE;
    }
    let done = match cli.command {
        Command::Render(args) => launch::render(&args),
        Command::Size(args) => launch::size(&args),
        Command::Inspect(args) => inspect::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Encode { file } => encode::encode(&file).map(Done::from),
        Command::Decode { file, show } => encode::decode(&file, show).map(Done::from),
        Command::Plan(args) => plan::main(&args).map(Done::from),
    };
    let done = done.unwrap_or_else(|e| Done { said: vec![e], failed: true, ..Done::default() });
    for line in &done.said {
        eprintln!("agent-stub: {line}");
    }
    let written = io::stdout().lock().write_all(&done.text);
    u8::from(done.failed || written.is_err())
}

/// The bytes of `path`, or of standard input where it is `-`.
fn read_input(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_READ).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|f| f.take(MAX_READ).read_to_end(&mut bytes))
    };
    read.map(|_| bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// JSON as it is printed.
fn json(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|e| e.to_string())
}
