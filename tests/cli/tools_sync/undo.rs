//! An import that is taken back, and where an archive is not written.

use super::{CONFIG, Home, LOCK};
use crate::util::Ended;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn mode(home: &Home, path: &str) -> u32 {
    home.at(path).metadata().unwrap().permissions().mode() & 0o777
}

fn time(import: &Ended) -> String {
    let (_, rest) = import.stdout.split_once("import --undo ").unwrap();
    rest.split('`').next().unwrap().to_owned()
}

/// A home with an old config and no lock, of unusual modes; and one that has imported over it.
fn imported() -> (Home, String) {
    let (from, to) = (Home::filled(), Home::new());
    to.put(CONFIG, "[tools]\n\"npm:a\" = \"0.1.0\"\n");
    fs::set_permissions(to.at(CONFIG), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(to.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let ended = to.import(&from.export()).expect(0);
    assert!(to.at(LOCK).exists() && to.at("p/site/mise.lock").exists());
    (to, time(&ended))
}

#[test]
fn an_import_that_is_taken_back_leaves_what_was_there_and_nothing_else() {
    let (home, time) = imported();
    let dry = home.run(&["import", "--undo", &time, "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("nothing is changed") && home.at(LOCK).exists());
    let ended = home.run(&["import", "--undo", &time]).expect(0);
    assert!(ended.stdout.contains("removed    ~/.config/mise/mise.lock  (that import"));
    assert_eq!(home.content().len(), 1, "{:#?}", home.content());
    assert!(home.read(CONFIG).contains("0.1.0"));
    assert_eq!(
        (mode(&home, CONFIG), mode(&home, ""), mode(&home, ".config")),
        (0o640, 0o755, 0o755)
    );
    assert!(!home.at("p").exists() && !home.at(".config/mise/locks").exists());
    let again = home.run(&["import", "--undo", &time]).expect(0);
    assert!(again.stdout.contains("nothing to do"), "{again:#?}");
    // It is an import like another, and can be taken back itself.
    home.run(&["import", "--undo", &self::time(&ended)]).expect(0);
    assert!(home.at(LOCK).exists() && home.at("p/site/.mise/locks/npm-b/2.0.0").exists());
}

#[test]
fn what_is_no_longer_as_the_import_left_it_is_overwritten_only_by_force() {
    let (home, time) = imported();
    home.put(CONFIG, "# by hand\n");
    let before = home.content();
    home.run(&["import", "--undo", &time]).expect(73).says("nothing is changed").says("--force");
    assert_eq!(home.content(), before);
    home.run(&["import", "--undo", &time, "--force", "--json"]).expect(0);
    assert!(home.read(CONFIG).contains("0.1.0"));
    let mut kept = home.run(&["import", "--undo", &time]).expect(0);
    assert!(kept.stdout.contains("nothing to do"));
    for wrong in ["x", "../x", "20000101T000000.000Z"] {
        kept = home.run(&["import", "--undo", wrong]).expect(66);
        assert!(kept.stderr.contains("no account of that import"), "{kept:#?}");
    }
    home.run(&["import"]).expect(64);
    home.run(&["import", "a.tar", "--force"]).expect(64);
    // A copy that is not what was there brings nothing back.
    let (home, time) = imported();
    home.put(&format!(".local/share/agent/backups/{time}/{CONFIG}"), "[tools]\nevil = \"1\"\n");
    home.run(&["import", "--undo", &time, "--force"]).expect(73).says("gone or changed");
}

#[test]
fn an_import_is_taken_back_where_mise_really_reads() {
    let (from, to) = (Home::filled(), Home::new());
    to.put("cfg/config.toml", "# old\n");
    let archive = from.export();
    let run = |arguments: &[&str]| {
        let mut command = to.command(arguments);
        command.env("MISE_CONFIG_DIR", to.at("cfg"));
        crate::util::run(command)
    };
    let ended = run(&["import", archive.to_str().unwrap()]).expect(0);
    assert!(to.read("cfg/config.toml").contains("npm:a") && to.at("cfg/mise.lock").exists());
    // Wherever it reads by then.
    to.run(&["import", "--undo", &time(&ended)]).expect(0);
    assert_eq!(to.read("cfg/config.toml"), "# old\n");
    assert!(!to.at("cfg/mise.lock").exists());
}

#[test]
fn an_archive_is_not_written_over_what_it_holds_nor_among_mises_files() {
    let home = Home::filled();
    let before = home.content();
    let site = ["--workspace", "~/p/site"];
    for output in [
        CONFIG,
        ".config/mise/../mise/mise.lock",
        ".config/mise/conf.d/tools.tar",
        ".local/share/mise/tools.tar",
        "p/site/mise.toml",
        "p/site/mise.lock",
        "p/site/mise.local.toml",
        "p/site/.mise/locks/npm-b/2.0.0/aube-lock.yaml",
    ] {
        let file = home.at(output);
        let arguments = ["export", "-o", file.to_str().unwrap(), site[0], site[1]];
        home.run(&arguments).expect(64).says("name another FILE");
        assert_eq!(home.content(), before, "{output}");
    }
    let good = home.at("p/site/tools.tar");
    home.run(&["export", "-o", good.to_str().unwrap(), site[0], site[1]]).expect(0);
}
