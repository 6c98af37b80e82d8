//! What a user-data asks for: scripts for the end of the boot, work for root, and what
//! cloud-config says of the machine.
//!
//! Whatever may hold a token is a [`Script`], which shows nothing of itself.

use super::payload::{Script, sha256};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The most parts that a user-data may have; their sizes have a limit of their own.
pub const MAX_PARTS: usize = 64;

/// Which part of a MIME message something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// From 1, containers not counted.
    pub number: usize,
    /// Its file name, where the message gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part {}", self.number)?;
        self.name.iter().try_for_each(|name| write!(f, " ({name})"))
    }
}

/// A program of the user-data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it stands; `None` where it is the whole.
    pub label: Option<Label>,
    /// Its bytes.
    pub script: Script,
}

/// The user's scripts, in the order in which they run. Mostly there is one, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scripts(Vec<Part>);

impl Scripts {
    /// These, in this order.
    pub fn new(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The script, where there is exactly one.
    pub fn only(&self) -> Option<&Script> {
        match self.0.as_slice() {
            [part] => Some(&part.script),
            _ => None,
        }
    }

    /// The length of all of them, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|part| part.script.bytes().len()).sum()
    }

    /// The name of all of them in the ledger: a single script's own SHA-256, else that over
    /// the hashes of each, a line each. In hexadecimal.
    pub fn sha256(&self) -> String {
        if let Some(only) = self.only() {
            return only.sha256();
        }
        let each: Vec<String> = self.0.iter().map(|part| part.script.sha256() + "\n").collect();
        sha256(each.concat())
    }
}

impl From<Option<Script>> for Scripts {
    fn from(script: Option<Script>) -> Self {
        Self(script.map(|script| Part { label: None, script }).into_iter().collect())
    }
}

/// What cloud-config says that other phases do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudConfig {
    /// `hostname`, which may be a full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `fqdn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// `ssh_authorized_keys`: lines of the login user's `authorized_keys`, beside the launch's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_authorized_keys: Vec<String>,
}

impl CloudConfig {
    /// The machine's name, in full where it is given so; it outranks the metadata's.
    pub fn name(&self) -> Option<&str> {
        self.fqdn.as_deref().or(self.hostname.as_deref())
    }
}

/// What root is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duties {
    /// Programs that are run at every boot, first.
    pub boothooks: Vec<Part>,
    /// `write_files`.
    pub files: Vec<WriteFile>,
    /// `packages` and what belongs to it.
    pub packages: Packages,
    /// `runcmd`.
    pub commands: Vec<RunCommand>,
}

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFile {
    /// Where, absolute.
    pub path: PathBuf,
    /// What.
    pub content: Script,
    /// Whose: names or numbers.
    pub user: String,
    /// The group likewise.
    pub group: String,
    /// Permission bits.
    pub mode: u32,
    /// Behind what is there already?
    pub append: bool,
    /// After the packages?
    pub defer: bool,
}

/// What the distribution's package manager is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packages {
    /// Read the indexes anew (`package_update`).
    pub update: bool,
    /// Bring everything that is installed up to date (`package_upgrade`).
    pub upgrade: bool,
    /// What is installed (`packages`).
    pub names: Vec<Package>,
}

impl Packages {
    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        !self.update && !self.upgrade && self.names.is_empty()
    }
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Its name, as the distribution calls it.
    pub name: String,
    /// The version that is wanted, if not the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.version.iter().try_for_each(|version| write!(f, " {version}"))
    }
}

/// A command of `runcmd`, as a line of shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCommand {
    /// The text that sh reads.
    pub shell: Script,
    /// Its line in the cloud-config, from 1.
    pub line: usize,
}

impl Duties {
    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.boothooks.is_empty()
            && self.files.is_empty()
            && self.packages.is_empty()
            && self.commands.is_empty()
    }

    /// What is written before the packages are installed, or (`deferred`) after.
    pub fn files(&self, deferred: bool) -> impl Iterator<Item = &WriteFile> {
        self.files.iter().filter(move |file| file.defer == deferred)
    }
}
