//! Disks that must not be touched, disks that come late, and a file server that is dead.

use crate::instance::{BOOT, Instance, problem, rendered};
use crate::rig::{Variant, ready};
use std::thread;
use std::time::Duration;

fn ebs(volume: &str, more: &str) -> String {
    format!(
        "[user]\nname = \"ubuntu\"\n[tools]\nenabled = \"off\"\n[[volume]]\ntarget = \"/mint/projects\"\nowned = true\nchown = true\nmin_free = \"1MiB\"\n\
         [volume.ebs]\ndevice = \"{volume}\"\nwait = \"60s\"\n{more}\n"
    )
}

#[test]
fn foreign_disks_stay_as_they_are_late_ones_are_waited_for_and_a_dead_server_hangs_nothing() {
    if !ready(Variant::Plain) {
        return;
    }
    let mut ec2 = Instance::new(&ebs("vol-0000000000000001", "format = true"), &rendered("", &[]));
    let foreign = ec2.machine.disk("vol-0000000000000001", 64);
    // Another system's: a signature that no file system of Linux has.
    foreign.write(0, b"\xebR\x90NTFS    ");
    foreign.write(1 << 20, b"somebody's data");
    let late = ec2.machine.disk("vol-0000000000000003", 64);
    ec2.machine.attach(&foreign);
    let before = foreign.digest();
    let silent = ec2.machine.network().silent(2049);

    let status = ec2.start();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["failure_phase"], "volume");
    assert!(problem(&status, "volume").starts_with("ebs-"), "{status:#}");
    assert_eq!(ec2.tags()["mint:bootstrap-failure-phase"], "volume");

    late_disk(&mut ec2, &late);
    dead_server(&mut ec2, &silent);
    ec2.machine.power_off();
    assert_eq!(foreign.digest(), before, "a foreign disk was written to");
}

#[track_caller]
fn late_disk(ec2: &mut Instance, late: &crate::rig::disk::Disk) {
    ec2.configure(&ebs(late.volume(), "format = true"));
    ec2.machine.run("systemctl restart --no-block agent-boot.service").expect(0);
    ec2.machine.wait_for("agent status | grep -q 'running: volume'", BOOT);
    thread::sleep(Duration::from_secs(3));
    ec2.machine.attach(late);
    ec2.machine.wait_for("! agent status | grep -q ^running", BOOT);
    let status = ec2.machine.run("agent status --json").json();
    assert_eq!(status["state"], "complete", "{status:#}");
    ec2.machine.run("mountpoint -q /mint/projects").expect(0);
}

#[track_caller]
fn dead_server(ec2: &mut Instance, silent: &str) {
    ec2.configure(&format!(
        "[user]\nname = \"ubuntu\"\n[tools]\nenabled = \"off\"\n[[volume]]\ntarget = \"/mint/user\"\nwritable = false\n\
         [volume.efs]\nid = \"fs-0123456789abcdef0\"\naddress = \"{silent}\"\ndeadline = \"10s\"\n"
    ));
    let status = ec2.boot();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["failure_phase"], "efs-mount", "{status:#}");
    assert_eq!(ec2.tags()["mint:bootstrap-failure-phase"], "efs-mount");
}
