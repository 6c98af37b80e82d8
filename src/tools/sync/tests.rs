//! An import that is killed, at every point.

use super::bundle::Bundle;
use super::bundle::tests::{LOCK_TEXT, item, whole};
use super::ground::{Blocked, Ground};
use super::import;
use super::record::{self, tests::LEFT};
use super::table::Place;
use crate::tools::places::Places;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const USER: &str = ".config/mise";

fn ground(home: &Path) -> Ground {
    let mut places = Places::of(home, |_| None);
    places.home = home.into();
    Ground { places, links: BTreeMap::new() }
}

/// In memory where that is at hand: hundreds of imports sync thousands of files.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn put(home: &Path, path: &str, text: &str) {
    let path = home.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(home: &Path, path: &str) -> Option<String> {
    fs::read_to_string(home.join(path)).ok()
}

/// What the home holds but for the agent's own directories: path and content.
fn content(home: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![home.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(home).unwrap().display().to_string();
                all.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    all.retain(|name, _| !name.starts_with(".local/"));
    all
}

fn import(ground: &Ground, bundle: &Bundle) -> Result<(), Blocked> {
    let plan = import::plan(ground, bundle, "now", true)?;
    plan.apply(ground)
}

/// The old files: a lock that the new ones do not have in a workspace, and other versions.
fn old(home: &Path) {
    put(home, &format!("{USER}/config.toml"), "[tools]\n\"npm:a\" = \"0\"\n");
    put(home, &format!("{USER}/mise.lock"), "lockfile_version = 1\n");
    put(home, "p/site/mise.toml", "[tools]\nnode = \"1\"\n");
    put(home, "p/site/mise.lock", "lockfile_version = 1\n");
}

fn new() -> Bundle {
    let mut items = whole().items;
    items.push(item(Place::WorkspaceConfig, "fresh/place/mise.toml", "[tools]\n"));
    Bundle::of(items)
}

#[test]
fn killed_at_any_point_it_has_changed_nothing_or_is_finished_by_the_next() {
    let (mut points, mut undone, mut finished) = (0, 0, 0);
    for kill_at in 0.. {
        let home = scratch();
        let ground = ground(home.path());
        old(home.path());
        let before = content(home.path());
        LEFT.set(kill_at);
        let ended = import(&ground, &new());
        LEFT.set(u32::MAX);
        let pending = record::is_pending(&ground.places);
        if ended.is_ok() {
            assert!(!pending);
            points = kill_at;
        }
        // Without a record it must be one or the other: nothing would tell.
        let visible: BTreeMap<_, _> = content(home.path())
            .into_iter()
            .filter(|(n, _)| !n.ends_with(".agent-import"))
            .collect();
        if !pending && ended.is_err() {
            let is_new = visible == wanted();
            assert!(visible == before || is_new, "killed at {kill_at}: {visible:#?}");
        }
        // A second kill, in the middle of what the next one does about the first.
        for again in [3, 0, 1, u32::MAX] {
            LEFT.set(again);
            let _ = record::resume(&ground.places);
            LEFT.set(u32::MAX);
        }
        assert!(!record::is_pending(&ground.places), "killed at {kill_at}");
        let after = content(home.path());
        if after == before {
            undone += 1;
            assert!(!home.path().join("fresh").exists(), "killed at {kill_at}");
            assert!(!home.path().join(".local/share/agent/backups/now").exists());
        } else {
            finished += 1;
            assert_eq!(after, wanted(), "killed at {kill_at}");
            let kept = format!(".local/share/agent/backups/now/{USER}/mise.lock");
            assert_eq!(read(home.path(), &kept).unwrap(), "lockfile_version = 1\n");
        }
        if ended.is_ok() {
            break;
        }
    }
    assert!(points > 40 && undone > 10 && finished > 10, "{points} {undone} {finished}");
}

/// What is there after a whole import.
fn wanted() -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    new().items.into_iter().map(|item| (item.path, text(&item.bytes))).collect()
}

/// Without the record, the same kills leave what nobody could tell from a whole import: so the
/// test above would notice.
#[test]
fn without_the_record_a_kill_would_leave_a_mix() {
    let mut mixed = 0;
    for kill_at in 0..200 {
        let home = scratch();
        let ground = ground(home.path());
        old(home.path());
        LEFT.set(kill_at);
        let ended = import(&ground, &new());
        LEFT.set(u32::MAX);
        let lock_is_new = read(home.path(), &format!("{USER}/mise.lock")).unwrap() == LOCK_TEXT;
        let config_is_new =
            read(home.path(), &format!("{USER}/config.toml")).unwrap().contains("\"1\"");
        mixed += u32::from(lock_is_new != config_is_new);
        if ended.is_ok() {
            break;
        }
    }
    assert!(mixed > 0);
}

#[test]
fn what_is_changed_after_a_kill_is_kept_too() {
    let half_done = (0..).find_map(|kill_at| {
        let home = scratch();
        let ground = ground(home.path());
        old(home.path());
        LEFT.set(kill_at);
        let _ = import(&ground, &new());
        LEFT.set(u32::MAX);
        let lock = read(home.path(), &format!("{USER}/mise.lock")).unwrap();
        (lock == LOCK_TEXT).then_some((home, ground))
    });
    let (home, ground) = half_done.unwrap();
    assert!(record::is_pending(&ground.places));
    put(home.path(), &format!("{USER}/config.toml"), "# by hand\n");
    assert_eq!(record::resume(&ground.places).unwrap(), Some(record::Resumed::Finished));
    assert!(read(home.path(), &format!("{USER}/config.toml")).unwrap().contains("npm:a"));
    let later = format!(".local/share/agent/backups/now/{USER}/config.toml.later");
    assert_eq!(read(home.path(), &later).unwrap(), "# by hand\n");
}

#[test]
fn a_boot_finishes_what_a_kill_left() {
    let home = scratch();
    let ground = ground(home.path());
    old(home.path());
    assert_eq!(super::look(&ground.places), super::Seen::default());
    LEFT.set(3);
    assert!(import(&ground, &new()).is_err());
    LEFT.set(u32::MAX);
    let held = record::lock(&ground).unwrap();
    assert_eq!(super::look(&ground.places), super::Seen::default(), "another import runs");
    drop(held);
    assert!(super::look(&ground.places).resumed.unwrap().contains("undone"));
    fs::write(home.path().join(".local/state/agent/import.json"), "{").unwrap();
    let seen = super::look(&ground.places);
    assert!(seen.stuck.unwrap().contains("import.json"));
    let ways = [".local/share/agent/backups", "and remove", ".local/state/agent/import.json"];
    assert!(ways.iter().all(|way| seen.way_out.contains(way)), "{}", seen.way_out);
}

#[test]
fn a_second_import_finds_nothing_to_do() {
    let home = scratch();
    let ground = ground(home.path());
    import(&ground, &new()).unwrap();
    assert_eq!(content(home.path()), wanted());
    assert!(import::plan(&ground, &new(), "later", true).unwrap().is_empty());
}

#[test]
fn taking_back_that_is_killed_at_any_point_is_undone_or_finished_by_the_next() {
    let (mut undone, mut finished) = (0, 0);
    for kill_at in 0.. {
        let home = scratch();
        let ground = ground(home.path());
        old(home.path());
        let before = content(home.path());
        import(&ground, &new()).unwrap();
        let account = super::undo::Account::read(&ground, "now").unwrap().unwrap();
        let plan = account.plan(&ground, "later", false).unwrap();
        LEFT.set(kill_at);
        let ended = plan.apply(&ground);
        LEFT.set(u32::MAX);
        let _ = record::resume(&ground.places);
        let after = content(home.path());
        match after == before {
            true => finished += 1,
            false => undone += 1,
        }
        assert!(after == before || after == wanted(), "killed at {kill_at}: {after:#?}");
        if ended.is_ok() {
            break;
        }
    }
    assert!(undone > 10 && finished > 10, "{undone} {finished}");
}
