//! What the host tells the guest beside the script (the contract's `MINT_*` variables),
//! and what such a value may look like.
//!
//! The same checks hold on both sides: the host refuses to render a value, and the guest
//! refuses to take one, that could be anything but what it is meant to be. A device name
//! such as `/dev/../etc/shadow` ends here, whoever wrote it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The longest URL that is taken, in bytes. Presigned ones have about 1,500.
const MAX_URL: usize = 2048;

/// The longest idle timeout in minutes: a year.
const MAX_IDLE: u32 = 525_600;

/// The contract's timeout where none was given, in minutes.
const DEFAULT_IDLE: u32 = 60;

/// The launch's parameters. Absent ones were not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The EFS file system, such as `fs-0123456789abcdef0` (`MINT_EFS_ID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub efs_id: Option<String>,
    /// The project volume: a device name such as `/dev/sdf`, or a volume id such as
    /// `vol-0123456789abcdef0` (`MINT_PROJECT_DEV`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_dev: Option<String>,
    /// The machine's name (`MINT_VM_NAME`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_name: Option<String>,
    /// Idle minutes after which the machine stops itself (`MINT_IDLE_TIMEOUT`; 60 if unset, 0
    /// for never).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u32>,
}

/// A value that the host hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// [`Parameters::efs_id`].
    EfsId,
    /// [`Parameters::project_dev`].
    ProjectDev,
    /// [`Parameters::vm_name`].
    VmName,
    /// [`Parameters::idle_timeout`].
    IdleTimeout,
    /// [`Fetch::url`].
    Url,
    /// [`Fetch::sha256`].
    Sha256,
}

/// Every [`Name`], in the order in which they are written.
pub const NAMES: [Name; 6] =
    [Name::EfsId, Name::ProjectDev, Name::VmName, Name::IdleTimeout, Name::Url, Name::Sha256];

/// Those of [`Parameters`].
pub(super) const PARAMETERS: [Name; 4] =
    [Name::EfsId, Name::ProjectDev, Name::VmName, Name::IdleTimeout];

impl Name {
    /// The variable that carries it (the contract's names).
    pub fn variable(self) -> &'static str {
        match self {
            Self::EfsId => "MINT_EFS_ID",
            Self::ProjectDev => "MINT_PROJECT_DEV",
            Self::VmName => "MINT_VM_NAME",
            Self::IdleTimeout => "MINT_IDLE_TIMEOUT",
            Self::Url => "MINT_BOOTSTRAP_URL",
            Self::Sha256 => "MINT_BOOTSTRAP_SHA256",
        }
    }

    /// What a value looks like, for the person who wrote another.
    fn form(self) -> &'static str {
        match self {
            Self::EfsId => "fs- and 8 to 40 hexadecimal digits, such as fs-0123456789abcdef0",
            Self::ProjectDev => {
                "a device such as /dev/sdf, or a volume id such as vol-0123456789abcdef0"
            }
            Self::VmName => {
                "1 to 128 letters, digits, blanks inside, and + - = . _ : / @ (what a tag takes)"
            }
            Self::IdleTimeout => "whole minutes from 0 (never) to 525600, in digits alone",
            Self::Url => {
                "https://HOST/PATH of at most 2048 letters, digits and - . _ ~ : / ? & = % + , @ \
                 (others percent-encoded), without a user, password or fragment"
            }
            Self::Sha256 => "64 hexadecimal digits",
        }
    }

    fn accepts(self, value: &str) -> bool {
        match self {
            Self::EfsId => is_resource_id(value, "fs-"),
            Self::ProjectDev => is_resource_id(value, "vol-") || is_device(value),
            Self::VmName => is_name(value),
            Self::IdleTimeout => is_minutes(value),
            Self::Url => is_url(value),
            Self::Sha256 => value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()),
        }
    }

    /// Is `value` one that may stand here?
    ///
    /// # Errors
    /// It is not.
    pub fn check(self, value: &str) -> Result<(), ParameterError> {
        let placeholder = is_placeholder(value);
        if !placeholder && self.accepts(value) {
            return Ok(());
        }
        Err(ParameterError { name: self, length: value.len(), placeholder })
    }
}

/// A resource id as EC2 and EFS give them: 8 digits on old ones, 17 on new ones; EFS's own
/// documentation allows up to 40.
pub(crate) fn is_resource_id(value: &str, prefix: &str) -> bool {
    value.strip_prefix(prefix).is_some_and(|id| {
        (8..=40).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// A path below /dev of which no component begins with a dot, so that none leads out of it.
fn is_device(value: &str) -> bool {
    value.len() <= 128
        && value.strip_prefix("/dev/").is_some_and(|path| {
            path.split('/').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
            })
        })
}

/// What EC2 allows in a tag's value, since the name becomes one (EC2 user guide, "Tag
/// restrictions").
fn is_name(value: &str) -> bool {
    (1..=128).contains(&value.chars().count())
        && value.trim() == value
        && value.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c))
}

fn is_minutes(value: &str) -> bool {
    // A leading zero would be octal for some readers and decimal for others.
    value.bytes().all(|b| b.is_ascii_digit())
        && (value == "0" || !value.starts_with('0'))
        && value.parse().is_ok_and(|n: u32| n <= MAX_IDLE)
}

fn is_url(value: &str) -> bool {
    value.len() <= MAX_URL
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?&=%+,@".contains(&b))
        && value.strip_prefix("https://").is_some_and(|rest| {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            host.starts_with(|c: char| c.is_ascii_alphanumeric())
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b))
        })
}

/// Does it hold a placeholder of the parents' template (`__MINT_VM_NAME__`)?
pub(super) fn is_placeholder(value: &str) -> bool {
    let mut rest = value;
    while let Some(at) = rest.find("__MINT_") {
        rest = rest.get(at + "__MINT_".len()..).unwrap_or_default();
        let end = rest.find("__").and_then(|end| rest.get(..end));
        if end.is_some_and(|n| {
            n.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
        }) {
            return true;
        }
    }
    false
}

impl Parameters {
    /// What the variables say that `get` looks up, as it is: the plan refuses by name what it
    /// cannot use. A timeout that is no number counts as absent.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            efs_id: get("MINT_EFS_ID"),
            project_dev: get("MINT_PROJECT_DEV"),
            vm_name: get("MINT_VM_NAME"),
            idle_timeout: get("MINT_IDLE_TIMEOUT").and_then(|minutes| minutes.parse().ok()),
        }
    }

    /// The variables that commands of the boot are given: the launch's, and the timeout also
    /// where the launch didn't say one.
    pub fn for_commands(&self) -> BTreeMap<String, String> {
        let idle_timeout = self.idle_timeout.or(Some(DEFAULT_IDLE));
        Self { idle_timeout, ..self.clone() }.variables()
    }

    /// The variables of what was given.
    pub fn variables(&self) -> BTreeMap<String, String> {
        self.given().map(|(name, value)| (name.variable().to_owned(), value)).collect()
    }

    /// What was given, in the order of [`NAMES`].
    pub(super) fn given(&self) -> impl Iterator<Item = (Name, String)> + use<> {
        [
            (Name::EfsId, self.efs_id.clone()),
            (Name::ProjectDev, self.project_dev.clone()),
            (Name::VmName, self.vm_name.clone()),
            (Name::IdleTimeout, self.idle_timeout.map(|minutes| minutes.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// Are all values such as may be handed over?
    ///
    /// # Errors
    /// The first that may not.
    pub fn check(&self) -> Result<(), ParameterError> {
        self.given().try_for_each(|(name, value)| name.check(&value))
    }

    /// Takes a value as it was read; an empty one was not given. [`Name::Url`] and
    /// [`Name::Sha256`] are no parameters and are passed over.
    pub(super) fn set(&mut self, name: Name, value: &str) -> Result<(), ParameterError> {
        if value.is_empty() {
            return Ok(());
        }
        name.check(value)?;
        match name {
            Name::EfsId => self.efs_id = Some(value.to_owned()),
            Name::ProjectDev => self.project_dev = Some(value.to_owned()),
            Name::VmName => self.vm_name = Some(value.to_owned()),
            Name::IdleTimeout => self.idle_timeout = value.parse().ok(),
            Name::Url | Name::Sha256 => {}
        }
        Ok(())
    }
}

/// An agent that is downloaded at boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Where it is, by https (`MINT_BOOTSTRAP_URL`).
    pub url: String,
    /// Its SHA-256 in 64 hexadecimal digits; nothing else is run (`MINT_BOOTSTRAP_SHA256`).
    pub sha256: String,
}

impl Fetch {
    /// Are both values such as may be handed over?
    ///
    /// # Errors
    /// The first that may not.
    pub fn check(&self) -> Result<(), ParameterError> {
        Name::Url.check(&self.url)?;
        Name::Sha256.check(&self.sha256)
    }
}

/// A value that may not stand where it stands. The value itself is not shown: in a stub
/// that was filled by hand it may be the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterError {
    /// Which.
    pub name: Name,
    /// Its length in bytes.
    pub length: usize,
    /// It holds a placeholder that nobody filled.
    pub placeholder: bool,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variable = self.name.variable();
        if self.placeholder {
            return write!(f, "{variable} still holds a placeholder (__MINT_…__)");
        }
        let form = self.name.form();
        write!(f, "{variable} ({} bytes) is not what it must be: {form}", self.length)
    }
}

impl std::error::Error for ParameterError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: Name, good: &[&str], bad: &[&str]) {
        for value in good {
            assert_eq!(name.check(value), Ok(()), "{value:?}");
        }
        for value in bad {
            assert!(name.check(value).is_err(), "{value:?} is taken as {name:?}");
        }
    }

    #[test]
    fn ids_are_hexadecimal() {
        let good = ["fs-01234567", "fs-0123456789abcdef0"];
        let bad = ["", "fs-", "fs-0123456", "fs-0123456G", "fs-01234567 ", "FS-01234567"];
        check(Name::EfsId, &good, &bad);
        check(Name::EfsId, &[], &["fs-01234567.evil.example", "fs-0123456789ABCDEF0", "x"]);
        check(Name::ProjectDev, &["vol-01234567", "vol-0123456789abcdef0"], &["vol-", "vol-x"]);
    }

    #[test]
    fn a_device_stays_below_dev() {
        let good = ["/dev/sdf", "/dev/nvme1n1", "/dev/disk/by-id/nvme-Amazon_EBS_vol01234567"];
        let bad = [
            "../../x",
            "/dev/../etc/passwd",
            "/dev/./sda",
            "/dev//sda",
            "/dev/",
            "/dev",
            "/etc/x",
            "sdf",
            "/dev/sd f",
            "/dev/sd\n",
            "/dev/$x",
            "/dev/-x",
        ];
        check(Name::ProjectDev, &good, &bad);
    }

    #[test]
    fn a_name_is_what_a_tag_takes() {
        let good = ["default", "my vm", "käse-1", "a+b=c.d_e:f/g@h", "名前"];
        let bad = [
            "",
            " a",
            "a ",
            "a\tb",
            "a\nb",
            "a'b",
            "a\"b",
            "$a",
            "`a`",
            "a\\b",
            "a;b",
            "a\u{200b}b",
        ];
        check(Name::VmName, &good, &bad);
        check(Name::VmName, &[&"x".repeat(128)], &[&"x".repeat(129)]);
    }

    #[test]
    fn minutes_are_plain_digits() {
        let bad = ["", "00", "060", "-1", "+5", "1.5", "1h", " 5", "525601", "99999999999", "٣"];
        check(Name::IdleTimeout, &["0", "1", "60", "525600"], &bad);
    }

    #[test]
    fn an_url_is_https_without_a_password() {
        let good = [
            "https://example.com/agent",
            "https://example.com:8443/a?b=c&d=%20+e",
            "https://example.com",
        ];
        let bad = [
            "",
            "http://example.com/agent",
            "https://",
            "https:///agent",
            "https://user:pw@example.com/",
            "https://example.com/a b",
            "https://example.com/'",
            "https://example.com/$x",
            "https://example.com/\"",
            "https://example.com/{a,b}",
            "https://example.com/#x",
            "https://-x/",
            "-o/etc/passwd",
        ];
        check(Name::Url, &good, &bad);
        check(Name::Url, &[], &[&format!("https://example.com/{}", "a".repeat(MAX_URL))]);
        let digits = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        check(
            Name::Sha256,
            &[digits],
            &["", &digits[1..], &format!("{digits}0"), &digits.replace('a', "g")],
        );
    }

    #[test]
    fn commands_have_the_contracts_timeout_where_none_is_given() {
        let given = Parameters { idle_timeout: Some(5), ..Parameters::default() };
        assert_eq!(given.for_commands()["MINT_IDLE_TIMEOUT"], "5");
        assert_eq!(Parameters::default().for_commands()["MINT_IDLE_TIMEOUT"], "60");
        assert!(Parameters::default().variables().is_empty());
    }

    #[test]
    fn a_placeholder_is_no_value() {
        for name in NAMES {
            let e = name.check(&format!("__{}__", name.variable())).unwrap_err();
            assert!(e.placeholder, "{e}");
        }
        assert!(is_placeholder("x__MINT___MINT_EFS_ID__"));
        assert!(!is_placeholder("__MINT_ is no end"));
        assert!(!is_placeholder("__MINT_efs__"));
    }
}
