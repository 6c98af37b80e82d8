//! The volume at the home: what it lacks is made, what is wrong with it is named.

use crate::sandbox::Sandbox;
use crate::util::{directory, file};
use std::fs;

#[test]
fn the_users_directory_for_programs_is_made_on_an_old_volume() {
    let sandbox = Sandbox::new();
    file(&sandbox.path("home"), "used", "before");
    sandbox.look().is("complete");
    assert!(sandbox.path("home/.local/bin").is_dir());
}

#[test]
fn a_skeleton_goes_to_an_empty_volume_and_never_over_anything() {
    let with_skeleton = || {
        let sandbox = Sandbox::new();
        file(&directory(&sandbox.path("etc"), "skel"), ".profile", "skeleton");
        sandbox
    };
    let sandbox = with_skeleton();
    sandbox.look().is("complete");
    assert_eq!(fs::read_to_string(sandbox.path("home/.profile")).unwrap(), "skeleton");
    file(&sandbox.path("home"), ".profile", "mine");
    sandbox.look().is("complete");
    assert_eq!(fs::read_to_string(sandbox.path("home/.profile")).unwrap(), "mine");
    let used = with_skeleton();
    file(&used.path("home"), "used", "before");
    used.look().is("complete");
    assert!(!used.path("home/.profile").exists());
}

#[test]
fn a_home_without_a_mount_is_not_taken_for_the_volume() {
    let seen =
        Sandbox::new().no_volume().look().is("failed").problem("volume", "volume-not-mounted");
    assert_eq!(seen.phase("user-script")["state"], "not-run");
    assert!(seen.ended.stderr.contains("nothing is mounted at /mnt/home"), "{:#?}", seen.ended);
}

#[test]
fn a_read_only_volume_is_told_so() {
    Sandbox::new().read_only_volume().look().is("failed").problem("volume", "volume-read-only");
}

#[test]
fn a_volume_that_is_not_required_degrades() {
    Sandbox::new()
        .no_volume()
        .config("agent.toml", "[[volume]]\ntarget = \"~\"\nrequired = false\n")
        .script("#!/bin/sh\nexit 0\n")
        .look()
        .is("degraded")
        .problem("volume", "volume-not-mounted");
}

#[test]
fn a_full_volume_degrades_or_fails_as_configured() {
    let text = |on_full: &str| {
        format!("[[volume]]\ntarget = \"~\"\nmin_free = \"1EiB\"\non_full = \"{on_full}\"\n")
    };
    let degraded = Sandbox::new().config("agent.toml", &text("degrade"));
    degraded.look().is("degraded").problem("volume", "volume-full");
    let failed = Sandbox::new().config("agent.toml", &text("fail"));
    failed.look().is("failed").problem("volume", "volume-full");
}

#[test]
fn the_wrong_source_or_filesystem_is_told_so() {
    let with = |line: &str| {
        let text = format!("[[volume]]\ntarget = \"~\"\n{line}\n");
        Sandbox::new().config("agent.toml", &text).look().is("failed")
    };
    with("source = \"some-other-volume\"").problem("volume", "volume-source");
    with("fstype = [\"iso9660\"]").problem("volume", "volume-fstype");
    let named =
        Sandbox::new().config("agent.toml", "[[volume]]\ntarget = \"~\"\nsource = \"home\"\n");
    named.look().is("complete");
}

#[test]
fn a_volume_that_the_agent_is_asked_to_mount_is_mounted() {
    let sandbox = Sandbox::new().config(
        "agent.toml",
        "[[volume]]\ntarget = \"/tmp\"\n[[volume]]\ntarget = \"/tmp/made\"\nmount = { source = \"made\", fstype = \"tmpfs\", options = [\"size=128m\", \"nosuid\"] }\nmin_inodes = 1\n",
    );
    let ended = sandbox.init(&[], "grep ' /tmp/made ' /proc/mounts").expect(0);
    assert!(ended.stdout.starts_with("made /tmp/made tmpfs rw,nosuid"), "{ended:#?}");
    assert!(ended.stdout.contains("size=131072k"), "{ended:#?}");
}

#[test]
fn a_mount_that_fails_tells_the_kernels_reason() {
    let sandbox = Sandbox::new().config(
        "agent.toml",
        "[[volume]]\ntarget = \"/tmp/x\"\nmount = { source = \"none\", fstype = \"nosuchfs\" }\n",
    );
    let seen = sandbox.look().is("failed").problem("volume", "volume-mount-failed");
    let evidence = seen.phase("volume")["problems"][0]["evidence"].to_string();
    assert!(evidence.contains("the kernel doesn't know this filesystem type"), "{evidence}");
}

/// In a rehearsal nobody has the capability.
#[test]
fn without_the_capability_a_mount_says_which_one_is_missing() {
    let config = "[[volume]]\ntarget = \"~\"\n[[volume]]\ntarget = \"/mnt\"\n[[volume]]\ntarget = \"/srv/none\"\nmount = { source = \"x\", fstype = \"tmpfs\" }\n";
    let ended = crate::rehearse::Rehearsal::new().config(config).then("agent status").expect(1);
    assert!(ended.stdout.contains("the agent lacks CAP_SYS_ADMIN"), "{ended:#?}");
}
