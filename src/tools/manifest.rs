//! What a mise config file says, as far as the agent must know it without asking mise: the
//! tools it declares, the settings that loosen a policy, the plugins it names.
//!
//! The rest of the file is mise's business and is neither read nor judged.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No config or lockfile is larger than this, in bytes.
pub const MAX: u64 = 1 << 20;

/// One config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its path.
    pub path: PathBuf,
    /// `[tools]`, in the file's order.
    pub tools: Vec<Declared>,
    /// `settings.disable_backends`; `None` where the file doesn't say.
    pub disable_backends: Option<Vec<String>>,
    /// `settings.disable_tools`.
    pub disable_tools: Option<Vec<String>>,
    /// Names in `[plugins]`: mise fetches such a plugin when one of its tools is asked for.
    pub plugins: Vec<String>,
    /// `[tool_alias]` and its older name `[alias]`: a short name and the backend behind it.
    pub aliases: Vec<(String, String)>,
    /// Names that `[env]` sets and that mise itself would read (`MISE_*`).
    pub variables: Vec<String>,
}

impl Manifest {
    /// The tools that are declared with their backend's name (`npm:x`). Short names are left
    /// out: mise may list them under another.
    pub fn full_names(&self) -> Vec<&str> {
        self.tools.iter().filter(|t| t.backend().is_some()).map(|t| t.name.as_str()).collect()
    }
}

/// One declared tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Its name as written, such as `npm:cowsay` or `node`.
    pub name: String,
    /// The versions asked for, as written: `1.6.0`, `22`, `latest`, `prefix:1`.
    pub versions: Vec<String>,
    /// The systems it is limited to (`os`); empty means all.
    pub os: Vec<String>,
}

impl Declared {
    /// The backend in its name; `None` for a short name, which mise's registry resolves.
    pub fn backend(&self) -> Option<&str> {
        self.name.split_once(':').map(|(backend, _)| backend)
    }
}

/// Why a config file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestError {
    /// The file.
    pub path: PathBuf,
    /// Line and column, from 1, where the text is at fault.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        match self.place {
            Some((line, column)) => write!(f, "{path}:{line}:{column}: {}", self.message),
            None => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Reads one file; `Ok(None)` where there is none.
///
/// # Errors
/// It is no regular file, can't be read, is larger than [`MAX`], or is no TOML.
pub fn read(path: &Path) -> Result<Option<Manifest>, ManifestError> {
    match text_of(path)? {
        Some(text) => parse(path, &text).map(Some),
        None => Ok(None),
    }
}

/// The text of a file that may be missing. Nothing that it might be in place of a file
/// (a FIFO, a device) makes the reader wait.
///
/// # Errors
/// It is no regular file, can't be read, is too large, or is no UTF-8.
pub fn text_of(path: &Path) -> Result<Option<String>, ManifestError> {
    let refuse = |message: String| ManifestError { path: path.into(), place: None, message };
    let file = match open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(refuse(format!("it cannot be read: {e}"))),
    };
    let mut text = String::new();
    file.take(MAX + 1)
        .read_to_string(&mut text)
        .map_err(|e| refuse(format!("it cannot be read: {e}")))?;
    if text.len() as u64 > MAX {
        return Err(refuse(format!("it is larger than {MAX} bytes")));
    }
    Ok(Some(text))
}

#[cfg(target_os = "linux")]
fn open(path: &Path) -> std::io::Result<File> {
    crate::sys::files::open_regular(path)
}

#[cfg(not(target_os = "linux"))]
fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

/// Reads the text of one file.
///
/// # Errors
/// It is no TOML.
pub fn parse(path: &Path, text: &str) -> Result<Manifest, ManifestError> {
    let table: toml::Table = toml::from_str(text).map_err(|e| ManifestError {
        path: path.into(),
        place: e.span().map(|span| place_of(text, span.start)),
        message: e.message().to_owned(),
    })?;
    let inner = |name: &str| table.get(name).and_then(toml::Value::as_table);
    let settings = inner("settings");
    let list = |name: &str| settings.and_then(|s| s.get(name)).map(names_of);
    let keys = |name: &str| inner(name).map(|t| t.keys().cloned().collect()).unwrap_or_default();
    let variables: Vec<String> = keys("env");
    Ok(Manifest {
        path: path.into(),
        tools: inner("tools").into_iter().flatten().map(|(n, v)| declared(n, v)).collect(),
        disable_backends: list("disable_backends"),
        disable_tools: list("disable_tools"),
        plugins: keys("plugins"),
        aliases: ["tool_alias", "alias"]
            .iter()
            .filter_map(|n| inner(n))
            .flat_map(aliases)
            .collect(),
        variables: variables.into_iter().filter(|n| n.starts_with("MISE_")).collect(),
    })
}

/// Line and column, from 1, of the byte at `at`.
pub(super) fn place_of(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

/// A list of names, or one text with commas as mise reads it from variables.
fn names_of(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Array(all) => {
            all.iter().filter_map(|v| v.as_str()).map(str::to_owned).collect()
        }
        toml::Value::String(text) => {
            text.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}

fn declared(name: &str, value: &toml::Value) -> Declared {
    let one = |v: &toml::Value| match v {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(n) => Some(n.to_string()),
        toml::Value::Float(n) => Some(n.to_string()),
        toml::Value::Table(t) => ["version", "prefix", "ref", "path"].iter().find_map(|key| {
            let text = t.get(*key)?.as_str()?;
            Some(if *key == "version" { text.to_owned() } else { format!("{key}:{text}") })
        }),
        _ => None,
    };
    let versions = match value {
        toml::Value::Array(all) => all.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    };
    let os = value.get("os").map(names_of).unwrap_or_default();
    Declared { name: name.into(), versions, os }
}

/// `name = "backend:tool"`, or a table whose `backend` says so.
fn aliases(table: &toml::Table) -> Vec<(String, String)> {
    let full = |v: &toml::Value| match v {
        toml::Value::String(text) => Some(text.clone()),
        other => other.get("backend").and_then(toml::Value::as_str).map(str::to_owned),
    };
    table.iter().filter_map(|(name, v)| Some((name.clone(), full(v)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Manifest {
        parse(Path::new("/x/config.toml"), text).unwrap()
    }

    #[test]
    fn tools_are_read_in_every_way_they_can_be_written() {
        let m = parsed(
            "[tools]\nnode = 22\n\"npm:a\" = \"1.6.0\"\n\"npm:b\" = [\"1\", { version = \"2\", os = [\"linux\"] }]\n\
             [tools.\"github:c/c\"]\nversion = \"latest\"\nos = [\"macos\"]\n",
        );
        let all: Vec<_> = m.tools.iter().map(|t| (t.name.as_str(), t.versions.join(" "))).collect();
        assert!(all.contains(&("node", "22".into())) && all.contains(&("npm:a", "1.6.0".into())));
        assert!(all.contains(&("npm:b", "1 2".into())));
        let c = m.tools.iter().find(|t| t.name == "github:c/c").unwrap();
        assert_eq!((c.backend(), c.os.as_slice()), (Some("github"), &["macos".to_owned()][..]));
    }

    #[test]
    fn names_with_their_backend_are_told_from_short_ones() {
        let config = "[settings]\nx = 1\n[tools]\n\"npm:cowsay\" = \"1\"\nnode = \"22\"\n[tools.\"npm:b\"]\nversion = \"2\"\n";
        assert_eq!(parsed(config).full_names(), ["npm:b", "npm:cowsay"]);
        assert!(parse(Path::new("/x"), "[tools").is_err() && parsed("").full_names().is_empty());
    }

    #[test]
    fn what_loosens_a_policy_is_seen() {
        let m = parsed(
            "[settings]\ndisable_backends = []\ndisable_tools = \"npm:a, npm:b\"\n[plugins]\nevil = \"https://x\"\n\
             [tool_alias]\nok = \"evil:x\"\n[alias.node]\nbackend = \"asdf:x\"\n[env]\nMISE_YES = \"1\"\nEDITOR = \"vi\"\n",
        );
        assert_eq!(m.disable_backends.as_deref(), Some(&[][..]));
        assert_eq!(m.disable_tools.unwrap(), ["npm:a", "npm:b"]);
        assert_eq!(m.plugins, ["evil"]);
        assert_eq!(
            m.aliases,
            [("ok".into(), "evil:x".into()), ("node".into(), "asdf:x".to_owned())]
        );
        assert_eq!(m.variables, ["MISE_YES"]);
    }

    #[test]
    fn an_error_has_its_place() {
        let e = parse(Path::new("/x"), "[tools]\n\"npm:a\" = \n").unwrap_err();
        assert_eq!(e.place.unwrap().0, 2);
        assert!(e.to_string().starts_with("/x:2:"), "{e}");
    }
}
