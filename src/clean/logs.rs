//! Logs: every file of a directory and below it, and what links among them lead to.

use super::ground::{Place, Thing};
use super::{Act, Found, Spot, What, shipped};
use std::ffi::OsStr;
use std::io;

/// Log files, in directories below too. The journal has an item of its own. A link's end is told:
/// it may be anything.
pub(super) fn find(spot: Spot<'_>, place: &Place, depth: usize, found: &mut Vec<Found>) {
    /// No service nests its logs deeper.
    const DEEPEST: usize = 20;
    let item = spot.item;
    let things = match place.things() {
        Ok(things) => things,
        Err(e) => return found.push(Found::closed(item, place.path().into(), &e)),
    };
    for thing in things {
        let mut add = |thing, act| found.push(Found { item, what: What::Thing(thing, act) });
        if thing.is_directory() {
            if depth == 0 && thing.name() == "journal" {
                continue;
            }
            let entered = match depth < DEEPEST {
                true => thing.enter(),
                false => Err(io::Error::other("directories in each other without an end")),
            };
            match entered {
                Ok(Some(below)) => find(spot, &below, depth + 1, found),
                Ok(None) => {
                    let other = io::Error::other("another filesystem is mounted there");
                    found.push(Found::closed(item, thing.path(), &other));
                }
                Err(e) => found.push(Found::closed(item, thing.path(), &e)),
            }
        } else if thing.is_link() {
            match spot.ground.follow(&thing.path()) {
                Ok(Some(end)) if leaks(spot, &end) => add(end, Act::Tell),
                Ok(_) => {}
                Err(e) => found.push(Found::closed(item, thing.path(), &e)),
            }
        } else if thing.is_file() && is_rotated(thing.name()) {
            add(thing, Act::Remove);
        } else if thing.is_file() && !thing.is_empty() {
            add(thing, Act::Empty);
        }
    }
}

/// Is what a link among the logs leads to something that stays in the image? A directory counts
/// where something is in it, or it cannot be looked at.
fn leaks(spot: Spot<'_>, end: &Thing) -> bool {
    let emptied = spot.item.paths.iter().any(|path| end.path().starts_with(path));
    let filled = match end.is_directory() {
        true => {
            let place = spot.ground.place(&end.path());
            place
                .and_then(|p| p.map_or(Ok(Vec::new()), |p| p.things()))
                .map_or(true, |t| !t.is_empty())
        }
        false => end.is_file() && !end.is_empty(),
    };
    filled && !emptied && !shipped(end)
}

/// As logrotate names them: `syslog.1`, `syslog.2.gz`, `dpkg.log-20260101`, `x.old`.
fn is_rotated(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let ends = [".gz", ".xz", ".zst", ".bz2", ".old"];
    let digits = |sign| {
        name.rsplit_once(sign).is_some_and(|(stem, end)| {
            !stem.is_empty() && !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit())
        })
    };
    ends.iter().any(|end| name.ends_with(end)) || digits('.') || digits('-')
}
