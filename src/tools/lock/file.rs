//! Reading `mise.lock`, format versions 0 to 3 (a file without `lockfile_version` is version 0).

use crate::tools::manifest::{self, ManifestError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The newest format that is known. A mise that meets a newer one than its own ignores the
/// file, and writes it anew.
pub const NEWEST: i64 = 3;

/// A lockfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lockfile {
    /// Its path.
    pub path: PathBuf,
    /// Its format.
    pub version: i64,
    /// What it locks.
    pub entries: Vec<Entry>,
    /// It also holds what tool stubs ask for, which no config declares.
    pub stubs: bool,
}

/// One locked version of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The tool's name, as the config has it.
    pub tool: String,
    /// The version.
    pub version: String,
    /// What installs it, whatever the tool's name says: mise obeys this one.
    pub backend: Option<String>,
    /// The requests that came to this version; absent in version 0.
    pub specifiers: Vec<String>,
    /// Options that choose the artifact; mise compares them one by one.
    pub options: BTreeMap<String, String>,
    /// The dependency tree.
    pub tree: Option<Tree>,
    /// By platform.
    pub platforms: BTreeMap<String, Artifact>,
    /// It is for an environment (`MISE_ENV`) of older releases.
    pub environment: bool,
}

/// A dependency tree in the package manager's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The file in `path`: `aube-lock.yaml` or `uv.lock`.
    pub file: &'static str,
    /// Its directory, relative to the lockfile.
    pub path: PathBuf,
    /// `sha256:` and its digest in hexadecimal.
    pub digest: String,
}

/// What is to be downloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifact {
    /// It says where from.
    pub url: bool,
    /// `ALGORITHM:HEX`.
    pub checksum: Option<String>,
}

/// Reads one lockfile; `Ok(None)` where there is none.
///
/// # Errors
/// It can't be read, is no TOML (with its place), or is of no known form.
pub fn read(path: &Path) -> Result<Option<Lockfile>, ManifestError> {
    manifest::text_of(path)?.map(|text| parse(path, &text)).transpose()
}

/// Reads its text.
///
/// # Errors
/// It is no TOML (with its place), or is of no known form.
pub fn parse(path: &Path, text: &str) -> Result<Lockfile, ManifestError> {
    let refuse = |message: String| ManifestError { path: path.into(), place: None, message };
    let table: Table = toml::from_str(text).map_err(|e| ManifestError {
        path: path.into(),
        place: e.span().map(|span| manifest::place_of(text, span.start)),
        message: e.message().to_owned(),
    })?;
    let version = match table.get("lockfile_version") {
        None => 0,
        Some(v) => v.as_integer().ok_or_else(|| refuse("lockfile_version is no number".into()))?,
    };
    if !(0..=NEWEST).contains(&version) {
        return Err(refuse(format!("its format is version {version}; known are 0 to {NEWEST}")));
    }
    let mut entries = Vec::new();
    let tools = match table.get("tools") {
        None => Table::new(),
        Some(Value::Table(tools)) => tools.clone(),
        Some(_) => return Err(refuse("`tools` is no table".into())),
    };
    for (tool, value) in &tools {
        let all = match value {
            Value::Array(all) => all.as_slice(),
            // The oldest form had one version a tool.
            one => std::slice::from_ref(one),
        };
        for one in all {
            entries.push(entry(tool, one).map_err(|why| refuse(format!("{tool}: {why}")))?);
        }
    }
    let stubs = table.get("tool-stubs").and_then(Value::as_array).is_some_and(|a| !a.is_empty());
    Ok(Lockfile { path: path.into(), version, entries, stubs })
}

fn entry(tool: &str, value: &Value) -> Result<Entry, &'static str> {
    let table = value.as_table().ok_or("an entry is no table")?;
    let text = |name: &str| table.get(name).and_then(Value::as_str).map(str::to_owned);
    let specifiers = table.get("specifiers").and_then(Value::as_array);
    let options = table.get("options").and_then(Value::as_table);
    let tree = [("aube", "aube-lock.yaml"), ("uv", "uv.lock")].iter().find_map(|(key, file)| {
        let tree = table.get(*key)?;
        let text = |name: &str| tree.get(name).and_then(Value::as_str).unwrap_or_default();
        Some(Tree { file, path: text("path").into(), digest: text("digest").to_owned() })
    });
    // `[tools.x."platforms.linux-x64"]`, and as a table of its own in older files.
    let quoted = table.iter().filter_map(|(k, v)| Some((k.strip_prefix("platforms.")?, v)));
    let nested = table.get("platforms").and_then(Value::as_table);
    let nested = nested.into_iter().flatten().map(|(k, v)| (k.as_str(), v));
    Ok(Entry {
        tool: tool.to_owned(),
        version: text("version").ok_or("an entry has no version")?,
        backend: text("backend"),
        specifiers: specifiers
            .into_iter()
            .flatten()
            .filter_map(|s| s.as_str().map(str::to_owned))
            .collect(),
        options: super::backend::bracketed(tool)
            .chain(options.into_iter().flatten().map(|(k, v)| (k.clone(), plain(v))))
            .collect(),
        tree,
        platforms: quoted.chain(nested).map(|(k, v)| (k.to_owned(), artifact(v))).collect(),
        environment: table.contains_key("env"),
    })
}

fn artifact(value: &Value) -> Artifact {
    let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    Artifact {
        url: text("url").or(text("url_api")).is_some(),
        checksum: text("checksum").map(str::to_owned),
    }
}

/// Is this `ALGORITHM:HEX`, of an algorithm that mise knows and of its length?
pub(super) fn is_checksum(text: &str) -> bool {
    let lengths = [("sha256", 64), ("sha512", 128), ("sha1", 40), ("blake3", 64), ("md5", 32)];
    text.split_once(':').is_some_and(|(kind, sum)| {
        lengths.contains(&(kind, sum.len())) && sum.chars().all(|c| c.is_ascii_hexdigit())
    })
}

/// A value as mise writes it into `options`: texts as they are, lists as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Lockfile {
        parse(Path::new("/x/mise.lock"), text).unwrap()
    }

    #[test]
    fn every_form_of_an_entry_is_read() {
        let lock = parsed(
            "lockfile_version = 2\n[[tools.\"npm:a\"]]\nversion = \"1.0.0\"\nbackend = \"npm:a\"\nspecifiers = [\"1\"]\n\
             aube = { path = \".mise/locks/npm-a/1.0.0\", digest = \"sha256:00\" }\n\
             [tools.\"npm:a\".options]\nallow_builds = '[\"a\"]'\n\
             [[tools.node]]\nversion = \"22.1.0\"\n[tools.node.\"platforms.linux-x64\"]\nchecksum = \"sha256:1\"\nurl = \"https://x\"\n\
             [[tools.node]]\nversion = \"20.1.0\"\n[tools.node.platforms.linux-x64]\nurl = \"https://x\"\n\
             [tools.old]\nversion = \"1\"\n",
        );
        assert_eq!((lock.version, lock.entries.len()), (2, 4));
        let of = |name: &str| lock.entries.iter().find(|e| e.tool == name).unwrap();
        let a = of("npm:a");
        assert_eq!(a.tree.as_ref().unwrap().file, "aube-lock.yaml");
        assert_eq!(a.options["allow_builds"], "[\"a\"]");
        let node: Vec<_> = lock.entries.iter().filter(|e| e.tool == "node").collect();
        assert_eq!(node[0].platforms["linux-x64"].checksum.as_deref(), Some("sha256:1"));
        assert!(node[1].platforms["linux-x64"].checksum.is_none());
        assert_eq!(of("old").version, "1");
    }

    #[test]
    fn a_checksum_names_its_algorithm_and_is_whole() {
        let sum = |kind: &str, length: usize| format!("{kind}:{}", "0a".repeat(length / 2));
        for good in [sum("sha256", 64), sum("sha512", 128), sum("blake3", 64), sum("md5", 32)] {
            assert!(is_checksum(&good), "{good}");
        }
        let long = sum("sha512", 64);
        let word = sum("sha256", 64).replace("0a", "zz");
        for wrong in ["banana:00", "deadbeef", "sha256:", "sha256:00", "", &long, &word] {
            assert!(!is_checksum(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_lockfile_is_refused_with_its_place() {
        let e = parse(Path::new("/x"), "[[tools.\"npm:a\"]]\nversion = \n").unwrap_err();
        assert_eq!(e.place, Some((2, 11)));
        for (text, why) in [
            ("lockfile_version = 4\n", "version 4"),
            ("lockfile_version = \"2\"\n", "no number"),
            ("tools = 1\n", "no table"),
            ("[[tools.a]]\nbackend = \"npm:a\"\n", "a: an entry has no version"),
        ] {
            let e = parse(Path::new("/x"), text).unwrap_err();
            assert!(e.message.contains(why), "{e}");
        }
    }
}
