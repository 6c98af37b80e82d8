use super::*;
use crate::journal::event::Tool;
use std::os::unix::fs::PermissionsExt;

const WRAPPER: &str = "#!/bin/sh\nbasedir=$(dirname \"$0\")\nif [ -x \"$basedir/node\" ]; then\n  \
    exec \"$basedir/node\" \"$basedir/../x/cli.js\" \"$@\"\nelse\n  \
    exec node \"$basedir/../x/cli.js\" \"$@\"\nfi\n";

/// A tool as npm's installers lay it out, left alone for an hour.
fn installed(home: &Path) -> (Places, Whole) {
    let tool = home.join(".local/share/mise/installs/npm-x/1");
    let bin = tool.join("node_modules/.bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(tool.join("node_modules/x/lib/deep")).unwrap();
    for (path, text) in [
        ("node_modules/.bin/x", WRAPPER),
        ("node_modules/x/cli.js", "cli"),
        ("node_modules/x/lib/deep/a.js", "a"),
        ("package.json", "{}"),
    ] {
        fs::write(tool.join(path), text).unwrap();
    }
    fs::set_permissions(bin.join("x"), fs::Permissions::from_mode(0o755)).unwrap();
    let places = Places::of(home, |_| None);
    let x = Tool { name: "npm:x".into(), version: "1".into(), installed: true };
    let whole = Whole { tools: vec![(x, tool)], programs: vec![bin], ..Whole::default() };
    (places, whole)
}

fn print() -> (tempfile::TempDir, Places, Print, PathBuf) {
    let tmp = tempfile::tempdir().unwrap();
    let (places, whole) = installed(tmp.path());
    std::thread::sleep(STILL);
    let print = settled_prints(&whole, &places).unwrap().remove(0);
    let path = whole.tools[0].1.clone();
    (tmp, places, print, path)
}

#[test]
fn a_whole_tool_is_known_with_its_program_and_what_that_starts() {
    let (_tmp, places, print, _) = print();
    let programs: Vec<_> = print.programs.iter().map(|p| (p.at.as_str(), p.named)).collect();
    assert_eq!(programs, [("node_modules/.bin/x", true), ("node_modules/x/cli.js", false)]);
    assert_eq!(print.program_names(&places), ["x"]);
    assert!(print.dirs.iter().any(|d| d.at == "node_modules/x/lib/deep"));
    assert_eq!((print.change(&places), print.damage(i64::MAX)), (None, None));
}

#[test]
fn what_it_cannot_do_without_is_told_from_the_rest() {
    type Broken = fn(&Change) -> bool;
    let broken: Broken = |c| matches!(c, Change::Broken(_));
    let lost: Broken = |c| matches!(c, Change::Lost(_));
    let empty = |path: PathBuf| fs::write(path, "").unwrap();
    let remove = |path: PathBuf| fs::remove_file(path).unwrap();
    type Damaging<'a> = &'a dyn Fn(&Path);
    let damages: [(Damaging<'_>, Broken); 7] = [
        (&|t| fs::remove_dir_all(t).unwrap(), broken),
        (&|t| remove(t.join("node_modules/.bin/x")), broken),
        (&|t| empty(t.join("node_modules/.bin/x")), broken),
        (&|t| empty(t.join("node_modules/x/cli.js")), broken),
        (&|t| fs::remove_dir_all(t.join("node_modules")).unwrap(), broken),
        (&|t| remove(t.join("package.json")), lost),
        (&|t| remove(t.join("node_modules/x/lib/deep/a.js")), lost),
    ];
    for (number, (damage, kind)) in damages.iter().enumerate() {
        let (_tmp, places, print, tool) = print();
        damage(&tool);
        assert!(print.change(&places).is_some(), "{number}");
        let found = print.damage(i64::MAX).unwrap().change;
        // A directory that is younger than the proof was installed anew since then.
        assert_eq!(print.damage(0).is_none(), tool.exists(), "{number}");
        assert!(kind(&found), "{number}: {found:?}");
    }
}

#[test]
fn what_came_to_it_is_a_change_and_no_damage() {
    let (_tmp, places, print, tool) = print();
    fs::write(tool.join("node_modules/x/new"), "").unwrap();
    assert!(matches!(print.change(&places), Some(Change::Other(_))));
    assert_eq!(print.damage(i64::MAX), None);
}

#[test]
fn an_install_under_way_is_neither_whole_nor_proved() {
    let tmp = tempfile::tempdir().unwrap();
    let (places, whole) = installed(tmp.path());
    let mark = places.cache.join("npm-x/1/incomplete");
    fs::create_dir_all(mark.parent().unwrap()).unwrap();
    fs::write(&mark, "").unwrap();
    assert!(settled_prints(&whole, &places).unwrap_err().contains("being installed"));
    fs::remove_file(&mark).unwrap();
    let print = settled_prints(&whole, &places).unwrap().remove(0);
    fs::write(&mark, "").unwrap();
    assert!(matches!(print.change(&places), Some(Change::Other(_))));
}

#[test]
fn a_change_too_young_to_be_told_from_the_next_is_waited_out() {
    let tmp = tempfile::tempdir().unwrap();
    let (places, whole) = installed(tmp.path());
    let began = SystemTime::now();
    settled_prints(&whole, &places).unwrap();
    assert!(began.elapsed().unwrap() >= STILL);
    let file = fs::File::open(&whole.tools[0].1).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    assert!(settled_prints(&whole, &places).is_err(), "the future never comes");
}

#[test]
fn large_trees_are_looked_at_from_above() {
    let tmp = tempfile::tempdir().unwrap();
    for n in 0..400 {
        fs::create_dir_all(tmp.path().join(format!("a/{n}/b"))).unwrap();
    }
    let dirs = directories(tmp.path(), 100);
    assert_eq!(dirs.len(), 100);
    assert!(dirs.iter().all(|d| d.at.split('/').count() <= 2));
    assert_eq!(dirs[1].entries, 400);
}
