//! `agent clean`: what an image must not hold is taken out of it, and `--check` lists it.
//!
//! Both read the same [`table`], and both look with the same [`find`]: what a check lists is what
//! a clean removes, and after it a check finds nothing. Credentials of people are listed alone:
//! whoever put them there must know that they were there.

pub mod ground;
pub mod table;

use crate::journal::State;
use crate::observe;
use crate::phases::volume::without_own_lines;
use crate::sys::users::Database;
use crate::tools::run;
use ground::{Ground, Place, Thing, matches};
use nix::unistd::geteuid;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use table::{Does, Item, KEPT, TABLE};

/// The version of the JSON form.
pub const SCHEMA: &str = "agent.clean/1";

/// How long the journal may take to leave the disk.
const RELINQUISH: Duration = Duration::from_secs(15);

/// Numbers of people's accounts (`login.defs(5)`, Debian policy 9.2.2).
const PEOPLE: std::ops::Range<u32> = 1000..65_534;

/// What is said of a link in a home.
const NOT_FOLLOWED: &str = "a link lies on the way, which is not followed";

/// One thing that would leak into an image.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The kind: an item's name in the table.
    pub kind: &'static str,
    /// Its path in the image.
    pub path: PathBuf,
    /// What `agent clean` does with it.
    pub does: &'static str,
    /// Why it must not be in an image.
    pub why: &'static str,
    /// Why it is still there after a clean, or could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What was found, and what is left of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this form, [`SCHEMA`].
    pub schema: &'static str,
    /// What was removed.
    pub removed: Vec<Finding>,
    /// What is there.
    pub left: Vec<Finding>,
}

/// A thing of the image, and what it is of the table.
struct Found {
    item: &'static Item,
    what: What,
}

enum What {
    /// It is to be treated so.
    Thing(Thing, Act),
    /// It could not be looked at.
    Closed(PathBuf, String),
}

#[derive(Clone, Copy)]
enum Act {
    Remove,
    Empty,
    OwnLines,
    Tell,
}

/// Lists what would leak into an image of `root`.
///
/// # Errors
/// `root` is no root of an image; a sentence.
pub fn check(root: &Path) -> Result<Report, String> {
    let ground = open(root)?;
    let left = find(&ground).into_iter().map(|found| told(found.item, &found.what, None));
    Ok(Report { schema: SCHEMA, removed: Vec::new(), left: left.collect() })
}

/// Removes it. What is left, and what is only told, stands in the report.
///
/// # Errors
/// `root` is no root of an image, or this is no place to clean; a sentence with the next step.
pub fn clean(root: &Path) -> Result<Report, String> {
    let ground = open(root)?;
    if ground.live() {
        refuse()?;
        // What the journal has open it would write on to, until the machine stops.
        let mut journal = Command::new("journalctl");
        journal.arg("--relinquish-var");
        let _ = run::to_end(journal, RELINQUISH);
    }
    let mut report = Report { schema: SCHEMA, removed: Vec::new(), left: Vec::new() };
    for Found { item, what } in find(&ground) {
        let done = match &what {
            What::Thing(_, Act::Tell) | What::Closed(..) => None,
            What::Thing(thing, act) => Some(undo(thing, *act)),
        };
        match done {
            Some(Ok(())) => report.removed.push(told(item, &what, None)),
            Some(Err(e)) => report.left.push(told(item, &what, Some(e.to_string()))),
            None => report.left.push(told(item, &what, None)),
        }
    }
    ground.sync();
    Ok(report)
}

fn open(root: &Path) -> Result<Ground, String> {
    Ground::open(root).map_err(|e| format!("{}: {e}", root.display()))
}

/// This machine itself is cleaned only where it is one, and nothing of the agent's runs.
fn refuse() -> Result<(), String> {
    if observe::status(None).state == State::Running {
        return Err(
            "the agent boots, and would write its state again; next: wait for its end with \
                    `agent status --wait`"
                .into(),
        );
    }
    let contained = ["/run/.containerenv", "/.dockerenv", "/run/systemd/container"];
    if contained.iter().any(|file| Path::new(file).exists()) || observe::supervisor().is_some() {
        return Err("this is a container, no machine to make an image of; next: name the image's \
                    root with --root"
            .into());
    }
    if !geteuid().is_root() {
        return Err("only root can clean a machine; next: run it with sudo".into());
    }
    Ok(())
}

fn told(item: &Item, what: &What, problem: Option<String>) -> Finding {
    let (path, closed) = match what {
        What::Thing(thing, _) => (thing.path(), None),
        What::Closed(path, why) => (path.clone(), Some(why.clone())),
    };
    let does = item.does.word();
    Finding { kind: item.name, path, does, why: item.why, problem: problem.or(closed) }
}

fn undo(thing: &Thing, act: Act) -> io::Result<()> {
    match act {
        Act::Remove => thing.remove(),
        Act::Empty => thing.empty(),
        Act::OwnLines => thing.replace(&without_own_lines(&thing.whole()?)),
        Act::Tell => Ok(()),
    }
}

/// Everything of the table that is in the image.
fn find(ground: &Ground) -> Vec<Found> {
    let homes = homes(ground);
    let mut found = Vec::new();
    for item in TABLE {
        for path in item.paths {
            let path = Path::new(path);
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            match parent.strip_prefix("~") {
                Ok(below) => {
                    for home in &homes {
                        let place = home.below(below);
                        let spot = Spot { ground, item, home: true };
                        look(spot, (place, name), &home.path().join(below), &mut found);
                    }
                }
                Err(_) => {
                    let spot = Spot { ground, item, home: false };
                    look(spot, (ground.place(parent), name), parent, &mut found);
                }
            }
        }
    }
    found
}

/// The homes of root and of people, each once: by the accounts, and what else lies in /home.
fn homes(ground: &Ground) -> Vec<Place> {
    let passwd = ground.read(Path::new("/etc/passwd")).unwrap_or_default();
    let accounts = Database::of(passwd, String::new()).all();
    let people = accounts.into_iter().filter(|a| a.uid == 0 || PEOPLE.contains(&a.uid));
    let mut paths: BTreeSet<PathBuf> = people.map(|a| a.home).collect();
    paths.insert("/root".into());
    if let Ok(Some(home)) = ground.place(Path::new("/home")) {
        let others = home.things().unwrap_or_default().into_iter().filter(Thing::is_directory);
        paths.extend(others.map(|thing| thing.path()));
    }
    let homes = paths.iter().filter(|path| path.is_absolute() && path.parent().is_some());
    homes.filter_map(|path| ground.place(path).ok().flatten()).collect()
}

/// What is looked for, and where.
#[derive(Clone, Copy)]
struct Spot<'g> {
    ground: &'g Ground,
    item: &'static Item,
    /// In a home, where links are the user's.
    home: bool,
}

type Opened = io::Result<Option<Place>>;

/// Looks for one path of an item: `name`, in which a `*` may stand, in an opened directory.
fn look(spot: Spot<'_>, (place, name): (Opened, &OsStr), parent: &Path, found: &mut Vec<Found>) {
    let item = spot.item;
    let mut closed = |path: PathBuf, e: &io::Error| {
        found.push(Found { item, what: What::Closed(path, e.to_string()) });
    };
    let place = match place {
        Ok(Some(place)) => place,
        Ok(None) => return,
        Err(e) => {
            let why = match e.raw_os_error() {
                Some(libc::ELOOP) => io::Error::other(NOT_FOLLOWED),
                _ => e,
            };
            return closed(parent.join(name), &why);
        }
    };
    let pattern = name.to_string_lossy();
    let things = match pattern.contains('*') {
        true => place
            .things()
            .map(|all| all.into_iter().filter(|thing| matches(&pattern, thing.name())).collect()),
        false => place.thing(name).map(Vec::from_iter),
    };
    let things: Vec<Thing> = match things {
        Ok(things) => things,
        Err(e) => return closed(parent.join(name), &e),
    };
    for thing in things {
        let path = thing.path();
        if let Err(e) = judge(spot, thing, found) {
            found.push(Found { item, what: What::Closed(path, e.to_string()) });
        }
    }
}

/// What there is to do about one thing that an item names.
fn judge(spot: Spot<'_>, thing: Thing, found: &mut Vec<Found>) -> io::Result<()> {
    let Spot { ground, item, .. } = spot;
    if let Some(only) = item.only
        && !(thing.is_file() && only(&thing.content()?))
    {
        return Ok(());
    }
    let mut add = |thing, act| found.push(Found { item, what: What::Thing(thing, act) });
    match item.does {
        Does::Tell => add(thing, Act::Tell),
        // A link for dbus leads to the one that is emptied.
        Does::Remove if item.name == "dbus-machine-id" && !thing.is_file() => {}
        Does::Remove => add(thing, Act::Remove),
        Does::Empty if thing.is_file() && !thing.is_empty() => add(thing, Act::Empty),
        Does::OwnLines => {
            let text = thing.whole()?;
            if without_own_lines(&text) != text {
                add(thing, Act::OwnLines);
            }
        }
        Does::RemoveInside | Does::EmptyInside => {
            let place = match () {
                () if thing.is_directory() => match thing.enter()? {
                    // A filesystem of its own: the image's, where the table names it.
                    None if !spot.home => ground.place(&thing.path())?,
                    entered => entered,
                },
                () if thing.is_link() && spot.home => {
                    return Err(io::Error::other(NOT_FOLLOWED));
                }
                () if thing.is_link() => ground.place(&thing.path())?,
                () => None,
            };
            let Some(place) = place.filter(|place| !(ground.live() && place.in_memory())) else {
                return Ok(());
            };
            match item.does {
                Does::EmptyInside => logs(&place, 0, &mut add)?,
                _ => {
                    let kept = |thing: &Thing| KEPT.iter().any(|k| matches(k, thing.name()));
                    place
                        .things()?
                        .into_iter()
                        .filter(|t| !kept(t))
                        .for_each(|t| add(t, Act::Remove));
                }
            }
        }
        Does::Empty => {}
    }
    Ok(())
}

/// Log files, in directories below too. The journal has an item of its own.
fn logs(place: &Place, depth: usize, add: &mut dyn FnMut(Thing, Act)) -> io::Result<()> {
    /// No service nests its logs deeper.
    const DEEPEST: usize = 20;
    for thing in place.things()? {
        if thing.is_directory() && depth < DEEPEST && !(depth == 0 && thing.name() == "journal") {
            if let Some(below) = thing.enter()? {
                logs(&below, depth + 1, add)?;
            }
        } else if thing.is_file() && is_rotated(thing.name()) {
            add(thing, Act::Remove);
        } else if thing.is_file() && !thing.is_empty() {
            add(thing, Act::Empty);
        }
    }
    Ok(())
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
