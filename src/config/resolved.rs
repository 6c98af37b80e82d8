//! The checked configuration: every key has its value, and what contradicts itself
//! has been refused.

use super::error::ConfigError;
use super::guest::{self, Guest};
use super::health::{self, Health};
use super::idle::{self, Idle};
use super::layer::{Layer, MountLayer, VolumeLayer};
use super::step::{self, Step};
use super::storage::{self, Ebs, Efs, Home};
use super::user_data::UserData;
use super::value::{
    self, BaselineMode, Bytes, LogFormat, LogLevel, OnBootFailure, OnFailure, Retry, ScriptUser,
    Span, ToolsMode,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Everything the operator decided.
#[derive(Clone, Debug)]
pub struct Config {
    /// The sandbox user, as far as it was written.
    pub user: User,
    /// The boot as a whole.
    pub boot: Boot,
    /// How PID 1 stops.
    pub init: Init,
    /// The provisioning steps, in order.
    pub steps: Vec<Step>,
    /// The mount points that the sandbox needs, in order.
    pub volumes: Vec<Volume>,
    /// What the home must hold once the volumes are there.
    pub home: Home,
    /// Reconciling with mise.
    pub tools: Tools,
    /// What the machine must have before the user's script runs.
    pub health: Health,
    /// The user's script.
    pub bootstrap: Bootstrap,
    /// What the user-data of a machine asks of root.
    pub user_data: UserData,
    /// The instance metadata, and the tags.
    pub ec2: Ec2,
    /// When an unused machine stops itself.
    pub idle: Idle,
    /// The duties of a machine's guest agent.
    pub guest: Guest,
    /// Log lines.
    pub log: Log,
    /// What was read, lowest first; empty where the defaults stand alone.
    pub sources: Vec<String>,
}

/// The sandbox user as written; what is missing is looked up on the machine.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// Login name.
    pub name: Option<String>,
    /// User id.
    pub uid: Option<u32>,
    /// Primary group id.
    pub gid: Option<u32>,
    /// Home directory.
    pub home: Option<PathBuf>,
}

/// `[boot]`.
#[derive(Clone, Debug)]
pub struct Boot {
    /// What a failed boot means for the workload.
    pub on_failure: OnBootFailure,
    /// Deadline of the whole boot.
    pub deadline: Span,
    /// From TERM to KILL for a command past its deadline.
    pub grace: Span,
}

/// `[init]`. Both together stay well inside the 10 s that engines allow by default.
#[derive(Clone, Debug)]
pub struct Init {
    /// From TERM to KILL for the workload.
    pub grace: Span,
    /// From TERM to KILL for what is left after it.
    pub leftover_grace: Span,
}

/// One mount point.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// Where; `~` stands for the sandbox user's home.
    pub target: PathBuf,
    /// Does a problem with it fail the boot?
    pub required: bool,
    /// The mount source that must be found there.
    pub source: Option<String>,
    /// Accepted filesystem types; empty accepts any.
    pub fstype: Vec<String>,
    /// Must the sandbox user be able to write to it?
    pub writable: bool,
    /// Must it belong to the sandbox user?
    pub owned: bool,
    /// Give it to the sandbox user where it is another's.
    pub chown: bool,
    /// Free bytes below which it counts as full.
    pub min_free: Bytes,
    /// Free inodes below which it counts as full.
    pub min_inodes: u64,
    /// What a full volume means.
    pub on_full: OnFailure,
    /// Files for an empty volume.
    pub skeleton: Option<PathBuf>,
    /// Directories to make beneath it.
    pub directories: Vec<PathBuf>,
    /// What to mount there.
    pub mount: Option<MountRequest>,
    /// The EFS file system that belongs there, as it was written.
    #[serde(skip)]
    pub efs: Option<Efs>,
    /// The EBS volume that belongs there, as it was written.
    #[serde(skip)]
    pub ebs: Option<Ebs>,
}

/// What the agent mounts itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MountRequest {
    /// Device, export or pseudo-name.
    pub source: String,
    /// Filesystem type.
    pub fstype: String,
    /// Options as in fstab.
    pub options: Vec<String>,
    /// Deadline, in milliseconds where it is printed.
    #[serde(skip_deserializing, default = "mount_deadline")]
    pub deadline: Span,
}

/// How long a mount may take where nothing is written.
fn mount_deadline() -> Span {
    Span::seconds(30)
}

impl Volume {
    /// What a problem with it means.
    pub fn on_failure(&self) -> OnFailure {
        if self.required { OnFailure::Fail } else { OnFailure::Degrade }
    }
}

/// `[tools]`.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Whether the phase runs.
    pub enabled: ToolsMode,
    /// The mise program; found on PATH where `None`.
    pub mise: Option<PathBuf>,
    /// The backends that may resolve; `None` leaves it to mise's own settings.
    pub backends: Option<Vec<String>>,
    /// Whether a user's config may replace the image's tools.
    pub baseline: BaselineMode,
    /// Directories that are synced; a leading `~/` is the sandbox user's home.
    pub workspaces: Vec<PathBuf>,
    /// What a missing tool means.
    pub on_failure: OnFailure,
    /// Deadline of the phase.
    pub deadline: Span,
    /// Attempts in all where the network fails.
    pub attempts: u32,
    /// Further variables for mise.
    pub pass_environment: Vec<String>,
}

/// `[bootstrap]`.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The script as a file.
    pub file: Option<PathBuf>,
    /// Is it well when the file is missing?
    pub optional: bool,
    /// Who runs it.
    pub user: ScriptUser,
    /// Whether a bad end is tried again.
    pub retry: Retry,
    /// Deadline of the script.
    pub deadline: Span,
    /// The instance's name.
    pub instance: Option<String>,
    /// Further variables of the script.
    pub environment: BTreeMap<String, String>,
    /// Rewrite SSH addresses of public forges to HTTPS.
    pub git_https: bool,
}

/// `[ec2]`.
#[derive(Clone, Debug)]
pub struct Ec2 {
    /// Is the metadata read?
    pub enabled: bool,
    /// The metadata service's addresses, in order.
    pub endpoints: Vec<String>,
    /// Deadline of one request to it.
    pub request_deadline: Span,
    /// Deadline of reading the metadata.
    pub deadline: Span,
    /// Are the tags written?
    pub tags: bool,
    /// The EC2 API's address; the region's own where `None`.
    pub api: Option<String>,
    /// Deadline of one call of the EC2 API.
    pub api_deadline: Span,
    /// Deadline of writing all tags.
    pub tags_deadline: Span,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// Form of the lines.
    pub format: LogFormat,
    /// Least severe events shown.
    pub level: LogLevel,
    /// Size at which a command's log is cut off.
    pub max_size: Bytes,
}

impl Default for Config {
    /// The contract of the container: one volume at the home, tools by mise, the
    /// user's script from the environment.
    fn default() -> Self {
        Self {
            user: User::default(),
            boot: Boot {
                on_failure: OnBootFailure::Exit,
                deadline: Span::seconds(60 * 60),
                grace: Span::seconds(5),
            },
            init: Init { grace: Span::seconds(7), leftover_grace: Span::seconds(1) },
            steps: Vec::new(),
            volumes: vec![default_volume(Path::new("~"))],
            home: Home::default(),
            tools: Tools {
                enabled: ToolsMode::On,
                mise: None,
                backends: Some(["npm", "github"].map(str::to_owned).to_vec()),
                baseline: BaselineMode::Pinned,
                workspaces: Vec::new(),
                on_failure: OnFailure::Degrade,
                deadline: Span::seconds(15 * 60),
                attempts: 3,
                pass_environment: Vec::new(),
            },
            health: Health::default(),
            bootstrap: Bootstrap {
                file: None,
                optional: false,
                user: ScriptUser::Sandbox,
                retry: Retry::Never,
                deadline: Span::seconds(30 * 60),
                instance: None,
                environment: BTreeMap::new(),
                git_https: true,
            },
            user_data: UserData::default(),
            ec2: Ec2 {
                enabled: false,
                // The IPv6 address answers on Nitro instances in subnets that have IPv6.
                endpoints: ["http://169.254.169.254", "http://[fd00:ec2::254]"]
                    .map(str::to_owned)
                    .to_vec(),
                request_deadline: Span::seconds(2),
                deadline: Span::seconds(90),
                tags: true,
                api: None,
                api_deadline: Span::seconds(10),
                tags_deadline: Span::seconds(5 * 60),
            },
            idle: Idle::default(),
            guest: Guest::default(),
            log: Log { format: LogFormat::Text, level: LogLevel::Info, max_size: Bytes(64 << 20) },
            sources: Vec::new(),
        }
    }
}

/// A volume of which only the target was written. The home's own gets the user's
/// directory for programs, and the machine's skeleton where it is empty.
fn default_volume(target: &Path) -> Volume {
    let home = target == Path::new("~");
    Volume {
        target: target.into(),
        required: true,
        source: None,
        fstype: Vec::new(),
        writable: true,
        owned: home,
        chown: false,
        min_free: Bytes(64 << 20),
        min_inodes: 1000,
        on_full: OnFailure::Degrade,
        skeleton: home.then(|| "/etc/skel".into()),
        directories: if home { vec![".local/bin".into()] } else { Vec::new() },
        mount: None,
        efs: None,
        ebs: None,
    }
}

/// Fills a merged layer up with the defaults and refuses what cannot be meant.
///
/// # Errors
/// A contradiction, named with the key to change.
pub fn config_of(layer: Layer, origin: &str) -> Result<Config, ConfigError> {
    let mut c = Config::default();
    let Layer { user, boot, init, step, volume, home, tools, health, bootstrap, .. } = layer;
    let Layer { user_data, ec2, idle, guest, log, .. } = layer;
    c.user = User { name: user.name, uid: user.uid, gid: user.gid, home: user.home };
    set(&mut c.boot.on_failure, boot.on_failure);
    set(&mut c.boot.deadline, boot.deadline);
    set(&mut c.boot.grace, boot.grace);
    set(&mut c.init.grace, init.grace);
    set(&mut c.init.leftover_grace, init.leftover_grace);
    set(&mut c.ec2.enabled, ec2.enabled);
    if c.ec2.enabled {
        // A machine's home is a directory of its disk, and it need not have mise.
        c.volumes = Vec::new();
        c.tools.enabled = ToolsMode::Auto;
        c.tools.backends = None;
    }
    set(&mut c.ec2.endpoints, ec2.endpoints);
    set(&mut c.ec2.request_deadline, ec2.request_deadline);
    set(&mut c.ec2.deadline, ec2.deadline);
    set(&mut c.ec2.tags, ec2.tags);
    c.ec2.api = ec2.api;
    set(&mut c.ec2.api_deadline, ec2.api_deadline);
    set(&mut c.ec2.tags_deadline, ec2.tags_deadline);
    c.idle = idle::resolve(idle, c.ec2.enabled, origin)?;
    c.steps = step::resolve(step.as_deref().unwrap_or_default())?;
    if let Some(volumes) = volume {
        c.volumes = volumes.into_iter().map(|v| volume_of(v, origin)).collect::<Result<_, _>>()?;
    }
    c.home = storage::home_of(home, origin)?;
    set(&mut c.tools.enabled, tools.enabled);
    c.tools.mise = tools.mise;
    c.tools.backends = tools.backends.or(c.tools.backends);
    set(&mut c.tools.baseline, tools.baseline);
    set(&mut c.tools.workspaces, tools.workspaces);
    set(&mut c.tools.on_failure, tools.on_failure);
    set(&mut c.tools.deadline, tools.deadline);
    set(&mut c.tools.attempts, tools.attempts);
    set(&mut c.tools.pass_environment, tools.pass_environment);
    c.health = health::resolve(health, origin)?;
    c.guest = guest::resolve(guest, origin)?;
    c.bootstrap.file = bootstrap.file;
    set(&mut c.bootstrap.optional, bootstrap.optional);
    set(&mut c.bootstrap.user, bootstrap.user);
    set(&mut c.bootstrap.retry, bootstrap.retry);
    set(&mut c.bootstrap.deadline, bootstrap.deadline);
    c.bootstrap.instance = bootstrap.instance;
    set(&mut c.bootstrap.environment, bootstrap.environment);
    set(&mut c.bootstrap.git_https, bootstrap.git_https);
    c.user_data = user_data.resolve();
    set(&mut c.log.format, log.format);
    set(&mut c.log.level, log.level);
    set(&mut c.log.max_size, log.max_size);
    refuse_contradictions(&c, origin)?;
    Ok(c)
}

fn set<T>(place: &mut T, written: Option<T>) {
    if let Some(value) = written {
        *place = value;
    }
}

fn volume_of(layer: VolumeLayer, origin: &str) -> Result<Volume, ConfigError> {
    let Some(target) = layer.target else {
        return Err(ConfigError::of(
            origin,
            "a [[volume]] has no `target`",
            "write target = \"/path\"",
        ));
    };
    let mut v = default_volume(&target);
    v.efs = layer.efs.map(storage::efs_of);
    v.ebs = layer.ebs.map(storage::ebs_of);
    // A disk that holds nothing but what the user puts there is the user's.
    (v.owned, v.chown) = (v.owned || v.ebs.is_some(), v.ebs.is_some());
    set(&mut v.required, layer.required);
    v.source = layer.source;
    set(&mut v.fstype, layer.fstype);
    set(&mut v.writable, layer.writable);
    set(&mut v.owned, layer.owned);
    set(&mut v.chown, layer.chown);
    set(&mut v.min_free, layer.min_free);
    set(&mut v.min_inodes, layer.min_inodes);
    set(&mut v.on_full, layer.on_full);
    if let Some(skeleton) = layer.skeleton {
        v.skeleton = (!skeleton.as_os_str().is_empty()).then_some(skeleton);
    }
    set(&mut v.directories, layer.directories);
    v.mount = layer.mount.map(|m| mount_of(m, &target, origin)).transpose()?;
    storage::refuse(&v, origin)?;
    Ok(v)
}

fn mount_of(m: MountLayer, target: &Path, origin: &str) -> Result<MountRequest, ConfigError> {
    let missing = |key: &str| {
        ConfigError::of(
            origin,
            format!("volume {} says `mount` without `{key}`", target.display()),
            format!("write mount = {{ source = \"…\", fstype = \"…\" }} with a {key}"),
        )
    };
    Ok(MountRequest {
        source: m.source.ok_or_else(|| missing("source"))?,
        fstype: m.fstype.ok_or_else(|| missing("fstype"))?,
        options: m.options.unwrap_or_default(),
        deadline: m.deadline.unwrap_or_else(mount_deadline),
    })
}

fn refuse_contradictions(c: &Config, origin: &str) -> Result<(), ConfigError> {
    let refuse = |message: String, hint: &str| Err(ConfigError::of(origin, message, hint));
    for v in &c.volumes {
        let target = v.target.display();
        if !(v.target.is_absolute() || v.target == Path::new("~")) {
            return refuse(
                format!("volume target \"{target}\" is relative"),
                "write an absolute path, or \"~\"",
            );
        }
        if v.target == Path::new("/") || v.target.components().any(|c| c == Component::ParentDir) {
            return refuse(
                format!("volume target \"{target}\" is no place to mount something"),
                "write the path of a directory below /, without \"..\"",
            );
        }
        if c.volumes.iter().filter(|o| o.target == v.target).count() > 1 {
            return refuse(format!("volume {target} is declared twice"), "join the two entries");
        }
        if let Some(bad) = v.directories.iter().find(|d| !stays_beneath(d)) {
            return refuse(
                format!("volume {target}: directory \"{}\" leaves the volume", bad.display()),
                "write a relative path without \"..\"",
            );
        }
    }
    if c.tools.attempts == 0 || c.tools.attempts > 20 {
        return refuse(
            format!("tools.attempts is {}", c.tools.attempts),
            "write a number from 1 to 20; tools.enabled = \"off\" skips the phase",
        );
    }
    let stop = c.init.grace.0 + c.init.leftover_grace.0;
    if stop > std::time::Duration::from_secs(25) {
        return refuse(
            format!("init.grace and init.leftover_grace make {} together", Span(stop)),
            "keep their sum at 25 s or less: a stop must end within 30 s",
        );
    }
    if c.boot.grace.0 >= c.init.grace.0 {
        return refuse(
            format!(
                "boot.grace ({}) is not shorter than init.grace ({})",
                c.boot.grace, c.init.grace
            ),
            "a boot that is stopped needs time to record it: keep boot.grace below init.grace",
        );
    }
    if let Some(bad) = c.ec2.endpoints.iter().find(|e| value::endpoint(e).is_none()) {
        return refuse(
            format!("ec2.endpoints: {bad:?} is not http://ADDRESS[:PORT] with an IP address"),
            "write one such as \"http://169.254.169.254\" or \"http://[fd00:ec2::254]\"",
        );
    }
    if let Some(address) = &c.ec2.api {
        let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        if host.is_none_or(|h| h.is_empty() || h.contains(['@', '?', '#', ' '])) {
            return refuse(
                format!("ec2: {address:?} is no address of a service"),
                "write one such as \"https://ec2.eu-central-1.api.aws\"",
            );
        }
    }
    if c.ec2.enabled && c.ec2.endpoints.is_empty() {
        return refuse(
            "ec2.endpoints is empty".into(),
            "name one, or leave the key out; ec2.enabled = false reads no metadata",
        );
    }
    if let Some(name) = c.tools.backends.iter().flatten().find(|n| !is_backend_name(n)) {
        return refuse(
            format!("tools.backends: {name:?} is no name of a mise backend"),
            "write names such as \"npm\" and \"github\", without a colon; `mise backends` lists them",
        );
    }
    if let Some(path) = c.tools.workspaces.iter().find(|p| !is_workspace(p)) {
        return refuse(
            format!("tools.workspaces: \"{}\" is not below the home", path.display()),
            "write a directory such as \"~/projects/site\"",
        );
    }
    if c.log.max_size.0 < 4096 {
        return refuse(
            format!("log.max_size is {}", c.log.max_size),
            "write 4KiB or more: a log shorter than that tells nothing",
        );
    }
    if let Some(id) = &c.bootstrap.instance
        && (id.is_empty() || id.len() > 128 || !id.bytes().all(is_name_byte) || id.starts_with('.'))
    {
        return refuse(
            format!("bootstrap.instance {id:?} cannot name an instance"),
            "use 1 to 128 letters, digits, and the signs - _ .",
        );
    }
    if let Some(name) = c.bootstrap.environment.keys().find(|n| !is_variable_name(n)) {
        return refuse(
            format!("bootstrap.environment: {name:?} is no variable name"),
            "use letters, digits and underscores, no digit first",
        );
    }
    for (key, path) in [
        ("user.home", &c.user.home),
        ("tools.mise", &c.tools.mise),
        ("bootstrap.file", &c.bootstrap.file),
    ] {
        if let Some(path) = path
            && !path.is_absolute()
        {
            return refuse(
                format!("{key} \"{}\" is relative", path.display()),
                "write an absolute path",
            );
        }
    }
    Ok(())
}

pub(super) fn stays_beneath(path: &Path) -> bool {
    path.components().all(|c| matches!(c, Component::Normal(_))) && path.components().count() > 0
}

/// mise's own backends and its plugins have such names.
fn is_backend_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(is_name_byte)
}

fn is_workspace(path: &Path) -> bool {
    path.strip_prefix("~").is_ok_and(stays_beneath)
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

pub(super) fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
