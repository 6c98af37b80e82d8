//! `agent tools export`, `import` and `sync-list`: homes that the test makes, and archives made
//! by hand by a program that knows tar better than the one under test (Python's tarfile).

use crate::util::{Ended, NOBODY, agent, fresh, is_root, reachable, run, start, unprivileged};
use nix::sys::stat::Mode;
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
        home.put(LOCK, &lock("locks/npm-a/1.0.0"));
        home.put(SIDECAR, "lockfileVersion: '9.0'\n");
        home.put(".config/mise/locks/npm-a/1.0.0/package.json", "{}\n");
        home.put(".config/mise/locks/npm-a/0.9.0/package.json", "{\"old\":1}\n");
        home.put(".config/mise/locks/npm-a/1.0.0/notes", "not named by the lock\n");
        home.put(".config/mise/conf.d/own.toml", "[tools]\n");
        home.put(".local/share/mise/installs/npm-a/1.0.0/x", "installed\n");
        home.put(".local/state/mise/trusted", "x\n");
        home.put("p/site/mise.toml", "[tools]\n\"npm:b\" = \"2.0.0\"\n");
        home.put("p/site/mise.lock", &lock(".mise/locks/npm-b/2.0.0"));
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
        all.retain(|(name, _)| !name.starts_with(".local/state/agent/") && name != "tools.tar");
        all.sort();
        all
    }
}

fn lock(sidecar: &str) -> String {
    format!(
        "lockfile_version = 2\n\n[[tools.\"npm:x\"]]\nversion = \"1\"\n\
         aube = {{ path = \"{sidecar}\", digest = \"sha256:00\" }}\nbackend = \"npm:x\"\n"
    )
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, b| {
        write!(text, "{b:02x}").unwrap();
        text
    })
}

/// A manifest that fits these files: place, path, content.
fn manifest(files: &[(&str, &str, &str)]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|(place, path, text)| {
            serde_json::json!({"place": place, "path": path, "size": text.len(), "sha256": hash(text.as_bytes())})
        })
        .collect();
    serde_json::json!({"schema": "agent.tools-export/1", "files": files}).to_string()
}

/// Makes an archive with Python: `add(name, text, **fields)` adds an entry.
fn by_hand(home: &Home, script: &str) -> PathBuf {
    let path = home.dir.path().join("home/by-hand.tar");
    let whole = format!(
        "import tarfile, io, sys\n\
         t = tarfile.open(sys.argv[1], 'w', format=tarfile.USTAR_FORMAT)\n\
         def add(name, text='', **fields):\n\
         \x20   i = tarfile.TarInfo(name); b = text.encode(); i.size = len(b)\n\
         \x20   for k, v in fields.items(): setattr(i, k, v)\n\
         \x20   t.addfile(i, io.BytesIO(b))\n\
         {script}\nt.close()\n"
    );
    let mut python = Command::new("python3");
    python.args(["-c", &whole]).arg(&path);
    run(python).expect(0);
    home.own(&path);
    path
}

/// A whole archive of one config, made by hand, and `more` lines of Python behind it.
fn with(home: &Home, more: &str) -> PathBuf {
    let text = "[tools]\n";
    let manifest = manifest(&[("user-config", CONFIG, text)]);
    by_hand(home, &format!("add('manifest.json', {manifest:?})\nadd({CONFIG:?}, {text:?})\n{more}"))
}

/// The archive is refused with `why`, and nothing is changed.
#[track_caller]
fn refused(home: &Home, archive: &Path, why: &str) {
    let before = home.content();
    let ended = home.import(archive).expect(65).says("nothing is changed").says(why);
    assert_eq!(ended.stdout, "");
    assert_eq!(home.content(), before, "{ended:#?}");
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
    assert!(!to.at(".local/share/agent").exists(), "no backup without a change");
}

#[test]
fn an_archive_made_by_another_tar_of_the_same_files_is_accepted() {
    let home = Home::new();
    let archive = with(&home, "");
    home.import(&archive).expect(0);
    assert_eq!(home.read(CONFIG), "[tools]\n");
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
    let ended = ended.says("~/p/site/mise.toml sets variables in [env]");
    assert!(!ended.stderr.contains("hunter2") && !ended.stderr.contains("API_TOKEN"));
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    // What comes with tokens is for its owner's eyes.
    let target = Home::new();
    target.put("a.tar", &ended.stdout);
    target.import(&target.at("a.tar")).expect(0);
    let mode = |path: &str| target.at(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("p/site/mise.toml"), mode(CONFIG)), (0o600, 0o644));
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
fn what_is_no_plain_file_is_refused() {
    let home = Home::filled();
    for (more, why) in [
        ("add('x', type=tarfile.SYMTYPE, linkname='/etc/passwd')", "x is a symbolic link"),
        ("add('x', type=tarfile.LNKTYPE, linkname='y')", "x is a hard link"),
        ("add('x', type=tarfile.CHRTYPE, devmajor=1, devminor=3)", "x is a device"),
        ("add('x', type=tarfile.BLKTYPE, devmajor=8)", "x is a device"),
        ("add('x', type=tarfile.FIFOTYPE)", "x is a FIFO"),
        ("add('x', type=tarfile.DIRTYPE)", "x/ is a directory"),
        ("add('x', linkname='y')", "x is a link"),
        ("t.format = tarfile.GNU_FORMAT; add('x' * 200)", "a long name (GNU)"),
        ("t.format = tarfile.PAX_FORMAT; add('x' * 300)", "an extended header (pax)"),
        ("t.format = tarfile.PAX_FORMAT; add('x', pax_headers={'path': '/etc/x'})", "(pax)"),
        ("add('x', type=tarfile.GNUTYPE_SPARSE)", "x is a sparse file"),
        ("add('x', type=b'Z')", "of an unknown kind"),
    ] {
        refused(&home, &with(&home, more), why);
    }
}

#[test]
fn what_leads_elsewhere_is_refused() {
    let home = Home::filled();
    for (place, path, why) in [
        ("user-config", "/etc/mise/config.toml", "absolute"),
        ("user-config", "../mise/config.toml", "parent"),
        ("workspace-config", "p/../../x/mise.toml", "parent"),
        ("workspace-config", "p//mise.toml", "no plain path"),
        ("user-config", ".bashrc", "the sync table has no such file"),
        ("user-config", ".config/mise/conf.d/x.toml", "the sync table has no such file"),
        ("workspace-config", "mise.toml", "the sync table has no such file"),
        ("workspace-config", ".config/mise/mise.toml", "the sync table has no such file"),
        ("user-lock-sidecar", ".ssh/authorized_keys", "no lock in the archive names it"),
        ("workspace-lock", "p/site/mise.lock", "a lock without its config"),
        ("system-config", ".config/mise/config.toml", "manifest.json cannot be read"),
    ] {
        let manifest = manifest(&[(place, path, "")]);
        let archive = by_hand(&home, &format!("add('manifest.json', {manifest:?})\nadd({path:?})"));
        refused(&home, &archive, why);
    }
    // Below what must never be synced, which only the target's own places tell.
    for path in [".local/share/mise/x/mise.toml", ".local/state/agent/x/mise.toml"] {
        let manifest = manifest(&[("workspace-config", path, "")]);
        let archive = by_hand(&home, &format!("add('manifest.json', {manifest:?})\nadd({path:?})"));
        let before = home.content();
        home.import(&archive).expect(73).says("no workspace");
        assert_eq!(home.content(), before);
    }
}

#[test]
fn a_lock_that_names_files_elsewhere_is_refused() {
    let home = Home::filled();
    for sidecar in ["../../.ssh", "/etc", ".mise/locks/x", "locks"] {
        let text = lock(sidecar);
        let files = [("user-config", CONFIG, ""), ("user-lock", LOCK, text.as_str())];
        let script = format!(
            "add('manifest.json', {:?})\nadd({CONFIG:?})\nadd({LOCK:?}, {text:?})",
            manifest(&files)
        );
        refused(&home, &by_hand(&home, &script), "it names");
        let exporter = Home::filled();
        exporter.put(LOCK, &text);
        exporter.run(&["export"]).expect(65).says("it names");
    }
}

#[test]
fn what_the_manifest_does_not_bear_out_is_refused() {
    let home = Home::filled();
    refused(&home, &with(&home, "add('p/x/mise.toml')"), "p/x/mise.toml: manifest.json does not");
    refused(&home, &with(&home, &format!("add({CONFIG:?}, '[tools]\\n')")), "it is there twice");
    let lines = manifest(&[("user-config", CONFIG, "[tools]\n")]);
    let first = |rest: &str| by_hand(&home, &format!("add('manifest.json', {lines:?})\n{rest}"));
    refused(&home, &first(""), "it is missing in the archive");
    refused(&home, &first(&format!("add({CONFIG:?}, '[TOOLS]\\n')")), "SHA-256");
    let other = lines.replace("export/1", "export/9");
    let newer = by_hand(&home, &format!("add('manifest.json', {other:?})"));
    refused(&home, &newer, "agent.tools-export/9");
    let none = by_hand(&home, &format!("add({CONFIG:?}, '[tools]\\n')"));
    refused(&home, &none, "its first entry is no manifest.json");
    let text = "[tools\nsecret = hunter2\n";
    let bad = manifest(&[("user-config", CONFIG, text)]);
    let bad = by_hand(&home, &format!("add('manifest.json', {bad:?})\nadd({CONFIG:?}, {text:?})"));
    refused(&home, &bad, "line 1 is no TOML");
    assert!(!home.import(&bad).stderr.contains("hunter2"));
}

#[test]
fn what_is_no_whole_tar_archive_is_refused_with_what_it_is() {
    let home = Home::filled();
    let whole = fs::read(home.export()).unwrap();
    let put = |bytes: &[u8]| {
        home.put("bad.tar", bytes);
        home.at("bad.tar")
    };
    refused(&home, &put(b""), "it is empty");
    refused(&home, &put(&[b'x'; 4096]), "it is no tar archive");
    refused(&home, &put(&whole[..whole.len() - 1024]), "it is cut off after");
    refused(&home, &put(&whole[..1300]), "it is cut off in");
    // A size that no archive can hold, in a header that is otherwise right.
    for size in ["0o77777777777", "1 << 40", "(8 << 20) + 1"] {
        let header = format!(
            "i = tarfile.TarInfo('x'); i.size = {size}; t.fileobj.write(i.tobuf(tarfile.GNU_FORMAT))"
        );
        refused(&home, &with(&home, &header), "x is announced as larger than");
    }
    for (program, name) in [("gzip", "gzip"), ("xz", "xz"), ("bzip2", "bzip2")] {
        let mut pack = Command::new(program);
        pack.args(["-kf"]).arg(home.path().join("tools.tar"));
        run(pack).expect(0);
        let ending = match name {
            "gzip" => "gz",
            "bzip2" => "bz2",
            _ => name,
        };
        let packed = home.at(&format!("tools.tar.{ending}"));
        home.own(&packed);
        refused(&home, &packed, &format!("compressed with {name}"));
    }
    home.import(Path::new("/nonexistent.tar")).expect(66);
    home.put("huge.tar", "");
    let huge = fs::File::options().write(true).open(home.at("huge.tar")).unwrap();
    huge.set_len(1 << 36).unwrap();
    let ended = home.import(&home.at("huge.tar")).expect(66).says("larger than");
    assert!(ended.took < Duration::from_secs(10), "{ended:#?}");
}

#[test]
fn what_stands_in_the_way_on_the_target_is_named_and_left() {
    let archive = Home::filled();
    let tar = archive.export();
    let outside = fresh();
    fs::write(outside.path().join("mise.toml"), "theirs").unwrap();
    let cases: &[(&str, &dyn Fn(&Path))] = &[
        (".config", &|p| symlink(outside.path(), p).unwrap()),
        ("p", &|p| symlink(outside.path(), p).unwrap()),
        ("p/site", &|p| symlink(outside.path(), p).unwrap()),
        (CONFIG, &|p| symlink(outside.path().join("mise.toml"), p).unwrap()),
        (LOCK, &|p| nix::unistd::mkfifo(p, Mode::S_IRWXU).unwrap()),
        ("p/site/mise.toml", &|p| fs::create_dir(p).unwrap()),
        (".local/share/agent", &|p| symlink(outside.path(), p).unwrap()),
        (".local/state", &|p| symlink(outside.path(), p).unwrap()),
    ];
    for (path, plant) in cases {
        let home = Home::new();
        // Something to keep, so that backups are wanted too.
        if !CONFIG.starts_with(path) {
            home.put(CONFIG, "[tools]\n\"npm:old\" = \"1\"\n");
        }
        home.put(&format!("{path}.beside"), "");
        plant(&home.at(path));
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &home.at(path),
            is_root().then_some(NOBODY.into()),
            is_root().then_some(NOBODY.into()),
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .unwrap();
        let before = home.content();
        let ended = home.import(&tar).expect(73).says(home.at(path).to_str().unwrap());
        assert!(ended.took < Duration::from_secs(10), "{ended:#?}");
        assert_eq!(home.content(), before, "{path}: {ended:#?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "{path}");
    }
    assert_eq!(fs::read_to_string(outside.path().join("mise.toml")).unwrap(), "theirs");
}

/// A repository may bring a link in place of its config: it must not take what it points at
/// along. Python's own tar, told to follow links as a careless export would, does.
#[test]
fn an_export_follows_no_link_that_a_workspace_brings() {
    let home = Home::filled();
    home.put(".ssh/id_ed25519", "a private key 4711\n");
    fs::remove_file(home.at("p/site/mise.toml")).unwrap();
    symlink(home.at(".ssh/id_ed25519"), home.at("p/site/mise.toml")).unwrap();
    let ended = home.run(&["export", "--workspace", "~/p/site"]).expect(65);
    let ended = ended.says("p/site/mise.toml: it is a symbolic link");
    assert!(!ended.all().contains("4711"));
    let mut careless = Command::new("tar");
    careless.arg("-C").arg(home.path()).args(["-chf", "-", "p/site/mise.toml"]);
    assert!(run(careless).expect(0).stdout.contains("4711"), "the control");
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
fn two_imports_exclude_each_other() {
    let (from, to) = (Home::filled(), Home::new());
    let archive = from.export();
    to.put(".local/state/agent/import.lock", "");
    let file = fs::File::options().append(true).open(to.at(".local/state/agent/import.lock"));
    let held = nix::fcntl::Flock::lock(file.unwrap(), nix::fcntl::FlockArg::LockExclusive);
    to.import(&archive).expect(75).says("another import is running");
    drop(held);
    to.import(&archive).expect(0);
}

/// Kills at moments that nobody chose: whatever is there afterwards is the old or the new, or
/// there is a record that says otherwise, and the next import leaves one of the two.
#[test]
fn killed_at_random_moments_config_and_lock_belong_together() {
    let (old, new, home) = (Home::filled(), Home::filled(), Home::new());
    let version = |of: &Home, v: &str| {
        of.put(CONFIG, format!("[tools]\n\"npm:a\" = \"{v}\"\n"));
        of.put(LOCK, format!("# {v}\n{}", lock("locks/npm-a/1.0.0")));
        of.put("p/site/mise.toml", format!("# {v}\n"));
        of.export()
    };
    let archives = [version(&old, "1.0.0"), version(&new, "2.0.0")];
    home.import(&archives[0]).expect(0);
    let took = home.import(&archives[1]).expect(0).took;
    let (mut cut, mut whole) = (0, 0);
    for round in 0..60 {
        let mut running = start(home.command(&["import", archives[round % 2].to_str().unwrap()]));
        std::thread::sleep(took.mul_f64(fastrand::f64() * 1.2));
        match running.has_ended() {
            true => whole += 1,
            false => cut += 1,
        }
        crate::util::signal(-running.pid(), 9);
        drop(running.end());
        let pending = home.at(".local/state/agent/import.json").exists();
        let versions =
            || [CONFIG, LOCK, "p/site/mise.toml"].map(|path| home.read(path).contains("2.0.0"));
        let now = versions();
        assert!(
            pending || now == [now[0]; 3],
            "round {round}: a mix that nothing tells of: {now:?}"
        );
        // Something else is imported, or the same again: what was cut off is seen to first.
        let listed = home.run(&["sync-list"]).expect(0).stdout.contains("cut off");
        assert_eq!(listed, pending);
        home.run(&["export"]).expect(0);
        let now = versions();
        assert_eq!(now, [now[0]; 3], "round {round}");
        assert!(!home.at(".local/state/agent/import.json").exists());
        assert!(!home.content().iter().any(|(name, _)| name.ends_with(".agent-import")));
    }
    assert!(cut > 5, "{cut} cut off, {whole} whole: the test's own timing is wrong");
}
