//! Started as root: what the agent may do it does, and hands the rest to the user; what it
//! may not do it names with the capability that is missing.

use crate::engine::ready;
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe, give_to_root};

/// Root with the engine's default capabilities.
const ROOT: &[&str] =
    &["--user=0", "--security-opt=no-new-privileges", "--read-only", "--tmpfs=/tmp", "--memory=1g"];

const SCRATCH: &str = "[[volume]]\ntarget = \"/mnt\"\n\
    mount = { source = \"tmpfs\", fstype = \"tmpfs\", options = [\"size=1m\", \"mode=1777\", \"nosuid\"] }\nmin_free = 0\nmin_inodes = 0\n";

/// The volume is root's, as one is that was made by hand.
fn root_on_roots(volume: &Volume) -> Recipe {
    give_to_root(volume);
    Recipe::with(ROOT).argument(&format!("--volume={}", volume.at_home_with("nocopy")))
}

/// The volume is the user's already.
fn root_on_the_users(volume: &Volume) -> Recipe {
    drop(Recipe::on(volume).start(IDLE));
    Recipe::with(ROOT).argument(&format!("--volume={}:/home/iteron", volume.name))
}

fn conf(recipe: Recipe, file: &Files) -> Recipe {
    recipe.argument(&file.mounted("50.toml", "/etc/agent/conf.d/50.toml", "ro"))
}

#[test]
fn script_and_workload_are_the_user_without_a_capability() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs)' /proc/self/status";
    let (_sandbox, output) = root_on_the_users(&volume)
        .script(&format!("#!/bin/bash\n{line} >~/script; env >~/env; cowsay moo\n"))
        .run(&["bash", "-c", &format!("{line}; echo; cat ~/script; cat ~/env")]);
    let said = output.good();
    assert_eq!(said.matches("Uid:\t1000\t1000\t1000\t1000").count(), 2, "{said}");
    assert_eq!(said.matches("Gid:\t1000\t1000\t1000\t1000").count(), 2, "{said}");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(said.matches(&format!("{set}:\t0000000000000000")).count(), 2, "{said}");
    }
    assert!(said.contains("HOME=/home/iteron") && said.contains("USER=iteron"), "{said}");
}

#[test]
fn a_root_sandbox_is_complete_and_its_status_is_open_to_the_user() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = root_on_the_users(&volume).start(IDLE);
    let seen = sandbox.settled();
    assert_eq!(seen.state(), "complete", "{}", sandbox.logs());
    assert!(seen.journal().starts_with("/run/agent/"), "{}", seen.journal());
    let as_user = sandbox.exec_with(&["--user=iteron"], &["agent", "status", "--quiet"]);
    assert_eq!(as_user.status, 0);
    // Nothing of root's is left on the user's volume.
    let foreign = sandbox.exec(&["find", "/home/iteron", "!", "-user", "iteron"]).good();
    assert_eq!(foreign, "");
}

#[test]
fn the_mount_point_is_given_to_the_user_where_the_config_says_so() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let refused = root_on_roots(&volume).hold().start(IDLE);
    refused.expects("failed", "volume-foreign-owner");
    drop(refused);
    let file = Files::one("50.toml", "[[volume]]\ntarget = \"~\"\nchown = true\n");
    let sandbox = conf(root_on_roots(&volume), &file).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    let owner = sandbox.exec(&["stat", "--format=%u:%g", "/home/iteron"]).good();
    assert_eq!(owner.trim(), "1000:1000");
}

#[test]
fn a_mount_point_that_cannot_be_given_away_names_the_capability() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    give_to_root(&volume);
    let file = Files::one("50.toml", "[[volume]]\ntarget = \"~\"\nchown = true\n");
    let not_root = Recipe::bare().argument(&format!("--volume={}", volume.at_home_with("nocopy")));
    let sandbox = conf(not_root, &file).hold().start(IDLE);
    let (_, text) = sandbox.shows("failed", "volume-chown-no-capability");
    assert!(text.contains("CAP_CHOWN"), "{text}");
}

/// What the agent makes for the user must be given to the user.
#[test]
fn root_that_cannot_give_files_away_names_the_capability() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = root_on_the_users(&volume).argument("--cap-drop=CHOWN").hold().start(IDLE);
    let seen = sandbox.settled();
    let text = sandbox.exec(&["agent", "status"]).stdout;
    // Either nothing lacks it, or it is named.
    assert!(seen.state() == "complete" || text.contains("CAP_CHOWN"), "{text}");
}

#[test]
fn a_declared_mount_is_made_with_its_options() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("50.toml", SCRATCH);
    let sandbox =
        conf(root_on_the_users(&volume), &file).argument("--cap-add=SYS_ADMIN").start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    let table = sandbox.exec(&["grep", " /mnt ", "/proc/1/mountinfo"]).good();
    assert!(table.contains("tmpfs") && table.contains("nosuid"), "{table}");
    assert!(table.contains("size=1024k"), "{table}");
}

#[test]
fn a_declared_mount_without_the_capability_names_it() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("50.toml", SCRATCH);
    for recipe in [root_on_the_users(&volume), Recipe::on(&volume)] {
        let sandbox = conf(recipe, &file).hold().start(IDLE);
        let (_, text) = sandbox.shows("failed", "volume-mount-no-capability");
        assert!(text.contains("CAP_SYS_ADMIN"), "{text}");
    }
}

#[test]
fn a_mount_that_fails_is_named_with_the_kernels_reason() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file =
        Files::one("50.toml", &SCRATCH.replace("fstype = \"tmpfs\"", "fstype = \"nosuchfs\""));
    let sandbox =
        conf(root_on_the_users(&volume), &file).argument("--cap-add=SYS_ADMIN").hold().start(IDLE);
    let (_, text) = sandbox.shows("failed", "volume-mount-failed");
    assert!(text.contains("doesn't know this filesystem type"), "{text}");
}

#[test]
fn root_that_cannot_become_the_user_names_the_capabilities() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = root_on_the_users(&volume).argument("--cap-drop=ALL").hold().start(IDLE);
    let (_, text) = sandbox.shows("failed", "cannot-change-user");
    assert!(text.contains("CAP_SETUID") && text.contains("CAP_SETGID"), "{text}");
    assert!(text.contains("--user 1000:1000"), "{text}");
}

/// Without `hold` nothing runs as root by accident.
#[test]
fn root_that_cannot_become_the_user_does_not_start_the_workload() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_sandbox, output) =
        root_on_the_users(&volume).argument("--cap-drop=ALL").run(&["echo", "workload"]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert!(output.stderr.contains("CAP_SETUID"), "{}", output.stderr);
}
