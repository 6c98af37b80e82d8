//! A disk that holds something else, or that might: byte for byte the same afterwards, although
//! the configuration allows formatting.

use crate::machine::{MIB, Machine, ready};
use std::fs;

/// Boots with formatting allowed.
#[track_caller]
fn untouched(machine: Machine, code: &str) -> String {
    let machine = machine.ebs("format = true", "");
    let before = fs::read(machine.image()).unwrap();
    let said = machine.boot("true").is("failed").problem(code);
    assert!(fs::read(machine.image()).unwrap() == before, "it was written to");
    assert_eq!(machine.fstab(), "");
    said
}

#[test]
fn what_other_programs_made_is_named_and_left() {
    if !ready() {
        return;
    }
    let disk = || Machine::new(128 * MIB);
    for (machine, name) in [
        (disk().tool("mkswap", &[]), "swap"),
        (disk().tool("mkfs.btrfs", &["-q", "-f", "-K"]), "btrfs"),
        (disk().write(0, b"LUKS\xba\xbe\x00\x01aes"), "crypto_LUKS"),
        (
            disk().write(0, b"hsqs\x01\0\0\0\0\0\0\0\0\0\x02\0\x01\0\x11\0\xc0\0\x01\0\x04\0\0\0"),
            "squashfs",
        ),
    ] {
        let said = untouched(machine, "ebs-foreign");
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_partition_table_is_content() {
    if !ready() {
        return;
    }
    let entry = [0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0];
    let machine = Machine::new(64 * MIB).write(446, &entry).write(510, b"\x55\xaa");
    let said = untouched(machine, "ebs-foreign");
    assert!(said.contains("a partition table (dos)"), "{said}");

    // Without a partition in it: the table alone is somebody's.
    let table = "echo 'label: gpt' | sfdisk --quiet \"$0\"";
    let said = untouched(Machine::new(64 * MIB).tool("sh", &["-c", table]), "ebs-foreign");
    assert!(said.contains("a partition table (gpt)"), "{said}");
}

#[test]
fn one_byte_that_nobody_knows_is_content() {
    if !ready() {
        return;
    }
    for at in [0, 30 * MIB + 5, 64 * MIB - 1] {
        let said = untouched(Machine::new(64 * MIB).write(at, b"\x01"), "ebs-not-blank");
        assert!(said.contains(&format!("byte {at} is not zero")), "{said}");
    }
}

#[test]
fn a_file_system_whose_signatures_were_wiped_is_content() {
    if !ready() {
        return;
    }
    let machine = Machine::new(256 * MIB).tool("mkfs.ext4", &["-q"]).tool("wipefs", &["-q", "-a"]);
    untouched(machine, "ebs-not-blank");
}
