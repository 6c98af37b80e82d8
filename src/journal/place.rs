//! Where state is kept, and finding it again.
//!
//! The journal of a boot wants to be where every user of the sandbox can read it and
//! where nothing stale survives: `/run/agent`. A container with a read-only root and
//! no capability has no such place, so the next ones are tried: the user's runtime
//! directory, the volume, and at last `/tmp`, which is there even when the volume is
//! full. The ledger must outlive a restart, so it takes the first place that is on a
//! disk. In each base directory an instance has a directory of its own: containers
//! that share a volume don't read each other's state.

mod search;

pub use search::{Found, Search, append_to, find_journal};

use super::event::{BootBegan, Event, Record};
use super::file::{self, Appender};
use super::{ledger, tags};
use crate::sys::beneath::{Dir, Owner};
use crate::sys::files;
use nix::unistd::geteuid;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Instance directories that are always kept, the newest ones.
const KEEP: usize = 20;

/// No instance directory younger than this is removed: on a shared volume it may belong
/// to a container that runs, and its ledger keeps a script from running twice.
const KEEP_FOR: Duration = Duration::from_secs(30 * 86_400);

/// A directory that may hold state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Where the trusted part of the path ends; below it, links are refused.
    trusted: PathBuf,
    /// What lies below it, made where missing.
    below: PathBuf,
    /// Somebody else could make it too (`/tmp`), so only our own is believed.
    shared: bool,
    /// Who shall own the directories that are made.
    owner: Option<Owner>,
    /// It lies on a volume that other containers may have too.
    volume: bool,
    /// Links are followed: they can only be this same user's own.
    follow: bool,
}

impl Base {
    fn new(trusted: impl Into<PathBuf>, below: impl Into<PathBuf>) -> Self {
        Self {
            trusted: trusted.into(),
            below: below.into(),
            shared: false,
            owner: None,
            volume: false,
            follow: false,
        }
    }

    /// The whole path.
    pub fn path(&self) -> PathBuf {
        self.trusted.join(&self.below)
    }

    /// In the user's home: what is made there is the user's.
    fn at_home(home: &Path, owner: Owner) -> Self {
        let follow = !geteuid().is_root() && geteuid().as_raw() == owner.0;
        Self { owner: Some(owner), volume: true, follow, ..Self::new(home, ".local/state/agent") }
    }

    fn open(&self, instance: &str) -> io::Result<(Dir, PathBuf)> {
        let below = self.below.join(instance);
        let mode = if self.shared { 0o700 } else { 0o755 };
        let path = self.trusted.join(&below);
        let dir = if self.follow {
            fs::create_dir_all(&path)?;
            Dir::open(&path)?
        } else {
            Dir::open(&self.trusted)?.make_path(&below, mode, self.owner)?
        };
        if self.shared && !owned_by(&self.path(), geteuid().as_raw()) {
            return Err(io::Error::other("it belongs to somebody else"));
        }
        Ok((dir, path))
    }
}

fn owned_by(path: &Path, uid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().is_ok_and(|m| m.uid() == uid && m.is_dir())
}

/// The bases for a sandbox user, best first.
pub fn bases(home: &Path, (uid, gid): Owner) -> Vec<Base> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .unwrap_or_else(|| format!("/run/user/{uid}").into());
    vec![
        Base::new("/run", "agent"),
        Base::new(runtime, "agent"),
        Base::at_home(home, (uid, gid)),
        Base { shared: true, ..Base::new("/tmp", format!("agent-{uid}")) },
    ]
}

fn ledger_bases(home: &Path, owner: Owner) -> [Base; 2] {
    [lasting(), Base::at_home(home, owner)]
}

/// The place of what outlives the boots of a machine.
fn lasting() -> Base {
    Base::new("/var/lib", "agent")
}

/// The file that tells what EC2 was told of an instance.
pub fn tags_file(instance: &str) -> PathBuf {
    lasting().path().join(instance).join(tags::NAME)
}

/// Opens it to append.
///
/// # Errors
/// What the filesystem says.
pub fn open_tags(instance: &str) -> io::Result<Appender> {
    let (dir, _) = lasting().open(instance)?;
    Appender::open(&dir, tags::NAME)
}

/// Makes an instance's state directory in the user's home.
///
/// # Errors
/// What the filesystem says.
pub fn state_at_home(home: &Path, instance: &str, owner: Owner) -> io::Result<PathBuf> {
    Base::at_home(home, owner).open(instance).map(|(_, path)| path)
}

/// An instance's open state: what a boot writes to.
#[derive(Debug)]
pub struct Place {
    /// The journal's directory.
    pub path: PathBuf,
    /// The same, held open.
    pub dir: Dir,
    /// The journal, with this boot's beginning appended.
    pub journal: Appender,
}

/// Opens the first base that takes the journal, and appends `began` (with the log
/// directory filled in). A base that is read-only, full or not ours is passed over.
///
/// # Errors
/// Every base refused; the text tells each one's reason.
pub fn open_journal(bases: &[Base], began: &BootBegan) -> Result<Place, String> {
    let mut refusals = Vec::new();
    for base in bases {
        match open_in(base, began) {
            Ok(place) => return Ok(place),
            Err(e) => refusals.push(format!("{}: {e}", base.path().display())),
        }
    }
    Err(refusals.join("; "))
}

fn open_in(base: &Base, began: &BootBegan) -> io::Result<Place> {
    let (dir, path) = base.open(&began.instance)?;
    prune(&base.path(), &path);
    file::rotate(&path);
    let journal = Appender::open(&dir, file::NAME)?;
    let began = BootBegan { logs: path.join("logs"), ..began.clone() };
    journal.append_durably(Event::BootBegan(began))?;
    Ok(Place { path, dir, journal })
}

/// Removes old instance directories of a base that is our own, so that a volume on which
/// a thousand containers were recreated doesn't keep a thousand of them.
fn prune(base: &Path, current: &Path) {
    if !owned_by(base, geteuid().as_raw()) {
        return;
    }
    let last_boot = |dir: &Path| dir.join(file::NAME).symlink_metadata()?.modified();
    let mut dirs: Vec<(SystemTime, PathBuf)> = fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path() != current && e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| Some((last_boot(&e.path()).ok()?, e.path())))
        .collect();
    dirs.sort();
    let surplus = dirs.len().saturating_sub(KEEP);
    for (at, path) in dirs.into_iter().take(surplus) {
        if at.elapsed().is_ok_and(|age| age > KEEP_FOR) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Takes the lock of a boot on `instance`; it ends with the process. `Ok(None)` where
/// another boot holds it.
///
/// # Errors
/// No base can hold a lock file.
pub fn lock(bases: &[Base], instance: &str) -> Result<Option<files::Lock>, String> {
    let mut refusal = String::from("no place");
    for base in bases {
        let attempt = base.open(instance).and_then(|(dir, _)| dir.append("lock", 0o644));
        match attempt.and_then(files::try_lock) {
            Ok(lock) => return Ok(lock),
            Err(e) => refusal = format!("{}: {e}", base.path().display()),
        }
    }
    Err(refusal)
}

/// The ledger of an instance.
#[derive(Debug)]
pub struct Ledger {
    /// What it holds.
    pub records: Vec<Record>,
    /// Where to append; an error where it is on a disk that is full. Then nothing that
    /// must be recorded may happen, but what is recorded still holds.
    pub appender: io::Result<Appender>,
    /// Why it won't outlive a restart, where the home will.
    pub passing: Option<String>,
}

/// Opens the ledger of an instance in the first base on a disk, else beside the journal
/// (`fallback`).
pub fn open_ledger(home: &Path, instance: &str, owner: Owner, fallback: &Place) -> Ledger {
    let mut refusals = Vec::new();
    for base in ledger_bases(home, owner) {
        let path = base.path().join(instance);
        if files::in_memory(&base.trusted) {
            refusals.push(format!("{} is in memory", base.trusted.display()));
            continue;
        }
        let records = match read_ledger(&path) {
            Ok(records) => records,
            Err(e) => return Ledger { records: Vec::new(), appender: Err(e), passing: None },
        };
        let opened = base.open(instance).and_then(|(dir, path)| match files::in_memory(&path) {
            // A link led there.
            true => Err(io::Error::other("it is in memory")),
            false => Appender::open(&dir, ledger::NAME),
        });
        match opened {
            Ok(appender) => return Ledger { records, appender: Ok(appender), passing: None },
            // A record of it must not be missed because there is no room for the next.
            Err(e) if files::no_room(&e) || !records.is_empty() => {
                return Ledger { records, appender: Err(e), passing: None };
            }
            Err(e) => refusals.push(format!("{}: {e}", path.display())),
        }
    }
    let (records, appender) = match read_ledger(&fallback.path) {
        Ok(records) => (records, Appender::open(&fallback.dir, ledger::NAME)),
        Err(e) => (Vec::new(), Err(e)),
    };
    Ledger {
        records,
        appender,
        // With a home in memory, what the script did there is gone as well.
        passing: (files::in_memory(&fallback.path) && !files::in_memory(home))
            .then(|| refusals.join("; ")),
    }
}

/// What the ledger of an instance holds, without opening it for more.
///
/// # Errors
/// It is damaged, so it may have said anything.
pub fn recorded_scripts(
    home: &Path,
    instance: &str,
    owner: Owner,
    fallback: &Place,
) -> io::Result<Vec<Record>> {
    let bases = ledger_bases(home, owner).map(|base| base.path().join(instance));
    for dir in bases.iter().chain([&fallback.path]) {
        match read_ledger(dir) {
            Ok(records) if !records.is_empty() => return Ok(records),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(e),
            // Not ours to look into: this boot has nothing to run either.
            _ => {}
        }
    }
    Ok(Vec::new())
}

/// A ledger that is missing is empty; one that cannot be read, or is damaged, is an
/// error: it may have said that the script has run.
fn read_ledger(dir: &Path) -> io::Result<Vec<Record>> {
    let path = dir.join(ledger::NAME);
    let damaged = |why: String| {
        let text = format!("{} is damaged ({why})", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    };
    match file::read(&path) {
        Ok(c) if c.damaged > 0 => damaged(format!("{} lines cannot be read", c.damaged)),
        Ok(c) if c.records.iter().any(|r| !ledger::belongs(&r.event)) => {
            damaged("it holds what is no record of a run".into())
        }
        Ok(contents) => Ok(contents.records),
        // Not ours to look into: not ours to write either, which is found next.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    }
}

/// Makes the log file `NAME.log` of a phase, readable by its owner (and root) alone.
///
/// # Errors
/// What `openat(2)` says.
pub fn open_log(place: &Place, name: &str, owner: Option<Owner>) -> io::Result<(File, PathBuf)> {
    let logs = place.dir.make_path(Path::new("logs"), 0o755, None)?;
    let name = format!("{name}.log");
    let file = logs.append(&name, 0o600)?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    Ok((file, place.path.join("logs").join(name)))
}

#[cfg(test)]
mod tests {
    use super::super::event::{Epoch, Runner};
    use super::*;

    fn began(instance: &str, init_start: u64) -> BootBegan {
        let epoch = Epoch { kernel_boot: "k".into(), pid_namespace: 1, init_pid: 1, init_start };
        BootBegan {
            boot: "b".into(),
            runner: Runner { pid: 1, start_ticks: 1, epoch },
            instance: instance.into(),
            agent: "0".into(),
            phases: vec![],
            logs: PathBuf::new(),
            only: vec![],
        }
    }

    #[test]
    fn a_base_that_refuses_is_passed_over() {
        let tmp = tempfile::tempdir().unwrap();
        let bases = [Base::new("/proc", "agent"), Base::new(tmp.path(), "a/b")];
        let place = open_journal(&bases, &began("i", 1)).unwrap();
        assert_eq!(place.path, tmp.path().join("a/b/i"));
        let all_refuse = open_journal(&bases[..1], &began("i", 1)).unwrap_err();
        assert!(all_refuse.contains("/proc/agent"), "{all_refuse}");
    }

    #[test]
    fn the_journal_of_this_life_is_found_among_others() {
        let tmp = tempfile::tempdir().unwrap();
        let bases = [Base::new(tmp.path(), "s")];
        open_journal(&bases, &began("mine", 7)).unwrap();
        open_journal(&bases, &began("newer", 8)).unwrap();
        let find = |init_start| {
            let this_life = move |e: &Epoch| e.init_start == init_start;
            find_journal(&bases, "mine", &this_life).found
        };
        let mine = find(7).unwrap();
        assert!(mine.path.ends_with("mine/journal"));
        let none = find(9).unwrap();
        assert!(none.path.ends_with("newer/journal"));
    }

    #[test]
    fn what_root_wrote_of_its_own_boot_outranks_what_the_user_could_write() {
        if !geteuid().is_root() {
            return;
        }
        let tmp = tempfile::tempdir().unwrap();
        let bases = [Base::new(tmp.path(), "run"), Base::new(tmp.path(), "home")];
        open_journal(&bases[..1], &began("i", 7)).unwrap();
        let forged = BootBegan {
            runner: Runner { start_ticks: 1000, ..began("i", 7).runner },
            ..began("i", 7)
        };
        let place = open_journal(&bases[1..], &forged).unwrap();
        let find = |by_root| {
            let this_life = |e: &Epoch| e.init_start == 7;
            search::find_journal_where(&bases, "i", &this_life, by_root).found.unwrap().path
        };
        assert!(find(true).starts_with(tmp.path().join("run")), "the first place of root's");
        std::os::unix::fs::chown(place.path.join(file::NAME), Some(65534), None).unwrap();
        assert!(find(true).starts_with(tmp.path().join("run")));
        assert!(find(false).starts_with(tmp.path().join("home")), "there all is the user's");
    }

    #[test]
    fn only_old_instances_are_pruned() {
        let tmp = tempfile::tempdir().unwrap();
        let bases = [Base::new(tmp.path(), "s")];
        let long_ago = SystemTime::now() - KEEP_FOR - Duration::from_secs(60);
        let make = |i: usize| {
            let place = open_journal(&bases, &began(&format!("i{i:02}"), 1)).unwrap();
            File::options().append(true).open(place.path.join(file::NAME)).unwrap()
        };
        for i in 0..KEEP + 5 {
            make(i);
        }
        assert_eq!(
            fs::read_dir(tmp.path().join("s")).unwrap().count(),
            KEEP + 5,
            "young ones stay"
        );
        for i in 0..3 {
            make(i).set_modified(long_ago).unwrap();
        }
        make(KEEP + 5);
        assert_eq!(fs::read_dir(tmp.path().join("s")).unwrap().count(), KEEP + 3);
    }

    #[test]
    fn two_boots_of_one_instance_exclude_each_other() {
        let tmp = tempfile::tempdir().unwrap();
        let bases = [Base::new(tmp.path(), "s")];
        let first = lock(&bases, "i").unwrap();
        assert!(first.is_some());
        assert!(lock(&bases, "i").unwrap().is_none());
        assert!(lock(&bases, "other").unwrap().is_some());
    }
}
