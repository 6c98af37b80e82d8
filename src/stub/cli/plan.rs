//! `agent-stub plan`: the guest's plan, on the host.

use super::super::Parameters;
use super::super::payload::{Script, VARIABLE};
use super::super::user_data::{self, UserDataError};
use super::{encode, inspect, json, read_input};
use crate::config::{self, Config, Sources};
use crate::plan::{
    self, Asked, Facts, Instance, Machine, Payload, PayloadState, SandboxUser, Switch,
    UserDataState,
};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Stands for the region, which the instance knows.
const REGION: &str = "region-of-the-instance";

#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 the plan is printed, 1 a file cannot be used, 64 wrong usage.

With --user-data it is the boot of an EC2 machine of the contract, else that of a container.

Examples:
  agent-stub plan --user-data user-data --config machine.toml
  agent-stub render --vm-name default | agent-stub plan --user-data - --json
  agent-stub plan --bootstrap setup.sh")]
pub(super) struct PlanArgs {
    /// The agent's configuration (default: none, the built-in one)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The user's script, for a container
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// The machine's user-data; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "bootstrap")]
    user_data: Option<PathBuf>,
    /// Print JSON (schema agent.plan/1)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &PlanArgs) -> Result<String, String> {
    let nothing = Sources { machine: args.user_data.is_some(), ..Sources::nothing() };
    let sources = match &args.config {
        Some(path) => Sources { main: path.clone(), explicit: true, ..nothing },
        None => nothing,
    };
    let config = config::load(&sources)
        .map_err(|e| e.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let facts = match &args.user_data {
        Some(path) => {
            let (said, undecodable) = match user_data::parse(&read_input(path)?) {
                Ok(parsed) => (parsed, None),
                // The guest sets up the rest, and fails where the script would run.
                Err(UserDataError::Payload { error, rest, .. }) => (*rest, Some(error)),
                Err(e) => return Err(inspect::unusable(path, &e)),
            };
            let mut facts = machine(&config, &said);
            if let Some(e) = undecodable {
                facts.payload.state = PayloadState::Undecodable(e.to_string());
            }
            facts
        }
        None => {
            let script = args.bootstrap.as_deref().map(encode::read_script).transpose()?;
            container(&config, script.as_ref())
        }
    };
    let plan = plan::resolve(&config, &facts, false);
    if args.json { json(&plan) } else { Ok(plan.to_string()) }
}

/// A sandbox of the contract: what a host can know of a guest that isn't there yet.
fn container(config: &Config, script: Option<&Script>) -> Facts {
    let note = "assumed: a sandbox of the contract, with a user's own mise config";
    let state = plan::payload_state(&script.cloned().into());
    assumed(config, "iteron", note, Payload { source: format!("${VARIABLE}"), state })
}

/// A machine of the contract. Its metadata isn't there yet; what the launch says is.
fn machine(config: &Config, said: &user_data::Parsed) -> Facts {
    let note = "assumed: an EC2 machine of the contract, with a user's own mise config";
    let parameters: Parameters = said.parameters.clone();
    let cloud = said.cloud.clone();
    let machine =
        Machine { region: REGION.into(), block_devices: BTreeMap::new(), parameters, cloud };
    let payload = Payload { source: "user-data".into(), state: plan::payload_state(&said.scripts) };
    Facts {
        switch: Switch::Change,
        machine: Some(machine),
        user_data: UserDataState::Asks(Asked::from(&said.duties).into()),
        ..assumed(config, "ubuntu", note, payload)
    }
}

fn assumed(config: &Config, user: &str, note: &str, payload: Payload) -> Facts {
    let name = config.user.name.clone().unwrap_or_else(|| user.into());
    let home = config.user.home.clone().unwrap_or_else(|| Path::new("/home").join(&name));
    let uid = config.user.uid.unwrap_or(1000);
    let gid = config.user.gid.unwrap_or(uid);
    Facts {
        switch: Switch::Same,
        instance: Instance { id: "(new)".into(), source: "host; each sandbox has its own".into() },
        image_path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
        mise: Some(config.tools.mise.clone().unwrap_or_else(|| "/usr/local/bin/mise".into())),
        places: crate::tools::places::Places::of(&home, |_| None),
        user_manifest: true,
        payload,
        told: Default::default(),
        cloud_init: false,
        machine: None,
        user_data: UserDataState::Unread,
        user_data_file: None,
        found: Default::default(),
        launch: Parameters::default(),
        git_config_count: 0,
        notes: vec![note.into()],
        user: SandboxUser { name, uid, gid, groups: vec![gid], home, shell: "/bin/bash".into() },
    }
}
