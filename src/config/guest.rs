//! `[guest]`: what a machine needs from its metadata before anybody can log in: the duties
//! that cloud-init has elsewhere, each with its own switch.
//!
//! They are duties of an EC2 machine: without `ec2.enabled` there are none, whatever is
//! written here, so that one file can serve both kinds of image.

use super::error::ConfigError;
use super::layer::table;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Groups that a login user is put into when it is made, as far as they exist.
const GROUPS: &[&str] = &["adm", "sudo", "wheel", "docker"];

/// What an OpenSSH server looks for where its configuration names no key (sshd_config(5),
/// HostKey). The small ones first: they are there at once.
const KEY_TYPES: &[&str] = &["ed25519", "ecdsa", "rsa"];

/// The longest host name that the kernel takes (gethostname(2), HOST_NAME_MAX).
const LONGEST_LABEL: usize = 63;

/// The longest name with its domain (hosts(5), RFC 1035).
const LONGEST_NAME: usize = 253;

table! {
    /// `[guest]`: the duties of a machine's guest agent.
    GuestLayer {
        /// Is a copied disk given a machine id of its own?
        machine_id: bool,
        /// Is the host name set: by the metadata, or to this name?
        hostname: Hostname,
        /// Are SSH host keys made once an instance?
        host_keys: bool,
        /// The types of host keys that are made.
        host_key_types: Vec<String>,
        /// Is the login user made, and given the launch's keys?
        login: bool,
        /// Groups that a user who is made is put into, as far as they exist.
        groups: Vec<String>,
        /// Is the login user given a sudo rule?
        sudo: bool,
        /// Are the root partition and its file system grown to the disk?
        root_disk: bool,
    }
}

/// Whether a duty is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// On a machine where no cloud-init does it.
    #[default]
    Auto,
    /// On every machine, beside a cloud-init too.
    On,
    /// Nowhere.
    Off,
}

impl From<Option<bool>> for Wanted {
    fn from(written: Option<bool>) -> Self {
        match written {
            None => Self::Auto,
            Some(true) => Self::On,
            Some(false) => Self::Off,
        }
    }
}

/// `guest.hostname`: a truth value or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hostname {
    /// Whether the metadata's is set.
    Told(bool),
    /// This one.
    Named(String),
}

impl<'de> Deserialize<'de> for Hostname {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Hostname;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a host name")
            }
            fn visit_bool<E: de::Error>(self, written: bool) -> Result<Hostname, E> {
                Ok(Hostname::Told(written))
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Hostname, E> {
                if is_host_name(name) {
                    return Ok(Hostname::Named(name.to_owned()));
                }
                Err(E::custom(format!(
                    "{name:?} is no host name; write letters, digits and hyphens, with or without a domain, true or false"
                )))
            }
        }
        d.deserialize_any(Either)
    }
}

/// `[guest]` with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// A machine id of its own.
    pub machine_id: Wanted,
    /// The host name.
    pub hostname: Wanted,
    /// The name, where it is not the launch's to say.
    pub name: Option<String>,
    /// SSH host keys.
    pub host_keys: Wanted,
    /// Their types, as `ssh-keygen -t` names them.
    pub host_key_types: Vec<String>,
    /// The login user, and the keys that may log in.
    pub login: Wanted,
    /// Groups of a user who is made.
    pub groups: Vec<String>,
    /// A sudo rule: for a user who is made (`None`), for any, for none.
    pub sudo: Option<bool>,
    /// The root partition and its file system.
    pub root_disk: Wanted,
}

impl Default for Guest {
    fn default() -> Self {
        let own = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect();
        Self {
            machine_id: Wanted::Auto,
            hostname: Wanted::Auto,
            name: None,
            host_keys: Wanted::Auto,
            host_key_types: own(KEY_TYPES),
            login: Wanted::Auto,
            groups: own(GROUPS),
            sudo: None,
            root_disk: Wanted::Auto,
        }
    }
}

/// Fills the table up with the defaults and refuses what cannot be meant.
///
/// # Errors
/// A group or a type of key that has no such name.
pub(super) fn resolve(layer: GuestLayer, origin: &str) -> Result<Guest, ConfigError> {
    let standard = Guest::default();
    let (hostname, name) = match layer.hostname {
        None => (Wanted::Auto, None),
        Some(Hostname::Told(on)) => (Some(on).into(), None),
        Some(Hostname::Named(name)) => (Wanted::On, Some(name)),
    };
    let guest = Guest {
        machine_id: layer.machine_id.into(),
        hostname,
        name,
        host_keys: layer.host_keys.into(),
        host_key_types: layer.host_key_types.unwrap_or(standard.host_key_types),
        login: layer.login.into(),
        groups: layer.groups.unwrap_or(standard.groups),
        sudo: layer.sudo,
        root_disk: layer.root_disk.into(),
    };
    if let Some(bad) = guest.groups.iter().find(|g| !is_account_name(g)) {
        return Err(ConfigError::of(
            origin,
            format!("guest.groups: {bad:?} is no group's name"),
            "write names as they stand in /etc/group, such as \"adm\"",
        ));
    }
    let types = &guest.host_key_types;
    let twice = types.iter().enumerate().any(|(n, t)| types.iter().skip(n + 1).any(|o| o == t));
    if types.is_empty() || twice || types.iter().any(|t| !KEY_TYPES.contains(&t.as_str())) {
        return Err(ConfigError::of(
            origin,
            format!("guest.host_key_types: {types:?} are no types of host keys, each once"),
            "write some of \"ed25519\", \"ecdsa\" and \"rsa\"; host_keys = false makes none",
        ));
    }
    Ok(guest)
}

/// Is it a host name, with or without a domain (RFC 1123, 2.1)?
pub fn is_host_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let label = |l: &str| {
        (1..=LONGEST_LABEL).contains(&l.len())
            && l.bytes().all(inner)
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    name.len() <= LONGEST_NAME && name.split('.').all(label)
}

/// Is it a name for a user or a group that every tool takes (useradd(8), "CAVEATS")?
pub fn is_account_name(name: &str) -> bool {
    let first = |b: &u8| b.is_ascii_lowercase() || *b == b'_';
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    name.len() <= 32 && name.as_bytes().first().is_some_and(first) && name.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, check_text, config_of};
    use super::*;

    fn guest(text: &str) -> Result<Guest, ConfigError> {
        check_text("test", text).and_then(|l| config_of(l, "test")).map(|c: Config| c.guest)
    }

    #[test]
    fn nothing_written_leaves_every_duty_to_the_machine() {
        assert_eq!(guest("").unwrap(), Guest::default());
    }

    #[test]
    fn a_host_name_is_a_truth_value_or_a_name() {
        let of = |value: &str| guest(&format!("[guest]\nhostname = {value}\n"));
        assert_eq!(of("true").unwrap().hostname, Wanted::On);
        assert_eq!(of("false").unwrap().hostname, Wanted::Off);
        let named = of("\"box.example.org\"").unwrap();
        assert_eq!((named.hostname, named.name.as_deref()), (Wanted::On, Some("box.example.org")));
        for bad in ["\"\"", "\"a b\"", "\"-a\"", "\"a..b\"", "\"a_b\"", "3", "\"a\\nb\""] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_end_up_in_a_command_or_a_file_are_names() {
        for good in ["ubuntu", "_svc", "ec2-user", "a1"] {
            assert!(is_account_name(good), "{good}");
        }
        for bad in ["", "-x", "a b", "ALL", "a:b", "%a", "1a", "ä", "a\n"] {
            assert!(!is_account_name(bad), "{bad}");
        }
        assert!(guest("[guest]\ngroups = [\"-G root\"]\n").is_err());
        assert!(guest("[guest]\nhost_key_types = [\"dsa\"]\n").is_err());
        assert!(guest("[guest]\nhost_key_types = []\n").is_err());
        assert!(guest("[guest]\nhost_key_types = [\"rsa\", \"rsa\"]\n").is_err());
    }
}
