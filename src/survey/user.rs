//! Whose sandbox it is: what the config names, looked up on this machine.

use super::{absolute, guest};
use crate::config::{Config, User, Wanted};
use crate::plan::SandboxUser;
use crate::sys::users::{Account, Database};
use nix::unistd::{getegid, geteuid, getgroups};
use std::path::Path;

/// The container contract's sandbox user.
const CONTRACT_USER: &str = "iteron";

/// The login users of the common machine images, the contract's first.
const LOGIN_USERS: &[&str] = &["ubuntu", "admin", "ec2-user"];

/// The user that was found.
#[derive(Clone, Debug)]
pub struct Who {
    /// The sandbox user; root where `unknown` is set, so that a place for the state is found.
    pub user: SandboxUser,
    /// A user that is named and can be neither looked up nor put together from what was
    /// written.
    pub unknown: Option<String>,
    /// It is not there yet, and the phase `login` makes it.
    pub pending: bool,
    /// What was noticed on the way that is no error.
    pub notes: Vec<String>,
}

/// Whoever we are, unless we are root: then whom the config names, the contract's user,
/// or root where there is neither.
pub fn sandbox_user(config: &Config) -> Who {
    let mut notes = Vec::new();
    let database = Database::read(Path::new("/"));
    let (euid, egid) = (geteuid().as_raw(), getegid().as_raw());
    let wanted = &config.user;
    let account: Option<Account> = if euid == 0 {
        match (&wanted.name, wanted.uid) {
            (Some(name), _) => database.by_name(name),
            (None, Some(uid)) => database.by_uid(uid),
            (None, None) => usual(config, &database)
                .or_else(|| database.by_uid(0).filter(|_| !login_makes(config))),
        }
    } else {
        database.by_uid(euid)
    };
    let pending = account.is_none() && euid == 0 && login_makes(config);
    let unknown = unknown(&config.user, euid, account.as_ref()).filter(|_| !pending);
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
        && unknown.is_none()
        && !pending
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
        .or_else(|| LOGIN_USERS.first().filter(|_| pending).map(|name| (*name).to_owned()))
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
        .or_else(|| pending.then(|| Path::new("/home").join(&name)))
        .or_else(|| absolute("HOME").filter(|home| home != Path::new("/")))
        .or_else(|| named.or_else(|| database.by_name(CONTRACT_USER)).map(|a| a.home))
        .unwrap_or_else(|| "/".into());
    let shell = account
        .map(|a| a.shell)
        .filter(|s| !s.as_os_str().is_empty())
        .unwrap_or_else(|| "/bin/sh".into());
    Who { user: SandboxUser { name, uid, gid, groups, home, shell }, unknown, pending, notes }
}

/// The groups that the user has by now: a provisioning step may have changed them.
pub fn groups_of(user: &SandboxUser) -> Vec<u32> {
    Database::read(Path::new("/")).groups_of(&user.name, user.gid)
}

/// Whose sandbox it is where nothing is written.
fn usual(config: &Config, database: &Database) -> Option<Account> {
    let names: &[&str] = if config.ec2.enabled { LOGIN_USERS } else { &[CONTRACT_USER] };
    names.iter().find_map(|name| database.by_name(name))
}

/// Does the phase `login` make the user where it is missing? One that is known by a number
/// alone is nobody's to make.
fn login_makes(config: &Config) -> bool {
    let named = config.user.name.is_some() || config.user.uid.is_none();
    let here = || config.guest.login == Wanted::On || !guest::cloud_init(Path::new("/"));
    config.ec2.enabled && named && config.guest.login != Wanted::Off && here()
}

/// Only root has a choice of users, so only root can be told of one that nobody knows.
fn unknown(wanted: &User, euid: u32, account: Option<&Account>) -> Option<String> {
    let whole = wanted.uid.is_some() && wanted.gid.is_some() && wanted.home.is_some();
    if euid != 0 || account.is_some() || whole {
        return None;
    }
    wanted.name.clone().or_else(|| wanted.uid.map(|uid| uid.to_string()))
}
