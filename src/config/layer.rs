//! One source of configuration as it was written: every key optional, every
//! unknown key an error.

use super::guest::GuestLayer;
use super::idle::StopBy;
use super::step::{self, CommandLine, Group, Label, RunAt, StepUser, Written};
use super::value::{
    BaselineMode, Bytes, LogFormat, LogLevel, OnBootFailure, OnFailure, Retry, ScriptUser, Span,
    ToolsMode,
};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use toml::Spanned;

/// Declares a table of optional keys, and `over`: this layer's keys before those of
/// a lower one. A table is read from a table alone; what serde derives would also take
/// an array, by position.
macro_rules! table {
    ($(#[$meta:meta])* $name:ident { $($(#[$key_meta:meta])* $key:ident : $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(remote = "Self", deny_unknown_fields)]
        pub struct $name { $($(#[$key_meta])* pub $key: Option<$type>,)* }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Table;
                impl<'de> Visitor<'de> for Table {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a table")
                    }
                    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<$name, M::Error> {
                        $name::deserialize(MapAccessDeserializer::new(map))
                    }
                }
                d.deserialize_map(Table)
            }
        }

        impl $name {
            #[allow(dead_code, reason = "an inner table is replaced as a whole")]
            pub(super) fn over(self, lower: Self) -> Self {
                Self { $($key: self.$key.or(lower.$key),)* }
            }
        }
    };
}

pub(super) use table;

table! {
    /// `[user]`: the sandbox user. Defaults come from `/etc/passwd`.
    UserLayer {
        /// Login name.
        name: String,
        /// User id.
        uid: u32,
        /// Primary group id.
        gid: u32,
        /// Home directory.
        home: PathBuf,
    }
}

table! {
    /// `[boot]`: the boot as a whole.
    BootLayer {
        /// What a failed boot means for the workload.
        on_failure: OnBootFailure,
        /// Deadline of the whole boot.
        deadline: Span,
        /// From TERM to KILL for a command past its deadline.
        grace: Span,
    }
}

table! {
    /// `[init]`: how PID 1 stops.
    InitLayer {
        /// From TERM to KILL for the workload.
        grace: Span,
        /// From TERM to KILL for what is left after it.
        leftover_grace: Span,
    }
}

table! {
    /// `[[volume]]`: one mount point that the sandbox needs.
    VolumeLayer {
        /// The mount point; `~` is the sandbox user's home.
        target: PathBuf,
        /// Does a problem with it fail the boot (else it degrades it)?
        required: bool,
        /// The mount source that must be found there.
        source: String,
        /// Filesystem types that are accepted; empty accepts any.
        fstype: Vec<String>,
        /// Must the sandbox user be able to write to it?
        writable: bool,
        /// Must the mount point belong to the sandbox user?
        owned: bool,
        /// Give the mount point (it alone) to the sandbox user where it is another's.
        chown: bool,
        /// Free bytes below which it counts as full.
        min_free: Bytes,
        /// Free inodes below which it counts as full.
        min_inodes: u64,
        /// What a full volume means.
        on_full: OnFailure,
        /// Directory whose files are copied to an empty volume.
        skeleton: PathBuf,
        /// Directories that are made beneath it where they are missing.
        directories: Vec<PathBuf>,
        /// What the agent mounts there itself where nothing is mounted.
        mount: MountLayer,
        /// An EFS file system that belongs there.
        efs: EfsLayer,
        /// An EBS volume that belongs there.
        ebs: EbsLayer,
    }
}

table! {
    /// `volume.mount`: what to mount.
    MountLayer {
        /// Device, export or pseudo-name.
        source: String,
        /// Filesystem type.
        fstype: String,
        /// Mount options, as in fstab.
        options: Vec<String>,
        /// Deadline of the mount.
        deadline: Span,
    }
}

table! {
    /// `[[step]]`: one provisioning step.
    StepLayer {
        /// Its name, by which other sources amend it.
        name: Label,
        /// Program and arguments, or a text for `/bin/sh -c`.
        command: CommandLine,
        /// `root`, `sandbox` (the sandbox user), or a login name.
        user: StepUser,
        /// Further environment variables.
        environment: BTreeMap<String, String>,
        /// Working directory.
        directory: PathBuf,
        /// Deadline of all its attempts together.
        deadline: Span,
        /// Does its failure fail the boot (else it degrades it)?
        required: bool,
        /// How often it is run.
        run: RunAt,
        /// The name that a failure is filed under.
        failure_phase: Label,
        /// Neighbours of the same group run side by side; empty is none.
        group: Group,
        /// Attempts in all.
        attempts: u32,
        /// Where it was written.
        #[serde(skip)]
        written: Written,
    }
}

table! {
    /// `[health]`: what the machine must have before the user's script runs.
    HealthLayer {
        /// Programs on the sandbox user's PATH.
        commands: Vec<String>,
        /// Units that systemd must call active.
        services: Vec<String>,
        /// Paths that must be there.
        files: Vec<PathBuf>,
        /// Paths that must be mount points.
        mounts: Vec<PathBuf>,
        /// Does something that is missing fail the first boot (else it degrades it)?
        required: bool,
        /// Deadline of the check.
        deadline: Span,
    }
}

table! {
    /// `volume.efs`: an EFS file system.
    EfsLayer {
        /// Its id; the launch's `MINT_EFS_ID` where absent.
        id: String,
        /// Host name or IP address of its mount target, in place of the one made of id and region.
        address: String,
        /// The server's port.
        port: u16,
        /// Deadline of mounting it, repetitions included.
        deadline: Span,
    }
}

table! {
    /// `volume.ebs`: an EBS volume.
    EbsLayer {
        /// Volume id or device name; the launch's `MINT_PROJECT_DEV` where absent.
        device: String,
        /// How long it may take to appear.
        wait: Span,
        /// May ext4 be made on it where it is provably blank?
        format: bool,
        /// Is the file system grown to the device's size?
        grow: bool,
        /// Deadline of everything after it has appeared.
        deadline: Span,
    }
}

table! {
    /// `[home]`: what the sandbox user's home must hold once the volumes are there.
    HomeLayer {
        /// Directory whose files are copied where they are missing.
        skeleton: PathBuf,
        /// Directories that are made where they are missing.
        directories: Vec<PathBuf>,
        /// Directories that nobody else may look into.
        private: Vec<PathBuf>,
        /// Symbolic links: name to what it leads to.
        links: BTreeMap<PathBuf, PathBuf>,
    }
}

table! {
    /// `[tools]`: reconciling with mise.
    ToolsLayer {
        /// Whether the phase runs.
        enabled: ToolsMode,
        /// The mise program; found on PATH where absent.
        mise: PathBuf,
        /// The mise backends that may resolve; every other one is denied.
        backends: Vec<String>,
        /// Whether a user's mise config may replace a tool of the image's.
        baseline: BaselineMode,
        /// Directories whose `mise.toml` and `mise.lock` go along in `agent tools export`.
        workspaces: Vec<PathBuf>,
        /// What a tool that can't be installed means.
        on_failure: OnFailure,
        /// Deadline of the whole phase.
        deadline: Span,
        /// How often an install that failed for the network is tried in all.
        attempts: u32,
        /// Further environment variables that mise is given; a trailing `*` matches any ending.
        pass_environment: Vec<String>,
    }
}

table! {
    /// `[bootstrap]`: the user's script.
    BootstrapLayer {
        /// The script as a file, plain or gzip; a mounted secret.
        file: PathBuf,
        /// Is it well when `file` is missing?
        optional: bool,
        /// Who runs it.
        user: ScriptUser,
        /// Whether a script that ended badly is tried again.
        retry: Retry,
        /// Deadline of the script.
        deadline: Span,
        /// The instance's name, where it is not to be found out.
        instance: String,
        /// Further environment variables of the script.
        environment: BTreeMap<String, String>,
        /// Rewrite SSH addresses of public forges to HTTPS for this run.
        git_https: bool,
    }
}

table! {
    /// `[ec2]`: the instance metadata, and the tags.
    Ec2Layer {
        /// Is this machine an EC2 instance whose metadata is to be read?
        enabled: bool,
        /// The metadata service's addresses, in order.
        endpoints: Vec<String>,
        /// Deadline of one request to it.
        request_deadline: Span,
        /// Deadline of reading the metadata, all attempts included.
        deadline: Span,
        /// Are the tags written that tell how the boot ended?
        tags: bool,
        /// The EC2 API's address, in place of the region's own.
        api: String,
        /// Deadline of one call of the EC2 API.
        api_deadline: Span,
        /// Deadline of writing all tags, all attempts included.
        tags_deadline: Span,
    }
}

table! {
    /// `[idle]`: when an unused machine stops itself.
    IdleLayer {
        /// Does it ever?
        enabled: bool,
        /// Unused so long; the launch's `MINT_IDLE_TIMEOUT` where absent.
        timeout: Span,
        /// Counts as used so long after each start and each boot of the agent.
        grace: Span,
        /// The longest single extension by hand.
        extension_max: Span,
        /// How it is stopped.
        stop: StopBy,
        /// Names of further processes that count as use.
        processes: Vec<String>,
    }
}

table! {
    /// `[user_data]`: what the user-data of a machine asks of root.
    UserDataLayer {
        /// Deadline of all of it.
        deadline: Span,
    }
}

table! {
    /// `[log]`: what is written to standard error and to the log files.
    LogLayer {
        /// Form of the lines.
        format: LogFormat,
        /// Least severe events shown.
        level: LogLevel,
        /// Size at which a command's log is cut off.
        max_size: Bytes,
    }
}

/// Everything one source says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// `[user]`.
    #[serde(default)]
    pub user: UserLayer,
    /// `[boot]`.
    #[serde(default)]
    pub boot: BootLayer,
    /// `[init]`.
    #[serde(default)]
    pub init: InitLayer,
    /// `[[step]]`, each with its place.
    pub step: Option<Vec<Spanned<StepLayer>>>,
    /// `[[volume]]`.
    pub volume: Option<Vec<VolumeLayer>>,
    /// `[home]`.
    #[serde(default)]
    pub home: HomeLayer,
    /// `[tools]`.
    #[serde(default)]
    pub tools: ToolsLayer,
    /// `[health]`.
    #[serde(default)]
    pub health: HealthLayer,
    /// `[bootstrap]`.
    #[serde(default)]
    pub bootstrap: BootstrapLayer,
    /// `[user_data]`.
    #[serde(default)]
    pub user_data: UserDataLayer,
    /// `[ec2]`.
    #[serde(default)]
    pub ec2: Ec2Layer,
    /// `[idle]`.
    #[serde(default)]
    pub idle: IdleLayer,
    /// `[guest]`.
    #[serde(default)]
    pub guest: GuestLayer,
    /// `[log]`.
    #[serde(default)]
    pub log: LogLayer,
}

impl Layer {
    /// This layer laid over a lower one.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            user: self.user.over(lower.user),
            boot: self.boot.over(lower.boot),
            init: self.init.over(lower.init),
            step: step::over(self.step, lower.step),
            volume: volumes_over(self.volume, lower.volume),
            home: self.home.over(lower.home),
            tools: self.tools.over(lower.tools),
            health: self.health.over(lower.health),
            bootstrap: self.bootstrap.over(lower.bootstrap),
            user_data: self.user_data.over(lower.user_data),
            ec2: self.ec2.over(lower.ec2),
            idle: self.idle.over(lower.idle),
            guest: self.guest.over(lower.guest),
            log: self.log.over(lower.log),
        }
    }
}

/// An entry whose target is already declared amends it; another is added behind.
fn volumes_over(
    upper: Option<Vec<VolumeLayer>>,
    lower: Option<Vec<VolumeLayer>>,
) -> Option<Vec<VolumeLayer>> {
    let (Some(upper), Some(mut all)) = (upper.clone(), lower.clone()) else {
        return upper.or(lower);
    };
    for volume in upper {
        match all.iter_mut().find(|v| v.target == volume.target) {
            Some(there) => *there = volume.over(there.clone()),
            None => all.push(volume),
        }
    }
    Some(all)
}
