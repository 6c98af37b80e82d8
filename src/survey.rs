//! What this machine is: the [`Facts`] that a plan needs. Reads, changes nothing.

use crate::config::Config;
use crate::plan::{Facts, Instance, Payload, PayloadState, SandboxUser, Switch};
use crate::stub::payload::{self, Script};
use crate::sys::privilege::{self, Need};
use crate::sys::users::{Account, Database};
use crate::sys::{files, trusted};
use nix::unistd::{access, getegid, geteuid, getgroups};
use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where programs are looked for when the image says nothing (`environ(7)`, and what
/// container engines set).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The contract's sandbox user.
const CONTRACT_USER: &str = "iteron";

/// Looks at the machine. `payload` is the text of the payload variable. The script is
/// returned beside the facts, so that it stands in nothing that is printed.
pub fn survey(config: &Config, payload: Option<&[u8]>) -> (Facts, Option<Script>) {
    let mut notes = Vec::new();
    let user = sandbox_user(config, &mut notes);
    let image_path = variable("PATH").unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let data_home = absolute("XDG_DATA_HOME").unwrap_or_else(|| user.home.join(".local/share"));
    let config_home = absolute("XDG_CONFIG_HOME").unwrap_or_else(|| user.home.join(".config"));
    let user_mise_config = config_home.join("mise/config.toml");
    let (payload, script) = find_script(config, payload, &user);
    let facts = Facts {
        switch: unknown_user(config).map_or_else(|| switch(&user), Switch::Unknown),
        instance: instance(config),
        mise: find_mise(config, &image_path),
        image_path,
        mise_data: absolute("MISE_DATA_DIR").unwrap_or_else(|| data_home.join("mise")),
        user_mise_config: user_mise_config.symlink_metadata().is_ok().then_some(user_mise_config),
        payload,
        git_config_count: variable("GIT_CONFIG_COUNT").and_then(|n| n.parse().ok()).unwrap_or(0),
        user,
        notes,
    };
    (facts, script)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

fn absolute(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from).filter(|p| p.is_absolute())
}

/// Whoever we are, unless we are root: then whom the config names, the contract's user,
/// or root where there is neither.
pub fn sandbox_user(config: &Config, notes: &mut Vec<String>) -> SandboxUser {
    let database = Database::read(Path::new("/"));
    let (euid, egid) = (geteuid().as_raw(), getegid().as_raw());
    let wanted = &config.user;
    let account: Option<Account> = if euid == 0 {
        match (&wanted.name, wanted.uid) {
            (Some(name), _) => database.by_name(name),
            (None, Some(uid)) => database.by_uid(uid),
            (None, None) => database.by_name(CONTRACT_USER).or_else(|| database.by_uid(0)),
        }
    } else {
        database.by_uid(euid)
    };
    let uid =
        if euid == 0 { wanted.uid.or(account.as_ref().map(|a| a.uid)).unwrap_or(0) } else { euid };
    let named = wanted.name.as_deref().and_then(|name| database.by_name(name));
    if euid != 0 && wanted.uid.or(named.as_ref().map(|a| a.uid)).is_some_and(|w| w != euid) {
        notes.push(format!(
            "the config names another user, but the agent runs as {euid} and cannot change"
        ));
    }
    if euid == 0
        && uid == 0
        && unknown_user(config).is_none()
        && wanted.name.as_deref().is_none_or(|n| n != "root")
    {
        notes.push("no sandbox user is configured: everything runs as root".into());
    }
    let gid = if euid == 0 {
        wanted.gid.or(account.as_ref().map(|a| a.gid)).unwrap_or(uid)
    } else {
        egid
    };
    let name = wanted
        .name
        .clone()
        .filter(|_| euid == 0 || account.is_none())
        .or_else(|| account.as_ref().map(|a| a.name.clone()))
        .unwrap_or_else(|| uid.to_string());
    let groups = if euid == 0 {
        database.groups_of(&name, gid)
    } else {
        let supplementary = getgroups().unwrap_or_default();
        let mut all = vec![gid];
        all.extend(supplementary.iter().map(|g| g.as_raw()).filter(|g| *g != gid));
        all
    };
    // A user that no account knows (an arbitrary uid in a cluster) lives where the image's
    // own user does.
    let home = wanted
        .home
        .clone()
        .or_else(|| account.as_ref().map(|a| a.home.clone()))
        .or_else(|| absolute("HOME").filter(|home| home != Path::new("/")))
        .or_else(|| named.or_else(|| database.by_name(CONTRACT_USER)).map(|a| a.home))
        .unwrap_or_else(|| "/".into());
    let shell = account
        .map(|a| a.shell)
        .filter(|s| !s.as_os_str().is_empty())
        .unwrap_or_else(|| "/bin/sh".into());
    SandboxUser { name, uid, gid, groups, home, shell }
}

/// A user that is named and can be neither looked up nor put together from what was
/// written. Only root has a choice of users.
fn unknown_user(config: &Config) -> Option<String> {
    let wanted = &config.user;
    let database = Database::read(Path::new("/"));
    let account = match (&wanted.name, wanted.uid) {
        (Some(name), _) => database.by_name(name),
        (None, Some(uid)) => database.by_uid(uid),
        (None, None) => return None,
    };
    let whole = wanted.uid.is_some() && wanted.gid.is_some() && wanted.home.is_some();
    let unknown = geteuid().is_root() && account.is_none() && !whole;
    let who = || wanted.name.clone().unwrap_or_else(|| wanted.uid.unwrap_or(0).to_string());
    unknown.then(who)
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

/// Which container or machine this is: what the config says, else what is found.
pub fn instance(config: &Config) -> Instance {
    match &config.bootstrap.instance {
        Some(id) => Instance { id: id.clone(), source: "config".into() },
        None => {
            let found = crate::sys::instance::find();
            Instance { id: found.id, source: found.source.into() }
        }
    }
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
        Some(s) => PayloadState::Script { bytes: s.bytes().len(), sha256: s.sha256() },
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
