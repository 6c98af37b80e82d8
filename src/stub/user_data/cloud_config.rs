//! `#cloud-config`, the part of it that is read (docs/user-data.md; the keys' meaning: cloud-init's
//! documentation, "Module reference").
//!
//! What is not read is an error, at every level, and all errors are told at once: half of a
//! cloud-config is a machine that nobody asked for.

mod commands;
mod elsewhere;
mod files;
mod packages;

use super::super::public_key;
use super::super::told::{CloudConfig, Packages, RunCommand, WriteFile};
use super::fault::{Fault, INVALID, UNSUPPORTED};
use super::yaml::{self, Key, Node, Value, shown};

/// What a cloud-config says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) cloud: CloudConfig,
    pub(super) files: Vec<WriteFile>,
    pub(super) packages: Packages,
    pub(super) commands: Vec<RunCommand>,
    /// The keys that it has.
    pub(super) keys: Vec<String>,
}

/// Reads a cloud-config.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Said, Vec<Fault>> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line = 1 + line.iter().filter(|&&b| b == b'\n').count();
        vec![Fault::new(INVALID, "it is not UTF-8", "save it as UTF-8").at(line)]
    })?;
    let mut said = Said::default();
    let Some(root) = yaml::read(text).map_err(|fault| vec![fault])? else { return Ok(said) };
    let mut faults = Faults::default();
    let Value::Map(entries) = &root.value else {
        let message = format!("cloud-config is {} here, and must be `key: value`", root.kind());
        return Err(vec![Fault::new(INVALID, message, "write one key a line").at(root.line)]);
    };
    for (key, node) in entries {
        said.keys.push(key.name.clone());
        said.take(key, node, &mut faults);
    }
    if faults.0.is_empty() { Ok(said) } else { Err(faults.0) }
}

impl Said {
    fn take(&mut self, key: &Key, node: &Node, faults: &mut Faults) {
        let cloud = &mut self.cloud;
        match key.name.as_str() {
            "hostname" => cloud.hostname = faults.hold(hostname(key, node)),
            "fqdn" => cloud.fqdn = faults.hold(hostname(key, node)),
            "preserve_hostname" => {
                let kept = faults.hold(truth(&key.name, node)).unwrap_or_default();
                if kept {
                    let message = "`preserve_hostname: true` is not done";
                    let next = "leave it out, and `hostname` and `fqdn` too";
                    faults.add(Fault::new(UNSUPPORTED, message, next).at(key.line).key(&key.name));
                }
            }
            "ssh_authorized_keys" => cloud.ssh_authorized_keys = keys(key, node, faults),
            "write_files" => self.files = files::read(key, node, faults),
            "packages" => self.packages.names = packages::read(key, node, faults),
            "package_update" => {
                self.packages.update = faults.hold(truth(&key.name, node)).unwrap_or_default();
            }
            "package_upgrade" => {
                self.packages.upgrade = faults.hold(truth(&key.name, node)).unwrap_or_default();
            }
            "runcmd" => self.commands = commands::read(key, node, faults),
            name => {
                let message = format!("{} is not among the keys that are read", shown(name));
                let next = elsewhere::instead(name);
                faults.add(Fault::new(UNSUPPORTED, message, next).at(key.line).key(name));
            }
        }
    }
}

/// What is wrong, as it is found.
#[derive(Default)]
struct Faults(Vec<Fault>);

/// More of them tell nothing more.
const MAX_FAULTS: usize = 100;

impl Faults {
    fn add(&mut self, fault: Fault) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(fault);
        }
    }

    /// The value, where it is good.
    fn hold<T>(&mut self, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.add(fault)).ok()
    }

    /// The entries of a list.
    fn list<'a>(&mut self, key: &str, node: &'a Node) -> &'a [Node] {
        match &node.value {
            Value::List(all) => all,
            _ if node.is_null() => &[],
            _ => {
                self.add(must(key, node, "a list", "write each entry behind `- `, a line each"));
                &[]
            }
        }
    }
}

/// A value of another kind than its key has.
fn must(key: &str, node: &Node, be: &str, next: &str) -> Fault {
    let message = format!("`{key}` is {} here, and must be {be}", node.kind());
    Fault::new(INVALID, message, next).at(node.line).key(key)
}

/// A text, as it was written; a number is one too.
fn text<'a>(key: &str, node: &'a Node) -> Result<&'a str, Fault> {
    match &node.value {
        Value::Text(t) if !node.is_null() && !t.binary && !t.text.contains('\0') => Ok(&t.text),
        Value::Text(t) if t.binary || t.text.contains('\0') => {
            Err(must(key, node, "a text without bytes that no text has", "correct the value"))
        }
        _ => Err(must(key, node, "a text", "write a text; quote one that holds `: ` or ` #`")),
    }
}

/// A truth, in any of YAML 1.1's words for it.
fn truth(key: &str, node: &Node) -> Result<bool, Fault> {
    match text(key, node)?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(must(key, node, "true or false", "write true or false")),
    }
}

/// A host name (RFC 1123, 2.1), full or not.
fn hostname(key: &Key, node: &Node) -> Result<String, Fault> {
    let name = text(&key.name, node)?;
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    // Of an address the first number would become the name.
    let address = name.parse::<std::net::IpAddr>().is_ok();
    if !address && name.len() <= 253 && name.split('.').all(label) {
        return Ok(name.to_owned());
    }
    let next = "write letters, digits and hyphens, with dots between the parts of a full name";
    Err(must(&key.name, node, "a host name", next))
}

/// Lines of `authorized_keys` (sshd(8)), each a key with what may stand around it.
fn keys(key: &Key, node: &Node, faults: &mut Faults) -> Vec<String> {
    let next = "write lines such as `ssh-ed25519 AAAA… name`, as in an id_ed25519.pub";
    let line = |node: &Node| {
        let text = text(&key.name, node)?.trim();
        public_key::check(text).map(|()| text.to_owned()).map_err(|why| {
            let message = format!(
                "an entry of `ssh_authorized_keys` is no line of an authorized_keys file: {why}"
            );
            Fault::new(INVALID, message, next).at(node.line).key(&key.name)
        })
    };
    let all = faults.list(&key.name, node);
    all.iter().filter_map(|entry| faults.hold(line(entry))).collect()
}

#[cfg(test)]
mod tests;
