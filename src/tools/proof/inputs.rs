//! Everything that mise's answer depends on but for the installed tools themselves, as a few
//! hashes: what an `strace` of `mise install` in the root directory opens or looks for.
//!
//! Contents are hashed, not times: a config that is written again as it was changes nothing,
//! and one that is restored with its old time is seen. Where there is more to read than is
//! read faster than mise is asked, there is no proof.

use super::{changed, is_program};
use crate::sys::files::open_regular;
use crate::tools::look::Request;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What is read at most: files and directories, bytes, levels of directories. 50 locked tools
/// have some 200 entries of 0.5 MB.
const ENTRIES: usize = 2048;
const BYTES: u64 = 4 << 20;
const DEPTH: usize = 6;

/// How much of the mise program is read at each end: the ELF header and the tables, in which
/// the sizes and places of all its parts stand. No two releases agree in them.
const PROGRAM_END: usize = 4096;

/// Parts that mise itself may change while it installs.
const MISES_OWN: &[&str] = &[LOCKS, LINKS, INSTALLED];
const LOCKS: &str = "a lockfile";
const LINKS: &str = "the links to the image's tools";
const INSTALLED: &str = "the installed versions";

/// The hashes, by what they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    parts: BTreeMap<String, String>,
    /// Why nothing can be proved, whatever the hashes say.
    #[serde(default)]
    pub unprovable: Option<String>,
}

impl Inputs {
    /// The parts in which these differ from others.
    pub fn differs_from<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let names = self.parts.keys().chain(other.parts.keys());
        let mut differ: Vec<&str> = names
            .filter(|name| self.parts.get(*name) != other.parts.get(*name))
            .map(String::as_str)
            .collect();
        differ.sort_unstable();
        differ.dedup();
        differ
    }

    /// The same, without what a `mise install` may change by itself.
    pub fn declares_other_than<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let differ = self.differs_from(other).into_iter();
        differ.filter(|name| !MISES_OWN.contains(name)).collect()
    }
}

/// What they are now.
pub(super) fn of(request: &Request) -> Inputs {
    let mut reader = Reader::default();
    let places = &request.places;
    let mut agent = Hash::default();
    agent.put("decided", request.proof.decided.as_bytes());
    agent.put("version", env!("CARGO_PKG_VERSION").as_bytes());
    if let Ok(m) = Path::new("/proc/self/exe").metadata() {
        agent.put("agent", format!("{} {}", m.len(), changed(&m)).as_bytes());
    }
    let mut variables = Hash::default();
    for (name, value) in &request.variables {
        let secret = ["TOKEN", "SECRET", "PASSWORD", "_KEY"].iter().any(|w| name.contains(w));
        variables.put(name, if secret { b"" } else { value.as_bytes() });
    }
    let (mut configs, mut locks) = (Hash::default(), Hash::default());
    for dir in [&places.system_config, &places.config] {
        reader.tree(dir, 0, &mut configs, &mut locks);
    }
    reader.root(&mut configs, &mut locks);
    reader.named(&request.variables, &mut configs);
    let mut mise = Hash::default();
    reader.program(&request.mise, &mut mise);
    let mut links = Hash::default();
    for dir in [&places.image_links, &places.volume_links(), &places.system_data.join("shims")] {
        reader.names(dir, &mut links);
    }
    let mut plugins = Hash::default();
    reader.names(&places.data.join("plugins"), &mut plugins);
    reader.names(&ignored_configs(request), &mut configs);
    let mut installed = Hash::default();
    for data in [&places.data, &places.system_data] {
        let installs = data.join("installs");
        reader.file(&installs.join(".mise-installs.toml"), &mut installed);
        reader.versions(&installs, &mut installed);
    }
    let parts = [
        ("what the agent was told", agent),
        ("mise's variables", variables),
        ("a config", configs),
        ("mise itself", mise),
        ("the plugins", plugins),
        (LOCKS, locks),
        (LINKS, links),
        (INSTALLED, installed),
    ];
    Inputs {
        parts: parts.map(|(name, hash)| (name.to_owned(), hash.done())).into(),
        unprovable: reader.unprovable,
    }
}

/// Where mise keeps the configs that it was told to ignore.
fn ignored_configs(request: &Request) -> PathBuf {
    let given = |name: &str| request.variables.get(name).map(PathBuf::from);
    let state = given("MISE_STATE_DIR")
        .or_else(|| given("XDG_STATE_HOME").map(|d| d.join("mise")))
        .unwrap_or_else(|| request.places.home.join(".local/state/mise"));
    state.join("ignored-configs")
}

/// A hash over named values.
#[derive(Default)]
struct Hash(Sha256);

impl Hash {
    fn put(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    fn done(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Reads within the limits.
#[derive(Default)]
struct Reader {
    entries: usize,
    bytes: u64,
    unprovable: Option<String>,
}

impl Reader {
    fn give_up(&mut self, why: String) {
        self.unprovable.get_or_insert(why);
    }

    /// May one more entry be read?
    fn one_more(&mut self, path: &Path) -> bool {
        self.entries += 1;
        if self.entries > ENTRIES {
            self.give_up(format!("at {} there are more than {ENTRIES} files", path.display()));
        }
        self.unprovable.is_none()
    }

    /// A directory of configuration with all that is in it. Links are followed, as mise does.
    fn tree(&mut self, path: &Path, depth: usize, configs: &mut Hash, locks: &mut Hash) {
        if !self.one_more(path) {
            return;
        }
        let of_a_lock = path.extension().is_some_and(|e| e == "lock")
            || path.components().any(|c| c.as_os_str() == "locks");
        let hash = if of_a_lock { &mut *locks } else { &mut *configs };
        if !path.is_dir() {
            return self.file(path, hash);
        }
        hash.put("dir", path.as_os_str().as_bytes());
        if depth > DEPTH {
            return self.give_up(format!("{} lies too deep", path.display()));
        }
        for name in sorted(path) {
            if name != ".git" {
                self.tree(&path.join(name), depth + 1, configs, locks);
            }
        }
    }

    /// What mise would take for a config in the root directory, where it is run.
    fn root(&mut self, configs: &mut Hash, locks: &mut Hash) {
        let root = Path::new("/");
        for name in sorted(root) {
            let path = root.join(&name);
            if (name.starts_with('.') || name.starts_with("mise") || name.ends_with(".toml"))
                && path.is_file()
                && self.one_more(&path)
            {
                self.file(&path, configs);
            }
        }
        for name in sorted(&root.join(".config")).iter().filter(|n| n.starts_with("mise")) {
            let path = root.join(".config").join(name);
            if path.is_file() {
                self.file(&path, configs);
            }
        }
        // Such a directory may also hold mise's data.
        for dir in ["mise", ".mise", ".config/mise"].map(|d| root.join(d)) {
            for name in sorted(&dir) {
                let config = name.ends_with(".toml") || name.ends_with(".lock");
                if config || ["conf.d", "locks", ".mise"].contains(&name.as_str()) {
                    self.tree(&dir.join(name), 1, configs, locks);
                }
            }
        }
    }

    /// Files that mise's variables name, from the root directory.
    fn named(&mut self, variables: &BTreeMap<String, String>, configs: &mut Hash) {
        let values = variables.iter().filter(|(name, _)| name.starts_with("MISE_"));
        for name in values.flat_map(|(_, value)| value.split([':', ','])) {
            let path = Path::new("/").join(name);
            if !name.is_empty() && path.is_file() && self.one_more(&path) {
                self.file(&path, configs);
                self.file(&path.with_file_name("mise.lock"), configs);
            }
        }
    }

    /// A file's name and content; that it is missing or can't be read, where that is so.
    fn file(&mut self, path: &Path, hash: &mut Hash) {
        let mut content = Vec::new();
        let left = BYTES.saturating_sub(self.bytes);
        let read = open_regular(path).and_then(|f| f.take(left + 1).read_to_end(&mut content));
        self.bytes += content.len() as u64;
        if self.bytes > BYTES {
            self.give_up(format!("at {} there is more than {BYTES} bytes", path.display()));
        }
        hash.put("file", path.as_os_str().as_bytes());
        match read {
            Ok(_) => hash.put("content", &content),
            Err(e) => hash.put("error", e.kind().to_string().as_bytes()),
        }
        if path.extension().is_some_and(|e| e == "toml") && depends(&content) {
            self.give_up(format!(
                "{} is a template: only mise can say what it comes to",
                path.display()
            ));
        }
    }

    /// A program by its size, its time and its two ends.
    fn program(&mut self, path: &Path, hash: &mut Hash) {
        let Some(metadata) = is_program(path) else {
            return self.give_up(format!("there is no program {}", path.display()));
        };
        let times = format!("{} {}", metadata.len(), changed(&metadata));
        hash.put(&path.to_string_lossy(), times.as_bytes());
        hash.put("mode", &metadata.permissions().mode().to_le_bytes());
        let Ok(file) = open_regular(path) else {
            return self.give_up(format!("{} cannot be read", path.display()));
        };
        let last = metadata.len().saturating_sub(PROGRAM_END as u64);
        for from in [0, last] {
            let mut part = vec![0; PROGRAM_END];
            let read = file.read_at(&mut part, from).unwrap_or(0);
            hash.put("part", part.get(..read).unwrap_or_default());
        }
    }

    /// The names in a directory, where links lead, and whether a program is there: links to the
    /// image's tools answer without mise, so nobody else would miss what they lead to.
    fn names(&mut self, dir: &Path, hash: &mut Hash) {
        hash.put("dir", dir.as_os_str().as_bytes());
        for name in sorted(dir) {
            let path = dir.join(&name);
            if !self.one_more(&path) {
                return;
            }
            let target = fs::read_link(&path).unwrap_or_default();
            hash.put(&name, target.as_os_str().as_bytes());
            hash.put("program", &[u8::from(is_program(&path).is_some())]);
        }
    }

    /// The tools below a directory of installs, each with the time when a version came or went.
    fn versions(&mut self, dir: &Path, hash: &mut Hash) {
        hash.put("dir", dir.as_os_str().as_bytes());
        for name in sorted(dir).iter().filter(|n| !n.starts_with('.')) {
            let path = dir.join(name);
            if !self.one_more(&path) {
                return;
            }
            let time = path.metadata().map_or(0, |m| changed(&m));
            hash.put(name, &time.to_le_bytes());
        }
    }
}

/// The names in a directory, sorted; none where it can't be read.
fn sorted(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Does a config say which tools there shall be by a template, whose value no hash of files
/// knows? What it says of the environment, tasks and hooks is no matter of tools.
fn depends(config: &[u8]) -> bool {
    let text = String::from_utf8_lossy(config);
    if !(text.contains("{{") || text.contains("{%")) {
        return false;
    }
    const NO_TOOLS: &[&str] = &["env", "vars", "tasks", "task_config", "hooks", "shell_alias"];
    match text.parse::<toml::Table>() {
        Ok(table) => table.iter().any(|(name, value)| {
            let value = value.to_string();
            !NO_TOOLS.contains(&name.as_str()) && (value.contains("{{") || value.contains("{%"))
        }),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests;
