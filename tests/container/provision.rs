//! Provisioning steps in containers: as other users where the agent is root, as the sandbox user
//! with the contract's flags, and how each failure looks.

use crate::engine::ready;
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox, seed};

/// Root with the engine's default capabilities, on a root filesystem that can be written.
const ROOT: &[&str] =
    &["--user=0", "--security-opt=no-new-privileges", "--tmpfs=/tmp", "--memory=1g"];

fn conf(recipe: Recipe, text: &str) -> (Files, Recipe) {
    let file = Files::one("50.toml", text);
    let recipe = recipe.argument(&file.mounted("50.toml", "/etc/agent/conf.d/50.toml", "ro"));
    (file, recipe.hold())
}

/// A sandbox of the contract with these steps.
#[track_caller]
fn contract(volume: &Volume, text: &str) -> (Files, Sandbox) {
    let (file, recipe) = conf(Recipe::on(volume), text);
    (file, recipe.start(IDLE))
}

fn step(name: &str, more: &str, script: &str) -> String {
    format!("[[step]]\nname = \"{name}\"\n{more}\ncommand = '''{script}'''\n")
}

#[test]
fn each_step_is_its_own_user_and_its_log_is_that_users() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let note = "id -u; id -g; echo $HOME";
    let text = [
        step("as-root", "", note),
        step("as-user", "user = \"sandbox\"", note),
        step("as-other", "user = \"nobody\"", note),
        // What a step changes of the user's groups holds for what follows.
        step("group", "", "groupadd -g 4711 crew && usermod -aG crew iteron"),
        step("member", "user = \"sandbox\"", "id -G"),
    ]
    .concat();
    let recipe =
        Recipe::with(ROOT).argument(&format!("--volume={}", volume.at_home_with("nocopy,U")));
    let (_file, recipe) = conf(recipe, &text);
    let workload = ["sh", "-c", "id -G > ~/workload; sleep infinity"];
    let sandbox = recipe.script("#!/bin/sh\nid -G > ~/groups\n").start(&workload);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    let logs = sandbox.sh("dirname $(ls -d /run/agent/*/logs/step-as-root.log)").good();
    let logs = logs.trim();
    let said = |name: &str| sandbox.exec(&["cat", &format!("{logs}/step-{name}.log")]).good();
    assert_eq!(said("as-root"), "0\n0\n/root\n");
    assert_eq!(said("as-user"), "1000\n1000\n/home/iteron\n");
    assert_eq!(said("as-other").lines().next(), Some("65534"));
    assert!(said("member").split_whitespace().any(|g| g == "4711"), "{}", said("member"));
    let owners = sandbox.sh(&format!("cd {logs}; stat -c '%u %a' step-as-*.log")).good();
    assert_eq!(owners, "65534 600\n0 600\n1000 600\n");
    sandbox.wait_for_file("/home/iteron/workload");
    for who in ["groups", "workload"] {
        let groups = sandbox.exec(&["cat", &format!("/home/iteron/{who}")]).good();
        assert!(groups.split_whitespace().any(|g| g == "4711"), "{who}: {groups}");
    }
    let as_user =
        sandbox.exec_with(&["--user=iteron"], &["cat", &format!("{logs}/step-as-root.log")]);
    assert_ne!(as_user.status, 0, "root's log is root's alone: {}", as_user.stdout);
}

#[test]
fn a_step_as_another_user_names_the_missing_capability() {
    if !ready() {
        return;
    }
    let text = step("other", "user = \"nobody\"", ":");
    let recipe = Recipe::with(ROOT).argument("--cap-drop=ALL").env("AGENT__USER__NAME", "root");
    let (_file, recipe) = conf(recipe, &text);
    let (_, text) = recipe.start(IDLE).expects("failed", "step-not-started");
    assert!(text.contains("it is to run as nobody, and the agent lacks CAP_SETUID"), "{text}");
}

#[test]
fn a_step_for_root_is_refused_in_the_contracts_container() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_file, sandbox) = contract(&volume, &step("packages", "", "apt-get update"));
    let (_, text) = sandbox.shows("failed", "step-not-started");
    assert!(text.contains("it is to run as root, and the agent runs as iteron"), "{text}");
}

#[test]
fn a_failed_step_tells_its_last_words_and_what_did_not_run() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let user = "user = \"sandbox\"";
    let text = [
        step("skel", user, "mkdir -p ~/projects"),
        step(
            "dotfiles",
            &format!("{user}\nattempts = 2"),
            "echo 'fatal: no such repository' >&2; exit 128",
        ),
        step("later", user, ":"),
    ]
    .concat();
    let (_file, sandbox) = contract(&volume, &text);
    let (_, text) = sandbox.shows("failed", "step-failed");
    for part in ["skel      ok", "dotfiles  failed", "later     not run", "(attempt 2 of 2)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn how_else_a_step_can_end() {
    if !ready() {
        return;
    }
    for (code, more, script) in [
        ("step-killed", "", "kill -9 $$"),
        ("step-deadline", "deadline = \"2s\"", "echo waiting for the lock; sleep 300"),
    ] {
        let volume = Volume::new();
        let more = format!("user = \"sandbox\"\n{more}");
        let (_file, sandbox) = contract(&volume, &step("setup", &more, script));
        sandbox.shows("failed", code);
    }
}

#[test]
fn a_step_that_a_stop_cut_off_runs_again_and_one_that_ended_well_does_not() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let once = "user = \"sandbox\"\nrun = \"once\"";
    let text = [
        step("first", once, "echo x >> ~/first"),
        step("second", once, "touch /tmp/up; [ -e ~/go ] || sleep 300"),
    ]
    .concat();
    let (_file, sandbox) = contract(&volume, &text);
    sandbox.wait_for_file("/tmp/up");
    // The boot alone is asked to stop, so that the sandbox stays to be asked.
    let boot = r#"agent status --json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'"#;
    sandbox.sh(&format!("kill -TERM $({boot})")).good();
    sandbox.shows("failed", "step-interrupted");
    sandbox.stop();
    seed(&volume, "go", "x");
    sandbox.start_again();
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert_eq!(sandbox.sh("wc -l < ~/first").good().trim(), "1");
    let text = sandbox.exec(&["agent", "status"]).stdout;
    assert!(text.contains("first   skipped  already ran on this instance, at "), "{text}");
    assert!(text.contains("its last run here was cut off; repeating"), "{text}");
}
