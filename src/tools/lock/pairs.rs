//! Which lockfile mise uses for which config.
//!
//! The rule, tried with each place and with three releases: the lockfile lies in the config's
//! directory and is called `mise.lock`, with the middle of the config's name where that has
//! one (`mise.test.toml`, `config.local.toml`); what lies in `conf.d` shares the lockfile of
//! the directory above.

use super::platform::Platform;
use crate::tools::places::Places;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A lockfile and the configs that share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The configs, in mise's order of precedence by name.
    pub configs: Vec<PathBuf>,
    /// The lockfile.
    pub lock: PathBuf,
    /// Whose it is.
    pub kind: Kind,
}

/// Whose a lockfile is: that decides how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A project's, below this directory.
    Project(PathBuf),
    /// The user's.
    Global,
    /// An image's.
    System,
}

/// The pairs of a directory or of one config file.
pub fn of(target: &Path, places: &Places) -> Vec<Pair> {
    if target.is_dir() {
        return of_directory(target, places);
    }
    // A lockfile stands for the configs that share it: hooks are given the files that changed.
    if let (Some(directory), true) = (target.parent(), is_lock(target)) {
        let all = named(directory, |name| is_project(name) || is_directory(name), &Kind::System);
        let own = all.into_iter().filter(|pair| pair.lock == target);
        return own
            .map(|pair| {
                let config = pair.configs.iter().find(|c| c.parent() == Some(directory));
                let config = config.cloned().unwrap_or_else(|| directory.join("config.toml"));
                Pair { kind: kind_of(directory, &config, places), ..pair }
            })
            .collect();
    }
    let Some((directory, lock)) = target.parent().zip(lock_of(target)) else { return Vec::new() };
    let directory = if directory.ends_with("conf.d") {
        directory.parent().unwrap_or(directory)
    } else {
        directory
    };
    let kind = kind_of(directory, target, places);
    let all = named(directory, |name| is_project(name) || is_directory(name), &kind);
    all.into_iter().filter(|pair| pair.lock == lock).collect()
}

/// Every pair of the user's or an image's directory of mise configuration: `config.toml` and
/// `conf.d`, but also `mise.toml`, each with its local form and its environments' (tried with
/// `mise config ls`; a `.mise.toml` there is passed over).
pub fn directory(directory: &Path, kind: Kind) -> Vec<Pair> {
    named(directory, in_directory, &kind)
}

fn in_directory(name: &str) -> bool {
    is_directory(name) || is_project(name) && !name.starts_with('.')
}

fn of_directory(root: &Path, places: &Places) -> Vec<Pair> {
    let mut all = Vec::new();
    let project = Kind::Project(root.to_owned());
    for (below, wanted) in [
        ("", is_project as fn(&str) -> bool),
        (".config", is_project),
        ("mise", is_directory),
        (".mise", is_directory),
        (".config/mise", is_directory),
    ] {
        let directory = if below.is_empty() { root.to_owned() } else { root.join(below) };
        if [&places.config, &places.system_config].contains(&&directory) {
            let users = places.config == directory;
            let kind = if users { Kind::Global } else { Kind::System };
            all.extend(self::directory(&directory, kind));
            continue;
        }
        all.extend(named(&directory, wanted, &project));
    }
    // The directory itself may be one of mise's: the user's, an image's.
    let kind = kind_of(root, &root.join("config.toml"), places);
    if all.is_empty() && root.join(crate::tools::places::LOCK).exists() {
        all.extend(named(root, is_directory, &kind));
    }
    all
}

/// A `config.toml` that isn't in one of a project's own places is a directory's as mise has
/// them: an image's that is yet to be built.
fn kind_of(directory: &Path, config: &Path, places: &Places) -> Kind {
    if places.config == directory {
        return Kind::Global;
    }
    if places.system_config == directory {
        return Kind::System;
    }
    let name = config.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if is_project(name) {
        let root = if directory.ends_with(".config") { directory.parent() } else { None };
        return Kind::Project(root.unwrap_or(directory).to_owned());
    }
    for below in [".config/mise", ".mise", "mise"] {
        if directory.ends_with(below) {
            let levels = Path::new(below).components().count();
            let root = directory.ancestors().nth(levels).unwrap_or(directory);
            return Kind::Project(root.to_owned());
        }
    }
    Kind::System
}

fn named(directory: &Path, wanted: impl Fn(&str) -> bool, kind: &Kind) -> Vec<Pair> {
    let entries = |directory: &Path| -> Vec<PathBuf> {
        let entries = directory.read_dir().into_iter().flatten().flatten();
        // What is neither a file nor a directory is refused with its reason where it is read.
        let there = |p: &PathBuf| p.metadata().is_ok_and(|m| !m.is_dir());
        let mut all: Vec<PathBuf> = entries.map(|e| e.path()).filter(there).collect();
        all.sort();
        all
    };
    let name = |path: &Path| path.file_name().and_then(|n| n.to_str()).map(str::to_owned);
    let mut pairs: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    let own = entries(directory).into_iter().filter(|p| name(p).is_some_and(|n| wanted(&n)));
    let parts = match wanted("config.toml") {
        true => entries(&directory.join("conf.d")),
        false => Vec::new(),
    };
    let parts = parts.into_iter().filter(|p| name(p).is_some_and(|n| n.ends_with(".toml")));
    for path in own.chain(parts) {
        if let Some(lock) = lock_of(&path) {
            pairs.entry(lock).or_default().push(path);
        }
    }
    pairs.into_iter().map(|(lock, configs)| Pair { configs, lock, kind: kind.clone() }).collect()
}

/// `mise.toml`, `.mise.toml`, `mise.test.toml`, `mise.local.toml`.
fn is_project(name: &str) -> bool {
    let name = name.strip_prefix('.').unwrap_or(name);
    name.starts_with("mise.") && name.ends_with(".toml")
}

/// `config.toml`, `config.local.toml`.
fn is_directory(name: &str) -> bool {
    name.starts_with("config.") && name.ends_with(".toml")
}

/// `mise.lock`, `mise.local.lock`.
fn is_lock(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.starts_with("mise.") && name.ends_with(".lock")
}

/// The lockfiles that are in a directory of mise configuration, by name.
pub fn locks(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| is_lock(p)).collect();
    all.sort();
    all
}

/// The lockfile of one config.
fn lock_of(config: &Path) -> Option<PathBuf> {
    let directory = config.parent()?;
    let name = config.file_name()?.to_str()?;
    if directory.ends_with("conf.d") {
        return Some(directory.parent()?.join(crate::tools::places::LOCK));
    }
    let stem = name.strip_prefix('.').unwrap_or(name).strip_suffix(".toml")?;
    let middle = stem.split_once('.').map(|(_, middle)| format!(".{middle}")).unwrap_or_default();
    Some(directory.join(format!("mise{middle}.lock")))
}

impl Pair {
    /// Does mise read it where `MISE_ENV` names these environments?
    pub fn is_read(&self, environments: &[&str]) -> bool {
        let name = self.lock.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let middle = name.strip_prefix("mise.").and_then(|n| n.strip_suffix("lock"));
        let mut parts = middle.unwrap_or_default().split('.').filter(|p| !p.is_empty());
        parts.all(|part| part == "local" || environments.contains(&part))
    }

    /// The line that writes the lockfile; `anew` removes it first, because mise refuses to
    /// update what it can't read.
    pub fn line(&self, asked: Option<&[Platform]>, anew: bool) -> String {
        let names: Vec<&str> = asked.unwrap_or_default().iter().map(Platform::name).collect();
        let platforms = match names.is_empty() {
            true => String::new(),
            false => format!(" --platform {}", names.join(",")),
        };
        let remove = if anew { format!("rm {} && ", quoted(&self.lock)) } else { String::new() };
        match &self.kind {
            // Not in a project, whose config would be trusted by the way; and not the image's,
            // which the same command would write where it can, and fail on where it can't.
            Kind::Global => {
                let (set, local) = self.environment();
                format!(
                    "cd / && {remove}{set}MISE_SYSTEM_CONFIG_DIR=/nonexistent mise lock --global{local}{platforms}"
                )
            }
            Kind::System => {
                let directory = self.lock.parent().unwrap_or(Path::new("/"));
                let (set, local) = self.environment();
                // In a home without a config, for the user's would be locked too.
                format!(
                    "cd / && {remove}{set}HOME=$(mktemp -d) MISE_SYSTEM_CONFIG_DIR={} mise lock --global{local}{platforms}",
                    quoted(directory)
                )
            }
            Kind::Project(root) => {
                let (set, local) = self.environment();
                format!("cd {} && {remove}{set}mise lock{local}{platforms}", quoted(root))
            }
        }
    }
}

impl Pair {
    /// What in front of the line, and which option behind it, chooses this lockfile.
    fn environment(&self) -> (String, &'static str) {
        let name = self.lock.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let middle = name.trim_start_matches("mise").trim_end_matches("lock");
        let middle = middle.trim_matches('.');
        let (environment, local) = match middle.strip_suffix("local") {
            Some(environment) => (environment.trim_end_matches('.'), " --local"),
            None => (middle, ""),
        };
        match environment {
            "" => (String::new(), local),
            name => (format!("MISE_ENV={name} "), local),
        }
    }
}

/// A path for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@:=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(home: &Path) -> Places {
        Places::of(home, |_| None)
    }

    fn pairs(files: &[&str], target: &str) -> Vec<(String, String, String)> {
        let dir = tempfile::tempdir().unwrap();
        for name in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let short = |path: &Path| path.strip_prefix(dir.path()).unwrap().display().to_string();
        let target =
            if target.is_empty() { dir.path().to_owned() } else { dir.path().join(target) };
        let found = of(&target, &places(Path::new("/home/nobody")));
        let each = found.iter().map(|pair| {
            let configs: Vec<String> = pair.configs.iter().map(|c| short(c)).collect();
            let line = pair.line(None, false).replace(&dir.path().display().to_string(), "ROOT");
            (configs.join(" "), short(&pair.lock), line)
        });
        each.collect()
    }

    /// As three releases do it: each was run on each of these.
    #[test]
    fn each_config_has_the_lockfile_that_mise_uses_for_it() {
        for (config, lock, line) in [
            ("mise.toml", "mise.lock", "cd ROOT && mise lock"),
            (".mise.toml", "mise.lock", "cd ROOT && mise lock"),
            ("mise/config.toml", "mise/mise.lock", "cd ROOT && mise lock"),
            (".mise/config.toml", ".mise/mise.lock", "cd ROOT && mise lock"),
            (".config/mise.toml", ".config/mise.lock", "cd ROOT && mise lock"),
            (".config/mise/config.toml", ".config/mise/mise.lock", "cd ROOT && mise lock"),
            (".config/mise/conf.d/a.toml", ".config/mise/mise.lock", "cd ROOT && mise lock"),
            ("mise.local.toml", "mise.local.lock", "cd ROOT && mise lock --local"),
            (
                ".config/mise/config.local.toml",
                ".config/mise/mise.local.lock",
                "cd ROOT && mise lock --local",
            ),
            ("mise.test.toml", "mise.test.lock", "cd ROOT && MISE_ENV=test mise lock"),
        ] {
            let expected = (config.to_owned(), lock.to_owned(), line.to_owned());
            assert_eq!(pairs(&[config], ""), std::slice::from_ref(&expected));
            assert_eq!(pairs(&[config], config), [expected]);
        }
    }

    #[test]
    fn configs_that_share_a_lockfile_are_one_pair() {
        let found = pairs(&["mise.toml", ".mise.toml", "mise.local.toml"], "");
        let names: Vec<_> = found.iter().map(|(configs, _, _)| configs.as_str()).collect();
        assert_eq!(names, ["mise.local.toml", ".mise.toml mise.toml"]);
        assert_eq!(pairs(&["mise.toml", "mise.local.toml"], "mise.toml").len(), 1);
    }

    #[test]
    fn a_lockfile_stands_for_its_configs() {
        let files = [".config/mise/config.toml", ".config/mise/config.local.toml", "mise.toml"];
        let found = pairs(&files, ".config/mise/mise.lock");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, ".config/mise/config.toml");
        assert_eq!(found[0].2, "cd ROOT && mise lock");
        assert_eq!(pairs(&files, "mise.lock")[0].0, "mise.toml");
        assert!(pairs(&files, "mise.local.lock").is_empty());
    }

    #[test]
    fn environments_are_read_where_they_are_chosen() {
        for (lock, environments, read) in [
            ("mise.lock", &[][..], true),
            ("mise.local.lock", &[], true),
            ("mise.test.lock", &[], false),
            ("mise.test.lock", &["a", "test"], true),
            ("mise.test.local.lock", &["test"], true),
            ("mise.test.local.lock", &["a"], false),
        ] {
            let lock = Path::new("/x").join(lock);
            let pair = Pair { configs: Vec::new(), lock, kind: Kind::Global };
            assert_eq!(pair.is_read(environments), read, "{pair:?} {environments:?}");
        }
    }

    #[test]
    fn another_programs_config_is_none_of_mises() {
        assert!(pairs(&["config.toml"], "").is_empty());
        assert_eq!(pairs(&["config.toml", "mise.toml", "mise.lock"], "").len(), 1);
        let image = pairs(&["config.toml", "mise.lock"], "");
        let line = "cd / && HOME=$(mktemp -d) MISE_SYSTEM_CONFIG_DIR=ROOT mise lock --global";
        assert_eq!(image[0].2, line);
    }

    #[test]
    fn a_line_is_for_a_shell() {
        let pair = Pair {
            configs: Vec::new(),
            lock: "/a b/mise.lock".into(),
            kind: Kind::Project("/a b".into()),
        };
        let asked = [Platform::parse("linux-x64").unwrap()];
        assert_eq!(
            pair.line(Some(&asked), true),
            "cd '/a b' && rm '/a b/mise.lock' && mise lock --platform linux-x64"
        );
    }
}
