//! What a plan needs to know of the machine it is for.

use super::guest::Told;
use super::user_data::{PartWork, UserDataState};
use crate::stub::Parameters;
use crate::stub::told::CloudConfig;
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The machine, as far as it decides the plan.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whose sandbox it is.
    pub user: SandboxUser,
    /// How the agent becomes that user.
    pub switch: Switch,
    /// Which container or machine it is.
    pub instance: Instance,
    /// The image's PATH.
    pub image_path: String,
    /// The mise program, where there is one.
    pub mise: Option<PathBuf>,
    /// Where the files about tools lie.
    pub places: Places,
    /// Is there a user's own mise config?
    pub user_manifest: bool,
    /// The user script.
    pub payload: Payload,
    /// What the launch says of the guest.
    pub told: Told,
    /// A cloud-init is on this machine, and enabled.
    pub cloud_init: bool,
    /// What the user-data asks of root.
    pub user_data: UserDataState,
    /// The EC2 instance, where this is one and its metadata has been read.
    pub machine: Option<Machine>,
    /// Variables that the boot has found out on the way (the tools phase, for every later
    /// command and the workload).
    pub found: BTreeMap<String, String>,
    /// The file that user-data is taken from, in place of the metadata service.
    pub user_data_file: Option<String>,
    /// What the launch said in this process's environment.
    pub launch: Parameters,
    /// `GIT_CONFIG_COUNT` as it is set already.
    pub git_config_count: u32,
    /// What was noticed on the way that is no error.
    pub notes: Vec<String>,
}

/// An EC2 instance as its metadata describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The block device mapping: virtual name (`ebs1`) to device name (`sdf`).
    pub block_devices: BTreeMap<String, String>,
    /// What the launch said beside the script.
    pub parameters: Parameters,
    /// What cloud-config says of host name and keys.
    #[serde(default)]
    pub cloud: CloudConfig,
}

impl Facts {
    /// Is the agent root, and may it act as one?
    pub fn may_act_as_root(&self) -> bool {
        match self.switch {
            Switch::Same => self.user.uid == 0,
            Switch::Change | Switch::Pending => true,
            Switch::Missing(_) | Switch::Unknown(_) => false,
        }
    }
}

/// The user that the sandbox is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SandboxUser {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups, the primary one first.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// How the agent becomes the sandbox user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is that user already.
    Same,
    /// It changes user for each command.
    Change,
    /// It may not; these capabilities are missing.
    Missing(Vec<&'static str>),
    /// The user is not there yet: the phase `login` makes it. Until then nothing is run as it.
    Pending,
    /// The config names a user that this machine doesn't know.
    Unknown(String),
}

/// The name by which "once an instance" is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Container id, pod UID, machine id, or what the config says.
    pub id: String,
    /// Where that was found.
    pub source: String,
}

/// The user script as it was found, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// A variable's or a file's name.
    pub source: String,
    /// What is there.
    pub state: PayloadState,
}

/// What was found of the user script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadState {
    /// None is given, or it is empty.
    Absent,
    /// It is in the instance's user-data, which has not been read yet.
    Unread,
    /// A script.
    Script {
        /// Length in bytes.
        bytes: usize,
        /// SHA-256 in hexadecimal.
        sha256: String,
        /// Each of several, in order; empty where there is one.
        parts: Vec<PartWork>,
    },
    /// Something that is no script; the text says why, without a byte of it.
    Undecodable(String),
    /// A file that is missing or unreadable; the text says why.
    Unreadable(String),
    /// Both the variable and the file are given.
    Ambiguous,
}
