//! The user's shims: links by the names of programs, which lead to mise.

use super::{changed, is_program};
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the directory of shims looked like.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Shims {
    /// The directory's last change, in nanoseconds since 1970; `None` where there is none.
    changed: Option<i64>,
    /// Each link and what stands in it.
    links: BTreeMap<String, PathBuf>,
}

impl Shims {
    /// As they are now.
    pub(super) fn of(places: &Places) -> Self {
        let dir = places.shims();
        let changed = dir.metadata().ok().map(|m| changed(&m));
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let links = entries.filter_map(|e| {
            Some((e.file_name().into_string().ok()?, fs::read_link(e.path()).ok()?))
        });
        Self { changed, links: links.collect() }
    }

    /// Are they the same now, and does each lead to a program? The error says what isn't so.
    pub(super) fn same(&self, places: &Places) -> Result<(), String> {
        let dir = places.shims();
        if dir.metadata().ok().map(|m| changed(&m)) != self.changed {
            return Err(format!("{} has changed", dir.display()));
        }
        let mut led_to = BTreeSet::new();
        for (name, target) in &self.links {
            let link = dir.join(name);
            if fs::read_link(&link).ok().as_ref() != Some(target) {
                return Err(format!("the shim {} is not what it was", link.display()));
            }
            if !led_to.contains(target) && is_program(&dir.join(target)).is_none() {
                return Err(format!("the shim {} leads nowhere", link.display()));
            }
            led_to.insert(target);
        }
        Ok(())
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
