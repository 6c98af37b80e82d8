//! A user's mise and the boot's at the same time: both come to their end, both exit statuses
//! are true, and so is the status.

use crate::engine::{ready, wait_for};
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe, Sandbox, seed};
use crate::tool_interrupted::{completes, runs};
use std::time::Duration;

/// How often each race is run.
const ROUNDS: usize = 5;

const MANIFEST: &str = "[tools]\n\"npm:typescript\" = \"5.6.3\"\n";

/// Declared in the middle of a race.
const SECOND: &str = "\"npm:semver\" = \"7.6.3\"";

/// Forgets the installs but not the installer's store.
const FORGET: &str = "rm -rf ~/.local/share/mise/installs ~/.local/share/mise/shims \
    ~/.cache/mise/npm-*/; ";

#[track_caller]
fn filled(volume: &Volume) -> Sandbox {
    seed(volume, ".config/mise/config.toml", MANIFEST);
    let sandbox = Recipe::on(volume).network().start(IDLE);
    completes(&sandbox, "at first");
    for _ in 0..3 {
        if sandbox.sh("mise install npm:semver@7.6.3").status == 0 {
            return sandbox;
        }
    }
    panic!("the registry gives no semver");
}

fn tsc_runs(sandbox: &Sandbox) -> bool {
    runs(sandbox, "tsc --version", "Version 5.6.3")
}

fn semver_runs(sandbox: &Sandbox) -> bool {
    runs(sandbox, "semver 1.2.3", "1.2.3")
}

/// Runs `user` in a shell while a boot runs, and returns the exit statuses of the boot and of
/// the user's line.
fn race(sandbox: &Sandbox, user: &str) -> (i32, i32) {
    let line =
        format!("{FORGET} agent boot >~/boot 2>&1 & boot=$!; {user}; u=$?; wait $boot; echo $? $u");
    let said = sandbox.sh(&line).good();
    let mut numbers = said.lines().last().unwrap().split(' ').map(|n| n.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn the_same_tool_is_installed_by_both() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    for round in 0..ROUNDS {
        let pause = format!("sleep 0.{round}; mise install >~/user 2>&1");
        let ends = race(&sandbox, &pause);
        let said = sandbox.sh("cat ~/boot ~/user").stdout;
        assert_eq!(ends, (0, 0), "round {round}: {said}");
        assert!(sandbox.status().installed("npm:typescript"), "round {round}: {said}");
        assert!(tsc_runs(&sandbox), "round {round}: {said}");
    }
}

/// `mise use -g` installs and then writes the config, while the boot reads it twice.
#[test]
fn a_tool_is_added_while_the_boot_installs() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    for round in 0..ROUNDS {
        sandbox.sh(&format!("printf '{MANIFEST}' >~/.config/mise/config.toml")).good();
        let user = format!("sleep 0.{round}; mise use -g npm:semver@7.6.3 >~/user 2>&1");
        let ends = race(&sandbox, &user);
        let said = sandbox.sh("cat ~/boot ~/user").stdout;
        assert_eq!(ends, (0, 0), "round {round}: {said}");
        let seen = sandbox.status();
        assert!(seen.installed("npm:typescript") && tsc_runs(&sandbox), "round {round}: {said}");
        // Whether the boot saw the config before or after is open; the tool is there.
        assert!(semver_runs(&sandbox), "round {round}: {said}");
        assert_eq!(sandbox.exec(&["agent", "boot"]).status, 0);
        assert!(sandbox.status().installed("npm:semver"), "round {round}");
    }
}

/// Removing is the user's right at any time. The boot ends, says what it last saw, and the
/// next one puts things right.
#[test]
fn a_tool_is_removed_while_the_boot_installs() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    let mine = "~/.local/share/mise/installs/npm-typescript";
    for how in [
        "mise uninstall npm:typescript@5.6.3",
        &format!("rm -rf {mine}"),
        &format!("rm -rf {mine}/*/node_modules"),
    ] {
        for pause in ["0.2", "0.4", "0.6", "0.8"] {
            let (boot, _) = race(&sandbox, &format!("sleep {pause}; {how} >~/user 2>&1"));
            let seen = sandbox.status();
            let when = format!("{how} after {pause} s: {} {}", seen.summary(), seen.notes());
            assert!([0, 2].contains(&boot), "{when}");
            // By its own word the boot was well: so it is, unless the removal came after.
            // One that works and has lost something beside its programs is told, and left to
            // its user: an install by force takes away what still works.
            let lost = seen.codes().iter().any(|code| code == "tool-damaged");
            assert_eq!(boot == 0, seen.installed("npm:typescript") && !lost, "{when}");
            if lost {
                sandbox.exec(&["mise", "install", "--force", "npm:typescript@5.6.3"]).good();
            }
            assert_eq!(sandbox.exec(&["agent", "boot"]).status, 0, "{when}");
            assert!(tsc_runs(&sandbox), "{when}");
        }
    }
}

/// Many at once, of all kinds. Then it is quiet, and one more boot says what is true.
#[test]
fn many_installs_and_boots_agree_in_the_end() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    let user = "for i in 1 2 3; do
            mise use -g npm:semver@7.6.$((i % 2 + 2)) & mise install & mise install --force npm:typescript@5.6.3 & wait
        done >~/user 2>&1
        for i in 1 2 3; do agent boot >>~/boots 2>&1; echo $? >>~/ends; done";
    race(&sandbox, user);
    let ends = sandbox.sh("cat ~/ends").good();
    assert!(ends.lines().all(|e| ["0", "2", "75"].contains(&e)), "{ends}");
    let boot = sandbox.exec(&["agent", "boot"]);
    assert_eq!(boot.status, 0, "{}", boot.stderr);
    let seen = sandbox.status();
    assert!(seen.installed("npm:typescript") && seen.installed("npm:semver"));
    assert!(tsc_runs(&sandbox) && semver_runs(&sandbox), "{}", sandbox.sh("cat ~/user").stdout);
}

/// An installation by the user that is stopped in its middle, with the lock in its hand; it
/// goes on when `~/free` is there.
#[track_caller]
fn held(sandbox: &Sandbox) {
    let holder = "mise install npm:typescript@5.6.3 >~/user 2>&1 & mise=$!
        until ls ~/.cache/mise/npm-typescript/*/incomplete; do :; done; kill -STOP $mise
        touch ~/held; until test -e ~/free; do sleep 0.05; done; kill -CONT $mise; wait";
    sandbox.sh(FORGET).good();
    sandbox.exec_with(&["--detach"], &["sh", "-c", holder]).good();
    sandbox.wait_for_file("/home/iteron/held");
}

/// A boot in the background has come to its own `mise install`.
#[track_caller]
fn boot_waits(sandbox: &Sandbox) {
    let boot = "agent boot >~/boot 2>&1; echo $? >~/ended";
    sandbox.exec_with(&["--detach"], &["sh", "-c", boot]).good();
    let look = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null";
    wait_for("the boot's mise", Duration::from_secs(20), || {
        sandbox
            .sh(look)
            .stdout
            .lines()
            .any(|l| l.trim().ends_with("bin/mise install"))
            .then_some(())
    });
    // It has read the config and stands before the lock.
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(sandbox.status().state(), "running");
}

#[track_caller]
fn boot_ends(sandbox: &Sandbox) -> String {
    sandbox.sh("touch ~/free").good();
    sandbox.wait_for_file("/home/iteron/ended");
    assert_eq!(sandbox.sh("cat ~/ended").good().trim(), "0", "{}", sandbox.sh("cat ~/boot").stdout);
    sandbox.status().notes()
}

#[test]
fn the_boot_waits_for_an_install_that_another_has_begun() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    held(&sandbox);
    boot_waits(&sandbox);
    let notes = boot_ends(&sandbox);
    assert!(!notes.contains("installed again"), "{notes}");
    assert!(sandbox.status().installed("npm:typescript") && tsc_runs(&sandbox), "{notes}");
}

/// The boot has read the config when another tool is added to it by an editor. That tool is
/// installed too, or the status would be wrong of it at once.
#[test]
fn a_tool_that_is_declared_while_the_boot_installs_is_installed() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    held(&sandbox);
    boot_waits(&sandbox);
    sandbox.sh(&format!("echo '{SECOND}' >>~/.config/mise/config.toml")).good();
    let notes = boot_ends(&sandbox);
    assert!(notes.contains("declared meanwhile: npm:semver@7.6.3"), "{notes}");
    assert!(sandbox.status().installed("npm:semver") && semver_runs(&sandbox), "{notes}");
}
