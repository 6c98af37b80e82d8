//! Putting a judged archive in place: first everything that could be in the way is found
//! out, then everything new is written beside what it will replace, and only then are names
//! exchanged.

use super::bundle::{Bundle, Item, config_beside, lock_beside};
use super::ground::{Blocked, Ground, Spot};
use super::record::{BACKUPS, Record, Stage, Step};
use super::table::{Place, check_workspace};
use crate::sys::beneath::Kind;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What an import does with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It was not there.
    Added,
    /// Another was there, of which a backup is kept.
    Replaced,
    /// It was there with the same bytes.
    Unchanged,
    /// It was there, and the archive has its config without it.
    Removed,
    /// Its workspace is not there, and none was to be made.
    Skipped,
}

/// One file of an import.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Where it lies on this machine.
    pub path: PathBuf,
    /// What is done.
    pub what: What,
    /// Where what was there is kept.
    pub backup: Option<PathBuf>,
    #[serde(skip)]
    step: Option<Step>,
    #[serde(skip)]
    bytes: Vec<u8>,
}

/// All that an import would do.
#[derive(Debug)]
pub struct Plan {
    /// File by file, in the order in which they are put in place.
    pub changes: Vec<Change>,
    /// Directories that will be made, the uppermost first.
    pub made: Vec<Spot>,
    /// Where the backups go.
    pub backups: Spot,
}

/// Finds out what an import of `bundle` comes to here, and changes nothing. `name` is that of
/// the backups' directory. Workspaces that are not there are made, or left out where
/// `new_workspaces` is false.
///
/// # Errors
/// Something is in the way.
pub fn plan(
    ground: &Ground,
    bundle: &Bundle,
    name: &str,
    new_workspaces: bool,
) -> Result<Plan, Blocked> {
    let mut plan = Plan::empty(backups(ground, name));
    let mut left_out = Vec::new();
    for directory in bundle.directories() {
        let config = bundle.at(&config_beside(directory));
        if config.is_none_or(|config| config.place != Place::WorkspaceConfig) {
            continue;
        }
        let spot = ground.spot(directory);
        check_workspace(directory, &ground.places).map_err(|why| spot.blocked(why))?;
        let there = spot.directory()?.map(|dir| dir.kind(spot.name()));
        if !new_workspaces && !matches!(there, Some(Ok(Kind::Directory | Kind::Link))) {
            left_out.push(format!("{directory}/"));
        }
    }
    for item in in_order(bundle) {
        if left_out.iter().any(|directory| item.path.starts_with(directory)) {
            let path = ground.spot(&item.path).path();
            plan.changes.push(Change::nothing(path, What::Skipped));
            continue;
        }
        plan.put(ground, item)?;
        // A lock without its config's knowledge would pin other versions.
        if let Some((_, path)) = lock_beside(item).filter(|(_, path)| bundle.at(path).is_none()) {
            plan.take_away(ground, &path)?;
        }
    }
    plan.sort();
    Ok(plan)
}

/// What a lock names, then the lock, then the config.
fn in_order(bundle: &Bundle) -> impl Iterator<Item = &Item> {
    let rank = |item: &&Item| match item.place {
        Place::UserLockSidecar | Place::WorkspaceLockSidecar => 0,
        Place::UserLock | Place::WorkspaceLock => 1,
        Place::UserConfig | Place::WorkspaceConfig => 2,
    };
    let mut items: Vec<&Item> = bundle.items.iter().collect();
    items.sort_by_key(rank);
    items.into_iter()
}

/// The directory of an import's backups.
pub(super) fn backups(ground: &Ground, name: &str) -> Spot {
    let places = &ground.places;
    match places.agent_data.strip_prefix(&places.home) {
        Ok(below) => Spot::new(&places.home, true, &below.join(BACKUPS).join(name)),
        Err(_) => Spot::new(&places.agent_data, false, &Path::new(BACKUPS).join(name)),
    }
}

impl Change {
    /// A file that stays as it is.
    pub(super) fn nothing(path: PathBuf, what: What) -> Self {
        Self { path, what, backup: None, step: None, bytes: Vec::new() }
    }

    /// A file with which something is done.
    pub(super) fn made(what: What, step: Step, bytes: Vec<u8>) -> Self {
        let backup = step.backup.as_ref().map(Spot::path);
        Self { path: step.spot.path(), what, backup, step: Some(step), bytes }
    }
}

impl Plan {
    /// One with nothing in it yet.
    pub(super) fn empty(backups: Spot) -> Self {
        Self { changes: Vec::new(), made: Vec::new(), backups }
    }

    /// What the configs need comes before them, and what they must not find goes before them.
    pub(super) fn sort(&mut self) {
        self.changes.sort_by_key(|change| {
            let leads = change.step.as_ref().is_some_and(|s| s.new.is_some() && s.last);
            (leads, change.path.clone())
        });
    }

    /// Notes the directories that must be made for `spot`.
    pub(super) fn make_way(&mut self, spot: &Spot) -> Result<(), Blocked> {
        for missing in spot.missing()? {
            if !self.made.contains(&missing) {
                self.made.push(missing);
            }
        }
        Ok(())
    }

    /// Is there anything to do?
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|change| change.step.is_none())
    }

    fn put(&mut self, ground: &Ground, item: &Item) -> Result<(), Blocked> {
        let spot = ground.spot(&item.path);
        let found = spot.look()?;
        let path = spot.path();
        let new = super::bundle::digest(&item.bytes);
        if found.as_ref().is_some_and(|f| f.bytes == item.bytes) {
            self.changes.push(Change::nothing(path, What::Unchanged));
            return Ok(());
        }
        self.make_way(&spot)?;
        let is_config = matches!(item.place, Place::UserConfig | Place::WorkspaceConfig);
        let what = if found.is_some() { What::Replaced } else { What::Added };
        let step = Step {
            path: item.path.clone(),
            backup: found.as_ref().map(|_| self.backup(&item.path)),
            // Any of them may hold a token, and where it comes from it may have been closed:
            // an archive has no modes.
            mode: found.as_ref().map_or(0o600, |f| f.mode & 0o644),
            old: found.map(|f| f.digest()),
            new: Some(new),
            last: is_config,
            spot,
        };
        self.changes.push(Change::made(what, step, item.bytes.clone()));
        Ok(())
    }

    /// A lock that is here and would belong to the config that comes.
    fn take_away(&mut self, ground: &Ground, path: &str) -> Result<(), Blocked> {
        let spot = ground.spot(path);
        let Some(found) = spot.look()? else { return Ok(()) };
        let backup = self.backup(path);
        let step = Step {
            path: path.to_owned(),
            mode: found.mode,
            old: Some(found.digest()),
            new: None,
            last: false,
            spot,
            backup: Some(backup),
        };
        self.changes.push(Change::made(What::Removed, step, Vec::new()));
        Ok(())
    }

    pub(super) fn backup(&self, path: &str) -> Spot {
        let below = format!("{}/{path}", self.backups.below);
        Spot { below, ..self.backups.clone() }
    }

    /// Does it. Cut off at any instant, it has changed nothing or will be finished: by the
    /// next `import` or `export`, or by the next boot.
    ///
    /// # Errors
    /// Something is in the way. Until the names are exchanged everything is as it was; from
    /// then on the record stays, and with it the duty to finish.
    pub fn apply(&self, ground: &Ground) -> Result<(), Blocked> {
        let steps = self.changes.iter().filter_map(|change| change.step.clone()).collect();
        let mut record = Record::new(&self.backups, steps, self.made.clone());
        record.save(ground)?;
        if let Err(e) = self.prepare() {
            // If this fails as well, the next import undoes it.
            let _ = record.undo().and_then(|()| Record::remove(ground));
            return Err(e);
        }
        record.stage = Stage::Committing;
        record.save(ground)?;
        record.finish()?;
        Record::remove(ground)
    }

    /// Backups, and the new files beside those that they will replace.
    fn prepare(&self) -> Result<(), Blocked> {
        for change in &self.changes {
            let Some(step) = &change.step else { continue };
            step.keep_old()?;
            if step.new.is_some() {
                step.stage(&change.bytes)?;
            }
        }
        Ok(())
    }
}
