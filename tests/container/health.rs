//! The health check in containers: how what is missing looks at first, and as drift later.

use crate::engine::ready;
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox};

#[track_caller]
fn checked(volume: &Volume, health: &str) -> (Files, Sandbox) {
    let file = Files::one("50.toml", &format!("[health]\n{health}"));
    let recipe = Recipe::on(volume).hold();
    let recipe = recipe.argument(&file.mounted("50.toml", "/etc/agent/conf.d/50.toml", "ro"));
    (file, recipe.start(IDLE))
}

#[test]
fn everything_that_is_missing_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_file, sandbox) = checked(
        &volume,
        "commands = [\"git\", \"cowsay\", \"gh\", \"mosh-server\"]\nfiles = [\"~/.netrc\"]\nmounts = [\"~\"]\n",
    );
    let (_, text) = sandbox.shows("failed", "health-missing");
    assert!(text.contains("missing: commands gh, mosh-server; file /home/iteron/.netrc"), "{text}");
}

#[test]
fn what_goes_missing_later_is_drift() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_file, sandbox) = checked(&volume, "files = [\"~/keep\"]\n");
    sandbox.expects("failed", "health-missing");
    sandbox.sh("touch ~/keep && agent boot").good();
    sandbox.sh("rm ~/keep");
    sandbox.restart();
    sandbox.shows("degraded", "health-drift");
}

#[test]
fn services_need_a_systemd() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_file, sandbox) = checked(&volume, "services = [\"docker.service\"]\n");
    let (_, text) = sandbox.shows("failed", "health-no-systemd");
    assert!(text.contains("no systemd runs here"), "{text}");
}
