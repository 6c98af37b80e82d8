//! Finding the journal again, as any user of the sandbox.

use super::super::event::{Epoch, Event};
use super::super::file::{self, Appender, Contents};
use super::{Base, owned_by};
use crate::sys::process;
use nix::unistd::geteuid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A journal that was found.
#[derive(Debug)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// What it holds.
    pub contents: Contents,
    /// Root wrote it, in this life that is root's.
    pub roots: bool,
}

/// What a search for the journal came to.
#[derive(Debug, Default)]
pub struct Search {
    /// The journal of this life of the sandbox; else the newest of all.
    pub found: Option<Found>,
    /// Places that this user may not look into.
    pub closed: Vec<PathBuf>,
}

/// Is it root's of this life, when was the boot's process started in this life, when is it said
/// to have begun.
type Rank = (bool, Option<u64>, Option<jiff::Timestamp>);

/// Finds the journal that speaks of this life of the sandbox (`this_life`); else the newest
/// of all. On a volume, which several containers may share, only `instance`'s own counts.
///
/// Where root booted this life (PID 1 is root's), what root has written of it outranks what the
/// sandbox user may have written, who can write to most of the places.
pub fn find_journal(bases: &[Base], instance: &str, this_life: &dyn Fn(&Epoch) -> bool) -> Search {
    find_journal_where(bases, instance, this_life, process::uid(1) == Some(0))
}

pub(super) fn find_journal_where(
    bases: &[Base],
    instance: &str,
    this_life: &dyn Fn(&Epoch) -> bool,
    by_root: bool,
) -> Search {
    let mut search = Search::default();
    // Within a life the kernel's own clock tells which is newer: nobody can set it back.
    let mut found: Vec<(Rank, Found)> = Vec::new();
    for base in bases.iter().filter(|base| !base.shared || believable(&base.path())) {
        // The places behind it are the user's: a dead file server, or a million files.
        if found.iter().any(|((roots, ..), _)| *roots) {
            break;
        }
        for path in journals_in(base, instance, &mut search.closed) {
            let contents = match file::read(&path) {
                Ok(contents) => contents,
                Err(e) => {
                    if e.kind() == io::ErrorKind::PermissionDenied {
                        search.closed.push(path);
                    }
                    continue;
                }
            };
            let boots = contents.records.iter().rev().filter_map(|r| match &r.event {
                Event::BootBegan(b) => {
                    let ours = this_life(&b.runner.epoch);
                    Some((ours.then_some(b.runner.start_ticks), r.at))
                }
                _ => None,
            });
            // The newest of this life; else the newest.
            let last =
                boots.clone().find(|(ours, _)| ours.is_some()).or_else(|| boots.clone().next());
            let (ours, at) = last.map_or((None, None), |(ours, at)| (ours, Some(at)));
            let roots = by_root && ours.is_some() && contents.owner == 0;
            found.push(((roots, ours, at), Found { path, contents, roots }));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    search.found = found.pop().map(|(_, f)| f);
    search
}

fn journals_in(base: &Base, instance: &str, closed: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    if base.volume {
        return vec![base.path().join(instance).join(file::NAME)];
    }
    match fs::read_dir(base.path()) {
        Ok(entries) => entries.flatten().map(|e| e.path().join(file::NAME)).collect(),
        Err(e) => {
            if e.kind() == io::ErrorKind::PermissionDenied {
                closed.push(base.path());
            }
            Vec::new()
        }
    }
}

/// Appends a durable event to a journal that was found.
///
/// # Errors
/// It can no longer be opened safely, or not be written.
pub fn append_to(bases: &[Base], found: &Found, event: Event) -> io::Result<()> {
    let instance = found.path.parent().and_then(Path::file_name).and_then(|n| n.to_str());
    let base = bases.iter().find(|b| found.path.starts_with(b.path()));
    let (Some(instance), Some(base)) = (instance, base) else {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    };
    let (dir, _) = base.open(instance)?;
    Appender::open(&dir, file::NAME)?.append_durably(event)
}

/// A base in a directory open to all must belong to root or to the reader.
fn believable(path: &Path) -> bool {
    geteuid().is_root() || owned_by(path, 0) || owned_by(path, geteuid().as_raw())
}
