//! What a tool looks like while it is whole, and what of it is gone or changed later.
//!
//! Looked at are the tool's directories, the upper ones first and up to a limit, and its
//! programs with the files that these start. A directory's time of change tells of every entry
//! that came, went or was renamed, at the price of one `stat(2)`. What it doesn't tell of is a
//! file that is overwritten in place, which is why programs are looked at one by one.

use super::{Whole, changed, is_program};
use crate::journal::event::Tool;
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How many directories are looked at, of all tools together and of each at most. Some 1.5 µs
/// each: they all together take less than starting mise.
const DIRECTORIES: usize = 2048;
const OF_ONE: usize = 256;
/// Of each at least, however many tools there are.
const AT_LEAST: usize = 8;
/// More programs than this are not looked at, of each tool.
const PROGRAMS: usize = 64;

/// How long a directory must have been left alone. Two changes within one tick of the file
/// system's clock (10 ms at most) can leave the same time.
const STILL: Duration = Duration::from_millis(20);
/// How often that is waited for.
const WAITS: usize = 2;

/// Programs keep these for themselves, and may empty them.
const OWN: &[&str] = &[".cache", "__pycache__"];

/// A tool as it was when it was whole.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Print {
    name: String,
    version: String,
    /// Its install directory, as mise names it.
    listed: PathBuf,
    /// Where that leads.
    path: PathBuf,
    /// Directories, the tool's own first.
    dirs: Vec<Dir>,
    programs: Vec<Program>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Dir {
    /// Below the tool's directory; empty is that itself.
    at: String,
    /// In nanoseconds since 1970.
    changed: i64,
    entries: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Program {
    /// Below the tool's directory.
    at: String,
    /// In bytes; that of the file behind links.
    size: u64,
    /// In nanoseconds since 1970.
    changed: i64,
    /// It is started by its name; else by another program, and need not be executable.
    #[serde(default)]
    named: bool,
}

/// What has become of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It can't do what it did: its directory or a program of it is gone.
    Broken(String),
    /// Something of it is gone that may not matter.
    Lost(String),
    /// It is another than it was, and nothing is missing.
    Other(String),
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (Self::Broken(what) | Self::Lost(what) | Self::Other(what)) = self;
        f.write_str(what)
    }
}

/// A tool that lost something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its install directory, as mise names it.
    pub path: PathBuf,
    /// What it lost.
    pub change: Change,
}

impl Print {
    /// `npm:x@1`.
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The names under which the user's shims must have this tool's programs. Only what is
    /// installed for the user has such shims.
    pub(super) fn program_names(&self, places: &Places) -> Vec<String> {
        let of_the_user = self.path.starts_with(&places.data);
        let named = self.programs.iter().filter(|p| p.named && of_the_user);
        named.filter_map(|p| Some(Path::new(&p.at).file_name()?.to_str()?.to_owned())).collect()
    }

    /// What has changed, as far as it takes to know that something has.
    pub(super) fn change(&self, places: &Places) -> Option<Change> {
        if under_way(&self.path, places) {
            return Some(Change::Other("an install of it is under way or was cut off".into()));
        }
        let dirs = self.dirs.iter().find_map(|d| d.change(&self.path));
        dirs.or_else(|| self.programs.iter().find_map(|p| p.change(&self.path)))
    }

    /// What is gone since `made`, in seconds since 1970; what is broken goes before what may not
    /// matter. Of a tool that was installed anew since then this print says nothing.
    pub(super) fn damage(&self, made: i64) -> Option<Damage> {
        let born = self.path.metadata().and_then(|m| m.created()).ok();
        let born = born.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        if born.is_some_and(|t| i64::try_from(t.as_secs()).is_ok_and(|t| t > made)) {
            return None;
        }
        let mut changes: Vec<Change> = self
            .programs
            .iter()
            .filter_map(|p| p.change(&self.path))
            .chain(self.dirs.iter().filter_map(|d| d.change(&self.path)))
            .filter(|c| !matches!(c, Change::Other(_)))
            .collect();
        changes.sort_by_key(|c| !matches!(c, Change::Broken(_)));
        let change = changes.into_iter().next()?;
        let (name, version) = (self.name.clone(), self.version.clone());
        Some(Damage { name, version, path: self.listed.clone(), change })
    }
}

impl Dir {
    fn change(&self, tool: &Path) -> Option<Change> {
        let path = tool.join(&self.at);
        let shown = path.display();
        let own = self.at.is_empty();
        let gone = |what: String| Some(if own { Change::Broken(what) } else { Change::Lost(what) });
        let Some(metadata) = path.symlink_metadata().ok().filter(fs::Metadata::is_dir) else {
            return gone(format!("{shown} is gone"));
        };
        if changed(&metadata) == self.changed {
            return None;
        }
        let entries = entries(&path);
        if own && entries == 0 {
            return gone(format!("{shown} is empty"));
        }
        if entries < self.entries {
            let before = self.entries;
            let what = format!("{shown} holds {entries} entries, before it held {before}");
            return Some(Change::Lost(what));
        }
        Some(Change::Other(format!("{shown} has changed")))
    }
}

impl Program {
    fn of(tool: &Path, at: &Path, named: bool) -> Option<Self> {
        let metadata = look_at(&tool.join(at), named)?;
        let at = at.to_str()?.to_owned();
        Some(Self { at, size: metadata.len(), changed: changed(&metadata), named })
    }

    fn change(&self, tool: &Path) -> Option<Change> {
        let path = tool.join(&self.at);
        let shown = path.display();
        match look_at(&path, self.named) {
            None => Some(Change::Broken(format!("the program {shown} is gone or empty"))),
            Some(m) if (m.len(), changed(&m)) != (self.size, self.changed) => {
                Some(Change::Other(format!("the program {shown} has changed")))
            }
            Some(_) => None,
        }
    }
}

fn look_at(path: &Path, named: bool) -> Option<fs::Metadata> {
    match named {
        true => is_program(path),
        false => path.metadata().ok().filter(|m| m.is_file() && m.len() > 0),
    }
}

fn entries(dir: &Path) -> u64 {
    let all = fs::read_dir(dir).into_iter().flatten().flatten();
    all.filter(|e| !is_own(&e.file_name())).count() as u64
}

fn is_own(name: &OsStr) -> bool {
    OWN.iter().any(|own| name == *own)
}

/// mise marks a tool that it is installing; the mark stays where the install was cut off.
fn under_way(path: &Path, places: &Places) -> bool {
    let mut parts = path.components().rev();
    let (version, tool) = (parts.next(), parts.next());
    version.zip(tool).is_some_and(|(version, tool)| {
        places.cache.join(tool).join(version).join("incomplete").exists()
    })
}

/// What every tool looks like, once nobody is at work there any more. The error says why
/// that can't be told.
pub(super) fn settled_prints(whole: &Whole, places: &Places) -> Result<Vec<Print>, String> {
    for wait in 0..=WAITS {
        let before = SystemTime::now();
        let prints = prints(whole, places)?;
        let still =
            before.checked_sub(STILL).and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        let still = still.map_or(0, |t| i64::try_from(t.as_nanos()).unwrap_or(i64::MAX));
        let times = |p: &Print| {
            let files = p.programs.iter().map(|p| p.changed);
            p.dirs.iter().map(|d| d.changed).chain(files).max().unwrap_or(0)
        };
        if prints.iter().all(|p| times(p) < still) {
            return Ok(prints);
        }
        if wait < WAITS {
            std::thread::sleep(STILL);
        }
    }
    Err("a tool changes while it is looked at, or its time of change lies in the future".into())
}

fn prints(whole: &Whole, places: &Places) -> Result<Vec<Print>, String> {
    let tools = whole.tools.iter().chain(&whole.linked);
    let limit = (DIRECTORIES / tools.clone().count().max(1)).clamp(AT_LEAST, OF_ONE);
    let print = |(tool, path): &(Tool, PathBuf)| {
        let gone = || format!("{}@{} is not there", tool.name, tool.version);
        if under_way(path, places) {
            return Err(format!("{}@{} is being installed", tool.name, tool.version));
        }
        // mise may name a tool by a link (`latest`).
        let listed = path.clone();
        let path = path.canonicalize().map_err(|_| gone())?;
        let dirs = directories(&path, limit);
        if dirs.first().is_none_or(|own| own.entries == 0) {
            return Err(gone());
        }
        let programs = programs(&path, &whole.programs)?;
        // Looked at again: an install that began meanwhile has left its mark by now.
        if under_way(&path, places) {
            return Err(format!("{}@{} is being installed", tool.name, tool.version));
        }
        let (name, version) = (tool.name.clone(), tool.version.clone());
        Ok(Print { name, version, listed, path, dirs, programs })
    };
    tools.map(print).collect()
}

/// The directories from `tool` down, nearest first, at most `limit`. Links are not followed.
fn directories(tool: &Path, limit: usize) -> Vec<Dir> {
    let mut found = Vec::new();
    let mut next = VecDeque::from([String::new()]);
    while let Some(at) = next.pop_front() {
        let path = tool.join(&at);
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let mut entries = 0;
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if is_own(&name) {
                continue;
            }
            entries += 1;
            let below = entry.file_type().is_ok_and(|t| t.is_dir());
            let Some(name) = name.to_str().map(str::to_owned) else { continue };
            if below && found.len() + 1 + next.len() < limit {
                next.push_back(if at.is_empty() { name } else { format!("{at}/{name}") });
            }
        }
        found.push(Dir { at, changed: changed(&metadata), entries });
    }
    found
}

/// The programs of a tool, and the files that these start.
fn programs(tool: &Path, directories: &[PathBuf]) -> Result<Vec<Program>, String> {
    let mut found = BTreeSet::new();
    for dir in directories.iter().filter_map(|d| d.canonicalize().ok()) {
        let Ok(below) = dir.strip_prefix(tool) else { continue };
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() || found.len() >= PROGRAMS {
                continue;
            }
            // Beside the programs of a tool that is one archive lie its licence and manual.
            let runs = is_program(&path).is_some();
            if !runs && entry.file_type().is_ok_and(|t| t.is_symlink()) {
                return Err(format!("the program {} leads nowhere", path.display()));
            }
            if runs {
                found.insert((below.join(entry.file_name()), true));
                found.extend(started_by(tool, below, &path).into_iter().map(|p| (p, false)));
            }
        }
    }
    let gone = |at: &Path| format!("the program {} is gone or empty", tool.join(at).display());
    found.iter().map(|(at, named)| Program::of(tool, at, *named).ok_or_else(|| gone(at))).collect()
}

/// The file below the tool that a program of a few lines starts: those that npm's installers
/// write name it relative to their own directory (`"$basedir/../x/cli.js"`).
fn started_by(tool: &Path, below: &Path, program: &Path) -> Option<PathBuf> {
    const WRAPPER: u64 = 4096;
    const FROM_HERE: &str = "\"$basedir/../";
    program.metadata().ok().filter(|m| m.len() <= WRAPPER)?;
    let text = String::from_utf8(fs::read(program).ok()?).ok()?;
    let started = text.lines().rev().find_map(|line| {
        let (_, rest) = line.trim_start().strip_prefix("exec ")?.split_once(FROM_HERE)?;
        rest.split_once('"').map(|(path, _)| path)
    })?;
    let path = tool.join(below).join("..").join(started).canonicalize().ok()?;
    path.strip_prefix(tool).ok().map(Path::to_owned)
}

#[cfg(test)]
mod tests;
