//! File systems that were not unmounted, or are damaged.

use crate::machine::{MIB, Machine, TARGET, ready};
use std::fs;
use std::process::Command;

fn debugfs(machine: &Machine, command: &str) {
    let ended = Command::new("debugfs").args(["-w", "-R", command]).arg(&machine.disk.0).output();
    assert!(ended.unwrap().status.success(), "{command}");
}

fn ext4() -> Machine {
    Machine::new(64 * MIB).tool("mkfs.ext4", &["-q"]).ebs("format = true", "")
}

#[test]
fn a_file_system_with_an_error_that_can_be_corrected_is_corrected_first() {
    if !ready() {
        return;
    }
    let machine = ext4();
    debugfs(&machine, "set_super_value free_blocks_count 7");
    debugfs(&machine, "set_super_value state 2");
    machine.boot(&format!("touch {TARGET}/x")).is("complete").notes("e2fsck corrected /dev/loop");
    let again = machine.boot("true").is("complete");
    assert!(!again.status.to_string().contains("corrected"), "{again:#?}");
}

/// The image is copied while it is mounted: as a power cut leaves it.
#[test]
fn a_journal_that_was_not_replayed_is_replayed() {
    if !ready() {
        return;
    }
    let machine = ext4();
    let copy = machine.dir.path().join("copy.img");
    let cut = format!(
        "echo kept >{TARGET}/file; sync; cp --sparse=always {} {}",
        machine.disk.0.display(),
        copy.display()
    );
    machine.boot(&cut).is("complete");
    let dirty = Command::new("dumpe2fs").arg("-h").arg(&copy).output().unwrap();
    assert!(String::from_utf8_lossy(&dirty.stdout).contains("needs_recovery"), "{dirty:?}");
    fs::remove_file(machine.dir.path().join("etc/fstab")).unwrap();
    let bytes = fs::read(&copy).unwrap();
    let machine = machine.write(0, &bytes);
    let boot = machine.boot(&format!("cat {TARGET}/file")).is("complete");
    assert_eq!(boot.stdout, "kept\n");
}

#[test]
fn a_file_system_that_only_a_person_can_correct_is_not_mounted() {
    if !ready() {
        return;
    }
    let machine = ext4();
    debugfs(&machine, "clri <2>");
    debugfs(&machine, "set_super_value state 2");
    let boot = machine.boot(&format!("mountpoint -q {TARGET} || echo not mounted")).is("failed");
    let said = boot.problem("ebs-fsck");
    assert!(said.contains("e2fsck -f /dev/loop") && said.contains("volume.log"), "{said}");
    assert_eq!(boot.stdout, "not mounted\n");
    assert_eq!(machine.fstab(), "");
}
