//! Collecting what goes along from this machine.

use super::bundle::{Bundle, Item, config_beside, lock_beside, sidecars_below};
use super::ground::{Blocked, Ground};
use super::table::{Place, USER_DIRECTORY, check_workspace};
use super::{staying, text};

/// What was collected.
#[derive(Debug, Default)]
pub struct Collected {
    /// The files.
    pub bundle: Bundle,
    /// What a person should know: variables that go along, a lock that isn't whole.
    pub warnings: Vec<String>,
}

/// Collects the user's config and lock and those of `workspaces` (home-relative).
///
/// # Errors
/// A file can't be taken as it is, or a workspace has no config; nothing is left out silently.
pub fn collect(ground: &Ground, workspaces: &[String]) -> Result<Collected, Blocked> {
    let mut collected = Collected::default();
    let mut items = Vec::new();
    let user = config_beside(USER_DIRECTORY);
    let there = collected.pair(ground, Place::UserConfig, user, &mut items)?;
    collected.warnings.extend(staying::warnings(ground, USER_DIRECTORY));
    if !there {
        let lone = ground.spot(".config/mise/mise.lock");
        if lone.look()?.is_some() {
            collected.warnings.push(format!(
                "{} stays behind: there is no config.toml beside it",
                lone.path().display()
            ));
        }
    }
    let mut named: Vec<&String> = workspaces.iter().collect();
    named.sort();
    named.dedup();
    for workspace in named {
        let path = config_beside(workspace);
        let spot = ground.spot(&path);
        check_workspace(workspace, &ground.places)
            .map_err(|why| ground.spot(workspace).blocked(why))?;
        if !collected.pair(ground, Place::WorkspaceConfig, path, &mut items)? {
            let mut why = "there is no such file, so this is no workspace".to_owned();
            for stays in staying::warnings(ground, workspace) {
                why = format!("{why}; {stays}");
            }
            return Err(spot.blocked(why));
        }
        collected.warnings.extend(staying::warnings(ground, workspace));
    }
    collected.bundle = Bundle::of(items);
    // An import would refuse it.
    let apart = collected.bundle.check_apart();
    apart.map_err(|why| Blocked { path: ground.places.home.clone(), why })?;
    Ok(collected)
}

impl Collected {
    /// A config, the lock beside it, and what the lock names. Is there a config?
    fn pair(
        &mut self,
        ground: &Ground,
        place: Place,
        path: String,
        items: &mut Vec<Item>,
    ) -> Result<bool, Blocked> {
        let spot = ground.spot(&path);
        let Some(found) = spot.look()? else { return Ok(false) };
        let words = words(&found.bytes).map_err(|why| spot.blocked(why))?;
        let table = text::table(words).map_err(|why| spot.blocked(why))?;
        let private = text::private(&table);
        if !private.is_empty() {
            self.warnings.push(format!(
                "{} sets variables, runs programs or holds a password in {}, and they go along: \
                 keep the archive as private as they are",
                ground.shown(&path),
                private.join(", ")
            ));
        }
        let config = Item { place, path, bytes: found.bytes };
        let lock = lock_beside(&config);
        if let Some((place, path)) = lock {
            self.lock(ground, place, &path, items)?;
            self.warnings.extend(staying::unlocked(ground, &config.path, &path));
        }
        items.push(config);
        Ok(true)
    }

    fn lock(
        &mut self,
        ground: &Ground,
        place: Place,
        path: &str,
        items: &mut Vec<Item>,
    ) -> Result<(), Blocked> {
        let spot = ground.spot(path);
        let Some(found) = spot.look()? else { return Ok(()) };
        let words = words(&found.bytes).map_err(|why| spot.blocked(why))?;
        let named =
            text::sidecars(words, sidecars_below(place)).map_err(|why| spot.blocked(why))?;
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let sidecar = match place {
            Place::UserLock => Place::UserLockSidecar,
            _ => Place::WorkspaceLockSidecar,
        };
        for file in named {
            let file = format!("{directory}/{file}");
            match ground.spot(&file).look()? {
                Some(found) => items.push(Item { place: sidecar, path: file, bytes: found.bytes }),
                None => self.warnings.push(format!(
                    "{} names {}, which is not there: an enforced lock (MISE_LOCKED) will not serve; \
                     `mise lock` makes it",
                    ground.shown(path),
                    ground.shown(&file)
                )),
            }
        }
        items.push(Item { place, path: path.to_owned(), bytes: found.bytes });
        Ok(())
    }
}

fn words(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())
}
