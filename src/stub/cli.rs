//! The host's command line: what `agent-stub` understands.

use super::payload::{PayloadError, Script, VARIABLE};
use crate::command_line;
use crate::config::{self, Config, Sources};
use crate::plan::{self, Facts, Instance, Payload, PayloadState, SandboxUser, Switch};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The kernel takes no environment string longer than this (`execve(2)`, MAX_ARG_STRLEN:
/// 32 pages), name and terminator included.
const MAX_VARIABLE: usize = 32 * 4096;

/// The host's side of the sandbox: hands the user's script over to the guest.
#[derive(Debug, Parser)]
#[command(name = "agent-stub", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  agent-stub encode setup.sh > sandbox.env && podman run --env-file sandbox.env …
  agent-stub decode sandbox.env            the script's length and hash
  agent-stub plan --config agent.toml --bootstrap setup.sh")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
    /// Print the boot that a config and a script would cause in a sandbox of the contract
    Plan(PlanArgs),
}

#[derive(Debug, Args)]
struct PlanArgs {
    /// The agent's configuration (default: none, the built-in one)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The user's script
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// Print JSON (schema agent.plan/1)
    #[arg(long)]
    json: bool,
}

/// Runs the command that `arguments` name; returns the exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli: Cli = match command_line::read(arguments) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    let done = match cli.command {
        Command::Encode { file } => encode(&file),
        Command::Decode { file, show } => decode(&file, show),
        Command::Plan(args) => print_plan(&args),
    };
    match done {
        Ok(text) => {
            use std::io::Write;
            u8::from(std::io::stdout().write_all(&text).is_err())
        }
        Err(e) => {
            eprintln!("agent-stub: {e}");
            1
        }
    }
}

fn read_script(path: &Path) -> Result<Script, String> {
    let place = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let bytes = fs::read(path).map_err(|e| place(&e))?;
    Script::from_bytes(bytes).map_err(|e| place(&e))
}

fn encode(path: &Path) -> Result<Vec<u8>, String> {
    let line = format!("{VARIABLE}={}\n", read_script(path)?.encode());
    if line.len() > MAX_VARIABLE {
        return Err(format!(
            "{}: the encoded script has {} bytes, an environment variable takes {MAX_VARIABLE}; \
             mount it as a file and name it in bootstrap.file instead",
            path.display(),
            line.len()
        ));
    }
    Ok(line.into_bytes())
}

fn decode(path: &Path, show: bool) -> Result<Vec<u8>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let name = format!("{VARIABLE}=");
    let value = text.lines().rev().find_map(|l| l.strip_prefix(&name)).unwrap_or(&text);
    match Script::decode(value.as_bytes()) {
        Ok(Some(script)) if show => Ok(script.bytes().to_vec()),
        Ok(Some(s)) => Ok(format!("{} bytes, sha256 {}\n", s.bytes().len(), s.sha256()).into()),
        Ok(None) => Ok(b"no script\n".to_vec()),
        Err(e) => Err(undecodable(path, &e)),
    }
}

fn undecodable(path: &Path, e: &PayloadError) -> String {
    format!("{}: {e}; encode the script again with `agent-stub encode`", path.display())
}

fn print_plan(args: &PlanArgs) -> Result<Vec<u8>, String> {
    let config = match &args.config {
        Some(path) => config::load(&Sources { environment: Vec::new(), ..Sources::file(path) })
            .map_err(|e| e.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?,
        None => Config::default(),
    };
    let script = args.bootstrap.as_deref().map(read_script).transpose()?;
    let plan = plan::resolve(&config, &assumed(&config, script.as_ref()), false);
    let text = if args.json {
        serde_json::to_string_pretty(&plan).map_err(|e| e.to_string())? + "\n"
    } else {
        plan.to_string()
    };
    Ok(text.into_bytes())
}

/// A sandbox of the contract: what a host can know of a guest that isn't there yet.
fn assumed(config: &Config, script: Option<&Script>) -> Facts {
    let name = config.user.name.clone().unwrap_or_else(|| "iteron".into());
    let home = config.user.home.clone().unwrap_or_else(|| Path::new("/home").join(&name));
    let uid = config.user.uid.unwrap_or(1000);
    let gid = config.user.gid.unwrap_or(uid);
    let state = script.map_or(PayloadState::Absent, |s| PayloadState::Script {
        bytes: s.bytes().len(),
        sha256: s.sha256(),
    });
    Facts {
        switch: Switch::Same,
        instance: Instance { id: "(new)".into(), source: "host; each sandbox has its own".into() },
        image_path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        mise: Some(config.tools.mise.clone().unwrap_or_else(|| "/usr/local/bin/mise".into())),
        mise_data: home.join(".local/share/mise"),
        user_mise_config: Some(home.join(".config/mise/config.toml")),
        payload: Payload { source: format!("${VARIABLE}"), state },
        machine: None,
        user_data_file: None,
        launch: Default::default(),
        git_config_count: 0,
        notes: vec!["assumed: a sandbox of the contract, with a user's own mise config".into()],
        user: SandboxUser { name, uid, gid, groups: vec![gid], home, shell: "/bin/bash".into() },
    }
}
