//! Lockfiles in real containers: the image's is never written, an enforced one is checked
//! before anything is installed, and the line that is named repairs what was found.

use crate::engine::{Output, ready};
use crate::guard::{Image, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox, give_to_root, seed};
use crate::tools::{TOOL, VERSION, answers};

const MANIFEST: &str = ".config/mise/config.toml";

/// As root, with nothing read-only and the home on a volume: whatever mise would write, it can.
fn as_root(volume: &Volume) -> Recipe {
    Recipe::with(&["--user=0", "--read-only=false", "--env=HOME=/home/iteron"])
        .argument(&format!("--volume={}", volume.at_home_with("nocopy")))
        .env("AGENT__USER__NAME", "root")
        .env("AGENT__USER__HOME", "/home/iteron")
}

/// The image's configuration, byte for byte, with the times of its files.
fn fingerprint(sandbox: &Sandbox) -> String {
    let line = "cd /etc/mise && find . -type f | sort | xargs stat -c '%n %Y %s' && find . -type f | sort | xargs sha256sum";
    sandbox.sh(line).good()
}

/// An image whose config names one tool more than its lock.
fn behind() -> Image {
    let base = Recipe::bare().argument("--entrypoint=cat").run(&["/etc/mise/config.toml"]).1.good();
    let config = format!("{}\n\"{TOOL}\" = \"{VERSION}\"\n", base.trim_end());
    Image::derived("COPY config.toml /etc/mise/config.toml", &[("config.toml", &config)])
}

#[test]
fn the_images_lock_is_never_written_also_not_by_root_on_a_writable_root() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    give_to_root(&volume);
    let image = behind();
    let sandbox = as_root(&volume).network().image(&image.name).start(IDLE);
    let (before, status) = (fingerprint(&sandbox), sandbox.settled());
    // The boot installed, and told what the lock lacks although nothing failed to be written.
    assert!(status.installed(TOOL), "{}", sandbox.logs());
    answers(&sandbox);
    assert_eq!(status.codes(), ["lock-stale"], "{}", sandbox.logs());
    assert!(status.problem("lock-stale").contains("npm:semver@7.6.3"));
    assert_eq!(fingerprint(&sandbox), before);
    sandbox.restart();
    sandbox.settled();
    assert_eq!(fingerprint(&sandbox), before);
    // The copy is gone, and nothing that a person reads names it.
    assert_eq!(sandbox.sh("ls -d /tmp/agent-etc-mise* 2>/dev/null | wc -l").good().trim(), "0");
    assert!(!sandbox.exec(&["agent", "status"]).stdout.contains("agent-etc-mise"));
    // Without the copy mise would have written it.
    sandbox.sh("cd / && mise install --force npm:semver@7.6.3 || mise install").good();
    let line = "cd / && rm -rf ~/.local/share/mise/installs/npm-semver && mise install";
    sandbox.sh(line).good();
    assert_ne!(fingerprint(&sandbox), before, "mise writes the image's lock where it can");
}

/// A user's link around the copy.
#[test]
fn the_images_lock_is_not_written_through_the_users_link_either() {
    if !ready() {
        return;
    }
    let image = behind();
    for (link, named) in [
        ("ln -s /etc/mise ~/.config/mise", "/home/iteron/.config/mise leads into /etc/mise"),
        (
            "mkdir ~/.config/mise && ln -s /etc/mise/mise.lock ~/.config/mise/mise.lock && printf '[tools]\n\"npm:ms\" = \"2.1.3\"\n' >~/.config/mise/config.toml",
            "/home/iteron/.config/mise/mise.lock leads into /etc/mise",
        ),
    ] {
        let volume = Volume::new();
        give_to_root(&volume);
        let plant = as_root(&volume).argument("--entrypoint=sh");
        plant.run(&["-c", &format!("mkdir -p ~/.config && {link}")]).1.good();
        let sandbox = as_root(&volume).network().image(&image.name).start(IDLE);
        let (before, status) = (fingerprint(&sandbox), sandbox.settled());
        assert_eq!(status.codes(), ["image-lock-exposed"], "{}", sandbox.logs());
        assert!(status.problem("image-lock-exposed").contains(named), "{}", sandbox.logs());
        assert_eq!(fingerprint(&sandbox), before);
        // With the copy alone mise would have written it.
        let line =
            "cp -r /etc/mise /tmp/copy && cd / && MISE_SYSTEM_CONFIG_DIR=/tmp/copy mise install";
        sandbox.sh(line).good();
        assert_ne!(fingerprint(&sandbox), before, "{link}");
    }
}

#[test]
fn a_read_only_sandbox_leaves_no_copy_behind_and_remembers_one_path() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox.restart();
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert_eq!(sandbox.sh("ls /tmp | grep -c etc-mise").stdout.trim(), "0");
    let tracked = "ls -l ~/.local/state/mise/tracked-configs | grep -c agent-etc-mise";
    assert!(sandbox.sh(tracked).stdout.trim().parse::<u32>().unwrap() <= 1);
}

/// Where nothing can be written but the home, the copy lies there.
#[test]
fn a_sandbox_without_tmp_is_served_too() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let flags = [
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--read-only",
        "--read-only-tmpfs=false",
    ];
    let sandbox =
        Recipe::with(&flags).argument(&format!("--volume={}", volume.at_home())).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    let log = "grep -h 'reads a copy' ~/.local/state/agent/*/logs/tools.log";
    assert!(sandbox.sh(log).good().contains("/home/iteron/.local/state/agent/"));
}

/// Files where the copy would lie.
fn planted(volume: &Volume, user: &str) {
    // A proof would keep the boot from asking mise.
    let line = "rm -f /home/iteron/.local/state/agent/tools-proof.json; mkdir -p /home/iteron/.local/state/agent && echo >/home/iteron/.local/state/agent/agent-etc-mise-$0";
    let (_gone, output) = Recipe::with(&[&format!("--user={user}"), "--entrypoint=sh"])
        .argument(&format!("--volume={}", volume.at_home_with("nocopy")))
        .run(&["-c", line, user]);
    output.good();
}

#[test]
fn without_a_copy_mise_is_run_only_where_it_cannot_write_the_images_lock() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    give_to_root(&volume);
    planted(&volume, "0");
    let image = Image::derived("COPY taken /tmp/agent-etc-mise-0", &[("taken", "")]);
    let root = as_root(&volume).image(&image.name).start(IDLE);
    let (seen, _) = root.shows("degraded", "image-lock-exposed");
    assert!(seen.problem("image-lock-exposed").contains("not this user's directory"));
    drop(root);
    let volume = Volume::new();
    drop(Recipe::on(&volume).start(IDLE));
    planted(&volume, "1000");
    let flags = ["--cap-drop=ALL", "--read-only", "--read-only-tmpfs=false"];
    let volume = format!("--volume={}", volume.at_home());
    let user = Recipe::with(&flags).argument(&volume).start(IDLE);
    let status = user.settled();
    assert_eq!(status.state(), "complete", "{}", user.logs());
    assert!(status.notes().contains("mise reads /etc/mise itself"), "{}", status.notes());
}

/// `mise lock --global` in the sandbox, again where the registry stalls.
#[track_caller]
fn locked(sandbox: &Sandbox) {
    let line = "cd /; for i in 1 2 3; do timeout 50 mise lock --global >&2
        test -s ~/.config/mise/mise.lock && exit; done; exit 1";
    sandbox.sh(line).good();
}

fn check(sandbox: &Sandbox) -> Output {
    sandbox.exec(&["agent", "tools", "lock", "check", "/home/iteron/.config/mise"])
}

#[test]
fn an_enforced_lock_that_is_behind_is_told_before_the_install_with_the_line_that_mends_it() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, &format!("[tools]\n\"{TOOL}\" = \"{VERSION}\"\n"));
    let first = Recipe::on(&volume).network().start(IDLE);
    first.settled();
    locked(&first);
    assert_eq!(check(&first).status, 0, "{}", check(&first).stdout);
    drop(first);
    seed(&volume, MANIFEST, &format!("[tools]\n\"{TOOL}\" = \"7.6.2\"\n\"npm:ms\" = \"2.1.3\"\n"));
    let second = Recipe::on(&volume).network().env("MISE_LOCKED", "1").start(IDLE);
    let status = second.settled();
    assert_eq!(status.state(), "degraded", "{}", second.logs());
    // One for each tool, also where mise refuses it too.
    assert_eq!(status.codes(), ["tool-not-locked"; 2], "{}", second.logs());
    let text = second.exec(&["agent", "status"]).stdout;
    for part in [
        "npm:ms@2.1.3 is not in the lockfile: it has no entry",
        "npm:semver@7.6.2 is not in the lockfile: locked is 7.6.3, for another request",
        "next: run `cd / && MISE_SYSTEM_CONFIG_DIR=/nonexistent mise lock --global --platform linux-",
    ] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    // The check says the same by hand, and its line mends it.
    let found = check(&second);
    assert_eq!(found.status, 1, "{}", found.stdout);
    let line = found.stdout.lines().find_map(|l| l.strip_prefix("run: ")).unwrap().to_owned();
    assert_eq!(line, "cd / && MISE_SYSTEM_CONFIG_DIR=/nonexistent mise lock --global");
    second.sh(&format!("for i in 1 2 3; do ({line}) && exit; done; exit 1")).good();
    assert_eq!(check(&second).status, 0, "{}", check(&second).stdout);
    second.restart();
    assert_eq!(second.settled().state(), "complete", "{}", second.logs());
}

#[test]
fn a_stale_lock_that_is_not_enforced_is_no_more_than_a_note() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, ".config/mise/mise.lock", "[[tools.\"npm:gone\"]]\nversion = \"1.0.0\"\n");
    seed(&volume, MANIFEST, "[tools]\n\"npm:cowsay\" = \"1.6.0\"\n");
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let status = sandbox.settled();
    assert_eq!(status.state(), "complete", "{}", sandbox.logs());
    let notes = status.notes();
    assert!(notes.contains("mise.lock: npm:gone@1.0.0 is left over"), "{notes}");
    assert!(!notes.contains("npm:cowsay@1.6.0 is not in the lockfile"), "{notes}");
}

#[test]
fn a_corrupt_lock_is_named_with_its_place() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, "[tools]\n\"npm:cowsay\" = \"1.6.0\"\n");
    seed(&volume, ".config/mise/mise.lock", "[[tools.\"npm:cowsay\"]]\nversion = \n");
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "lock-corrupt");
    let problem = seen.problem("lock-corrupt");
    assert!(problem.contains("/home/iteron/.config/mise/mise.lock:2:11"), "{problem}");
    // mise makes it anew by itself; what is to be done is to bring back what it pinned.
    assert!(problem.contains("mise passes over it and writes it anew"), "{problem}");
    assert!(text.contains("it is kept as /home/iteron/.local/state/agent/mise.lock.corrupt"));
    assert!(!text.contains("rm /home"), "{text}");
}

#[test]
fn an_enforced_lock_that_is_none_is_left_as_it_is_and_the_line_that_mends_it_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let config = format!("[settings]\nlocked = true\n[tools]\n\"{TOOL}\" = \"{VERSION}\"\n");
    seed(&volume, MANIFEST, &config);
    let lock = "lockfile_version = 99\n";
    seed(&volume, ".config/mise/mise.lock", lock);
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let (seen, text) = sandbox.expects("degraded", "lock-corrupt");
    let problem = seen.problem("lock-corrupt");
    assert!(problem.contains("it is enforced") && problem.contains("version 99"), "{problem}");
    assert!(!problem.contains("anew"), "{problem}");
    let line =
        "make it anew: `cd / && rm /home/iteron/.config/mise/mise.lock && MISE_SYSTEM_CONFIG_DIR=";
    assert!(text.contains(line), "{text}");
    assert_eq!(sandbox.sh("cat ~/.config/mise/mise.lock").good(), lock);
    assert_eq!(sandbox.sh("cat ~/.local/state/agent/mise.lock.corrupt").good(), lock);
    // Where there is a lock that lacks the tool, the setting is named that would let it go.
    sandbox.sh("printf 'lockfile_version = 2\\n' >~/.config/mise/mise.lock").good();
    sandbox.restart();
    let (_, text) = sandbox.expects("degraded", "tool-not-locked");
    let next = "or take `locked = true` out of /home/iteron/.config/mise/config.toml";
    assert!(text.contains(next) && !text.contains("MISE_LOCKED"), "{text}");
}

/// What mise has written into the lock by the end of the boot is not missing from it.
#[test]
fn a_lock_that_the_boots_own_install_fills_is_not_called_behind() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let config = format!("[settings]\nlockfile = true\n[tools]\n\"{TOOL}\" = \"{VERSION}\"\n");
    seed(&volume, MANIFEST, &config);
    seed(&volume, ".config/mise/mise.lock", "lockfile_version = 2\n");
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    for life in 0..3 {
        let status = sandbox.settled();
        assert_eq!(status.state(), "complete", "{}", sandbox.logs());
        assert!(!status.notes().contains("not in the lockfile"), "{life}: {}", status.notes());
        sandbox.restart();
    }
    let lock = sandbox.sh("cat ~/.config/mise/mise.lock").good();
    assert!(lock.contains(TOOL), "{lock}");
}

/// mise reads more than `config.toml`; an entry that installs another package hides nowhere.
#[test]
fn an_entry_beside_the_users_local_config_is_told_too() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, ".config/mise/config.local.toml", "[tools]\n\"npm:semver\" = \"2.1.3\"\n");
    let entry = "[[tools.\"npm:semver\"]]\nversion = \"2.1.3\"\nbackend = \"npm:ms\"\n";
    seed(&volume, ".config/mise/mise.local.lock", entry);
    let sandbox = Recipe::on(&volume).network().env("MISE_LOCKED", "1").start(IDLE);
    let (seen, _) = sandbox.expects("degraded", "tool-not-locked");
    let problem = seen.problem("tool-not-locked");
    assert!(problem.contains("locked to npm:ms, and declared as npm:semver"), "{problem}");
    let installed = "ls ~/.local/share/mise/installs/npm-semver/2.1.3/node_modules";
    assert!(sandbox.sh(installed).stdout.contains("ms"), "mise installed it");
}

/// mise obeys the backend of a lock entry and passes over the tool's name: with the entry of
/// another package, that package is what is installed.
#[test]
fn an_entry_that_installs_another_package_is_told() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, "[tools]\n\"npm:semver\" = \"2.1.3\"\n");
    let entry = "[[tools.\"npm:semver\"]]\nversion = \"2.1.3\"\nbackend = \"npm:ms\"\n";
    seed(&volume, ".config/mise/mise.lock", entry);
    let sandbox = Recipe::on(&volume).network().env("MISE_LOCKED", "1").start(IDLE);
    let (seen, _) = sandbox.shows("degraded", "tool-not-locked");
    let problem = seen.problem("tool-not-locked");
    assert!(problem.contains("locked to npm:ms, and declared as npm:semver"), "{problem}");
    // This is what would have gone unsaid.
    let installed = "ls ~/.local/share/mise/installs/npm-semver/2.1.3/node_modules";
    assert!(sandbox.sh(installed).stdout.contains("ms"), "mise installed it");
}
