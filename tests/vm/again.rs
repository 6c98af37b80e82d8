//! The machine image beyond its first boot: stopped and started, re-imaged with its volume kept,
//! and another instance on the same disk. The script runs once an instance and content, the
//! volume's data stay, and what tells machines apart changes with the instance alone.

use crate::guest_duties::{identity, login, make_key};
use crate::instance::{BOOT, Instance, rendered};
use crate::rig::machine::Machine;
use crate::rig::{Variant, ready};
use crate::util::fresh;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// One line an instance on the root, and one on the volume.
const SCRIPT: &str =
    "#!/bin/sh\ntee -a ~/ran </sys/class/dmi/id/board_asset_tag >>/mint/projects/ran\n";

const VOLUME: &str = "vol-0aaaabbbbccccdddd";

const CONFIG: &str = "[[step]]\nname = \"always\"\ncommand = \"echo always >>/srv/steps\"\n\
                      [[step]]\nname = \"once\"\nrun = \"once\"\ncommand = \"echo once >>/srv/steps\"\n\
                      [[volume]]\ntarget = \"/mint/projects\"\nowned = true\nchown = true\nmin_free = \"1MiB\"\n\
                      [volume.ebs]\nformat = true\n";

#[test]
fn stopped_and_started_re_imaged_and_another_instance_on_the_disk() {
    if !ready(Variant::Ami) {
        return;
    }
    let keys = fresh();
    let key = make_key(keys.path(), "key");
    let mut old = launched(keys.path(), &key);
    let volume = old.machine.disk(VOLUME, 96);
    old.machine.attach(&volume);
    let status = old.start();
    let first = lives(&mut old, &status);
    let began = [old.id.clone()];
    ran(&mut old, &began, &began);
    assert_eq!(old.machine.read("/srv/steps"), "always\nonce\n");

    // Stopped and started: on another computer, for EC2; with a larger disk, for its owner.
    old.machine.power_off();
    old.machine.grow_root(3072);
    let status = old.start();
    assert_eq!(lives(&mut old, &status), first);
    ran(&mut old, &began, &began);
    assert_eq!(old.machine.read("/srv/steps"), "always\nonce\nalways\n");
    let size = old.machine.run("df --output=size -BM / | tail -1 | tr -dc 0-9").stdout;
    assert!(size.parse::<u32>().unwrap() > 2700, "the disk has not grown: {size}\n{status:#}");
    old.machine.power_off();

    // Re-imaged: a new instance of the image, to which the old one's volume is attached.
    let mut new = launched(keys.path(), &key);
    new.machine.attach(&volume);
    let status = new.start();
    let second = lives(&mut new, &status);
    assert!(first.iter().zip(&second).all(|(a, b)| a != b), "{first:?} {second:?}");
    let both = [old.id.clone(), new.id.clone()];
    ran(&mut new, &both[1..], &both);
    assert_eq!(new.machine.read("/srv/steps"), "always\nonce\n");
    new.machine.power_off();
    drop(new);

    // Another instance on the first one's disk, and on the volume.
    old.becomes_another();
    let status = old.start();
    let third = lives(&mut old, &status);
    for before in [&first, &second] {
        assert!(third.iter().zip(before).all(|(a, b)| a != b), "{third:?} {before:?}");
    }
    let [one, two] = both;
    let three = old.id.clone();
    ran(&mut old, &[one.clone(), three.clone()], &[one, two, three]);
    assert_eq!(old.machine.read("/srv/steps"), "always\nonce\nalways\nalways\nonce\n");
    old.machine.power_off();
}

/// A launch of the image with this key.
#[track_caller]
fn launched(keys: &Path, key: &str) -> Instance {
    let user_data = rendered(SCRIPT, &["--project-dev", VOLUME]);
    let mut ec2 = Instance::as_baked(Machine::with_agent(Variant::Ami), &user_data);
    ec2.machine.put("/etc/agent/conf.d/50-volume.toml", CONFIG, 0o644);
    ec2.machine.put("/root/key", fs::read(keys.join("key")).unwrap(), 0o600);
    ec2.service.change(json!({"ssh_key": key}));
    ec2
}

/// It is complete, and its owner gets in; what tells it from others.
#[track_caller]
fn lives(ec2: &mut Instance, status: &Value) -> [String; 2] {
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(status["machine"]["instance"], ec2.id);
    assert_eq!(ec2.tags()["mint:bootstrap"], "complete");
    ec2.machine.wait_for("systemctl -q is-active ssh.service", BOOT);
    let ended = ec2.machine.run(&login("admin", "id -un; findmnt -no FSTYPE /mint/projects"));
    assert_eq!(ended.stdout, "admin\next4\n", "{ended:#?}");
    identity(ec2)
}

/// The script has run for these instances on the root, and for those on the volume.
#[track_caller]
fn ran(ec2: &mut Instance, root: &[String], volume: &[String]) {
    let lines = |all: &[String]| all.join("\n") + "\n";
    assert_eq!(ec2.machine.read("/home/admin/ran"), lines(root));
    assert_eq!(ec2.machine.read("/mint/projects/ran"), lines(volume));
}
