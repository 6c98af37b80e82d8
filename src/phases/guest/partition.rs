//! Where the root file system lies, as the kernel tells it in `/sys` (sysfs-block,
//! proc_pid_mountinfo(5)): on which partition of which disk, and what is free behind it.

use crate::sys::mounts::Mount;
use nix::sys::stat::{major, minor};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A sector of `/sys`, whatever the disk's own are.
const SECTOR: u64 = 512;

/// What is left free behind the last partition: the second copy of a GPT takes 33 sectors, and
/// partitions end at a whole MiB where a tool has laid them.
const LEAST: u64 = 1 << 20;

/// A root file system that can be grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The device of the file system, in /dev.
    pub(super) node: PathBuf,
    /// Its name in the kernel.
    pub(super) name: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// The partition that it is; `None` where it is a whole disk.
    pub(super) partition: Option<Partition>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its number.
    pub(super) number: u32,
    /// The disk's device, in /dev.
    pub(super) disk: PathBuf,
    /// What is free behind it up to the disk's end or the next partition, in bytes.
    pub(super) free: u64,
    /// Another one lies behind it.
    pub(super) followed: bool,
}

impl Partition {
    /// Can it be made larger?
    pub(super) fn has_room(&self) -> bool {
        !self.followed && self.free >= LEAST
    }
}

/// Finds the place of what is mounted at `/`.
///
/// # Errors
/// Why there is none that can be grown.
pub(super) fn of(root: &Mount, sys: &Path) -> Result<Place, String> {
    let (major, minor) = match root.device {
        (0, _) => device_of(Path::new(&root.source)).ok_or_else(|| {
            format!("the root is {} from {}, on no disk of its own", root.fstype, root.source)
        })?,
        numbers => numbers,
    };
    let link = sys.join(format!("dev/block/{major}:{minor}"));
    let here = fs::canonicalize(&link).map_err(|e| format!("{}: {e}", link.display()))?;
    let read = |e: io::Error| format!("{}: {e}", here.display());
    if here.join("dm").is_dir() || here.join("md").is_dir() {
        return Err(
            "the root lies on LVM, encryption or RAID, whose parts are the operator's to grow"
                .into(),
        );
    }
    let size = number(&here.join("size")).map_err(read)?.saturating_mul(SECTOR);
    let (name, node) = names(&here).map_err(read)?;
    if !here.join("partition").exists() {
        return Ok(Place { node, name, size, partition: None });
    }
    let disk = here.parent().ok_or("it has no disk")?;
    let partition = partition(&here, disk).map_err(read)?;
    Ok(Place { node, name, size, partition: Some(partition) })
}

fn partition(here: &Path, disk: &Path) -> io::Result<Partition> {
    let end = number(&here.join("start"))?.saturating_add(number(&here.join("size"))?);
    let mut next = None;
    for entry in fs::read_dir(disk)?.flatten() {
        if entry.path().join("partition").exists() && entry.path() != here {
            let start = number(&entry.path().join("start"))?;
            if start >= end {
                next = Some(next.map_or(start, |n: u64| n.min(start)));
            }
        }
    }
    let limit = next.map_or_else(|| number(&disk.join("size")), Ok)?;
    let (_, node) = names(disk)?;
    Ok(Partition {
        number: u32::try_from(number(&here.join("partition"))?).unwrap_or_default(),
        disk: node,
        free: limit.saturating_sub(end).saturating_mul(SECTOR),
        followed: next.is_some(),
    })
}

/// btrfs has a device number of its own; what it was mounted from tells.
fn device_of(source: &Path) -> Option<(u32, u32)> {
    let meta = fs::metadata(source).ok()?;
    let numbers = (major(meta.rdev()) as u32, minor(meta.rdev()) as u32);
    meta.file_type().is_block_device().then_some(numbers)
}

/// The name of a device in the kernel, and its node in /dev.
fn names(device: &Path) -> io::Result<(String, PathBuf)> {
    let text = fs::read_to_string(device.join("uevent"))?;
    let node = text.lines().find_map(|l| l.strip_prefix("DEVNAME="));
    let node = node.ok_or_else(|| io::Error::other("it has no name in /dev"))?;
    let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((name, Path::new("/dev").join(node)))
}

fn number(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    text.trim().parse().map_err(|_| io::Error::other(format!("{} is no number", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::mount;

    /// A disk of 8 GiB with the partitions of Ubuntu's image: the root is the first by its number and
    /// the last by its place.
    fn sys(more: &[(&str, u64, u64)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("devices/nvme0n1");
        let put = |path: PathBuf, text: String| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(disk.join("size"), "16777216\n".into());
        put(disk.join("uevent"), "MAJOR=259\nDEVNAME=nvme0n1\n".into());
        let ours = ("nvme0n1p1", 227_328, 4_194_304);
        let others = [("nvme0n1p14", 2048, 8192), ("nvme0n1p15", 10_240, 217_088)];
        for (name, start, size) in [ours].iter().chain(&others).chain(more) {
            let here = disk.join(name);
            put(here.join("start"), format!("{start}\n"));
            put(here.join("size"), format!("{size}\n"));
            put(here.join("partition"), name.trim_start_matches("nvme0n1p").into());
            put(here.join("uevent"), format!("DEVNAME={name}\n"));
        }
        let numbers = dir.path().join("dev/block");
        fs::create_dir_all(&numbers).unwrap();
        std::os::unix::fs::symlink(disk.join("nvme0n1p1"), numbers.join("259:1")).unwrap();
        std::os::unix::fs::symlink(&disk, numbers.join("259:0")).unwrap();
        dir
    }

    fn root(device: (u32, u32)) -> Mount {
        Mount { device, ..mount("/", "ext4") }
    }

    #[test]
    fn the_last_partition_of_a_larger_disk_has_room() {
        let dir = sys(&[]);
        let place = of(&root((259, 1)), dir.path()).unwrap();
        assert_eq!((place.node.as_path(), place.size), (Path::new("/dev/nvme0n1p1"), 2 << 30));
        let partition = place.partition.unwrap();
        assert_eq!((partition.number, partition.disk.as_path()), (1, Path::new("/dev/nvme0n1")));
        assert_eq!(partition.free, (16_777_216 - 4_421_632) * 512);
        assert!(partition.has_room());
    }

    #[test]
    fn one_that_another_follows_or_that_ends_with_the_disk_has_none() {
        let followed = sys(&[("nvme0n1p2", 8_388_608, 2048)]);
        let partition = of(&root((259, 1)), followed.path()).unwrap().partition.unwrap();
        assert!(partition.followed && !partition.has_room());
        let full = sys(&[]);
        fs::write(full.path().join("devices/nvme0n1/size"), "4421665\n").unwrap();
        assert!(!of(&root((259, 1)), full.path()).unwrap().partition.unwrap().has_room());
    }

    #[test]
    fn a_whole_disk_has_no_partition_and_what_is_on_no_disk_or_on_lvm_is_left_alone() {
        let dir = sys(&[]);
        let whole = of(&root((259, 0)), dir.path()).unwrap();
        assert_eq!((whole.size, whole.partition), (8 << 30, None));
        assert!(of(&root((0, 25)), dir.path()).unwrap_err().contains("on no disk"));
        fs::create_dir(dir.path().join("devices/nvme0n1/nvme0n1p1/dm")).unwrap();
        assert!(of(&root((259, 1)), dir.path()).unwrap_err().contains("LVM"));
    }
}
