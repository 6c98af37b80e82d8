//! `agent tools baseline`: links made from what a real mise lists, and their check.

use crate::util::{Ended, agent, fresh, run};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The real mise that the image carries; downloaded once.
fn mise() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/util/mise-env");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// An image's tools in a directory: what is installed, what is declared, a user's home.
struct Ground {
    dir: TempDir,
}

impl Ground {
    fn new() -> Self {
        let ground = Self { dir: fresh() };
        for (name, version) in [("one", "1.0.0"), ("one", "2.0.0"), ("two", "1.0.0")] {
            ground.install("sys", name, version);
        }
        ground.declare("[tools]\n\"npm:one\" = \"1.0.0\"\n\"npm:two\" = \"1.0.0\"\n");
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Where mise finds a tool installed: with a program of its own name.
    fn install(&self, below: &str, name: &str, version: &str) {
        let place = format!("{below}/installs/npm-{name}/{version}/node_modules/.bin/{name}");
        let program = self.write(&place, &format!("#!/bin/sh\necho {name} {version}\n"));
        fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
    }

    fn declare(&self, config: &str) {
        self.write("etc/config.toml", config);
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        fs::create_dir_all(self.path("tmp")).unwrap();
        command.env("MISE_SYSTEM_CONFIG_DIR", self.path("etc"));
        command.env("MISE_SYSTEM_DATA_DIR", self.path("sys"));
        command
    }

    fn agent(&self, arguments: &[&str]) -> Ended {
        let all = [&["tools", "baseline"], arguments].concat();
        run(self.prepared(agent(&all)))
    }

    fn link(&self) -> Ended {
        let (mise, into) = (mise(), self.path("baseline"));
        let [mise, into] = [&mise, &into].map(|p| p.to_str().unwrap());
        self.agent(&["link", "--mise", mise, "--into", into])
    }

    fn check(&self) -> Ended {
        self.agent(&["check", "--at", self.path("baseline").to_str().unwrap()])
    }

    fn says(&self, program: &str) -> String {
        let output = Command::new(self.path("baseline/bin").join(program)).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn every_declared_tool_gets_a_link_to_its_program() {
    let ground = Ground::new();
    let told = ground.link().expect(0).stdout;
    assert_eq!(told, "one  npm:one 1.0.0\ntwo  npm:two 1.0.0\n");
    assert_eq!(
        (ground.says("one"), ground.says("two")),
        ("one 1.0.0\n".into(), "two 1.0.0\n".into())
    );
    let told = ground.check().expect(0).stdout;
    assert_eq!(told, "ok: npm:one 1.0.0\nok: npm:two 1.0.0\n");
    let left = fs::read_dir(ground.path("tmp")).unwrap().count();
    assert_eq!((left, ground.path("home").exists()), (0, false), "an image keeps nothing of it");
}

#[test]
fn whoever_links_again_changes_nothing_and_leaves_nothing_stale() {
    let ground = Ground::new();
    ground.link().expect(0);
    let inode = || ground.path("baseline").metadata().unwrap().ino();
    let first = inode();
    ground.link().expect(0);
    assert_eq!(inode(), first);
    ground.declare("[tools]\n\"npm:one\" = \"2.0.0\"\n");
    ground.check().expect(1);
    ground.link().expect(0);
    assert_ne!(inode(), first, "a new directory took its place");
    assert_eq!(ground.says("one"), "one 2.0.0\n");
    assert!(!ground.path("baseline/bin/two").exists());
    ground.check().expect(0);
    assert!(
        !ground
            .dir
            .path()
            .read_dir()
            .unwrap()
            .flatten()
            .any(|e| { e.file_name().to_string_lossy().starts_with("baseline.") })
    );
}

/// Root's own mise config in the image build has no say; the control shows that it would.
#[test]
fn a_users_config_is_hidden_from_it() {
    let ground = Ground::new();
    ground.write("home/.config/mise/config.toml", "[settings]\ndisable_tools = [\"npm:one\"]\n");
    let mut control = ground.prepared(Command::new(mise()));
    control.args(["ls", "--current", "--json"]).current_dir("/");
    let listed = run(control).expect(0).stdout;
    assert!(!listed.contains("npm:one") && listed.contains("npm:two"), "{listed}");
    ground.link().expect(0);
    assert_eq!(ground.says("one"), "one 1.0.0\n");
}

#[test]
fn a_link_that_does_not_hold_is_found() {
    type Damage = fn(&Ground);
    let cases: &[(Damage, &str)] = &[
        (|g| fs::remove_file(g.path("baseline/bin/one")).unwrap(), "npm:one: "),
        (
            |g| {
                fs::remove_file(g.path("baseline/bin/one")).unwrap();
                symlink("/bin/true", g.path("baseline/bin/one")).unwrap();
            },
            "leads to /bin/true",
        ),
        (|g| fs::remove_dir_all(g.path("sys/installs/npm-two")).unwrap(), "npm:two: "),
        (
            |g| {
                let program = g.path("sys/installs/npm-two/1.0.0/node_modules/.bin/two");
                fs::set_permissions(program, Permissions::from_mode(0o644)).unwrap();
            },
            "cannot be executed",
        ),
        (|g| drop(g.write("baseline/bin/more", "")), "more is in no record"),
        (|g| drop(g.write("baseline/baseline.json", "{")), "baseline.json"),
        (|g| fs::remove_dir_all(g.path("baseline")).unwrap(), "there is no "),
        (
            |g| g.declare("[tools]\n\"npm:one\" = \"1.0.0\"\n"),
            "npm:two: it is linked and no longer declared",
        ),
        (
            |g| g.declare("[tools]\n\"npm:one\" = \"1\"\n\"npm:two\" = \"1.0.0\"\n"),
            "it is linked as 1.0.0, and the config asks for 1",
        ),
    ];
    for (damage, part) in cases {
        let ground = Ground::new();
        ground.link().expect(0);
        ground.check().expect(0);
        damage(&ground);
        ground.check().expect(1).says(part).says("agent tools baseline link");
    }
}

#[test]
fn where_nothing_is_installed_it_refuses_and_changes_nothing() {
    let ground = Ground::new();
    ground.link().expect(0);
    ground.declare("[tools]\n\"npm:absent\" = \"1.0.0\"\n");
    ground.link().expect(1).says("mise install --system");
    assert_eq!(ground.says("one"), "one 1.0.0\n");
    fs::remove_file(ground.path("etc/config.toml")).unwrap();
    ground.link().expect(1).says("no baseline is declared");
}

#[test]
fn what_only_a_home_has_installed_is_not_linked() {
    let ground = Ground::new();
    ground.install("home/.local/share/mise", "mine", "1.0.0");
    ground.declare("[tools]\n\"npm:mine\" = \"1.0.0\"\n\"npm:two\" = \"1.0.0\"\n");
    ground.link().expect(0).says("npm:mine is declared and not installed");
    assert!(!ground.path("baseline/bin/mine").exists());
    ground.check().expect(1).says("npm:mine: it is not linked");
}

#[test]
fn two_tools_with_one_program_are_told_and_the_first_has_it() {
    let ground = Ground::new();
    let other = ground.path("sys/installs/npm-two/1.0.0/node_modules/.bin/one");
    fs::copy(ground.path("sys/installs/npm-two/1.0.0/node_modules/.bin/two"), other).unwrap();
    ground.link().expect(0).says("npm:two@1.0.0 has a program one too; npm:one's answers");
    assert_eq!(ground.says("one"), "one 1.0.0\n");
    ground.declare("[tools]\n\"npm:two\" = \"1.0.0\"\n\"npm:one\" = \"1.0.0\"\n");
    ground.link().expect(0);
    assert_eq!(ground.says("one"), "two 1.0.0\n");
}
