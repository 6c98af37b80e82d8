//! The record of an import that is under way, so that one that is cut off is never taken for
//! whole.
//!
//! Several files can't be exchanged at one instant: they lie in several directories, among
//! files of others. So the import says first what it will do, in
//! `~/.local/state/agent/import.json`. While that says `preparing`, nothing that was there
//! has been touched, and what was written is removed again. Once it says `committing`,
//! every new file lies durable beside its place, so that finishing takes only renames: it
//! can always be done, and done twice does no harm.

use super::ground::{Blocked, Found, Ground, Spot};
use super::table::{LATER, STAGED};
use super::undo::Account;
use crate::sys::beneath::{Dir, Kind};
use crate::sys::files::{self, Lock};
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The record's name in the agent's state.
const NAME: &str = "import.json";

/// Where backups are, in the agent's data.
pub const BACKUPS: &str = "backups";

/// The lock that excludes two imports at a time.
const LOCK: &str = "import.lock";

/// No record is larger than this, in bytes.
const MAX: u64 = 4 << 20;

/// How far an import has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// New files are written beside the old ones.
    Preparing,
    /// They take their places.
    Committing,
}

/// What is done with one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its path in an archive.
    #[serde(default)]
    pub path: String,
    /// Where it lies.
    pub spot: Spot,
    /// SHA-256 of what was there.
    pub old: Option<String>,
    /// SHA-256 of what comes; `None` where the file goes.
    pub new: Option<String>,
    /// Permissions of what comes.
    pub mode: u32,
    /// Where what was there is kept.
    pub backup: Option<Spot>,
    /// It is a config, which is put in place after what belongs to it.
    pub last: bool,
}

/// The record.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// How far it has come.
    pub stage: Stage,
    backups: Spot,
    steps: Vec<Step>,
    made: Vec<Spot>,
}

/// What became of an import that had been cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// It was put in place.
    Finished,
    /// It had changed nothing yet, and nothing is left of it.
    Undone,
}

/// Takes the lock of imports; it ends with the value.
///
/// # Errors
/// Another holds it (`Ok(None)` of the inner call), or it can't be made.
pub fn lock(ground: &Ground) -> Result<Option<Lock>, Blocked> {
    let spot = state(&ground.places, LOCK);
    let dir = spot.make_directory(0o755)?;
    let taken = dir.append(LOCK, 0o600).and_then(files::try_lock);
    taken.map_err(|e| spot.blocked(format!("it cannot be locked: {e}")))
}

/// Is there an import that was cut off, or is under way?
pub fn is_pending(places: &Places) -> bool {
    let there = state(places, NAME).directory().ok().flatten();
    there.is_some_and(|dir| dir.kind(NAME).is_ok_and(|kind| kind != Kind::Missing))
}

/// What a person does where an import can be neither finished nor undone.
pub fn way_out(places: &Places) -> String {
    format!(
        "mend what is named, then run `agent boot` or `agent tools import` again; or give that \
         import up: compare your mise configs and locks with the copies in {}, put right what is \
         not as you want it, and remove {}",
        places.agent_data.join(BACKUPS).display(),
        places.agent_state.join(NAME).display()
    )
}

/// Finishes or undoes an import that was cut off. The lock must be held.
///
/// # Errors
/// Something is in the way.
pub fn resume(places: &Places) -> Result<Option<Resumed>, Blocked> {
    let spot = state(places, NAME);
    let Some(dir) = spot.directory()? else { return Ok(None) };
    let done = match read(&spot, &dir)? {
        None => return Ok(None),
        Some(record) if record.stage == Stage::Preparing => {
            record.undo()?;
            Resumed::Undone
        }
        Some(record) => {
            record.finish()?;
            Resumed::Finished
        }
    };
    remove(&spot)?;
    Ok(Some(done))
}

fn state(places: &Places, name: &str) -> Spot {
    match places.agent_state.strip_prefix(&places.home) {
        Ok(below) => Spot::new(&places.home, true, &below.join(name)),
        Err(_) => Spot::new(&places.agent_state, false, Path::new(name)),
    }
}

fn read(spot: &Spot, dir: &Dir) -> Result<Option<Record>, Blocked> {
    if dir.kind(NAME).is_ok_and(|kind| kind == Kind::Missing) {
        return Ok(None);
    }
    let damaged = |e: io::Error| {
        spot.blocked(format!("the record of an import that was cut off cannot be read ({e})"))
    };
    let mut bytes = Vec::new();
    dir.read(NAME).and_then(|file| file.take(MAX).read_to_end(&mut bytes)).map_err(damaged)?;
    Ok(Some(serde_json::from_slice(&bytes).map_err(|e| damaged(e.into()))?))
}

fn remove(spot: &Spot) -> Result<(), Blocked> {
    point()?;
    let Some(dir) = spot.directory()? else { return Ok(()) };
    let removed = dir.remove(spot.name()).and_then(|()| dir.sync());
    removed.map_err(|e| spot.blocked(format!("it cannot be removed: {e}")))
}

impl Record {
    /// What is going to be done.
    pub fn new(backups: &Spot, steps: Vec<Step>, made: Vec<Spot>) -> Self {
        Self { stage: Stage::Preparing, backups: backups.clone(), steps, made }
    }

    /// Writes it down, durably.
    ///
    /// # Errors
    /// It can't be written.
    pub fn save(&self, ground: &Ground) -> Result<(), Blocked> {
        let spot = state(&ground.places, NAME);
        let bytes = serde_json::to_vec(self).map_err(|e| spot.blocked(e.to_string()))?;
        let dir = spot.make_directory(0o755)?;
        put(&dir, &spot.beside(&staged(NAME)), &bytes, 0o600)?;
        take_place(&dir, &spot)
    }

    /// Forgets it: what it says is done, or undone.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn remove(ground: &Ground) -> Result<(), Blocked> {
        remove(&state(&ground.places, NAME))
    }

    /// Removes what was written so far. Nothing that was there before has been touched.
    ///
    /// # Errors
    /// Something is in the way.
    pub fn undo(&self) -> Result<(), Blocked> {
        for step in &self.steps {
            for spot in step.backup.iter().chain([&step.spot.beside(&staged(step.spot.name()))]) {
                point()?;
                let Some(dir) = spot.directory()? else { continue };
                let removed = dir.remove(spot.name());
                removed.map_err(|e| spot.blocked(format!("it cannot be removed: {e}")))?;
            }
        }
        // Directories that somebody uses by now stay, and so do those that aren't empty.
        let kept = self.steps.iter().filter_map(|step| step.backup.as_ref());
        let kept = kept.flat_map(|spot| above(spot, &self.backups));
        for spot in kept.chain(self.made.iter().rev().cloned()) {
            point()?;
            if let Ok(Some(dir)) = spot.directory() {
                let _ = dir.remove_directory(spot.name());
            }
        }
        Ok(())
    }

    /// Puts everything in its place that isn't there yet, and leaves an account of it.
    ///
    /// # Errors
    /// Something is in the way.
    pub fn finish(&self) -> Result<(), Blocked> {
        self.steps.iter().try_for_each(Step::finish)?;
        Account::of(&self.steps, &self.made).keep(&self.backups)
    }
}

/// The directories from a backup up to that of all backups of the import.
fn above(spot: &Spot, top: &Spot) -> Vec<Spot> {
    let mut all = Vec::new();
    let mut here = spot.below.as_str();
    while let Some((directory, _)) = here.rsplit_once('/')
        && directory.starts_with(top.below.as_str())
    {
        all.push(Spot { below: directory.to_owned(), ..spot.clone() });
        here = directory;
    }
    all
}

/// The name of a new file until it takes its place. mise reads no file of such a name.
pub(super) fn staged(name: &str) -> String {
    format!(".{name}{STAGED}")
}

impl Step {
    /// Keeps what is there as a backup.
    ///
    /// # Errors
    /// It can't be written.
    pub fn keep_old(&self) -> Result<(), Blocked> {
        let (Some(backup), Some(found)) = (&self.backup, self.spot.look()?) else { return Ok(()) };
        if Some(found.digest()) != self.old {
            return Err(self.spot.blocked("it changed a moment ago; import again".into()));
        }
        keep(backup, &found)
    }

    /// Writes what comes beside what it will replace.
    ///
    /// # Errors
    /// It can't be written.
    pub fn stage(&self, bytes: &[u8]) -> Result<(), Blocked> {
        point()?;
        let dir = self.spot.make_directory(0o755)?;
        put(&dir, &self.spot.beside(&staged(self.spot.name())), bytes, self.mode)
    }

    fn finish(&self) -> Result<(), Blocked> {
        let Some(dir) = self.spot.directory()? else {
            return match self.new {
                Some(_) => Err(self.spot.blocked("its directory is gone".into())),
                None => Ok(()),
            };
        };
        let Some(new) = &self.new else { return self.take_away(&dir) };
        let beside = self.spot.beside(&staged(self.spot.name()));
        // Not there any more: it has taken its place, and what came after that is not ours.
        let Some(ready) = beside.look_in(&dir)? else { return Ok(()) };
        if ready.digest() != *new {
            return Err(beside.blocked(
                "it is not what the import wrote; remove it to give this file up, then import again"
                    .into(),
            ));
        }
        self.keep_later(&dir)?;
        take_place(&dir, &self.spot)
    }

    fn take_away(&self, dir: &Dir) -> Result<(), Blocked> {
        self.keep_later(dir)?;
        point()?;
        let removed = dir.remove(self.spot.name()).and_then(|()| dir.sync());
        removed.map_err(|e| self.spot.blocked(format!("it cannot be removed: {e}")))
    }

    /// Somebody may have changed the file since the backup was made.
    fn keep_later(&self, dir: &Dir) -> Result<(), Blocked> {
        let Some(found) = self.spot.look_in(dir)? else { return Ok(()) };
        let digest = Some(found.digest());
        match &self.backup {
            Some(backup) if digest != self.old && digest != self.new => {
                keep(&backup.beside(&format!("{}{LATER}", backup.name())), &found)
            }
            None if digest != self.new => Err(self
                .spot
                .blocked("somebody made it meanwhile; move it away, and import again".into())),
            _ => Ok(()),
        }
    }
}

/// A copy for the user to find again, in directories of its own.
fn keep(backup: &Spot, found: &Found) -> Result<(), Blocked> {
    point()?;
    let dir = backup.make_directory(0o700)?;
    put(&dir, backup, &found.bytes, found.mode)
}

/// Writes a file anew, durably.
pub(super) fn put(dir: &Dir, spot: &Spot, bytes: &[u8], mode: u32) -> Result<(), Blocked> {
    let name = spot.name();
    let write = || {
        dir.remove(name)?;
        let mut file = dir.create_new(name, 0o600)?;
        point_io()?;
        file.write_all(bytes)?;
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        file.sync_all()?;
        point_io()?;
        dir.sync()
    };
    write().map_err(|e| spot.blocked(format!("it cannot be written: {e}")))
}

/// Gives what was written beside `spot` its name, durably.
pub(super) fn take_place(dir: &Dir, spot: &Spot) -> Result<(), Blocked> {
    point()?;
    let renamed = dir.rename(&staged(spot.name()), spot.name()).and_then(|()| {
        point_io()?;
        dir.sync()
    });
    renamed.map_err(|e| spot.blocked(format!("it cannot be put in place: {e}")))
}

/// A point at which a test lets the process be killed.
fn point() -> Result<(), Blocked> {
    point_io().map_err(|e| Blocked { path: "/".into(), why: e.to_string() })
}

#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps, reason = "a test's fails")]
fn point_io() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use tests::point_io;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// How many points are passed before the kill; from then on nothing happens any more.
        pub(in super::super) static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
    }

    pub(super) fn point_io() -> io::Result<()> {
        let left = LEFT.get();
        if left == 0 {
            return Err(io::Error::other("killed"));
        }
        LEFT.set(left - 1);
        Ok(())
    }

    #[test]
    fn a_backups_directories_are_named_up_to_the_imports_own() {
        let top = Spot::new(Path::new("/h"), true, Path::new("b/now"));
        let spot = Spot::new(Path::new("/h"), true, Path::new("b/now/.config/mise/mise.lock"));
        let all: Vec<_> = above(&spot, &top).into_iter().map(|s| s.below).collect();
        assert_eq!(all, ["b/now/.config/mise", "b/now/.config", "b/now"]);
    }
}
