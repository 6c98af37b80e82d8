//! How large a file system is, by its superblock: those that can be grown while they are mounted.

use crate::phases::volume::filesystem;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file system that can be grown while it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// ext2, ext3 and ext4; `resize2fs` takes the device.
    Ext,
    /// `xfs_growfs` takes the mount point.
    Xfs,
    /// `btrfs` takes the mount point.
    Btrfs,
}

/// Kind and bytes of the file system on a device; `None` where it is another.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(node: &Path) -> io::Result<Option<(Kind, u64)>> {
    let device = File::open(node)?;
    let mut head = vec![0; 4096];
    device.read_exact_at(&mut head, 0)?;
    if let Some((ext, size)) = filesystem(&head) {
        return Ok(Some((if ext { Kind::Ext } else { Kind::Xfs }, size)));
    }
    let mut block = vec![0; 4096];
    match device.read_exact_at(&mut block, BTRFS) {
        Ok(()) => Ok(btrfs(&block).map(|size| (Kind::Btrfs, size))),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

/// Where the superblock of btrfs is (btrfs(5), "STORAGE MODEL").
const BTRFS: u64 = 0x1_0000;

/// What btrfs has of this device: `total_bytes` of the superblock's own `dev_item`.
fn btrfs(block: &[u8]) -> Option<u64> {
    const MAGIC: usize = 0x40;
    const DEVICE_BYTES: usize = 0xc9 + 8;
    (block.get(MAGIC..MAGIC + 8)? == b"_BHRfS_M").then_some(())?;
    Some(u64::from_le_bytes(block.get(DEVICE_BYTES..DEVICE_BYTES + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_the_tools_have_made_is_known_with_its_size() {
        let dir = tempfile::tempdir().unwrap();
        for (program, arguments, kind) in [
            ("mkfs.ext4", &["-q", "-F"][..], Kind::Ext),
            ("mkfs.xfs", &["-q", "-f"], Kind::Xfs),
            ("mkfs.btrfs", &["-q", "-f"], Kind::Btrfs),
        ] {
            let image = dir.path().join(program);
            File::create(&image).unwrap().set_len(400 << 20).unwrap();
            let path = "/usr/sbin:/usr/bin:/sbin:/bin";
            match Command::new(program).args(arguments).arg(&image).env("PATH", path).output() {
                Ok(made) => assert!(made.status.success(), "{made:?}"),
                // Not every machine that builds this has them all.
                Err(_) => continue,
            }
            assert_eq!(read(&image).unwrap(), Some((kind, 400 << 20)));
        }
    }

    #[test]
    fn what_is_none_of_them_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        std::fs::write(&image, vec![0; 8192]).unwrap();
        assert_eq!(read(&image).unwrap(), None);
        std::fs::write(&image, vec![0; 10]).unwrap();
        assert!(read(&image).is_err());
    }
}
