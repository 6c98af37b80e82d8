//! The guest duties of an EC2 machine, as far as they are known before they are done:
//! `[guest]` and what the launch said → the phases between `metadata` and `provision`.
//!
//! Which of them are in the plan hangs on the configuration alone. Where a duty is left to
//! somebody else (a switch, a cloud-init that is enabled beside) its phase is there and says so.

use super::facts::{Facts, Switch};
use super::{Phase, PhaseName, Work};
use crate::config::value::Span;
use crate::config::{Config, Wanted};
use crate::stub::told::CloudConfig;
use serde::Serialize;

/// What the launch says of the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The metadata has been read.
    pub read: bool,
    /// The metadata's name for the machine, with its domain.
    pub local_hostname: Option<String>,
    /// The launch's public keys, lines of `authorized_keys`.
    pub public_keys: Vec<String>,
}

/// One guest duty.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "duty", rename_all = "kebab-case")]
pub enum GuestWork {
    /// A copied disk gets a machine id of its own.
    MachineId,
    /// The host name is set.
    Hostname(HostnameWork),
    /// SSH host keys are made.
    HostKeys {
        /// Their types, as `ssh-keygen -t` names them.
        types: Vec<String>,
    },
    /// The login user is made, and given the launch's keys.
    Login(LoginWork),
    /// The root partition and its file system are grown.
    RootDisk,
}

/// Setting the host name.
#[derive(Clone, Debug, Serialize)]
pub struct HostnameWork {
    /// With its domain, where it has one; `None` where nobody has said it.
    pub name: Option<String>,
    /// Who says it.
    pub source: &'static str,
    /// It is written in the configuration or the user-data: another one there is set anew.
    pub written: bool,
}

/// The login user.
#[derive(Clone, Debug, Serialize)]
pub struct LoginWork {
    /// Login name.
    pub user: String,
    /// It is not there and is made.
    pub make: bool,
    /// Its numbers and its home, as far as they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The primary group's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// The groups of a user who is made, as far as they exist.
    pub groups: Vec<String>,
    /// Is a sudo rule written for it? Where nobody says, for one that is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sudo: Option<bool>,
    /// Who may log in, lines of `authorized_keys`; `None` where the metadata is not read.
    pub keys: Option<Vec<String>>,
}

/// Does a duty of these words go on here? `Err` says why it does not.
pub fn serves(wanted: Wanted, key: &str, facts: &Facts) -> Result<(), String> {
    match wanted {
        Wanted::Off => Err(format!("guest.{key} is false")),
        Wanted::On => Ok(()),
        Wanted::Auto if facts.cloud_init => Err(format!(
            "cloud-init is enabled on this machine and does it; guest.{key} = true does it here all the same"
        )),
        Wanted::Auto => Ok(()),
    }
}

/// The duties, in the order in which they are done.
pub(super) fn phases(config: &Config, facts: &Facts) -> Vec<Phase> {
    if !config.ec2.enabled {
        return Vec::new();
    }
    let g = &config.guest;
    let hostname = GuestWork::Hostname(hostname(config, facts));
    let host_keys = GuestWork::HostKeys { types: g.host_key_types.clone() };
    // A key of RSA may take its time on a small machine; a file system of terabytes too.
    [
        (PhaseName::MachineId, 30, g.machine_id, "machine_id", GuestWork::MachineId),
        (PhaseName::Hostname, 30, g.hostname, "hostname", hostname),
        (PhaseName::HostKeys, 120, g.host_keys, "host_keys", host_keys),
        (PhaseName::Login, 60, g.login, "login", GuestWork::Login(login(config, facts))),
        (PhaseName::RootDisk, 600, g.root_disk, "root_disk", GuestWork::RootDisk),
    ]
    .map(|(name, seconds, wanted, key, work)| Phase {
        name,
        deadline: Span::seconds(seconds),
        work: match serves(wanted, key, facts) {
            Ok(()) => Work::Guest(work),
            Err(reason) => Work::Skip { reason },
        },
    })
    .into()
}

fn hostname(config: &Config, facts: &Facts) -> HostnameWork {
    let cloud = facts.machine.as_ref().map(|machine| &machine.cloud);
    match (&config.guest.name, cloud.and_then(CloudConfig::name)) {
        (Some(name), _) => {
            HostnameWork { name: Some(name.clone()), source: "configuration", written: true }
        }
        (None, Some(name)) => {
            HostnameWork { name: Some(name.to_owned()), source: "user-data", written: true }
        }
        (None, None) => HostnameWork {
            name: facts.told.local_hostname.clone(),
            source: "instance metadata",
            written: false,
        },
    }
}

fn login(config: &Config, facts: &Facts) -> LoginWork {
    let (told, make) = (&facts.told, matches!(facts.switch, Switch::Pending));
    let own = facts.machine.iter().flat_map(|machine| &machine.cloud.ssh_authorized_keys);
    LoginWork {
        user: facts.user.name.clone(),
        make,
        uid: config.user.uid,
        gid: config.user.gid,
        home: config.user.home.as_ref().map(|home| home.to_string_lossy().into_owned()),
        groups: config.guest.groups.clone(),
        sudo: config.guest.sudo,
        keys: told.read.then(|| told.public_keys.iter().chain(own).cloned().collect()),
    }
}

impl GuestWork {
    /// What is done, a line a step.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::MachineId => vec![
                "give this instance a machine id of its own where the disk brought another's"
                    .into(),
            ],
            Self::Hostname(h) => vec![match &h.name {
                Some(name) => {
                    format!(
                        "set the host name {name} (from the {}), once on this instance",
                        h.source
                    )
                }
                None => "set the host name that the metadata tells, once on this instance".into(),
            }],
            Self::HostKeys { types } => vec![format!(
                "make SSH host keys ({}), once on this instance; otherwise the boot fails",
                types.join(", ")
            )],
            Self::Login(login) => login.lines(),
            Self::RootDisk => vec![
                "grow the root partition where 1 MiB or more is free behind it (sfdisk, partx)"
                    .into(),
                "grow its file system to it (resize2fs, xfs_growfs, btrfs)".into(),
            ],
        }
    }
}

impl LoginWork {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.make {
            let groups = self.groups.join(", ");
            lines.push(format!(
                "make the user {} (groups, as far as they exist: {groups})",
                self.user
            ));
        }
        if self.sudo.unwrap_or(self.make) {
            lines
                .push(format!("let {} become root by sudo, in /etc/sudoers.d/90-agent", self.user));
        }
        let keys = match &self.keys {
            None => "the launch's SSH keys".to_owned(),
            Some(keys) if keys.len() == 1 => "1 SSH key of the launch".into(),
            Some(keys) => format!("{} SSH keys of the launch", keys.len()),
        };
        lines.push(format!(
            "let {keys} log in as {}, once on this instance; otherwise the boot fails",
            self.user
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::facts;
    use super::super::{Machine, resolve};
    use super::*;
    use crate::config::{check_text, config_of};

    const MACHINE: &str = "[ec2]\nenabled = true\n";

    fn plan(text: &str, facts: &Facts) -> Vec<(PhaseName, Option<String>)> {
        let config = config_of(check_text("test", text).unwrap(), "test").unwrap();
        let skipped = |p: &Phase| match &p.work {
            Work::Skip { reason } => Some(reason.clone()),
            _ => None,
        };
        resolve(&config, facts, false).phases.iter().map(|p| (p.name, skipped(p))).collect()
    }

    #[test]
    fn a_container_has_no_guest_duties_and_a_machine_has_them_before_all_that_needs_a_user() {
        let names = |text: &str| -> Vec<&str> {
            plan(text, &facts()).iter().map(|(name, _)| name.word()).collect()
        };
        assert_eq!(names("[guest]\nlogin = true\n"), ["volume", "tools", "user-script"]);
        assert_eq!(
            names(&format!("{MACHINE}[[step]]\nname='a'\ncommand='true'\n")),
            [
                "metadata",
                "machine-id",
                "hostname",
                "host-keys",
                "login",
                "root-disk",
                "user-data",
                "provision",
                "volume",
                "tools",
                "user-script"
            ]
        );
    }

    #[test]
    fn beside_cloud_init_only_what_is_asked_for_is_done() {
        let beside = Facts { cloud_init: true, ..facts() };
        let guest = format!("{MACHINE}[guest]\nhostname = \"a\"\nroot_disk = false\n");
        for (name, skipped) in plan(&guest, &beside) {
            let reason = match name {
                PhaseName::MachineId | PhaseName::HostKeys | PhaseName::Login => "cloud-init",
                PhaseName::RootDisk => "guest.root_disk is false",
                PhaseName::Hostname => {
                    assert_eq!(skipped, None);
                    continue;
                }
                _ => continue,
            };
            assert!(skipped.unwrap().contains(reason), "{name:?}");
        }
    }

    #[test]
    fn the_name_is_the_configurations_then_the_user_datas_then_the_metadatas() {
        let named = config_of(
            check_text("test", "[ec2]\nenabled=true\n[guest]\nhostname='c'\n").unwrap(),
            "test",
        )
        .unwrap();
        let silent = config_of(check_text("test", MACHINE).unwrap(), "test").unwrap();
        let mut facts = facts();
        facts.told.local_hostname = Some("m.internal".into());
        assert_eq!(hostname(&silent, &facts).name.as_deref(), Some("m.internal"));
        let cloud = CloudConfig { hostname: Some("u".into()), ..CloudConfig::default() };
        facts.machine = Some(Machine { cloud, ..Machine::default() });
        assert_eq!(hostname(&silent, &facts).name.as_deref(), Some("u"));
        assert_eq!(hostname(&named, &facts).name.as_deref(), Some("c"));
    }
}
