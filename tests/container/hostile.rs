//! What the sandbox user plants or damages leads nobody astray.

use crate::engine::ready;
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe};
use std::os::unix::fs::{PermissionsExt, chown};

const ROOT: &[&str] = &["--user=0", "--memory=1g", "--cap-add=SYS_ADMIN"];

/// Root with mounts allowed, on a volume that its user has prepared.
fn root_after(volume: &Volume, prepare: &str) -> Recipe {
    let first = Recipe::on(volume).start(IDLE);
    first.settled();
    first.sh(prepare).good();
    drop(first);
    Recipe::with(ROOT).argument(&format!("--volume={}:/home/iteron", volume.name)).hold()
}

fn conf(recipe: Recipe, file: &Files) -> Recipe {
    recipe.argument(&file.mounted("50.toml", "/etc/agent/conf.d/50.toml", "ro"))
}

#[test]
fn nothing_is_mounted_through_a_link_of_the_users() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one(
        "50.toml",
        "[[volume]]\ntarget = \"/home/iteron/data\"\nmount = { source = \"tmpfs\", fstype = \"tmpfs\" }\n",
    );
    let sandbox = conf(root_after(&volume, "ln -s /etc ~/data"), &file).start(IDLE);
    sandbox.shows("failed", "volume-target-link");
    assert!(sandbox.exec(&["cat", "/etc/passwd"]).good().contains("iteron"), "/etc is as it was");
}

/// A bind takes its flags in a second call, on what the first one mounted.
#[test]
fn a_bind_mount_has_all_its_flags() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one(
        "50.toml",
        "[[volume]]\ntarget = \"/home/iteron/data\"\nwritable = false\nmin_free = 0\nmin_inodes = 0\n\
         mount = { source = \"/srv\", fstype = \"none\", options = [\"bind\", \"ro\", \"nosuid\"] }\n",
    );
    let sandbox = conf(root_after(&volume, "true"), &file).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    let table = sandbox.exec(&["grep", " /home/iteron/data ", "/proc/1/mountinfo"]).good();
    assert!(table.contains(" ro,nosuid"), "{table}");
}

#[test]
fn a_users_own_script_file_runs_although_root_reads_it() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("user-script", "#!/bin/sh\nid -u >~/ran\n");
    chown(file.path("user-script"), Some(1000), Some(1000)).unwrap();
    let sandbox = root_after(&volume, "true")
        .argument(&file.mounted("user-script", "/etc/user-script", "ro"))
        .env("AGENT__BOOTSTRAP__FILE", "/etc/user-script")
        .start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert_eq!(sandbox.exec(&["cat", "/home/iteron/ran"]).good(), "1000\n");
}

#[test]
fn roots_own_file_is_not_read_by_a_way_that_the_user_laid() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("secret", "#!/bin/sh\ncat $0 >~/leaked\n");
    let path = file.path("secret");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    chown(&path, Some(0), Some(0)).unwrap();
    let sandbox = root_after(&volume, "ln -s /etc/secret ~/boot.sh")
        .argument(&file.mounted("secret", "/etc/secret", "ro"))
        .env("AGENT__BOOTSTRAP__FILE", "/home/iteron/boot.sh")
        .start(IDLE);
    sandbox.shows("failed", "payload-unreadable");
    assert_ne!(sandbox.exec(&["test", "-e", "/home/iteron/leaked"]).status, 0);
}

/// One flipped letter in the record of its success doesn't make a script run again.
#[test]
fn a_damaged_record_is_named_and_the_script_not_repeated() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).script("#!/bin/sh\necho run >>~/runs\n").hold().start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox.sh("sed -i '2s/exit/exjt/' ~/.local/state/agent/*/scripts").good();
    sandbox.restart();
    let (_, text) = sandbox.shows("failed", "ledger-unwritable");
    assert!(text.contains("is damaged"), "{text}");
    assert_eq!(sandbox.exec(&["cat", "/home/iteron/runs"]).good(), "run\n");
    // A boot that isn't given the script reads the same record.
    sandbox.exec(&["env", "-u", "MINT_USER_BOOTSTRAP", "agent", "boot"]);
    assert_eq!(sandbox.status().state(), "failed");
}

/// An init that somebody starts in the sandbox has a life of its own.
#[test]
fn an_init_within_the_sandbox_does_not_change_its_status() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete");
    sandbox.exec(&["agent", "init", "--", "true"]).good();
    assert_eq!(sandbox.status().state(), "complete");
}
