//! One machine's life: its first boot with everything in it, a power cut, another instance
//! on the same disk.

use crate::instance::{Instance, rendered};
use crate::rig::{Variant, ready};
use serde_json::json;

/// The script leaves what it found, and a word that nobody else may ever see.
const SCRIPT: &str = "#!/bin/bash
# secret-in-the-script-4711
{
    id -un; pwd; echo \"$HOME $MINT_VM_NAME $MINT_IDLE_TIMEOUT\"
    git_key=$GIT_CONFIG_VALUE_0; echo \"$git_key\"
    stat -fc %T /mint/user /mint/projects; readlink ~/projects; stat -c %a ~/.ssh
    cat /run/provisioned
    echo \"${NOTIFY_SOCKET-none} ${MINT_USER_BOOTSTRAP-none}\"
    stat -c '%a %U' \"$0\"
} >>~/ran 2>&1
cut -d' ' -f1 /proc/uptime >>~/runs
";

const CONFIG: &str = r#"
[user]
name = "ubuntu"

[[step]]
name = "once"
run = "once"
command = "echo once >>/root/steps"

[[step]]
name = "always"
command = "echo always >>/root/steps; echo provisioned >/run/provisioned"

[[volume]]
target = "/mint/user"
writable = false
[volume.efs]
address = "127.0.0.1"

[[volume]]
target = "/mint/projects"
owned = true
chown = true
min_free = "1MiB"
[volume.ebs]
format = true

[home]
private = [".ssh"]
links = { projects = "/mint/projects" }

[tools]
enabled = "off"

[health]
commands = ["curl"]
services = ["systemd-networkd.service"]
files = ["/etc/wanted"]
"#;

#[test]
fn first_boot_power_cut_and_another_instance() {
    if !ready(Variant::Plain) {
        return;
    }
    let options = ["--efs-id", "fs-0123456789abcdef0", "--project-dev", "vol-0aaaabbbbccccdddd"];
    let more = ["--vm-name", "box", "--idle-timeout", "45"];
    let user_data = rendered(SCRIPT, &[options, more].concat());
    let mut ec2 = Instance::new(CONFIG, &user_data);
    let volume = ec2.machine.disk("vol-0aaaabbbbccccdddd", 96);
    ec2.machine.attach(&volume);
    ec2.machine.put("/etc/wanted", "", 0o644);
    ec2.machine.put(
        "/etc/systemd/system/rig-nfs.service.d/order.conf",
        "[Unit]\nBefore=remote-fs-pre.target agent-boot.service\nWants=remote-fs-pre.target\n",
        0o644,
    );
    ec2.machine.enable("rig-nfs.service", "multi-user.target");
    // A unit of somebody else's that needs the finished machine.
    ec2.machine.put(
        "/etc/systemd/system/after.service",
        "[Unit]\nRequires=agent-complete.target\nAfter=agent-complete.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'agent status --allow-degraded >/run/after'\n",
        0o644,
    );
    ec2.machine.enable("after.service", "multi-user.target");
    // The session's token is refused in the middle, and the service takes its time.
    ec2.service.faults(json!([
        {"do": "status", "status": 401, "only": "GET /latest/user-data", "times": 1},
        {"do": "slow", "seconds": 1, "only": "PUT"},
    ]));

    let status = ec2.start();
    first_boot(&mut ec2, &status);

    // The power goes while the volume is written to; meanwhile the volume was enlarged and
    // something that must be there was lost.
    ec2.machine.run("sync; rm /etc/wanted; sync /etc").expect(0);
    ec2.machine.run(
        "(while :; do echo x >>/mint/projects/busy; sync /mint/projects/busy; done) & sleep 2",
    );
    ec2.machine.cut_power();
    let dirty = volume.tool("dumpe2fs", &["-h"]);
    assert!(dirty.contains("needs_recovery"), "the power cut left nothing to recover: {dirty}");
    volume.grow(160);
    let status = ec2.start();
    after_the_cut(&mut ec2, &status);
    ec2.machine.put("/etc/wanted", "", 0o644);
    ec2.machine.power_off();

    ec2.becomes_another();
    let status = ec2.start();
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(status["boot"]["instance"], ec2.id);
    assert_eq!(status["script"]["attempt"], 1, "{status:#}");
    assert_eq!(ec2.machine.run("wc -l <~ubuntu/runs; grep -c once /root/steps").stdout, "2\n2\n");
    assert_eq!(ec2.tags()["mint:bootstrap"], "complete");
    ec2.machine.power_off();
}

#[track_caller]
fn first_boot(ec2: &mut Instance, status: &serde_json::Value) {
    let log = ec2.machine.run("journalctl -b -t agent --no-pager -o cat").stdout;
    assert_eq!(status["state"], "complete", "{status:#}\n{log}");
    let ran = ec2.machine.read("/home/ubuntu/ran");
    let ran: Vec<&str> = ran.lines().collect();
    assert_eq!(
        ran,
        [
            "ubuntu",
            "/home/ubuntu",
            "/home/ubuntu box 45",
            "git@github.com:",
            "nfs",
            "ext2/ext3",
            "/mint/projects",
            "700",
            "provisioned",
            "none none",
            "500 ubuntu"
        ],
        "what the script found"
    );
    assert_eq!(status["machine"]["instance"], ec2.id);
    assert_eq!(status["machine"]["region"], crate::util::moto::REGION);

    let tags = ec2.tags();
    assert_eq!(tags["mint:bootstrap"], "complete");
    assert_eq!(tags["mint:health"], "healthy");
    assert!(!tags.contains_key("mint:bootstrap-failure-phase"), "{tags:?}");
    let text = ec2.text();
    assert!(text.starts_with("complete\n"), "{text}");
    assert!(text.contains("tag          mint:bootstrap = complete"), "{text}");
    // One token was refused, and one taken anew; nothing was asked without one.
    assert_eq!(ec2.service.count("PUT /latest/api/token"), 3, "{:#?}", ec2.service.requests());

    let units = "systemctl is-active agent-boot.service agent-complete.target after.service; cat /run/after";
    let units = ec2.machine.run(units).stdout;
    assert!(units.starts_with("active\nactive\nactive\ncomplete\n"), "{units}");
    let shown = ec2.machine.run("systemctl status agent-boot.service --no-pager").stdout;
    assert!(shown.contains("Status: \"complete\""), "{shown}");
    assert!(log.contains("complete"), "{log}");
    let mounts = ec2.machine.run(
        "findmnt -no OPTIONS /mint/user; stat -c %U /mint/projects; blkid -s LABEL -o value /dev/nvme1n1; \
         systemd-analyze verify agent-boot.service agent-tags.service agent-complete.target 2>&1 | grep agent-",
    );
    assert!(mounts.stdout.contains("vers=4.1") && mounts.stdout.contains("hard"), "{mounts:?}");
    assert!(mounts.stdout.contains("\nubuntu\nprojects\n"), "{mounts:?}");
    let fstab = ec2.machine.read("/etc/fstab");
    assert!(fstab.contains(" /mint/user nfs4 ") && fstab.contains("_netdev"), "{fstab}");
    assert!(fstab.contains(" /mint/projects ext4 defaults,nofail 0 2\n"), "{fstab}");

    // The script's word is in its own file and nowhere else.
    let found = ec2.machine.run(
        "grep -rlsa secret-in-[t]he-script /run /var/lib /var/log /etc /home /tmp /root /dev/shm; \
         journalctl -b --no-pager | grep -c secret-in-[t]he; grep -ls secret-in-[t]he /proc/[0-9]*/environ /proc/[0-9]*/cmdline; true",
    );
    assert_eq!(found.stdout.trim(), "0", "{found:?}");
}

#[track_caller]
fn after_the_cut(ec2: &mut Instance, status: &serde_json::Value) {
    assert_eq!(status["state"], "degraded", "{status:#}");
    assert_eq!(status["phase"], "drift-check", "{status:#}");
    assert!(status["summary"].as_str().unwrap().contains("/etc/wanted"), "{status:#}");
    // Degraded has ended well, for systemd too.
    let units = ec2.machine.run("systemctl is-active agent-boot agent-complete.target after");
    assert_eq!(units.stdout, "active\nactive\nactive\n");
    let seen = ec2.machine.run(
        "wc -l <~ubuntu/runs; grep -c once /root/steps; grep -c always /root/steps; \
         stat -fc %T /mint/user /mint/projects; grep -c /mint /etc/fstab; \
         df --output=size -BM /mint/projects | tail -1 | tr -dc 0-9",
    );
    let lines: Vec<&str> = seen.stdout.lines().collect();
    assert_eq!(lines[..6], ["1", "1", "2", "nfs", "ext2/ext3", "2"], "{seen:?}");
    assert!(lines[6].parse::<u32>().unwrap() > 120, "the file system has not grown: {seen:?}");
    assert_eq!(ec2.tags()["mint:health"], "degraded");
    assert_eq!(ec2.tags()["mint:bootstrap"], "complete");
}
