//! Taking an import back: beside its backups it leaves an account of what it did, with the
//! real path of each file, and what was there. Taking it back is a plan of the same kind as
//! the import's, so it is cut off as safely, keeps copies, and can be taken back itself.

use super::ground::{Blocked, Ground, Spot};
use super::import::{Change, Plan, What, backups};
use super::record::{Step, put, staged, take_place};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// The form of an account.
const SCHEMA: &str = "agent.tools-import-account/1";

/// No account is larger than this, in bytes.
const MAX: u64 = 4 << 20;

/// What an import did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    schema: String,
    steps: Vec<Step>,
    made: Vec<Spot>,
}

/// The account's place, beside the directory of the backups.
fn place(backups: &Spot) -> Spot {
    backups.beside(&format!("{}.json", backups.name()))
}

impl Account {
    /// Of what was done and which directories were made.
    pub fn of(steps: &[Step], made: &[Spot]) -> Self {
        Self { schema: SCHEMA.into(), steps: steps.to_vec(), made: made.to_vec() }
    }

    /// Writes it beside `backups`, durably and for its owner alone.
    ///
    /// # Errors
    /// It can't be written.
    pub fn keep(&self, backups: &Spot) -> Result<(), Blocked> {
        let spot = place(backups);
        let bytes = serde_json::to_vec(self).map_err(|e| spot.blocked(e.to_string()))?;
        let dir = spot.make_directory(0o700)?;
        put(&dir, &spot.beside(&staged(spot.name())), &bytes, 0o600)?;
        take_place(&dir, &spot)
    }

    /// That of the import whose backups are called `time`; `Ok(None)` where there is none.
    ///
    /// # Errors
    /// It can't be read, or is none.
    pub fn read(ground: &Ground, time: &str) -> Result<Option<Self>, Blocked> {
        let spot = place(&backups(ground, time));
        let Some(dir) = spot.directory()? else { return Ok(None) };
        let bad = |e: io::Error| spot.blocked(format!("it is no account of an import: {e}"));
        let mut bytes = Vec::new();
        match dir.read(spot.name()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.and_then(|f| f.take(MAX).read_to_end(&mut bytes)).map_err(bad)?,
        };
        let account: Self = serde_json::from_slice(&bytes).map_err(|e| bad(e.into()))?;
        match account.schema == SCHEMA {
            true => Ok(Some(account)),
            false => Err(bad(io::Error::other(format!("its form is {:?}", account.schema)))),
        }
    }

    /// Finds out what taking it back comes to, and changes nothing. `name` is that of the new
    /// backups' directory. What is no longer as the import left it is overwritten only by
    /// `force`.
    ///
    /// # Errors
    /// A file is not as the import left it, a backup is gone or changed, or something is in
    /// the way.
    pub fn plan(&self, ground: &Ground, name: &str, force: bool) -> Result<Plan, Blocked> {
        let mut plan = Plan::empty(backups(ground, name));
        for step in &self.steps {
            plan.take_back(step, force)?;
        }
        plan.sort();
        Ok(plan)
    }

    /// Removes the directories that the import made and that are empty now.
    pub fn tidy(&self) {
        for spot in self.made.iter().rev() {
            if let Ok(Some(dir)) = spot.directory() {
                let _ = dir.remove_directory(spot.name());
            }
        }
    }
}

impl Plan {
    fn take_back(&mut self, done: &Step, force: bool) -> Result<(), Blocked> {
        let spot = &done.spot;
        let found = spot.look()?;
        let now = found.as_ref().map(super::ground::Found::digest);
        if now == done.old {
            self.changes.push(Change::nothing(spot.path(), What::Unchanged));
            return Ok(());
        }
        if now != done.new && !force {
            return Err(spot.blocked(
                "it is not as that import left it; take later imports back first, or say --force \
                 (a copy of what is there is kept)"
                    .into(),
            ));
        }
        let before = match (&done.old, &done.backup) {
            (None, _) => None,
            (Some(digest), Some(backup)) => {
                let kept = backup.look()?.filter(|kept| kept.digest() == *digest);
                Some(kept.ok_or_else(|| backup.blocked("the copy is gone or changed".into()))?)
            }
            (Some(_), None) => return Err(spot.blocked("no copy of it was kept".into())),
        };
        if before.is_some() {
            self.make_way(spot)?;
        }
        let path = if done.path.is_empty() { &spot.below } else { &done.path };
        let backup = found.as_ref().map(|_| self.backup(path));
        let what = match (&found, &before) {
            (_, None) => What::Removed,
            (None, _) => What::Added,
            _ => What::Replaced,
        };
        let step = Step {
            path: path.clone(),
            spot: spot.clone(),
            old: now,
            new: before.as_ref().map(super::ground::Found::digest),
            mode: before.as_ref().map_or(0o600, |b| b.mode),
            last: done.last,
            backup,
        };
        self.changes.push(Change::made(what, step, before.map(|b| b.bytes).unwrap_or_default()));
        Ok(())
    }
}
