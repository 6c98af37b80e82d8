//! `write_files`.

use super::super::super::payload::{self, MAX_SCRIPT, Script};
use super::super::fault::{DAMAGED, Fault, INVALID, TOO_LARGE, UNSUPPORTED};
use super::super::yaml::{Key, Node, Value, shown};
use super::{Faults, WriteFile, must, text, truth};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::{Component, Path, PathBuf};

/// Whose a file is where nothing is said, and what others may do with it (cloud-init's own).
const OWNER: &str = "root";
const MODE: u32 = 0o644;

/// How a content is encoded, from outside in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Encoding {
    base64: bool,
    gzip: bool,
}

/// An entry on its way.
#[derive(Default)]
struct Entry<'a> {
    path: Option<PathBuf>,
    content: Option<&'a Node>,
    encoding: Encoding,
    owner: Option<(String, String)>,
    mode: Option<u32>,
    append: bool,
    defer: bool,
}

/// What may still be unpacked.
struct Left {
    /// Bytes of all files together.
    bytes: u64,
    /// Contents that come to nothing: each may cost as much as all that is taken.
    in_vain: u8,
}

/// The files, in order.
pub(super) fn read(key: &Key, node: &Node, faults: &mut Faults) -> Vec<WriteFile> {
    let mut left = Left { bytes: MAX_SCRIPT, in_vain: 4 };
    let mut files = Vec::new();
    for entry in faults.list(&key.name, node) {
        let before = faults.0.len();
        let file = file(entry, &mut left, faults);
        if faults.0.len() == before {
            files.extend(file);
        }
    }
    files
}

fn file(node: &Node, left: &mut Left, faults: &mut Faults) -> Option<WriteFile> {
    let Value::Map(entries) = &node.value else {
        faults.add(must(
            "write_files",
            node,
            "a list of maps",
            "write `- path: /…`, and the other keys below it",
        ));
        return None;
    };
    let mut entry = Entry::default();
    for (key, value) in entries {
        entry.take(key, value, faults);
    }
    let Some(path) = entry.path else {
        if !entries.iter().any(|(key, _)| key.name == "path") {
            let fault = Fault::new(INVALID, "an entry of `write_files` has no `path`", "add it");
            faults.add(fault.at(node.line).key("write_files.path"));
        }
        return None;
    };
    let content = match entry.content {
        Some(content) => faults.hold(decoded(content, entry.encoding, left))?,
        None => Vec::new(),
    };
    let (user, group) = entry.owner.unwrap_or((OWNER.into(), OWNER.into()));
    Some(WriteFile {
        path,
        content: Script::verbatim(content).ok()?,
        user,
        group,
        mode: entry.mode.unwrap_or(MODE),
        append: entry.append,
        defer: entry.defer,
    })
}

impl<'a> Entry<'a> {
    fn take(&mut self, key: &Key, node: &'a Node, faults: &mut Faults) {
        let name = format!("write_files.{}", key.name);
        match key.name.as_str() {
            "path" => self.path = faults.hold(path(&name, node)),
            "content" => self.content = Some(node),
            "encoding" => self.encoding = faults.hold(encoding(&name, node)).unwrap_or_default(),
            "owner" => self.owner = faults.hold(owner(&name, node)),
            "permissions" => self.mode = faults.hold(mode(&name, node)),
            "append" => self.append = faults.hold(truth(&name, node)).unwrap_or_default(),
            "defer" => self.defer = faults.hold(truth(&name, node)).unwrap_or_default(),
            other => {
                let message = format!("{} is not read in an entry of `write_files`", shown(other));
                let next = match other {
                    "source" => "fetch it by runcmd or a script, and compare a SHA-256 there",
                    "perms" | "mode" => "write `permissions`",
                    "compression" => "write `encoding`",
                    _ => {
                        "leave it out; read are path, content, encoding, owner, permissions, append, defer"
                    }
                };
                faults.add(Fault::new(UNSUPPORTED, message, next).at(key.line).key(name));
            }
        }
    }
}

/// A place for a file: no `..` in it, which a link before it would turn elsewhere.
fn path(key: &str, node: &Node) -> Result<PathBuf, Fault> {
    let written = text(key, node)?;
    let path = Path::new(written);
    let names = path.components().filter(|c| matches!(c, Component::Normal(_))).count();
    let plain = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    let good = path.is_absolute() && plain && names > 0 && !written.ends_with('/');
    if good && written.len() < 4096 && !written.contains(char::is_control) {
        return Ok(path.components().collect());
    }
    Err(must(key, node, "the absolute path of a file, without `..`", "write it in full"))
}

/// cloud-init's words for it.
fn encoding(key: &str, node: &Node) -> Result<Encoding, Fault> {
    let (base64, gzip) = match text(key, node)?.trim().to_ascii_lowercase().as_str() {
        "text/plain" => (false, false),
        "b64" | "base64" => (true, false),
        "gz" | "gzip" => (false, true),
        "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => (true, true),
        _ => {
            let next = "write text/plain, b64, base64, gzip, or gz+b64";
            return Err(must(key, node, "an encoding that is known", next));
        }
    };
    Ok(Encoding { base64, gzip })
}

/// `user` or `user:group`, names or numbers. A user alone has root's group, as in cloud-init.
fn owner(key: &str, node: &Node) -> Result<(String, String), Fault> {
    let written = text(key, node)?;
    let (user, group) = written.split_once(':').unwrap_or((written, OWNER));
    let good = |name: &str| {
        (1..=64).contains(&name.len())
            && !name.starts_with('-')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    if good(user) && good(group) {
        return Ok((user.to_owned(), group.to_owned()));
    }
    Err(must(key, node, "user:group", "write names or numbers, such as root:root"))
}

/// Octal digits. Without quotes and without a leading zero, YAML means a decimal number, and
/// cloud-init takes it for one.
fn mode(key: &str, node: &Node) -> Result<u32, Fault> {
    let written = text(key, node)?;
    let decimal = matches!(&node.value, Value::Text(t) if t.plain) && !written.starts_with('0');
    let digits = written.strip_prefix("0o").unwrap_or(written);
    let octal = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
    match octal.filter(|_| !digits.starts_with('+') && !decimal) {
        Some(mode) => Ok(mode),
        None if decimal && octal.is_some() => {
            let message = format!("`{key}` is a decimal number without quotes");
            let next = "write it as a text of octal digits, such as '0644'";
            Err(Fault::new(INVALID, message, next).at(node.line).key(key))
        }
        None => Err(must(key, node, "octal digits", "write a text such as '0644'")),
    }
}

/// The bytes that are written. No byte of them stands in a fault.
fn decoded(node: &Node, encoding: Encoding, left: &mut Left) -> Result<Vec<u8>, Fault> {
    const KEY: &str = "write_files.content";
    let fault = |code, message: &str, next: &str| {
        Fault::new(code, format!("`{KEY}` {message}"), next).at(node.line).key(KEY)
    };
    let mut bytes = match &node.value {
        Value::Text(_) if node.is_null() => Vec::new(),
        Value::Text(t) if t.binary => from_base64(t.text.as_bytes())
            .ok_or_else(|| fault(DAMAGED, "is !!binary, and no base64", "encode it again"))?,
        Value::Text(t) => t.text.clone().into_bytes(),
        _ => {
            return Err(must(
                KEY,
                node,
                "a text",
                "write `content: |` and the text below it, indented",
            ));
        }
    };
    if encoding.base64 {
        bytes = from_base64(&bytes)
            .ok_or_else(|| fault(DAMAGED, "is no base64, as `encoding` says", "encode it again"))?;
    }
    if encoding.gzip {
        if left.in_vain == 0 {
            let next = "mend those, and this one is looked at";
            return Err(fault(INVALID, "is not unpacked: too many before it could not be", next));
        }
        bytes = payload::inflate(&bytes).map_err(|e| {
            left.in_vain -= 1;
            match e {
                payload::PayloadError::TooLarge => {
                    fault(TOO_LARGE, "unpacks to too much", "write less")
                }
                _ => fault(
                    DAMAGED,
                    "is no gzip data, as `encoding` says",
                    "pack it again, and write it in base64 (gz+b64)",
                ),
            }
        })?;
    }
    match left.bytes.checked_sub(bytes.len() as u64) {
        Some(rest) => left.bytes = rest,
        None => {
            left.in_vain = left.in_vain.saturating_sub(1);
            return Err(fault(TOO_LARGE, "makes all files larger than 8 MiB", "write less"));
        }
    }
    Ok(bytes)
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let packed: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).ok()
}
