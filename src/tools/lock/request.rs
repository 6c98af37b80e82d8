//! What a mise config asks a lockfile for: every tool at every version, with what limits or
//! chooses it; and the settings that bear on locking.

use super::file::plain;
use crate::tools::manifest::{self, ManifestError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// One config, as far as a lockfile must answer for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// The config.
    pub path: PathBuf,
    /// `[tools]`.
    pub tools: Vec<Request>,
    /// `tools` of tasks in the same file: they may be locked too.
    pub tasks: Vec<Request>,
    /// A short name and the backend that this file puts behind it.
    pub aliases: BTreeMap<String, String>,
    /// The lockfile answers for other configs too (`monorepo.lockfile`).
    pub shared: bool,
    /// Settings.
    pub settings: Settings,
}

/// Settings that bear on locking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `locked`.
    pub locked: Option<bool>,
    /// The config that says so.
    #[serde(default)]
    pub locked_in: Option<PathBuf>,
    /// `locked_scopes`.
    pub locked_scopes: Option<Vec<String>>,
    /// `npm.package_manager`: only mise's own installer has dependency trees.
    pub npm_manager: Option<String>,
}

/// One tool at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The tool.
    pub tool: String,
    /// The version as written.
    pub version: String,
    /// The systems it is limited to; empty means all.
    pub os: Vec<String>,
    /// What else stands beside the version, as a lockfile writes it.
    pub options: BTreeMap<String, String>,
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.tool, self.version)
    }
}

impl Request {
    /// Is this something that no lockfile can hold (a directory, the system's own)?
    pub fn is_unlockable(&self) -> bool {
        self.version == "system" || self.version.starts_with("path:")
    }
}

/// Reads one config; `Ok(None)` where there is none.
///
/// # Errors
/// It can't be read, or is no TOML (with its place).
pub fn read(path: &Path) -> Result<Option<Requests>, ManifestError> {
    manifest::text_of(path)?.map(|text| parse(path, &text)).transpose()
}

/// Reads the text of one.
///
/// # Errors
/// It is no TOML (with its place).
pub fn parse(path: &Path, text: &str) -> Result<Requests, ManifestError> {
    let table: Table = toml::from_str(text).map_err(|e| ManifestError {
        path: path.into(),
        place: e.span().map(|span| manifest::place_of(text, span.start)),
        message: e.message().to_owned(),
    })?;
    let inner = |name: &str| table.get(name).and_then(Value::as_table);
    let tasks = inner("tasks").into_iter().flatten();
    let settings = inner("settings");
    let setting = |name: &str| settings.and_then(|s| s.get(name));
    let manifest = manifest::parse(path, text)?;
    Ok(Requests {
        path: path.into(),
        tools: inner("tools").map(tools).unwrap_or_default(),
        tasks: tasks
            .filter_map(|(_, task)| Some(tools(task.get("tools")?.as_table()?)))
            .flatten()
            .collect(),
        aliases: manifest.aliases.into_iter().collect(),
        shared: inner("monorepo").and_then(|m| m.get("lockfile")).and_then(Value::as_bool)
            == Some(true),
        settings: Settings {
            locked: setting("locked").and_then(Value::as_bool),
            locked_in: setting("locked").map(|_| path.into()),
            locked_scopes: setting("locked_scopes").and_then(Value::as_array).map(|all| texts(all)),
            npm_manager: setting("npm")
                .and_then(|npm| npm.get("package_manager"))
                .and_then(Value::as_str)
                .map(str::to_owned),
        },
    })
}

fn texts(all: &[Value]) -> Vec<String> {
    all.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn tools(table: &Table) -> Vec<Request> {
    let several = |value: &Value| match value {
        Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    table.iter().flat_map(|(n, v)| several(v).into_iter().filter_map(|v| request(n, &v))).collect()
}

/// Keys beside the version that say when or where, not what.
const NO_OPTIONS: &[&str] =
    &["version", "prefix", "ref", "path", "os", "depends", "postinstall", "install_env"];

fn request(name: &str, value: &Value) -> Option<Request> {
    let tool = super::backend::bare(name).to_owned();
    let Value::Table(table) = value else {
        let options = super::backend::bracketed(name).collect();
        return Some(Request { tool, version: plain(value), options, ..Request::default() });
    };
    let version = ["version", "prefix", "ref", "path"].iter().find_map(|key| {
        let text = plain(table.get(*key)?);
        Some(if *key == "version" { text } else { format!("{key}:{text}") })
    })?;
    let os = match table.get("os") {
        Some(Value::Array(all)) => texts(all),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    let options = table.iter().filter(|(key, _)| !NO_OPTIONS.contains(&key.as_str()));
    let options = super::backend::bracketed(name)
        .chain(options.map(|(key, v)| (key.clone(), plain(v))))
        .collect();
    Some(Request { tool, version, os, options })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_a_request_with_its_own_limits() {
        let all = parse(
            Path::new("/x"),
            "[tools]\n\"npm:a\" = [{ version = \"1\", os = [\"linux\"] }, \"2\"]\n\
             \"npm:b\" = { version = \"3\", allow_builds = [\"b\"] }\n\"ubi:c/c[exe=c]\" = \"latest\"\n\
             [tool_alias]\nd = \"npm:d\"\n[tasks.t]\ntools = { e = \"1\" }\n[settings]\nlocked = true\n\
             [settings.npm]\npackage_manager = \"npm\"\n",
        )
        .unwrap();
        let words: Vec<String> = all.tools.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["npm:a@1", "npm:a@2", "npm:b@3", "ubi:c/c@latest"]);
        assert_eq!(all.tools[0].os, ["linux"]);
        assert_eq!(all.tools[2].options["allow_builds"], "[\"b\"]");
        assert_eq!(all.tools[3].options["exe"], "c");
        assert_eq!(all.aliases["d"], "npm:d");
        assert_eq!(all.tasks[0].tool, "e");
        assert_eq!(all.settings.locked, Some(true));
        assert_eq!(all.settings.npm_manager.as_deref(), Some("npm"));
    }
}
