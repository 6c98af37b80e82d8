//! What lies there of plugins, and what was installed by which backend: by mise's own notes
//! beside the installs, read as the sandbox user.
//!
//! The notes are the user's files. Whoever writes another backend's name into them deceives
//! this module and mise alike.

use super::{PLUGINS, backends};
use crate::tools::look::Request;
use crate::tools::manifest;
use serde::{Deserialize, Serialize};
use std::fs::DirEntry;
use std::path::Path;

/// mise's note of the backend, in a tool's directory (releases from 2026.6).
const NOTE: &str = ".mise.backend.toml";

/// The same for all tools, beside their directories.
const NOTES: &str = ".mise-installs.toml";

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Names of plugin directories.
    #[serde(default)]
    pub plugins: Vec<String>,
    /// What is installed, by whatever backend.
    #[serde(default)]
    pub installed: Vec<Installed>,
}

/// One tool that is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The name by which mise's commands know it.
    pub name: String,
    /// The backend that installed it.
    pub backend: String,
    /// The versions that are there.
    pub versions: Vec<String>,
}

/// Looks.
pub fn look(request: &Request) -> Seen {
    let places = &request.places;
    let mut directories = vec![places.data.join("plugins")];
    // Where the environment has them elsewhere.
    directories.extend(request.variables.get(PLUGINS).map(Into::into));
    let names = directories.iter().flat_map(|d| entries(d)).filter_map(|e| name_of(&e));
    Seen {
        plugins: backends::plugin_names(names),
        installed: [&places.data, &places.system_data]
            .iter()
            .flat_map(|data| installed(&data.join("installs")))
            .collect(),
    }
}

fn installed(directory: &Path) -> Vec<Installed> {
    let table = |path: &Path| -> Option<toml::Table> {
        toml::from_str(&manifest::text_of(path).ok()??).ok()
    };
    let notes = table(&directory.join(NOTES)).unwrap_or_default();
    let mut all: Vec<Installed> = entries(directory)
        .filter_map(|entry| {
            let note = table(&entry.path().join(NOTE));
            let note = note.or_else(|| notes.get(&name_of(&entry)?)?.as_table().cloned());
            let text = |key: &str| note.as_ref()?.get(key)?.as_str();
            let (name, backend) = match text("full") {
                Some(full) => (text("short").unwrap_or(full).to_owned(), full.split_once(':')?.0),
                // `mise link` leaves none; mise names the directory after backend and tool.
                None => by_directory(&name_of(&entry)?)?,
            };
            let backend = backend.to_owned();
            let versions = versions(&entry.path());
            (!versions.is_empty()).then_some(Installed { name, backend, versions })
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// `cargo-ripgrep` is `cargo:ripgrep`.
fn by_directory(name: &str) -> Option<(String, &'static str)> {
    let known = backends::KNOWN.iter().find_map(|b| Some((*b, name.strip_prefix(b)?)));
    let (backend, tool) = known?;
    let tool = tool.strip_prefix('-').filter(|tool| !tool.is_empty())?;
    Some((format!("{backend}:{tool}"), backend))
}

/// The versions in a tool's directory. Links to one of them (`latest`, `1.0`) are no
/// versions; a link to elsewhere (`mise link`) is one.
fn versions(directory: &Path) -> Vec<String> {
    let mut all: Vec<String> = entries(directory)
        .filter(|entry| match entry.path().read_link() {
            Ok(to) => to.is_absolute(),
            Err(_) => entry.path().read_dir().is_ok_and(|mut d| d.next().is_some()),
        })
        .filter_map(|entry| name_of(&entry))
        .filter(|name| !name.starts_with('.'))
        .collect();
    all.sort();
    all
}

fn entries(directory: &Path) -> impl Iterator<Item = DirEntry> {
    directory.read_dir().into_iter().flatten().flatten()
}

fn name_of(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_backend_is_told_by_either_note() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        write(&at("old/1.0.0/bin/old"), "");
        write(&at("old/.mise.backend.toml"), "short = \"old\"\nfull = \"asdf:old\"\n");
        symlink("./1.0.0", at("old/latest")).unwrap();
        write(&at("node/22.1.0/bin/node"), "");
        write(&at(".mise-installs.toml"), "[node]\nshort = \"node\"\nfull = \"core:node\"\n");
        // Uninstalled: the note stays, the version is gone.
        write(&at("gone/.mise.backend.toml"), "short = \"gone\"\nfull = \"cargo:gone\"\n");
        symlink("./1.0.0", at("gone/latest")).unwrap();
        symlink("/opt", at("old/linked")).unwrap();
        let all = installed(dir.path());
        let told: Vec<_> = all
            .iter()
            .map(|i| (i.name.as_str(), i.backend.as_str(), i.versions.join(" ")))
            .collect();
        assert_eq!(
            told,
            [("node", "core", "22.1.0".to_owned()), ("old", "asdf", "1.0.0 linked".to_owned())]
        );
    }
}
