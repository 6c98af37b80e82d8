//! `agent tools export`, `import` and `sync-list`, between homes that the test makes.

mod refused;
mod staying;
mod target;
mod undo;

use crate::util::{Ended, NOBODY, agent, fresh, is_root, reachable, run, unprivileged};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const CONFIG: &str = ".config/mise/config.toml";
const LOCK: &str = ".config/mise/mise.lock";
const SIDECAR: &str = ".config/mise/locks/npm-a/1.0.0/aube-lock.yaml";

/// A home, and the program where its user can reach it.
struct Home {
    dir: TempDir,
    program: PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = fresh();
        let program = reachable(dir.path());
        let home = Self { dir, program };
        fs::create_dir(home.path()).unwrap();
        home.own(&home.path());
        home
    }

    /// One as a user has it: a config with its lock, what the lock names, and a workspace; and
    /// what must not go along.
    fn filled() -> Self {
        let home = Self::new();
        home.put(CONFIG, "[tools]\n\"npm:a\" = \"1.0.0\"\n");
        home.put(LOCK, lock("locks/npm-a/1.0.0"));
        home.put(SIDECAR, "lockfileVersion: '9.0'\n");
        home.put(".config/mise/locks/npm-a/1.0.0/package.json", "{}\n");
        home.put(".config/mise/locks/npm-a/0.9.0/package.json", "{\"old\":1}\n");
        home.put(".config/mise/locks/npm-a/1.0.0/notes", "not named by the lock\n");
        home.put(".config/mise/conf.d/own.toml", "[tools]\n");
        home.put(".local/share/mise/installs/npm-a/1.0.0/x", "installed\n");
        home.put(".local/state/mise/trusted", "x\n");
        home.put("p/site/mise.toml", "[tools]\n\"npm:b\" = \"2.0.0\"\n");
        home.put("p/site/mise.lock", lock(".mise/locks/npm-b/2.0.0"));
        home.put("p/site/.mise/locks/npm-b/2.0.0/aube-lock.yaml", "b\n");
        home.put("p/site/.mise/locks/npm-b/2.0.0/package.json", "{}\n");
        home.put("p/site/secrets.env", "TOKEN=x\n");
        home
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    fn own(&self, path: &Path) {
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let whole = self.at(path);
        fs::create_dir_all(whole.parent().unwrap()).unwrap();
        fs::write(&whole, text).unwrap();
        for above in Path::new(path).ancestors().filter(|a| !a.as_os_str().is_empty()) {
            self.own(&self.at(above.to_str().unwrap()));
        }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = unprivileged(&self.program);
        command.args(["tools"]).args(arguments).env("AGENT__USER__HOME", self.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run(self.command(arguments))
    }

    /// Exports to a file, with the workspace where it has one.
    #[track_caller]
    fn export(&self) -> PathBuf {
        let archive = self.dir.path().join("home/tools.tar");
        let mut arguments = vec!["export", "--output", archive.to_str().unwrap()];
        if self.at("p/site/mise.toml").exists() {
            arguments.extend(["--workspace", "~/p/site"]);
        }
        self.run(&arguments).expect(0);
        archive
    }

    fn import(&self, archive: &Path) -> Ended {
        self.run(&["import", archive.to_str().unwrap()])
    }

    /// Paths and contents, but for the agent's own state.
    fn content(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        let mut open = vec![self.path()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(self.path()).unwrap().display().to_string();
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => open.push(path),
                    kind if kind.is_file() => all.push((name, fs::read(path).unwrap())),
                    _ => all.push((name, b"special".to_vec())),
                }
            }
        }
        let agents = [".local/state/agent/", ".local/share/agent/backups/"];
        all.retain(|(name, _)| !agents.iter().any(|a| name.starts_with(a)) && name != "tools.tar");
        all.sort();
        all
    }
}

/// A lock for the tool whose files lie in `sidecar`, such as `locks/npm-a/1.0.0`.
fn lock(sidecar: &str) -> String {
    let mut parts = sidecar.rsplit('/');
    let version = parts.next().unwrap();
    let tool = parts.next().unwrap_or("npm-x").replace('-', ":");
    format!(
        "lockfile_version = 2\n\n[[tools.\"{tool}\"]]\nversion = \"{version}\"\n\
         aube = {{ path = \"{sidecar}\", digest = \"sha256:00\" }}\nbackend = \"{tool}\"\n"
    )
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, b| {
        write!(text, "{b:02x}").unwrap();
        text
    })
}

#[test]
fn what_one_machine_exports_appears_on_another() {
    let (from, to) = (Home::filled(), Home::new());
    let archive = from.export();
    let ended = to.import(&archive).expect(0);
    for path in [
        CONFIG,
        LOCK,
        SIDECAR,
        ".config/mise/locks/npm-a/1.0.0/package.json",
        "p/site/mise.toml",
        "p/site/mise.lock",
        "p/site/.mise/locks/npm-b/2.0.0/aube-lock.yaml",
        "p/site/.mise/locks/npm-b/2.0.0/package.json",
    ] {
        assert_eq!(to.read(path), from.read(path), "{path}");
        assert!(ended.stdout.contains(&format!("added      ~/{path}\n")), "{ended:#?}");
    }
    assert_eq!(to.content().len(), 8, "and nothing else: {:#?}", to.content());
    let again = to.import(&archive).expect(0);
    assert!(again.stdout.contains("nothing to do"), "{again:#?}");
    let kept = fs::read_dir(to.at(".local/share/agent/backups")).unwrap().count();
    assert_eq!(kept, 1, "one account, no backup without a change");
}

#[test]
fn the_same_files_give_the_same_bytes_on_every_machine() {
    let (one, two) = (Home::filled(), Home::filled());
    let first = fs::read(one.export()).unwrap();
    for path in [CONFIG, "p/site/mise.lock"] {
        fs::set_permissions(two.at(path), fs::Permissions::from_mode(0o600)).unwrap();
        let file = fs::File::options().write(true).open(two.at(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    }
    // Another order of naming, and the same workspace twice.
    let mut command = two.command(&["export", "--workspace", "site", "--workspace", "~/p/site"]);
    command.current_dir(two.at("p"));
    let second = run(command).expect(0);
    assert_eq!(hash(second.stdout.as_bytes()), hash(&first));
    let mut listing = Command::new("tar");
    listing.args(["--numeric-owner", "-tvf"]).arg(one.path().join("tools.tar"));
    let listing = run(listing).expect(0).stdout;
    let lines: Vec<&str> = listing.lines().collect();
    assert!(lines[0].ends_with(" manifest.json") && lines.len() == 9, "{listing}");
    for line in lines {
        assert!(line.starts_with("-rw-r--r-- 0/0 ") && line.contains("1970-01-01"), "{listing}");
    }
}

#[test]
fn an_archive_is_for_its_owner_alone_and_never_for_a_terminal() {
    let home = Home::filled();
    let archive = home.export();
    assert_eq!(archive.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // A file that can't be made leaves the old one.
    home.run(&["export", "--output", "/nonexistent/x.tar"]).expect(73);
    symlink("/etc/hostname", home.at("link")).unwrap();
    home.run(&["export", "--output", home.at("link").to_str().unwrap()])
        .expect(73)
        .says("no regular file");
    let mut script = Command::new("script");
    let line = format!(
        "AGENT__USER__HOME={} {} tools export",
        home.path().display(),
        home.program.display()
    );
    script.args(["-qec", &line, "/dev/null"]);
    let ended = run(script);
    assert_eq!(ended.code(), 64, "{ended:#?}");
    assert!(ended.stdout.contains("--output"), "{ended:#?}");
}

#[test]
fn variables_in_a_config_are_warned_of_without_a_word_of_them() {
    let home = Home::filled();
    let quiet = home.run(&["export", "--workspace", "~/p/site"]).expect(0);
    assert_eq!(quiet.stderr, "", "nothing to warn of");
    home.put("p/site/mise.toml", "[env]\nAPI_TOKEN = \"hunter2\"\n[tools]\n");
    let ended = home.run(&["export", "--workspace", "~/p/site"]).expect(0);
    let ended = ended.says("~/p/site/mise.toml sets variables").says("in [env], and");
    assert!(!ended.stderr.contains("hunter2") && !ended.stderr.contains("API_TOKEN"));
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    // What comes may hold tokens in many places: it is for its owner's eyes.
    let target = Home::new();
    target.put("a.tar", &ended.stdout);
    target.import(&target.at("a.tar")).expect(0);
    let mode = |path: &str| target.at(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("p/site/mise.toml"), mode(CONFIG)), (0o600, 0o600));
}

#[test]
fn a_lock_that_is_not_whole_is_warned_of() {
    let home = Home::filled();
    fs::remove_file(home.at(SIDECAR)).unwrap();
    home.run(&["export"]).expect(0).says("which is not there").says("aube-lock.yaml");
}

#[test]
fn what_was_there_is_kept_and_told() {
    let (from, to) = (Home::filled(), Home::filled());
    to.put(CONFIG, "[tools]\n\"npm:a\" = \"0.1.0\"\n");
    fs::set_permissions(to.at(CONFIG), fs::Permissions::from_mode(0o640)).unwrap();
    // The archive has this config without a lock: one of the target's would pin other versions.
    fs::remove_file(from.at("p/site/mise.lock")).unwrap();
    let archive = from.export();
    let dry = to.run(&["import", archive.to_str().unwrap(), "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("nothing is changed"), "{dry:#?}");
    assert!(to.read(CONFIG).contains("0.1.0") && !to.at(".local/state/agent").exists());
    let ended = to.run(&["import", archive.to_str().unwrap(), "--json"]).expect(0).json();
    let of = |path: &str| {
        let files = ended["files"].as_array().unwrap();
        files.iter().find(|f| f["path"] == to.at(path).to_str().unwrap()).cloned().unwrap()
    };
    assert_eq!(of(CONFIG)["what"], "replaced");
    assert_eq!(of(LOCK)["what"], "unchanged");
    assert_eq!(of("p/site/mise.lock")["what"], "removed");
    assert!(!to.at("p/site/mise.lock").exists());
    let kept = |path: &str| fs::read_to_string(of(path)["backup"].as_str().unwrap()).unwrap();
    assert!(kept(CONFIG).contains("0.1.0"));
    assert!(kept("p/site/mise.lock").contains("npm-b"));
    assert_eq!(to.at(CONFIG).metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_workspace_that_is_not_there_is_made_or_left_out() {
    let (from, one, two) = (Home::filled(), Home::new(), Home::new());
    let archive = from.export();
    one.import(&archive).expect(0);
    assert!(one.at("p/site/mise.toml").exists());
    let ended = two.run(&["import", archive.to_str().unwrap(), "--no-new-workspaces"]).expect(0);
    assert!(ended.stdout.contains("left out   ~/p/site/mise.toml"), "{ended:#?}");
    assert!(two.at(CONFIG).exists() && !two.at("p").exists());
}

#[test]
fn a_workspace_must_be_one_of_the_users_own() {
    let home = Home::filled();
    for (workspace, why) in [
        ("/etc", "not below the home"),
        ("~", "it has no name"),
        ("~/p/../../x", "parent"),
        ("~/.config/mise", "no workspace"),
        ("~/.local/share/mise/installs", "no workspace"),
        ("~/nothing/here", "this is no workspace"),
    ] {
        home.run(&["export", "--workspace", workspace]).expect(65).says(why);
    }
    let mut command = home.command(&["sync-list", "--json"]);
    command.env("AGENT__TOOLS__WORKSPACES", "[\"~/p/site\"]");
    let rows = run(command).expect(0).json();
    let site = home.at("p/site/mise.toml");
    let rows = rows["rows"].as_array().unwrap();
    assert!(rows.iter().any(|r| r["path"] == site.to_str().unwrap() && r["present"] == true));
}

#[test]
fn the_table_is_told_with_a_reason_for_every_row() {
    let home = Home::filled();
    let ended = home.run(&["sync-list", "--workspace", "~/p/site"]).expect(0);
    for (synced, path, present) in [
        ("yes", "~/.config/mise/config.toml", "present"),
        ("yes", "~/.config/mise/mise.lock", "present"),
        ("yes", "~/p/site/mise.toml", "present"),
        ("yes", "~/p/site/mise.lock", "present"),
        ("no", "~/.config/mise/conf.d", "present"),
        ("no", "~/p/site/mise.local.toml", "absent"),
        ("no", "/etc/mise", ""),
        ("never", "~/.local/share/mise", "present"),
        ("never", "~/.local/state/mise", "present"),
        ("never", "~/.cache/mise", "absent"),
    ] {
        let mut lines = ended.stdout.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|w| w.get(1) == Some(&path)).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(line[0], synced, "{ended:#?}");
        assert!(present.is_empty() || line[2] == present, "{ended:#?}");
        assert!(line.len() > 4, "a reason: {line:?}");
    }
    let json = home.run(&["sync-list", "--json"]).expect(0).json();
    assert_eq!(json["schema"], "agent.tools-sync/1");
    let reasons = json["rows"].as_array().unwrap().iter().map(|r| r["reason"].as_str().unwrap());
    assert!(reasons.clone().count() > 10 && reasons.clone().all(|r| r.len() > 10));
}

#[test]
fn root_does_nothing_in_anothers_home_and_says_who_should() {
    if !is_root() {
        return;
    }
    let home = Home::filled();
    let archive = home.export();
    let before = home.content();
    let mine = |arguments: &[&str]| {
        let mut command = agent(arguments);
        command.env("AGENT__USER__NAME", "nobody").env("AGENT__USER__HOME", home.path());
        run(command)
    };
    let name = archive.to_str().unwrap();
    mine(&["tools", "import", name])
        .expect(77)
        .says(&format!("runuser -u nobody -- agent tools import - <{name}"));
    mine(&["tools", "export"]).expect(77).says("runuser -u nobody -- agent tools export");
    assert_eq!(home.content(), before);
    // Looking is no writing.
    mine(&["tools", "sync-list"]).expect(0);
    // And where the sandbox user is root, it is root's own.
    let root = fresh();
    let mut command = agent(&["tools", "import", name]);
    command.env("AGENT__USER__NAME", "root").env("AGENT__USER__HOME", root.path());
    run(command).expect(0);
    assert!(root.path().join(CONFIG).exists());
}

#[test]
fn an_archive_goes_from_one_machine_to_the_next_by_a_pipe() {
    let (from, to) = (Home::filled(), Home::new());
    let mut pipe = unprivileged("/bin/sh");
    let line =
        "AGENT__USER__HOME=$2 \"$1\" tools export | AGENT__USER__HOME=$3 \"$1\" tools import -";
    pipe.args(["-c", line, "sh"]).arg(&from.program).arg(from.path()).arg(to.path());
    run(pipe).expect(0);
    assert_eq!(to.read(LOCK), from.read(LOCK));
}
