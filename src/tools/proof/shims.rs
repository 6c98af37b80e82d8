//! The user's shims: links by the names of programs, which lead to mise.

use super::is_program;
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the directory of shims holds. Its time of change says nothing: every `mise install`
/// makes all shims anew beside the old ones, and then keeps these.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shims {
    /// Each name and where it leads; nowhere, if it is no link.
    links: BTreeMap<String, PathBuf>,
}

impl Shims {
    /// As they are now.
    pub(super) fn of(places: &Places) -> Self {
        let entries = fs::read_dir(places.shims()).into_iter().flatten().flatten();
        let links = entries.map(|e| {
            let target = fs::read_link(e.path()).unwrap_or_default();
            (e.file_name().to_string_lossy().into_owned(), target)
        });
        Self { links: links.collect() }
    }

    /// Are they the same now, and does each lead to a program? The error says what isn't so.
    pub(super) fn same(&self, places: &Places) -> Result<(), String> {
        let dir = places.shims();
        if Self::of(places) != *self {
            return Err(format!("the shims in {} are others", dir.display()));
        }
        let targets: BTreeSet<&PathBuf> =
            self.links.values().filter(|t| !t.as_os_str().is_empty()).collect();
        match targets.iter().find(|target| is_program(&dir.join(target)).is_none()) {
            Some(target) => Err(format!("shims lead to {}, no program", target.display())),
            None => Ok(()),
        }
    }
}

/// A shim that doesn't do its duty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shim {
    /// Where it is, or should be.
    pub path: PathBuf,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What can be wrong with a shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrong {
    /// `mise reshim` makes it (again): it was missing, led nowhere, or was an empty file.
    /// What lay in the way has been removed.
    Missing,
    /// Somebody's file lies in its place. mise leaves it there, and so does the agent.
    Foreign,
}

/// Which of `programs` have no shim that leads to mise. An empty file or a link that
/// leads nowhere is removed: nothing is lost with it, and mise doesn't touch such a file.
pub(super) fn wrong(
    places: &Places,
    mise: &Path,
    programs: impl Iterator<Item = String>,
) -> Vec<Shim> {
    let dir = places.shims();
    let programs: BTreeSet<String> = programs.collect();
    programs.iter().filter_map(|name| judged(dir.join(name), mise)).collect()
}

fn judged(path: PathBuf, mise: &Path) -> Option<Shim> {
    let wrong = match path.symlink_metadata() {
        Err(_) => Wrong::Missing,
        Ok(m) if m.is_symlink() && leads_to(&path, mise) => return None,
        Ok(m) if m.is_symlink() || (m.is_file() && m.len() == 0) => remove(&path),
        Ok(_) => Wrong::Foreign,
    };
    Some(Shim { path, wrong })
}

/// Does the link lead to mise: to the one that is run here, or to another program of that name?
fn leads_to(link: &Path, mise: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Some(led_to) = is_program(link) else { return false };
    let same = mise.metadata().is_ok_and(|m| (m.dev(), m.ino()) == (led_to.dev(), led_to.ino()));
    let named = |target: PathBuf| {
        target.file_name().is_some_and(|n| n.to_string_lossy().starts_with("mise"))
    };
    same || link.canonicalize().is_ok_and(named)
}

fn remove(path: &Path) -> Wrong {
    // What can't be removed stays in mise's way, and is found there again.
    let _ = fs::remove_file(path);
    Wrong::Missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn shims() -> (tempfile::TempDir, Places, PathBuf) {
        let tmp = tempfile::tempdir().unwrap();
        let places = Places::of(tmp.path(), |_| None);
        let mise = tmp.path().join("mise");
        fs::write(&mise, "#!").unwrap();
        fs::set_permissions(&mise, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(places.shims()).unwrap();
        for name in ["a", "b"] {
            symlink(&mise, places.shims().join(name)).unwrap();
        }
        (tmp, places, mise)
    }

    #[test]
    fn shims_are_the_same_until_one_is_touched() {
        type Damage<'a> = &'a dyn Fn(&Path, &Path);
        let damages: [Damage<'_>; 6] = [
            &|dir, _| fs::rename(dir.join("a"), dir.join("c")).unwrap(),
            &|dir, _| {
                fs::remove_file(dir.join("a")).unwrap();
                symlink("/bin/sh", dir.join("a")).unwrap();
            },
            &|dir, _| fs::remove_file(dir.join("a")).unwrap(),
            &|dir, _| fs::remove_dir_all(dir).unwrap(),
            &|_, mise| fs::remove_file(mise).unwrap(),
            &|_, mise| fs::write(mise, "").unwrap(),
        ];
        for damage in damages {
            let (_tmp, places, mise) = shims();
            let before = Shims::of(&places);
            before.same(&places).unwrap();
            damage(&places.shims(), &mise);
            before.same(&places).unwrap_err();
        }
    }

    #[test]
    fn a_directory_that_mise_has_worked_in_and_left_as_it_was_is_the_same() {
        let (_tmp, places, mise) = shims();
        let before = Shims::of(&places);
        symlink(&mise, places.shims().join("new")).unwrap();
        before.same(&places).unwrap_err();
        fs::remove_file(places.shims().join("new")).unwrap();
        before.same(&places).unwrap();
    }

    #[test]
    fn what_mise_can_make_again_is_told_from_what_is_somebodys() {
        let (_tmp, places, mise) = shims();
        let dir = places.shims();
        symlink("/nowhere", dir.join("dangling")).unwrap();
        symlink("/bin/sh", dir.join("elsewhere")).unwrap();
        fs::write(dir.join("empty"), "").unwrap();
        fs::write(dir.join("foreign"), "mine").unwrap();
        let all = ["a", "dangling", "elsewhere", "empty", "foreign", "missing"];
        let found = wrong(&places, &mise, all.iter().map(|n| (*n).to_owned()));
        let kinds: Vec<_> = found.iter().map(|s| s.wrong).collect();
        use Wrong::{Foreign, Missing};
        assert_eq!(kinds, [Missing, Missing, Missing, Foreign, Missing]);
        assert!(!dir.join("empty").exists() && dir.join("foreign").exists());
        assert!(fs::symlink_metadata(dir.join("dangling")).is_err());
    }
}
