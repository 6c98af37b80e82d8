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
            (Some(kind), None, _) => Content::Foreign(kind.to_owned()),
            (None, None, _) => Content::Unknown(at),
        },
    }
}
