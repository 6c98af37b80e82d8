//! A disk that is blank, used, slow, grown, in use, or somewhere else.

use crate::machine::{Loop, MIB, Machine, TARGET, ready};
use crate::util::NOBODY;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

const FORMAT: &str = "format = true";

#[test]
fn a_blank_disk_is_formatted_once_and_mounted_at_every_boot() {
    if !ready() {
        return;
    }
    let machine =
        Machine::new(600 * MIB).ebs(FORMAT, "[home]\nlinks = { projects = \"/mnt/projects\" }");
    let look = format!(
        "stat -c %u:%g {TARGET}; stat -fc %T {TARGET}; echo kept >{TARGET}/file; cat /etc/fstab; agent boot"
    );
    let first = machine.boot(&look).is("complete");
    assert!(first.stdout.starts_with(&format!("{NOBODY}:{NOBODY}\next2/ext3\n")), "{first:#?}");
    let fstab = machine.fstab();
    let line = fstab.lines().last().unwrap();
    assert!(
        line.starts_with("UUID=") && line.ends_with(" /mnt/projects ext4 defaults,nofail 0 2"),
        "{fstab}"
    );
    let again = machine.boot(&format!("cat {TARGET}/file")).is("complete");
    assert_eq!(again.stdout, "kept\n");
    assert_eq!(machine.fstab(), fstab, "written again");
    // What the agent wrote is what mount(8) and systemd read.
    let by_mount =
        machine.run(&format!("mkdir {TARGET}; mount {TARGET} && cat {TARGET}/file && agent boot"));
    assert!(by_mount.expect(0).stdout.starts_with("kept\n"));
    assert_eq!(
        fs::read_link(machine.dir.path().join("home/projects")).unwrap().to_str(),
        Some(TARGET)
    );
}

#[test]
fn a_blank_disk_is_left_alone_where_formatting_is_not_allowed() {
    if !ready() {
        return;
    }
    let machine = Machine::new(64 * MIB).ebs("", "");
    let said = machine.boot("true").is("failed").problem("ebs-blank");
    assert!(said.contains("format = true"), "{said}");
    assert!(fs::read(machine.image()).unwrap().iter().all(|b| *b == 0), "it was written to");
    assert_eq!(machine.fstab(), "");
}

#[test]
fn a_disk_that_never_comes_is_named_with_those_that_are_there() {
    if !ready() {
        return;
    }
    let config = "[[volume]]\ntarget = \"/mnt/projects\"\n[volume.ebs]\ndevice = \"vol-0123456789abcdef0\"\nwait = \"300ms\"\n";
    let machine = Machine::new(64 * MIB).config(config);
    let boot = machine.boot("true").is("failed");
    let said = boot.problem("ebs-missing");
    let name = machine.disk.0.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(&format!("{name} 64.0 MiB")), "{said}");
    assert!(boot.took < Duration::from_secs(10), "{boot:#?}");
}

/// The device file of a loop device is there before anything is attached to it.
#[test]
fn a_disk_that_comes_late_is_waited_for() {
    if !ready() {
        return;
    }
    let machine = Machine::new(64 * MIB);
    let image = machine.dir.path().join("late.img");
    fs::File::create(&image).unwrap().set_len(64 * MIB).unwrap();
    let late = Loop::attach(&image).unwrap();
    let device = late.0.display().to_string();
    drop(late);
    let config = format!(
        "[[volume]]\ntarget = \"/mnt/projects\"\nmin_free = 0\n[volume.ebs]\ndevice = \"{device}\"\nformat = true\nwait = \"20s\"\n"
    );
    let machine = machine.config(&config);
    let ended = machine.run(&format!(
        "(sleep 1; losetup {device} {}) & agent boot; umount /mnt/projects; losetup --detach {device}",
        image.display()
    ));
    let ended = ended.expect(0).says("made ext4 on it");
    assert!(ended.took >= Duration::from_secs(1), "{ended:#?}");
}

/// ext4 wants CAP_SYS_RESOURCE of who grows it (`EXT4_IOC_RESIZE_FS`); where tests have not got
/// it, the agent has to say so.
#[test]
fn a_disk_that_was_enlarged_has_its_file_system_grown() {
    if !ready() {
        return;
    }
    let machine = enlarged("");
    let boot = machine.boot(&format!("stat -fc %b {TARGET}"));
    if has_sys_resource() {
        boot.is("complete").notes("grew /mnt/projects from 256.0 MiB");
        let again = machine.boot("true").is("complete");
        assert!(!again.status.to_string().contains("grew"), "{again:#?}");
    } else {
        let said = boot.is("degraded").problem("ebs-grow-failed");
        assert!(said.contains("lacks CAP_SYS_RESOURCE"), "{said}");
    }
    let left = enlarged("grow = false").boot("true").is("complete");
    assert!(!left.status.to_string().contains("grew"), "{left:#?}");
}

/// An ext4 of half its disk.
fn enlarged(keys: &str) -> Machine {
    let machine = Machine::new(256 * MIB).tool("mkfs.ext4", &["-q"]).ebs(keys, "");
    enlarge(&machine, 512 * MIB);
    machine
}

fn enlarge(machine: &Machine, size: u64) {
    fs::OpenOptions::new().write(true).open(machine.image()).unwrap().set_len(size).unwrap();
    assert!(Command::new("losetup").arg("-c").arg(&machine.disk.0).status().unwrap().success());
}

fn has_sys_resource() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let bits = status.lines().find_map(|l| l.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(bits.trim(), 16).unwrap() & (1 << 24) != 0
}

#[test]
fn xfs_is_mounted_and_grown_and_never_made() {
    if !ready() {
        return;
    }
    let machine = Machine::new(400 * MIB).tool("mkfs.xfs", &["-q", "-K"]).ebs(FORMAT, "");
    enlarge(&machine, 500 * MIB);
    let boot = machine.boot(&format!("stat -fc %T {TARGET}")).is("complete").notes("grew");
    assert_eq!(boot.stdout, "xfs\n");
    assert!(
        machine.fstab().ends_with(" /mnt/projects xfs defaults,nofail 0 0\n"),
        "{}",
        machine.fstab()
    );
}

#[test]
fn a_disk_that_is_mounted_elsewhere_is_not_touched() {
    if !ready() {
        return;
    }
    let machine = Machine::new(64 * MIB).tool("mkfs.ext4", &["-q"]).ebs(FORMAT, "");
    let device = machine.disk.0.display();
    let ended = machine
        .run(&format!("mkdir /mnt/other; mount {device} /mnt/other; agent boot; agent status"));
    let ended = ended.expect(1);
    assert!(ended.stdout.contains("is mounted at /mnt/other, not at /mnt/projects"), "{ended:#?}");
}

#[test]
fn a_disk_that_something_else_holds_is_not_touched() {
    if !ready() {
        return;
    }
    let machine = Machine::new(64 * MIB).ebs(FORMAT, "");
    // As fsck and mkfs hold it: open exclusively.
    let hold = format!(
        "python3 -c 'import os, time; f = os.open(\"{}\", os.O_RDONLY | os.O_EXCL); print(f, flush=True); time.sleep(60)' & sleep 1; agent boot; agent status; kill $!",
        machine.disk.0.display()
    );
    let ended = machine.run(&hold);
    assert!(ended.stdout.contains("is in use by something; it is not touched"), "{ended:#?}");
    assert!(fs::read(machine.image()).unwrap().iter().all(|b| *b == 0), "it was written to");
}

#[test]
fn something_else_at_the_mount_point_is_named_and_left() {
    if !ready() {
        return;
    }
    let machine = Machine::new(64 * MIB).tool("mkfs.ext4", &["-q"]).ebs(FORMAT, "");
    let ended = machine
        .run(&format!("mkdir {TARGET}; mount -t tmpfs other {TARGET}; agent boot; agent status"));
    let ended = ended.expect(1);
    assert!(
        ended.stdout.contains("/mnt/projects is tmpfs from other, not /dev/loop"),
        "{ended:#?}"
    );
}

#[test]
fn a_foreign_line_of_fstab_degrades_and_stays() {
    if !ready() {
        return;
    }
    let machine = Machine::new(64 * MIB).ebs(FORMAT, "");
    let line = "/dev/sdz /mnt/projects ext4 noatime 0 0\n";
    fs::File::create(machine.dir.path().join("etc/fstab"))
        .unwrap()
        .write_all(line.as_bytes())
        .unwrap();
    let boot = machine.boot(&format!("stat -fc %T {TARGET}")).is("degraded");
    boot.problem("fstab-foreign");
    assert_eq!(boot.stdout, "ext2/ext3\n", "it is mounted all the same");
    assert_eq!(machine.fstab(), line);
}

#[test]
fn a_way_that_the_user_can_change_is_not_walked() {
    if !ready() {
        return;
    }
    let machine = Machine::new(64 * MIB);
    let home = machine.dir.path().join("home");
    let config = format!(
        "[[volume]]\ntarget = \"{}/data\"\n[volume.ebs]\ndevice = \"{}\"\nformat = true\n",
        home.display(),
        machine.disk.0.display()
    );
    let machine = machine.config(&config);
    let said = machine.boot("true").is("failed").problem("volume-target-open");
    assert!(said.contains("others than root"), "{said}");
    assert!(fs::read(machine.image()).unwrap().iter().all(|b| *b == 0), "it was written to");
}
