//! What is on a device: a file system that can be used, nothing at all, or something that
//! must not be touched.
//!
//! Two are asked, and only where both agree is anything done: `blkid --probe` (libblkid knows
//! some hundred signatures, and says nothing of a device whose signatures contradict each
//! other), and our own reading of the superblock and of every [place](super::blank) that
//! could tell.

use super::blank;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What our own reading saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Bytes of the device.
    pub(super) size: u64,
    /// The superblock of ext or XFS.
    pub(super) filesystem: Option<Filesystem>,
    /// The first byte that is not zero.
    pub(super) first_byte: Option<u64>,
}

/// A file system by its superblock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filesystem {
    /// ext2, ext3 or ext4 (else XFS).
    pub(super) ext: bool,
    /// As `blkid` writes it.
    pub(super) uuid: String,
    /// Its size in bytes.
    pub(super) size: u64,
}

/// What `blkid` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blkid {
    /// Tags such as TYPE and PTTYPE, with their values.
    Tags(Vec<(String, String)>),
    /// It found nothing, or could not read.
    Nothing,
    /// Signatures that contradict each other.
    Ambivalent,
    /// It ended with another status.
    Failed(i32),
}

/// What can be done with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A file system that can be checked and mounted, and its type.
    Filesystem(Filesystem, String),
    /// Nothing; a file system can be made.
    Blank,
    /// Something else; what it is, as far as it is known.
    Foreign(String),
    /// No known signature, but a byte that is not zero, here.
    Unknown(u64),
    /// Nobody can tell.
    Unclear(String),
}

/// Reads what there is to be seen of a device of `size` bytes.
///
/// # Errors
/// It cannot be read.
pub(super) fn look(device: &File, size: u64) -> io::Result<Seen> {
    let first_byte = blank::first_byte(device, size)?;
    // The shortest file system is longer.
    let mut head = vec![0; 4096];
    let filesystem = if size < head.len() as u64 {
        None
    } else {
        device.read_exact_at(&mut head, 0)?;
        ext(&head).or_else(|| xfs(&head))
    };
    Ok(Seen { size, filesystem, first_byte })
}

/// Is it ext (else XFS), and how many bytes has it? `head` is the first 4 KiB of a device.
pub(in crate::phases) fn filesystem(head: &[u8]) -> Option<(bool, u64)> {
    ext(head).or_else(|| xfs(head)).map(|found| (found.ext, found.size))
}

/// The superblock of ext2, ext3 and ext4 at byte 1024 (kernel documentation, "ext4 data
/// structures and algorithms").
fn ext(head: &[u8]) -> Option<Filesystem> {
    const MAGIC: u16 = 0xef53;
    const WIDE: u32 = 0x80;
    let block = head.get(1024..2048)?;
    if u16::from_le_bytes(bytes(block, 0x38)?) != MAGIC {
        return None;
    }
    let shift = u32::from_le_bytes(bytes(block, 0x18)?);
    let wide = u32::from_le_bytes(bytes(block, 0x60)?) & WIDE != 0;
    let low = u32::from_le_bytes(bytes(block, 0x4)?);
    let high = if wide { u32::from_le_bytes(bytes(block, 0x150)?) } else { 0 };
    let blocks = u64::from(high) << 32 | u64::from(low);
    let size = blocks.checked_mul(1024_u64.checked_shl(shift.min(64))?)?;
    Some(Filesystem { ext: true, uuid: uuid(bytes(block, 0x68)?), size })
}

/// The superblock of XFS at byte 0 (XFS algorithms and data structures, "Superblocks").
fn xfs(head: &[u8]) -> Option<Filesystem> {
    if !head.starts_with(b"XFSB") {
        return None;
    }
    let block = u32::from_be_bytes(bytes(head, 4)?);
    let blocks = u64::from_be_bytes(bytes(head, 8)?);
    let size = blocks.checked_mul(block.into())?;
    Some(Filesystem { ext: false, uuid: uuid(bytes(head, 32)?), size })
}

fn bytes<const N: usize>(block: &[u8], at: usize) -> Option<[u8; N]> {
    block.get(at..at + N)?.try_into().ok()
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let part = |range| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

impl Blkid {
    /// From its exit status and its `--output export` (`blkid(8)`, "EXIT STATUS").
    pub(super) fn of(status: i32, output: &str) -> Self {
        let tags = output.lines().filter_map(|l| l.split_once('='));
        let tags: Vec<(String, String)> =
            tags.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        match status {
            0 => Self::Tags(tags),
            2 => Self::Nothing,
            8 => Self::Ambivalent,
            other => Self::Failed(other),
        }
    }

    fn tag(&self, wanted: &str) -> Option<&str> {
        let Self::Tags(tags) = self else { return None };
        tags.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }
}

/// What both say together.
pub(super) fn content(seen: &Seen, blkid: &Blkid) -> Content {
    let kind = blkid.tag("TYPE");
    match (blkid, seen.first_byte, &seen.filesystem) {
        (Blkid::Nothing, None, _) => Content::Blank,
        (Blkid::Nothing, Some(at), _) => Content::Unknown(at),
        (Blkid::Ambivalent, _, _) => {
            Content::Foreign("signatures that contradict each other".into())
        }
        (Blkid::Failed(status), _, _) => {
            Content::Unclear(format!("blkid ended with status {status}"))
        }
        (Blkid::Tags(_), None, _) => {
            Content::Unclear("blkid found something where only zeros are read".into())
        }
        (Blkid::Tags(_), Some(at), filesystem) => match (kind, blkid.tag("PTTYPE"), filesystem) {
            (_, Some(table), _) => Content::Foreign(format!("a partition table ({table})")),
            (Some(kind @ ("ext2" | "ext3" | "ext4")), None, Some(found)) if found.ext => {
                Content::Filesystem(found.clone(), kind.to_owned())
            }
            (Some("xfs"), None, Some(found)) if !found.ext => {
                Content::Filesystem(found.clone(), "xfs".into())
            }
            (Some(kind @ ("ext2" | "ext3" | "ext4" | "xfs")), None, _) => {
                Content::Foreign(format!("{kind} whose superblock says otherwise"))
            }
            (Some(kind), None, _) => Content::Foreign(kind.to_owned()),
            (None, None, _) => Content::Unknown(at),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::Path;
    use std::process::Command;
    use tempfile::NamedTempFile;

    const MIB: u64 = 1 << 20;
    /// Large enough that not all of it is read.
    const SIZE: u64 = 3 << 30;

    fn image(size: u64) -> NamedTempFile {
        let file = tempfile::Builder::new().tempfile_in("/var/tmp").unwrap();
        file.as_file().set_len(size).unwrap();
        file
    }

    fn seen(image: &NamedTempFile) -> Seen {
        let size = image.as_file().metadata().unwrap().len();
        look(image.as_file(), size).unwrap()
    }

    fn blkid(path: &Path) -> Blkid {
        let program =
            ["/usr/sbin/blkid", "/sbin/blkid"].into_iter().find(|p| Path::new(p).exists());
        let argv = ["--probe", "--output", "export"];
        let ended = Command::new(program.unwrap()).args(argv).arg(path).output().unwrap();
        Blkid::of(ended.status.code().unwrap(), &String::from_utf8_lossy(&ended.stdout))
    }

    fn run(program: &str, arguments: &[&str], path: &Path) {
        let ended = Command::new(program)
            .args(arguments)
            .arg(path)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .output()
            .unwrap();
        assert!(ended.status.success(), "{program}: {ended:?}");
    }

    #[test]
    fn zeros_are_blank_to_both() {
        for size in [64 * MIB, SIZE] {
            let image = image(size);
            assert_eq!(content(&seen(&image), &blkid(image.path())), Content::Blank);
        }
    }

    /// Where others write who they are, read from the kernel's headers, libblkid's sources and
    /// the formats' own documents. A negative place is counted from the end.
    const SIGNATURES: &[(&str, i64, &[u8])] = &[
        ("MBR", 510, b"\x55\xaa"),
        ("GPT", 512, b"EFI PART"),
        ("GPT, the copy alone", -512, b"EFI PART"),
        ("ext", 1080, b"\x53\xef"),
        ("ext, a copy alone, 4 KiB blocks", (128 << 20) + 56, b"\x53\xef"),
        ("ext, a copy alone, 1 KiB blocks", (8 << 20) + 1024 + 56, b"\x53\xef"),
        ("XFS", 0, b"XFSB"),
        ("XFS, second allocation group", SIZE as i64 / 4, b"XFSB"),
        ("btrfs", (64 << 10) + 64, b"_BHRfS_M"),
        ("btrfs, the copy alone", (64 << 20) + 64, b"_BHRfS_M"),
        ("swap", 4086, b"SWAPSPACE2"),
        ("swap, 64 KiB pages", 65526, b"SWAPSPACE2"),
        ("LUKS", 0, b"LUKS\xba\xbe"),
        ("LUKS2, second header alone", 0x4000, b"SKUL\xba\xbe"),
        ("LVM, second sector", 512, b"LABELONE"),
        ("LVM, fourth sector", 1536, b"LABELONE"),
        ("md 0.90", -65536, b"\xfc\x4e\x2b\xa9"),
        ("md 1.0", -8192, b"\xfc\x4e\x2b\xa9"),
        ("md 1.1", 0, b"\xfc\x4e\x2b\xa9"),
        ("md 1.2", 4096, b"\xfc\x4e\x2b\xa9"),
        ("ZFS, first label", 128 << 10, b"\x0c\xb1\xba\x00"),
        ("ZFS, last label", -(128 << 10), b"\x0c\xb1\xba\x00"),
        ("ISO 9660", 32769, b"CD001"),
        ("UDF", 32769, b"BEA01"),
        ("squashfs", 0, b"hsqs"),
        ("NTFS", 3, b"NTFS    "),
        ("NTFS, the copy alone", -509, b"NTFS    "),
        ("FAT", 82, b"FAT32   "),
        ("F2FS", 1024, b"\x10\x20\xf5\xf2"),
        ("JFS", 32768, b"JFS1"),
        ("reiserfs", 65588, b"ReIsEr2Fs"),
        ("NILFS2, the copy alone", -4090, b"\x34\x34"),
        ("bcache", 4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
        ("VMFS", 1 << 20, b"\x0d\xd0\x01\xc0"),
        ("DDF RAID", -512, b"\xde\x11\xde\x11"),
        ("Intel RAID", -1024, b"Intel Raid ISM Cfg Sig."),
        ("DRBD metadata", -4092, b"\x83\x74\x02\x6d"),
        ("Ceph", 0, b"bluestore block device"),
        ("one bit in the last byte", -1, b"\x01"),
    ];

    /// Our own reading alone keeps each of them from being taken for blank.
    #[test]
    fn no_signature_of_anything_is_taken_for_blank() {
        for (name, place, bytes) in SIGNATURES {
            let mut file = image(SIZE);
            let at = if *place < 0 { SIZE.saturating_add_signed(*place) } else { *place as u64 };
            file.as_file_mut().write_all_at(bytes, at).unwrap();
            let seen = seen(&file);
            let first = bytes.iter().position(|b| *b != 0).unwrap() as u64;
            assert_eq!(seen.first_byte, Some(at + first), "{name}");
            assert_ne!(content(&seen, &Blkid::Nothing), Content::Blank, "{name}");
        }
    }

    #[test]
    fn ext4_is_known_by_its_uuid_and_size() {
        let image = image(64 * MIB);
        let uuid = "0b1a6d0e-95d5-4f3b-a7cd-0123456789ab";
        run("mkfs.ext4", &["-q", "-F", "-U", uuid], image.path());
        let Content::Filesystem(found, kind) = content(&seen(&image), &blkid(image.path())) else {
            panic!("{:?}", blkid(image.path()))
        };
        assert_eq!((kind.as_str(), found.uuid.as_str()), ("ext4", uuid));
        assert!(found.ext && found.size == 64 * MIB, "{found:?}");
        image.as_file().set_len(96 * MIB).unwrap();
        assert_eq!(seen(&image).size - seen(&image).filesystem.unwrap().size, 32 * MIB);
    }

    /// A file system whose beginning was overwritten can still be saved.
    #[test]
    fn a_wiped_superblock_does_not_make_a_disk_blank() {
        let file = image(SIZE);
        run("mkfs.ext4", &["-q", "-F"], file.path());
        file.as_file().write_all_at(&[0; 4096], 0).unwrap();
        assert_eq!(blkid(file.path()), Blkid::Nothing, "nothing is left that blkid knows");
        assert!(matches!(content(&seen(&file), &blkid(file.path())), Content::Unknown(_)));
        file.as_file().write_all_at(&vec![0; 100 << 20], 0).unwrap();
        assert!(matches!(content(&seen(&file), &Blkid::Nothing), Content::Unknown(_)));
    }

    #[test]
    fn what_blkid_names_is_named() {
        let foreign = |image: &NamedTempFile| match content(&seen(image), &blkid(image.path())) {
            Content::Foreign(what) => what,
            other => panic!("{other:?}"),
        };
        let swap = image(64 * MIB);
        run("mkswap", &[], swap.path());
        assert_eq!(foreign(&swap), "swap");
        let luks = image(64 * MIB);
        luks.as_file().write_all_at(b"LUKS\xba\xbe\x00\x01aes", 0).unwrap();
        assert_eq!(foreign(&luks), "crypto_LUKS");
        let table = image(64 * MIB);
        // One Linux partition from sector 2048, of 4096 sectors.
        let entry = [0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0];
        table.as_file().write_all_at(&entry, 446).unwrap();
        table.as_file().write_all_at(b"\x55\xaa", 510).unwrap();
        assert_eq!(foreign(&table), "a partition table (dos)");
    }

    #[test]
    fn two_signatures_are_one_too_many() {
        let mut both = image(64 * MIB);
        run("mkfs.ext4", &["-q", "-F"], both.path());
        both.as_file_mut().write_all(b"LUKS\xba\xbe\x00\x01aes").unwrap();
        let found = content(&seen(&both), &blkid(both.path()));
        assert!(matches!(found, Content::Foreign(_)), "{found:?}");
    }

    #[test]
    fn where_the_two_disagree_nothing_is_done() {
        let blank = Seen { size: MIB, filesystem: None, first_byte: None };
        let used = Seen { first_byte: Some(1080), ..blank.clone() };
        let tags = |kind: &str| Blkid::Tags(vec![("TYPE".into(), kind.into())]);
        assert!(matches!(content(&blank, &tags("ext4")), Content::Unclear(_)));
        assert!(matches!(content(&blank, &Blkid::Failed(4)), Content::Unclear(_)));
        assert!(matches!(content(&blank, &Blkid::Ambivalent), Content::Foreign(_)));
        assert!(matches!(content(&used, &tags("ext4")), Content::Foreign(_)));
        assert_eq!(content(&used, &Blkid::Tags(vec![])), Content::Unknown(1080));
        assert_eq!(Blkid::of(2, ""), Blkid::Nothing);
        assert_eq!(Blkid::of(8, ""), Blkid::Ambivalent);
        assert_eq!(Blkid::of(127, ""), Blkid::Failed(127));
    }
}
