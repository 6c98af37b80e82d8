//! What will be done: an ordered list of phases with concrete commands.
//!
//! A [`Plan`] is pure data. [`resolve`](resolve()) makes it from the [`Config`] and the
//! [`Facts`] of a machine, the engine runs it, `agent plan` prints it. It holds no
//! secret: the user script stands in it by length and hash.
//!
//! [`Config`]: crate::config::Config

mod facts;
mod guest;
mod machine;
mod resolve;
mod storage;
mod text;
mod user_data;

pub use facts::{Facts, Instance, Machine, Payload, PayloadState, SandboxUser, Switch};
pub use guest::{GuestWork, HostnameWork, LoginWork, Told, serves};
pub use machine::{HealthWork, Step, stages};
pub use resolve::{image_path, resolve, user_variables};
pub use storage::{DEVICE, EbsWork, EfsWork, Entry, Storage, VolumeWork, disk_entry};
pub use user_data::{
    Asked, FileWork, PartWork, UserDataState, UserDataWork, definition_of_files, payload_state,
};

use crate::config::Home;
use crate::config::value::{BaselineMode, OnBootFailure, OnFailure, Retry, ScriptUser, Span};
use crate::journal::Problem;
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The version of the plan's JSON form.
pub const SCHEMA: &str = "agent.plan/1";

/// A phase's name; also what a failure is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// The configuration itself, and what it asks of this machine.
    Config,
    /// The instance metadata: which machine this is, and its user-data.
    Metadata,
    /// A machine id of its own.
    MachineId,
    /// The host name.
    Hostname,
    /// SSH host keys.
    HostKeys,
    /// The login user, and who may log in.
    Login,
    /// The root partition and its file system.
    RootDisk,
    /// What the user-data asks of root.
    UserData,
    /// The operator's provisioning steps.
    Provision,
    /// Mount points.
    Volume,
    /// Reconciling with mise.
    Tools,
    /// Health checks of what the machine must have.
    DriftCheck,
    /// The user's bootstrap script.
    UserScript,
}

impl PhaseName {
    /// All there are, in the order in which they run.
    pub const ALL: [Self; 13] = [
        Self::Config,
        Self::Metadata,
        Self::MachineId,
        Self::Hostname,
        Self::HostKeys,
        Self::Login,
        Self::RootDisk,
        Self::UserData,
        Self::Provision,
        Self::Volume,
        Self::Tools,
        Self::DriftCheck,
        Self::UserScript,
    ];

    /// The phase of that name.
    ///
    /// # Errors
    /// There is none; the text names those that there are.
    pub fn parse(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|name| name.word() == word).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|name| name.word()).collect();
            format!("no phase is called so; there are {}", all.join(", "))
        })
    }

    /// Is it one of the guest duties? After one that failed, and after metadata that could
    /// not be read, the others of them are still done: each is a part of the way into the machine.
    pub fn is_guest_duty(self) -> bool {
        matches!(
            self,
            Self::MachineId | Self::Hostname | Self::HostKeys | Self::Login | Self::RootDisk
        )
    }

    /// The name as it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Metadata => "metadata",
            Self::MachineId => "machine-id",
            Self::Hostname => "hostname",
            Self::HostKeys => "host-keys",
            Self::Login => "login",
            Self::RootDisk => "root-disk",
            Self::UserData => "user-data",
            Self::Provision => "provision",
            Self::Volume => "volume",
            Self::Tools => "tools",
            Self::DriftCheck => "drift-check",
            Self::UserScript => "user-script",
        }
    }

    /// The name that a failure of it is filed under where no problem says another. What
    /// the metadata service and the user-data say is configuration, by the contract's names.
    pub fn failure_name(self) -> &'static str {
        match self {
            Self::Metadata => "config",
            other => other.word(),
        }
    }
}

/// A whole boot, before it happens.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The container or machine it is for.
    pub instance: Instance,
    /// Whose sandbox it is.
    pub user: SandboxUser,
    /// What was read, lowest first.
    pub config_files: Vec<String>,
    /// What a failed boot means for the workload.
    pub on_failure: OnBootFailure,
    /// Deadline of the whole boot, in milliseconds.
    pub deadline: Span,
    /// From TERM to KILL for a command, in milliseconds.
    pub grace: Span,
    /// The phases, in order.
    pub phases: Vec<Phase>,
    /// What was noticed on the way that is no error.
    pub notes: Vec<String>,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: PhaseName,
    /// Deadline of the whole phase, in milliseconds.
    pub deadline: Span,
    /// What is done.
    pub work: Work,
}

/// What a phase does.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Nothing, for this reason.
    Skip {
        /// Why.
        reason: String,
    },
    /// It cannot be done, which is already known; the phase fails.
    Refuse {
        /// Why, and the way out.
        problem: Problem,
    },
    /// The instance metadata is read; with it the rest of the plan is made again.
    Metadata(MetadataWork),
    /// A duty of the machine's guest agent.
    Guest(GuestWork),
    /// Boothooks, files, packages and commands of the user-data.
    UserData(Box<UserDataWork>),
    /// The operator's steps are run.
    Provision {
        /// In order.
        steps: Vec<Step>,
    },
    /// Mount points are made and checked.
    Volumes {
        /// In order, each with its target resolved.
        volumes: Vec<VolumeWork>,
        /// What the home must hold afterwards.
        #[serde(skip_serializing_if = "Home::is_empty")]
        home: Home,
    },
    /// Tools are reconciled.
    Tools(Box<ToolsWork>),
    /// What the machine must have is looked for.
    Health(Box<HealthWork>),
    /// The user script is run.
    Script(ScriptWork),
    /// No user script is given; one that was, earlier on this instance, still counts.
    NoScript {
        /// One is asked for (`--again`).
        again: bool,
    },
}

/// Reading the instance metadata.
#[derive(Clone, Debug, Serialize)]
pub struct MetadataWork {
    /// The service's addresses, in order.
    pub endpoints: Vec<String>,
    /// Deadline of one request, in milliseconds.
    pub request_deadline: Span,
    /// Deadline of all of it, in milliseconds.
    pub deadline: Span,
    /// The file that the user-data was taken from, in place of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// What has been read already (`agent plan`, `agent-stub plan`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<Machine>,
}

/// Reconciling with mise.
#[derive(Clone, Debug, Serialize)]
pub struct ToolsWork {
    /// Trusts the user's own config; absent where there is none.
    pub trust: Option<Command>,
    /// Installs what is missing.
    pub install: Command,
    /// Lists what is there, as JSON.
    pub list: Command,
    /// Where the files about tools lie.
    pub places: Places,
    /// The backends that may resolve; `None` leaves it to mise's own settings.
    pub backends: Option<Vec<String>>,
    /// Whether a user's config may replace the image's tools.
    pub baseline: BaselineMode,
    /// Attempts in all where the network fails.
    pub attempts: u32,
    /// What a missing tool means.
    pub on_failure: OnFailure,
}

/// Running the user script.
#[derive(Clone, Debug, Serialize)]
pub struct ScriptWork {
    /// Where it came from.
    pub source: String,
    /// Length in bytes.
    pub bytes: usize,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Each of several, in order; empty where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartWork>,
    /// Who runs it.
    pub user: ScriptUser,
    /// Whether one that ended badly is tried again.
    pub retry: Retry,
    /// Run it whatever the ledger says (`--again`).
    pub again: bool,
    /// Its environment.
    pub environment: Environment,
}

/// One command, run as the sandbox user.
#[derive(Clone, Debug, Serialize)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Its environment.
    pub environment: Environment,
}

/// The environment that a command is given, and no other.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Environment {
    /// Variables passed on from the agent's own where they are set; a trailing `*`
    /// matches any ending.
    pub pass: Vec<String>,
    /// Variables that are set where none of that name is passed on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub default: BTreeMap<String, String>,
    /// Variables that are set whatever was passed on.
    pub set: BTreeMap<String, String>,
}

impl Environment {
    /// Is the variable `name` passed on?
    pub fn passes(&self, name: &str) -> bool {
        name != crate::stub::payload::VARIABLE
            && self.pass.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            })
    }
}
