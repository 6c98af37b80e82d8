//! Where the homes are: of every account, and what else lies in `/home`.

use super::PEOPLE;
use super::ground::{Ground, Place, Thing};
use crate::sys::users::{Account, Database};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// What packages give accounts for a home that nobody lives in (Debian policy 9.2, hier(7)).
const NO_HOMES: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/nonexistent",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var/run",
    "/var/tmp",
];

/// The homes, each once, and what could not be looked at on the way to them.
pub(super) fn find(ground: &Ground) -> (Vec<Place>, Vec<(PathBuf, io::Error)>) {
    let mut closed = Vec::new();
    let mut paths = BTreeSet::from([PathBuf::from("/root")]);
    match ground.read(Path::new("/etc/passwd")) {
        Ok(text) => {
            let accounts = Database::of(text, String::new()).all();
            paths.extend(accounts.into_iter().filter(lived_in).map(|a| a.home));
        }
        Err(e) => closed.push(("/etc/passwd".into(), e)),
    }
    let home = Path::new("/home");
    let others = ground.place(home).and_then(|place| place.map_or(Ok(Vec::new()), |p| p.things()));
    match others {
        Ok(others) => {
            let may = |thing: &Thing| thing.is_directory() || thing.is_link();
            paths.extend(others.iter().filter(|thing| may(thing)).map(Thing::path));
        }
        Err(e) => closed.push((home.into(), e)),
    }
    let mut homes = Vec::new();
    for path in paths.into_iter().filter(|path| path.is_absolute() && path.parent().is_some()) {
        match ground.place(&path) {
            Ok(home) => homes.extend(home),
            Err(e) => closed.push((path, e)),
        }
    }
    (homes, closed)
}

fn lived_in(account: &Account) -> bool {
    let person = account.uid == 0 || PEOPLE.contains(&account.uid);
    person || !NO_HOMES.iter().any(|none| account.home.starts_with(none))
}
