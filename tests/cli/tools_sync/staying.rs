//! What an export tells of that doesn't go along.

use super::{CONFIG, Home};
use std::fs;

#[test]
fn what_stays_behind_and_what_no_lock_holds_is_told() {
    let home = Home::filled();
    home.put(".config/mise/conf.d/own.toml", "[tools]\n\"npm:c\" = \"1\"\n");
    home.put(".config/mise/conf.d/set.toml", "[settings]\njobs = 1\n");
    for name in ["config.local.toml", "config.ci.toml", "mise.toml"] {
        home.put(&format!(".config/mise/{name}"), "[tools]\nnode = \"22\"\n");
    }
    home.put("p/site/.tool-versions", "node 22\n");
    home.put("p/site/.mise.toml", "[tools]\nnode = \"22\"\n");
    let arguments = ["export", "--workspace", "~/p/site"];
    let ended = home.run(&arguments).expect(0);
    let behind = ended.stderr.lines().filter(|line| line.contains("stays behind with the tools"));
    assert_eq!(behind.count(), 6, "{ended:#?}");
    for name in ["conf.d/own.toml", "config.local.toml", "config.ci.toml", "mise/mise.toml"] {
        assert!(ended.stderr.contains(&format!("{name} stays behind")), "{name}: {ended:#?}");
    }
    assert!(!ended.stderr.contains("may differ") && !ended.stderr.contains("set.toml"));
    let list = home.run(&["sync-list"]).expect(0).stdout;
    assert!(list.lines().any(|l| l.contains("config.*.toml") && l.contains("present")), "{list}");

    home.put(CONFIG, "[tools]\n\"npm:a\" = \"1.0.0\"\n\"npm:d\" = \"latest\"\n");
    fs::remove_file(home.at("p/site/mise.lock")).unwrap();
    let ended = home.run(&arguments).expect(0);
    let lacks = "~/.config/mise/mise.lock doesn't hold npm:d: the versions may differ there; run: ";
    let ended = ended.says(lacks).says("mise lock --global");
    ended.says("~/p/site/mise.toml: there is no mise.lock with npm:b").says("&& mise lock\n");

    fs::remove_file(home.at(CONFIG)).unwrap();
    let ended = home.run(&["export"]).expect(66).says("config.local.toml stays behind");
    assert!(!ended.stderr.contains("no mise config of the user's"), "{ended:#?}");
    fs::remove_file(home.at("p/site/mise.toml")).unwrap();
    home.run(&arguments).expect(65).says(".mise.toml stays behind").says("no workspace");
}
