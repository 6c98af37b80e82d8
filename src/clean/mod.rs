//! `agent clean`: what an image must not hold is taken out of it, and `--check` lists it.
//!
//! Both read the same [`table`], and both look with the same [`find`]: what a check lists is what
//! a clean removes, and after it a check finds nothing. Credentials of people are listed alone:
//! whoever put them there must know that they were there. What cannot be looked at is listed too:
//! nobody knows that nothing is there.

mod detect;
pub mod ground;
mod homes;
mod logs;
mod scan;
pub mod table;

use crate::journal::State;
use crate::observe;
use crate::phases::volume::without_own_lines;
use crate::tools::run;
use ground::{Ground, Place, Thing, matches};
use nix::unistd::geteuid;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use table::{Does, Item, KEPT};

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
    pub why: Cow<'static, str>,
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

impl Found {
    fn closed(item: &'static Item, path: PathBuf, e: &io::Error) -> Self {
        Self { item, what: What::Closed(path, e.to_string()) }
    }

    fn path(&self) -> PathBuf {
        match &self.what {
            What::Thing(thing, _) | What::Line(thing, _) => thing.path(),
            What::Closed(path, _) => path.clone(),
        }
    }
}

/// What could not be looked at at all.
static UNSEEN: Item = Item {
    name: "unseen",
    why: "nobody knows what is there",
    paths: &[],
    does: Does::Tell,
    only: None,
};

enum What {
    /// It is to be treated so.
    Thing(Thing, Act),
    /// It is told, for the sake of this line (from 1).
    Line(Thing, usize),
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
            What::Thing(_, Act::Tell) | What::Line(..) | What::Closed(..) => None,
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
    let why = Cow::from(item.why);
    let (path, why, closed) = match what {
        What::Thing(thing, Act::Tell) => {
            let finding = told_alone(item, thing.path(), why);
            return Finding { problem, ..finding };
        }
        What::Thing(thing, _) => (thing.path(), why, None),
        What::Line(thing, line) => (thing.path(), format!("{why}, in line {line}").into(), None),
        What::Closed(path, why_not) => (path.clone(), why, Some(why_not.clone())),
    };
    Finding { kind: item.name, path, does: item.does.word(), why, problem: problem.or(closed) }
}

/// Also what an item removes is told alone where a link of a user's leads to it.
fn told_alone(item: &Item, path: PathBuf, why: Cow<'static, str>) -> Finding {
    Finding { kind: item.name, path, does: Does::Tell.word(), why, problem: None }
}

fn undo(thing: &Thing, act: Act) -> io::Result<()> {
    match act {
        Act::Remove => thing.remove(),
        Act::Empty => thing.empty(),
        Act::OwnLines => thing.replace(&without_own_lines(&thing.whole()?)),
        Act::Tell => Ok(()),
    }
}

/// Everything of the table that is in the image, what else is a credential by its content, and
/// what could not be looked at.
fn find(ground: &Ground) -> Vec<Found> {
    let (homes, closed) = homes::find(ground);
    let mut found: Vec<Found> =
        closed.into_iter().map(|(path, e)| Found::closed(&UNSEEN, path, &e)).collect();
    for item in table::all() {
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
    // What is told already is not told again, nor what goes away.
    let known: BTreeSet<PathBuf> = found.iter().map(Found::path).collect();
    let mut told: Vec<scan::Told> =
        homes.iter().flat_map(|home| scan::home(ground, home)).collect();
    match ground.place(Path::new("/etc")) {
        Ok(etc) => told.extend(etc.iter().flat_map(|etc| scan::etc(ground, etc))),
        Err(e) => told.push(("/etc".into(), Err(e))),
    }
    let mut seen = BTreeSet::new();
    for (path, what) in told {
        if known.iter().any(|known| path.starts_with(known)) || !seen.insert(path.clone()) {
            continue;
        }
        found.push(match what {
            Ok((thing, item, line)) => Found { item, what: What::Line(thing, line) },
            Err(e) => Found::closed(&UNSEEN, path, &e),
        });
    }
    found
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
    let Spot { ground, item, home } = spot;
    let led = match thing.is_link() {
        true => ground.follow(&thing.path())?,
        false => None,
    };
    if let Some(only) = item.only {
        let read = led.as_ref().unwrap_or(&thing);
        if !(read.is_file() && only(&read.content()?)) {
            return Ok(());
        }
    }
    let mut add = |thing, act| found.push(Found { item, what: What::Thing(thing, act) });
    match item.does {
        Does::Tell => {
            add(thing, Act::Tell);
            led.into_iter().filter(Thing::is_file).for_each(|led| add(led, Act::Tell));
        }
        Does::TellDirectory if thing.is_directory() => add(thing, Act::Tell),
        Does::TellDirectory => {}
        // A link for dbus leads to the one that is emptied.
        Does::Remove if item.name == "dbus-machine-id" && !thing.is_file() => {}
        Does::Remove => {
            // In a home somebody else's file may be at a link's end.
            let led = led.filter(|led| led.is_file() && !led.is_empty() && !shipped(led));
            led.into_iter().for_each(|led| add(led, if home { Act::Tell } else { Act::Remove }));
            add(thing, Act::Remove);
        }
        Does::Empty => {
            let end = led.unwrap_or(thing);
            if end.is_file() && !end.is_empty() {
                add(end, Act::Empty);
            }
        }
        Does::OwnLines => {
            let end = led.unwrap_or(thing);
            let text = end.whole()?;
            if without_own_lines(&text) != text {
                add(end, Act::OwnLines);
            }
        }
        Does::RemoveInside | Does::EmptyInside => {
            let place = match () {
                () if thing.is_directory() => match thing.enter()? {
                    // A filesystem of its own: the image's, where the table names it.
                    None if !home => ground.place(&thing.path())?,
                    entered => entered,
                },
                () if thing.is_link() && home => return Err(io::Error::other(NOT_FOLLOWED)),
                () if thing.is_link() => ground.place(&thing.path())?,
                () => None,
            };
            let Some(place) = place.filter(|place| !(ground.live() && place.in_memory())) else {
                return Ok(());
            };
            match item.does {
                Does::EmptyInside => logs::find(spot, &place, 0, found),
                _ => {
                    let kept = |thing: &Thing| KEPT.iter().any(|k| matches(k, thing.name()));
                    let inside = place.things()?.into_iter().filter(|t| !kept(t));
                    inside.for_each(|t| add(t, Act::Remove));
                }
            }
        }
    }
    Ok(())
}

/// Does a package bring it? What lies there is no machine's own.
fn shipped(thing: &Thing) -> bool {
    thing.path().starts_with("/usr")
}
