//! What goes along, as one value: files, each at its place in the table. Written as an archive
//! it begins with a manifest of what follows; read from one, everything has been judged. Pure.

use super::table::{LATER, Place, ROWS, Root, USER_DIRECTORY, WORKSPACE_CONFIG, check_path};
use super::table::{USER_SIDECARS, WORKSPACE_SIDECARS};
use super::text;
use super::ustar::{self, Entry};
use crate::tools::places::{CONFIG, LOCK};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The form of the manifest.
pub const SCHEMA: &str = "agent.tools-export/1";

/// Its name in the archive, where it is the first entry.
pub const MANIFEST: &str = "manifest.json";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub place: Place,
    /// Where it lies, from the home; the user's mise configuration is always called
    /// `.config/mise`.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The files, in the order of their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The files.
    pub items: Vec<Item>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    schema: String,
    files: Vec<Line>,
}

/// What the manifest says of one file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    place: Place,
    path: String,
    size: u64,
    sha256: String,
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Bundle {
    /// A bundle of files in any order.
    pub fn of(mut items: Vec<Item>) -> Self {
        items.sort_by(|a, b| a.path.cmp(&b.path));
        Self { items }
    }

    /// The archive: the same bytes for the same files, wherever it is made.
    ///
    /// # Errors
    /// A path is too long for the format, or there is too much; the text says what.
    pub fn to_archive(&self) -> Result<Vec<u8>, String> {
        let line = |item: &Item| Line {
            place: item.place,
            path: item.path.clone(),
            size: item.bytes.len() as u64,
            sha256: digest(&item.bytes),
        };
        let manifest =
            Manifest { schema: SCHEMA.into(), files: self.items.iter().map(line).collect() };
        let mut manifest = serde_json::to_vec_pretty(&manifest).map_err(|e| e.to_string())?;
        manifest.push(b'\n');
        let files = self.items.iter().map(|item| (item.path.as_str(), item.bytes.as_slice()));
        let archive = ustar::write([(MANIFEST, manifest.as_slice())].into_iter().chain(files))?;
        if archive.len() as u64 > ustar::MAX_ARCHIVE || self.items.len() >= ustar::MAX_ENTRIES {
            return Err(format!("it is more than {} bytes or files", ustar::MAX_ARCHIVE));
        }
        Ok(archive)
    }

    /// Reads an archive and judges all of it.
    ///
    /// # Errors
    /// It is none, or anything in it is not as the table and its manifest have it; the text
    /// names the entry and says why.
    pub fn from_archive(archive: &[u8]) -> Result<Self, String> {
        let mut entries = ustar::read(archive)?.into_iter();
        let first = entries.next().filter(|e| e.name == MANIFEST);
        let first = first.ok_or_else(|| format!("its first entry is no {MANIFEST}"))?;
        let manifest: Manifest =
            serde_json::from_slice(&first.bytes).map_err(|e| match schema_of(&first.bytes) {
                Some(other) if other != SCHEMA => of_another_schema(&other),
                _ => format!("{MANIFEST} cannot be read: {e}"),
            })?;
        if manifest.schema != SCHEMA {
            return Err(of_another_schema(&manifest.schema));
        }
        let bundle = Self::of(matched(manifest.files, entries)?);
        bundle.judge()?;
        Ok(bundle)
    }

    /// The file at `path`.
    pub fn at(&self, path: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.path == path)
    }

    /// Directories of locks and configs, from the home.
    pub fn directories(&self) -> BTreeSet<&str> {
        let is_lead = |p| matches!(p, Place::UserConfig | Place::WorkspaceConfig);
        let leads = self.items.iter().filter(|item| is_lead(item.place));
        leads.filter_map(|item| Some(item.path.rsplit_once('/')?.0)).collect()
    }

    /// Can all of it be there at once? No path may be a file and lead to another, neither a
    /// file's own, nor that of a lock which is taken away, nor that of what is kept beside a
    /// backup.
    ///
    /// # Errors
    /// It can't; the text names both.
    pub fn check_apart(&self) -> Result<(), String> {
        let mut files = BTreeSet::new();
        for item in &self.items {
            for path in lock_beside(item).map(|(_, lock)| lock).iter().chain([&item.path]) {
                files.insert(format!("{path}{LATER}"));
                files.insert(path.clone());
            }
        }
        for item in &self.items {
            let ends = item.path.match_indices('/').map(|(end, _)| end);
            let mut above = ends.filter_map(|end| item.path.get(..end));
            if let Some(file) = above.find(|directory| files.contains(*directory)) {
                return Err(format!("{}: {file} is to be a file", item.path));
            }
        }
        Ok(())
    }

    /// Is every file where its place in the table is, and may it be there?
    fn judge(&self) -> Result<(), String> {
        let mut named = BTreeSet::new();
        for item in &self.items {
            let refuse = |why: String| format!("{}: {why}", item.path);
            let text = std::str::from_utf8(&item.bytes);
            let text = || text.map_err(|_| refuse("it is no UTF-8".into()));
            match item.place {
                Place::UserConfig | Place::WorkspaceConfig => {
                    directory_of(item).map_err(refuse)?;
                    text::table(text()?).map_err(refuse)?;
                }
                Place::UserLock | Place::WorkspaceLock => {
                    let directory = directory_of(item).map_err(refuse)?;
                    if self.at(&config_beside(directory)).is_none() {
                        return Err(refuse("it is a lock without its config".into()));
                    }
                    let allowed = sidecars_below(item.place);
                    let files = text::sidecars(text()?, allowed).map_err(refuse)?;
                    named.extend(files.into_iter().map(|file| format!("{directory}/{file}")));
                }
                Place::UserLockSidecar | Place::WorkspaceLockSidecar => {}
            }
        }
        self.check_apart()?;
        let sidecar = |p| matches!(p, Place::UserLockSidecar | Place::WorkspaceLockSidecar);
        match self.items.iter().find(|item| sidecar(item.place) && !named.contains(&item.path)) {
            Some(item) => Err(format!("{}: no lock in the archive names it", item.path)),
            None => Ok(()),
        }
    }
}

fn schema_of(manifest: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    Some(value.get("schema")?.as_str()?.to_owned())
}

fn of_another_schema(schema: &str) -> String {
    format!("it is of the form {schema:?}; this agent reads {SCHEMA}")
}

/// The manifest's lines with the entries that they speak of: one each, no more, no less.
fn matched(lines: Vec<Line>, entries: impl Iterator<Item = Entry>) -> Result<Vec<Item>, String> {
    let mut lines: BTreeMap<String, Line> = {
        let count = lines.len();
        let by_path: BTreeMap<_, _> = lines.into_iter().map(|l| (l.path.clone(), l)).collect();
        if by_path.len() < count {
            return Err(format!("{MANIFEST} names a file twice"));
        }
        by_path
    };
    let mut items: Vec<Item> = Vec::new();
    for Entry { name, bytes } in entries {
        let shown: String = name.chars().flat_map(char::escape_debug).collect();
        check_path(&name).map_err(|why| format!("{shown}: {why}"))?;
        let Some(line) = lines.remove(&name) else {
            return Err(match items.iter().any(|item| item.path == name) {
                true => format!("{shown}: it is there twice"),
                false => format!("{shown}: {MANIFEST} does not name it"),
            });
        };
        if line.size != bytes.len() as u64 || line.sha256 != digest(&bytes) {
            return Err(format!(
                "{shown}: it is not what {MANIFEST} says (size or SHA-256 differ)"
            ));
        }
        items.push(Item { place: line.place, path: name, bytes });
    }
    match lines.into_keys().next() {
        Some(path) => Err(format!("{}: it is missing in the archive", path.escape_debug())),
        None => Ok(items),
    }
}

/// Where the files that a lock names may lie, from the lock's directory.
pub fn sidecars_below(lock: Place) -> &'static str {
    if lock == Place::UserLock { USER_SIDECARS } else { WORKSPACE_SIDECARS }
}

/// The config that a lock in `directory` belongs to.
pub fn config_beside(directory: &str) -> String {
    let name = if directory == USER_DIRECTORY { CONFIG } else { WORKSPACE_CONFIG };
    format!("{directory}/{name}")
}

/// The directory of a config or lock that lies where its row of the table says.
fn directory_of(item: &Item) -> Result<&str, String> {
    let row = ROWS.iter().find(|row| row.place == Some(item.place));
    let (directory, name) = item.path.rsplit_once('/').unwrap_or(("", &item.path));
    let right = row.is_some_and(|row| match row.root {
        Root::Config => directory == USER_DIRECTORY,
        _ => !directory.is_empty() && directory != USER_DIRECTORY,
    });
    match row {
        Some(row) if right && row.name == name => Ok(directory),
        _ => Err("the sync table has no such file".into()),
    }
}

/// The lock beside the config at `path`, and its place.
pub fn lock_beside(config: &Item) -> Option<(Place, String)> {
    let place = match config.place {
        Place::UserConfig => Place::UserLock,
        Place::WorkspaceConfig => Place::WorkspaceLock,
        _ => return None,
    };
    Some((place, format!("{}/{LOCK}", config.path.rsplit_once('/')?.0)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn item(place: Place, path: &str, text: &str) -> Item {
        Item { place, path: path.into(), bytes: text.into() }
    }

    pub(in super::super) const LOCK_TEXT: &str = "lockfile_version = 2\n[[tools.\"npm:a\"]]\nversion = \"1\"\naube = { path = \"locks/npm-a/1\" }\n";

    pub(in super::super) fn whole() -> Bundle {
        Bundle::of(vec![
            item(Place::UserConfig, ".config/mise/config.toml", "[tools]\n\"npm:a\" = \"1\"\n"),
            item(Place::UserLock, ".config/mise/mise.lock", LOCK_TEXT),
            item(
                Place::UserLockSidecar,
                ".config/mise/locks/npm-a/1/aube-lock.yaml",
                "lockfileVersion: 9\n",
            ),
            item(Place::WorkspaceConfig, "p/site/mise.toml", "[tools]\n"),
        ])
    }

    #[test]
    fn a_bundle_survives_its_archive_and_two_archives_are_equal() {
        let archive = whole().to_archive().unwrap();
        assert_eq!(Bundle::from_archive(&archive).unwrap(), whole());
        let mut shuffled = whole().items;
        shuffled.reverse();
        assert_eq!(Bundle::of(shuffled).to_archive().unwrap(), archive);
    }

    #[track_caller]
    fn refused(change: impl Fn(&mut Vec<Item>), why: &str) {
        let mut items = whole().items;
        change(&mut items);
        let e = Bundle::from_archive(&Bundle { items }.to_archive().unwrap()).unwrap_err();
        assert!(e.contains(why), "{e}");
    }

    #[test]
    fn only_what_the_table_has_is_accepted() {
        let add = |place, path: &str| {
            let new = item(place, path, "");
            move |items: &mut Vec<Item>| items.push(new.clone())
        };
        refused(add(Place::UserConfig, ".bashrc"), "no such file");
        refused(add(Place::UserConfig, ".config/mise/mise.toml"), "no such file");
        refused(add(Place::WorkspaceConfig, ".config/mise/mise.toml"), "no such file");
        refused(add(Place::WorkspaceConfig, "mise.toml"), "no such file");
        refused(add(Place::WorkspaceConfig, "p/.env"), "no such file");
        refused(add(Place::WorkspaceConfig, "../p/mise.toml"), "parent");
        refused(add(Place::WorkspaceConfig, "/p/mise.toml"), "absolute");
        refused(add(Place::UserLockSidecar, ".config/mise/locks/npm-a/1/x"), "no lock");
        refused(add(Place::WorkspaceLockSidecar, ".ssh/authorized_keys"), "no lock");
        refused(add(Place::WorkspaceLock, "other/mise.lock"), "without its config");
    }

    #[test]
    fn what_cannot_be_there_at_once_is_refused() {
        let config = |path: &str| item(Place::WorkspaceConfig, path, "[tools]\n");
        let lock = |path: &str, text: &str| item(Place::WorkspaceLock, path, text);
        let both = |text: &str| vec![config("p/mise.toml"), lock("p/mise.lock", text)];
        let sidecar = |path: &str| item(Place::WorkspaceLockSidecar, path, "{}");
        let locks = "tools.a.aube.path = \".mise/locks/x\"\n\
                     tools.b.aube.path = \".mise/locks/x/package.json\"\n";
        for (items, file) in [
            ([both(""), vec![config("p/mise.lock/mise.toml")]].concat(), "p/mise.lock"),
            (vec![config("p/mise.toml"), config("p/mise.lock/mise.toml")], "p/mise.lock"),
            (vec![config("p/mise.toml"), config("p/mise.toml/q/mise.toml")], "p/mise.toml"),
            (vec![config("p/mise.toml"), config("p/mise.toml.later/mise.toml")], ".later"),
            (
                [
                    both(locks),
                    vec![
                        sidecar("p/.mise/locks/x/package.json"),
                        sidecar("p/.mise/locks/x/package.json/package.json"),
                    ],
                ]
                .concat(),
                "x/package.json",
            ),
        ] {
            let e = Bundle::from_archive(&Bundle::of(items).to_archive().unwrap()).unwrap_err();
            assert!(e.ends_with(&format!("{file} is to be a file")), "{e}");
        }
        let staged = Bundle::of(vec![config("p/.mise.toml.agent-import/mise.toml")]);
        let e = Bundle::from_archive(&staged.to_archive().unwrap()).unwrap_err();
        assert!(e.contains("an import's own"), "{e}");
        let near = Bundle::of(vec![config("p/mise.toml"), config("p/mise.tom/mise.toml")]);
        assert!(Bundle::from_archive(&near.to_archive().unwrap()).is_ok());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        refused(|items| items.push(items[0].clone()), "twice");
        refused(|items| items.retain(|i| i.place != Place::UserConfig), "without its config");
        refused(|items| items.retain(|i| i.place != Place::UserLock), "no lock");
        let spoil = |items: &mut Vec<Item>| {
            for item in items.iter_mut().filter(|i| i.place == Place::UserConfig) {
                item.bytes = b"[tools\n".to_vec();
            }
        };
        refused(spoil, "line 1 is no TOML");
    }
}
