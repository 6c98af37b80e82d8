//! The machine image as it is shipped (`image/ami`): it starts by its own firmware, becomes an
//! instance that its owner can log into. What becomes of it later, and of its clones: `again`.

use crate::guest_duties::{identity, login, make_key};
use crate::instance::{BOOT, Instance};
use crate::rig::machine::Machine;
use crate::rig::{Variant, ready};
use crate::util::fresh;
use serde_json::json;
use std::fs;
use std::path::Path;

#[test]
fn the_baked_image_starts_by_itself_and_its_owner_gets_in() {
    if !ready(Variant::Ami) {
        return;
    }
    let keys = fresh();
    let key = make_key(keys.path(), "key");
    let mut first = launched(keys.path(), &key);
    first.machine.by_firmware();
    first.machine.grow_root(3072);
    let status = first.start();
    assert_eq!(status["state"], "complete", "{status:#}");
    logs_in(&mut first);
    let size = first.machine.run("df --output=size -BM / | tail -1 | tr -dc 0-9").stdout;
    assert!(size.parse::<u32>().unwrap() > 2700, "the disk has not grown: {size}\n{status:#}");
    // What the image starts, it can start, and nothing waits for what isn't there.
    first.machine.run("systemctl --failed --no-legend | grep .").expect(1);
    let active = "systemctl is-active agent-boot agent-idle.timer agent-complete.target ssh \
                  systemd-networkd systemd-resolved systemd-timesyncd";
    first.machine.run(active).expect(0);
    let absent = first.machine.run("command -v cloud-init; ls -d /etc/cloud /var/lib/cloud");
    assert_eq!(absent.stdout, "");
    let one = identity(&mut first);
    first.machine.reboot();
    let status = first.settled();
    assert_eq!((&status["state"], identity(&mut first)), (&json!("complete"), one));
    logs_in(&mut first);
    first.machine.power_off();
}

/// A launch of the image with this key.
#[track_caller]
fn launched(keys: &Path, key: &str) -> Instance {
    let mut ec2 = Instance::as_baked(Machine::with_agent(Variant::Ami), "");
    ec2.machine.put("/root/key", fs::read(keys.join("key")).unwrap(), 0o600);
    ec2.service.change(json!({"ssh_key": key}));
    ec2
}

#[track_caller]
fn logs_in(ec2: &mut Instance) {
    ec2.machine.wait_for("systemctl -q is-active ssh.service", BOOT);
    let ended = ec2.machine.run(&login("admin", "id -un; sudo -n id -u; git --version"));
    assert!(ended.stdout.starts_with("admin\n0\ngit version"), "{ended:#?}");
}
