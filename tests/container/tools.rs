//! Tools on the volume and in the image: what the user adds stays, what a new image adds comes.

use crate::engine::ready;
use crate::guard::{Image, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox, seed};
use crate::seen::keep_sample;
use crate::tool_baseline::overridable;

/// A small tool without dependencies: its program prints a version that is well-formed.
pub(crate) const TOOL: &str = "npm:semver";
pub(crate) const VERSION: &str = "7.6.3";

/// The tool answers through its shim, by plain `podman exec`.
#[track_caller]
pub(crate) fn answers(sandbox: &Sandbox) {
    assert_eq!(sandbox.exec(&["semver", "1.2.3"]).good(), "1.2.3\n");
}

/// A sandbox with the network, in which the user has added the tool: again where the
/// registry stalls.
#[track_caller]
pub(crate) fn with_tool(volume: &Volume) -> Sandbox {
    let sandbox = Recipe::on(volume).network().start(IDLE);
    sandbox.settled();
    let line = format!("for i in 1 2 3; do mise use -g {TOOL}@{VERSION} && exit; done; exit 1");
    sandbox.sh(&line).good();
    sandbox
}

#[test]
fn a_users_tool_survives_a_recreated_sandbox() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let first = with_tool(&volume);
    answers(&first);
    drop(first);
    // No network: it is on the volume already.
    let second = Recipe::on(&volume).start(IDLE);
    let status = second.settled();
    assert_eq!(status.state(), "complete", "{}", second.logs());
    assert!(status.installed(TOOL) && status.installed("npm:cowsay"));
    answers(&second);
}

/// The installed tools are no part of what is synced to another machine; the manifest is.
#[test]
fn a_manifest_on_a_new_volume_is_filled_in() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let manifest = format!("[tools]\n\"{TOOL}\" = \"{VERSION}\"\n");
    seed(&volume, ".config/mise/config.toml", &manifest);
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let status = sandbox.settled();
    assert_eq!(status.state(), "complete", "{}", sandbox.logs());
    assert!(status.installed(TOOL));
    answers(&sandbox);
}

#[test]
fn a_users_version_outranks_the_baselines_where_the_operator_allows_it() {
    if !ready() {
        return;
    }
    let image = overridable();
    let volume = Volume::new();
    seed(&volume, ".config/mise/config.toml", "[tools]\n\"npm:cowsay\" = \"1.5.0\"\n");
    let sandbox = Recipe::on(&volume).network().image(&image.name).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    let place = sandbox.exec(&["mise", "where", "npm:cowsay"]).good();
    assert!(place.starts_with("/home/iteron/"), "{place}");
    assert_eq!(sandbox.exec(&["cowsay", "--version"]).good().trim(), "1.5.0");
}

/// The image's config with one tool more.
fn newer_config(sandbox: &Sandbox) -> String {
    let config = sandbox.exec(&["cat", "/etc/mise/config.toml"]).good();
    format!("{}\n\"{TOOL}\" = \"{VERSION}\"\n", config.trim_end())
}

/// The image is upgraded, the volume is old: what the new baseline names and the image does
/// not contain is installed at the start, without help, and the lock is obeyed.
#[test]
fn an_upgraded_baseline_is_installed_at_the_next_start() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let old = Recipe::on(&volume).network().start(IDLE);
    assert_eq!(old.settled().state(), "complete", "{}", old.logs());
    assert_ne!(old.exec(&["semver", "1.2.3"]).status, 0, "the old image lacks it");
    let config = newer_config(&old);
    // What `image/pin lock` does for a release: mise writes the lock beside the config it reads.
    let lock = "set -e; mkdir -p /tmp/etc /tmp/home; printf %s \"$1\" >/tmp/etc/config.toml; cd /
        export HOME=/tmp/home XDG_CONFIG_HOME= MISE_SYSTEM_CONFIG_DIR=/tmp/etc
        timeout 50 mise lock --global >&2 || timeout 50 mise lock --global >&2
        tar -C /tmp/etc --owner=0 --group=0 --mode=u=rwX,go=rX -c .";
    let lock = old.exec(&["sh", "-c", lock, "sh", &config]).good();
    drop(old);
    let image = Image::derived("ADD layer.tar /etc/mise/", &[("layer.tar", &lock)]);
    let new = Recipe::on(&volume).network().image(&image.name).start(IDLE);
    let status = new.settled();
    assert_eq!(status.state(), "complete", "{}", new.logs());
    assert!(status.installed(TOOL) && status.installed("npm:cowsay"));
    answers(&new);
    // From then on it is on the volume: no network, and the lock enforced.
    drop(new);
    let later = Recipe::on(&volume).image(&image.name).env("MISE_LOCKED", "1").start(IDLE);
    assert_eq!(later.settled().state(), "complete", "{}", later.logs());
    answers(&later);
}

/// mise installs the tool, then fails to update a lock that is the image's: the tool works,
/// and the state says that something is not as it should be.
#[test]
fn an_upgraded_baseline_without_its_lock_works_and_is_degraded() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let old = Recipe::on(&volume).start(IDLE);
    old.settled();
    let config = newer_config(&old);
    drop(old);
    let image =
        Image::derived("COPY config.toml /etc/mise/config.toml", &[("config.toml", &config)]);
    let new = Recipe::on(&volume).network().image(&image.name).start(IDLE);
    let status = new.settled();
    answers(&new);
    assert!(status.installed(TOOL));
    keep_sample("lock-stale", &new.exec(&["agent", "status"]).stdout);
    assert_eq!(status.state(), "degraded", "{}", new.logs());
    assert_eq!(status.codes(), ["lock-stale"], "{}", new.logs());
}

#[test]
fn an_enforced_lock_is_obeyed_where_it_names_everything() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).env("MISE_LOCKED", "1").start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
}

#[test]
fn an_enforced_lock_refuses_what_it_does_not_name_until_it_does() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let manifest = format!("[tools]\n\"{TOOL}\" = \"{VERSION}\"\n");
    seed(&volume, ".config/mise/config.toml", &manifest);
    let sandbox = Recipe::on(&volume).network().env("MISE_LOCKED", "1").start(IDLE);
    let (seen, _) = sandbox.shows("degraded", "tool-not-locked");
    let problem = seen.problem("tool-not-locked");
    assert!(problem.contains("npm:semver@7.6.3"), "{problem}");
    assert!(problem.contains("not in the lockfile"), "{problem}");
    // The user's lock is written; that mise can't also write the image's is its exit status 1.
    sandbox.exec(&["mise", "lock", "--global"]);
    sandbox.exec(&["test", "-s", "/home/iteron/.config/mise/mise.lock"]).good();
    sandbox.restart();
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    answers(&sandbox);
}
