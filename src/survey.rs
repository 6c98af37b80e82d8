//! What this machine is: the [`Facts`] that a plan needs. Reads, changes nothing.

pub mod guest;
mod machine;
mod user;

pub use machine::{Told, take_in};
pub use user::{Who, groups_of, sandbox_user};

use crate::config::Config;
use crate::plan::{Facts, Instance, Payload, PayloadState, SandboxUser, Switch};
use crate::stub::Parameters;
use crate::stub::payload::{self, Script};
use crate::stub::told::Scripts;
use crate::sys::privilege::{self, Need};
use crate::sys::{files, instance, trusted};
use crate::tools::places::Places;
use crate::tools::policy;
use nix::unistd::{access, geteuid};
use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where programs are looked for when the image says nothing (`environ(7)`, and what
/// container engines set).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Looks at the machine. `payload` is the text of the payload variable. The script (at most one) is
/// returned beside the facts, so that it stands in nothing that is printed.
pub fn survey(config: &Config, payload: Option<&[u8]>) -> (Facts, Scripts) {
    let Who { user, unknown, pending, notes } = sandbox_user(config);
    let image_path = variable("PATH").unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let places = Places::of(&user.home, absolute);
    let (payload, script) = find_script(config, payload, &user);
    let facts = Facts {
        switch: switch_to(&user, unknown, pending),
        instance: instance(config),
        mise: find_mise(config, &image_path),
        image_path,
        user_manifest: places.user_manifest().symlink_metadata().is_ok(),
        places,
        payload,
        told: Default::default(),
        cloud_init: config.ec2.enabled && guest::cloud_init(Path::new("/")),
        machine: None,
        user_data: Default::default(),
        user_data_file: None,
        found: policy::inherited(
            config.tools.backends.as_deref(),
            variable(policy::DENIED).as_deref(),
        ),
        launch: Parameters::from_variables(variable),
        git_config_count: variable("GIT_CONFIG_COUNT").and_then(|n| n.parse().ok()).unwrap_or(0),
        user,
        notes,
    };
    (facts, script.into())
}

/// Looks again whose sandbox it is: the phase `login` has made the user.
pub fn settle_user(facts: &mut Facts, config: &Config) {
    let Who { user, unknown, pending, .. } = sandbox_user(config);
    facts.switch = switch_to(&user, unknown, pending);
    facts.places = Places::of(&user.home, absolute);
    facts.user_manifest = facts.places.user_manifest().symlink_metadata().is_ok();
    facts.user = user;
}

fn switch_to(user: &SandboxUser, unknown: Option<String>, pending: bool) -> Switch {
    match unknown {
        Some(who) => Switch::Unknown(who),
        None if pending => Switch::Pending,
        None => switch(user),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

fn absolute(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from).filter(|p| p.is_absolute())
}

/// Root acts as another user: it becomes that user, gives it its files, and stops its
/// processes.
fn switch(user: &SandboxUser) -> Switch {
    if geteuid().as_raw() == user.uid {
        return Switch::Same;
    }
    let missing: Vec<_> = [Need::SetUid, Need::SetGid, Need::Chown, Need::Kill]
        .into_iter()
        .filter(|need| !privilege::has(*need))
        .map(Need::name)
        .collect();
    if missing.is_empty() { Switch::Change } else { Switch::Missing(missing) }
}

/// Which container or machine this is, as far as can be told without the network: what
/// the config says, else what is found.
pub fn instance(config: &Config) -> Instance {
    if let Some(id) = &config.bootstrap.instance {
        return Instance { id: id.clone(), source: "config".into() };
    }
    // A container sees the firmware of the machine that it runs on.
    if let Some(id) = instance::ec2_instance_id().filter(|_| config.ec2.enabled) {
        return Instance { id, source: "firmware".into() };
    }
    let found = instance::find();
    Instance { id: found.id, source: found.source.into() }
}

fn find_mise(config: &Config, path: &str) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = match &config.tools.mise {
        Some(named) => vec![named.clone()],
        None => path
            .split(':')
            .filter(|d| d.starts_with('/'))
            .map(|d| Path::new(d).join("mise"))
            .collect(),
    };
    candidates
        .into_iter()
        .find(|p| p.is_file() && access(p, nix::unistd::AccessFlags::X_OK).is_ok())
}

fn find_script(
    config: &Config,
    text: Option<&[u8]>,
    user: &SandboxUser,
) -> (Payload, Option<Script>) {
    let variable = format!("${}", payload::VARIABLE);
    let absent = |source: String, state| (Payload { source, state }, None);
    let given = text.is_some_and(|t| !t.trim_ascii().is_empty());
    match (&config.bootstrap.file, given) {
        (None, false) if config.ec2.enabled => absent("user-data".into(), PayloadState::Unread),
        (None, _) => match Script::decode(text.unwrap_or_default()) {
            Ok(script) => found(variable, script),
            Err(e) => absent(variable, PayloadState::Undecodable(e.to_string())),
        },
        (Some(file), true) => absent(file.display().to_string(), PayloadState::Ambiguous),
        (Some(file), false) => {
            let source = file.display().to_string();
            match read_script(file, user) {
                Ok(bytes) => match Script::from_bytes(bytes) {
                    Ok(script) => found(source, Some(script).filter(|s| !s.bytes().is_empty())),
                    Err(e) => absent(source, PayloadState::Undecodable(e.to_string())),
                },
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && config.bootstrap.optional => {
                    absent(source, PayloadState::Absent)
                }
                Err(e) => absent(source, PayloadState::Unreadable(e.to_string())),
            }
        }
    }
}

fn found(source: String, script: Option<Script>) -> (Payload, Option<Script>) {
    let state = match &script {
        Some(s) => {
            PayloadState::Script { bytes: s.bytes().len(), sha256: s.sha256(), parts: Vec::new() }
        }
        None => PayloadState::Absent,
    };
    (Payload { source, state }, script)
}

/// Reads the script file. Root reads for another user only what that user could have read
/// itself, or what it gets to by a way that only root can lay: else a link of the user's
/// would turn root's secrets into a script of the user's.
fn read_script(path: &Path, user: &SandboxUser) -> std::io::Result<Vec<u8>> {
    let file = files::open_regular(path)?;
    if geteuid().is_root()
        && user.uid != 0
        && !readable_by(&file.metadata()?, user)
        && !trusted::leads_to(path, &file)
    {
        return Err(std::io::Error::other(
            "it is root's, and others than root can change the way to it; \
             give the file to the user, or put it where only root can write",
        ));
    }
    let mut bytes = Vec::new();
    file.take(payload::MAX_SCRIPT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Do the permission bits let the user read it?
fn readable_by(m: &Metadata, user: &SandboxUser) -> bool {
    use std::os::unix::fs::MetadataExt;
    let bit = match () {
        () if m.uid() == user.uid => 0o400,
        () if user.groups.contains(&m.gid()) => 0o040,
        () => 0o004,
    };
    m.mode() & bit != 0
}
