//! Is there anything on a device? What is formatted by mistake is gone, so a device counts
//! as blank only where nothing but zeros is read from every place that could tell.
//!
//! A new EBS volume reads as zeros from end to end. Reading all of a large one takes longer
//! than a boot may, so what is read is:
//!
//! - all of a device up to [`WHOLE`];
//! - else its first and last [`ENDS`] bytes. There lie: partition tables (sector 0, GPT's copy
//!   in the last sector); the superblocks of ext (1 KiB), XFS (0), btrfs (64 KiB), F2FS, NILFS2,
//!   JFS, reiserfs, swap (the end of the first page), ISO 9660 and UDF (32 KiB and 256 KiB),
//!   squashfs, NTFS, FAT; the labels of LVM (the first four sectors), LUKS (0, its second header
//!   up to 4 MiB), bcache, VMFS (1 MiB), ZFS (512 KiB at either end); of RAID (md 1.1 and 1.2 at
//!   the beginning; md 0.90, md 1.0, DDF, Intel and others within the last MiB), and DRBD;
//! - the copies that survive when the beginning is overwritten: ext's in block groups 1, 3, 5
//!   and 7 for each block size, btrfs's at 64 MiB and 256 GiB, XFS's at each quarter;
//! - [`SAMPLES`] places at even distances between: data without any structure at all.
//!
//! One byte that is not zero forbids the format; so does one that cannot be read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MIB: u64 = 1 << 20;

/// A device up to this size is read as a whole.
pub(super) const WHOLE: u64 = 512 * MIB;

/// What is read at either end of a larger one.
const ENDS: u64 = 16 * MIB;

/// Places between the ends. On a disk of 100 GiB they lie 100 MiB apart, and cost a second
/// where a read takes a millisecond.
const SAMPLES: u64 = 1024;

/// What is read at one place; more than one block, for those that are rounded up to one.
const SAMPLE: u64 = 8192;

/// Superblock copies: of ext for blocks of 1, 2 and 4 KiB (`mke2fs(8)`, sparse_super: groups of
/// eight times as many blocks as one has bytes; 1 and the powers of 3, 5 and 7), and of btrfs
/// (btrfs(5), "superblock copies").
const COPIES: &[u64] = &[
    24 * MIB,
    32 * MIB,
    40 * MIB,
    56 * MIB,
    64 * MIB,
    72 * MIB,
    96 * MIB,
    128 * MIB,
    160 * MIB,
    224 * MIB,
    288 * MIB,
    384 * MIB,
    640 * MIB,
    896 * MIB,
    1152 * MIB,
    262_144 * MIB,
];

/// Where the first byte lies that is not zero, of those that are looked at; `None` on a device
/// that is blank.
///
/// # Errors
/// Any of them cannot be read, or there is none.
pub(super) fn first_byte(device: &File, size: u64) -> io::Result<Option<u64>> {
    if size == 0 {
        return Err(io::Error::other("it has no bytes"));
    }
    let mut buffer = vec![0; MIB as usize];
    for (from, to) in places(size) {
        let mut at = from;
        while at < to {
            let length = (to - at).min(MIB);
            let piece = buffer.get_mut(..length as usize).unwrap_or_default();
            device.read_exact_at(piece, at)?;
            if let Some(offset) = piece.iter().position(|b| *b != 0) {
                return Ok(Some(at + offset as u64));
            }
            at += length;
        }
    }
    Ok(None)
}

/// From and to, in bytes; the likeliest first.
fn places(size: u64) -> Vec<(u64, u64)> {
    if size <= WHOLE {
        return vec![(0, size)];
    }
    let ends = [(0, ENDS), (size - ENDS, size)];
    let copies = COPIES.iter().copied();
    let even = (1..SAMPLES).map(|n| u128::from(size) * u128::from(n) / u128::from(SAMPLES));
    let even = even.map(|at| at as u64 & !4095);
    let between = copies.chain(even).filter(|at| at + SAMPLE <= size);
    ends.into_iter().chain(between.map(|at| (at, at + SAMPLE))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sparse file: it reads as zeros.
    fn device(size: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        file
    }

    #[test]
    fn zeros_are_blank_and_nothing_at_all_is_not() {
        for size in [512, 4096, 10 * MIB + 512, WHOLE + 512] {
            assert_eq!(first_byte(&device(size), size).unwrap(), None, "{size}");
        }
        assert!(first_byte(&device(0), 0).is_err());
    }

    #[test]
    fn one_byte_anywhere_in_a_small_device_is_found() {
        let size = 9 * MIB;
        for at in [0, 511, 510, 1080, 65_600, 3 * MIB + 77, 5 * MIB, size - 512, size - 1] {
            let file = device(size);
            file.write_all_at(&[1], at).unwrap();
            assert_eq!(first_byte(&file, size).unwrap(), Some(at), "{at}");
        }
    }

    #[test]
    fn one_byte_where_a_signature_could_be_is_found_in_a_large_device() {
        let size = 400 << 30;
        let quarter = size / 4;
        for at in [
            0,
            ENDS - 1,
            size - ENDS,
            size - 1,
            64 * MIB + 64,
            256 << 30,
            128 * MIB + 56,
            32 * MIB + 56,
            24 * MIB + 1024 + 56,
            quarter,
            2 * quarter,
            quarter + 4096,
        ] {
            let file = device(size);
            file.write_all_at(&[0x80], at).unwrap();
            assert_eq!(first_byte(&file, size).unwrap(), Some(at), "{at}");
        }
    }

    #[test]
    fn no_data_larger_than_a_thousandth_of_the_device_lies_between_the_places() {
        let size = 100 << 30;
        let mut places = places(size);
        places.sort_unstable();
        let widest = places.windows(2).map(|w| w[1].0.saturating_sub(w[0].1)).max().unwrap();
        assert!(widest <= size / 1000, "{widest}");
        assert!(places.iter().all(|(from, to)| from < to && *to <= size));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_never_blank() {
        let file = device(4 * MIB);
        assert!(first_byte(&file, 5 * MIB).is_err(), "shorter than it says");
        let write_only = File::options().write(true).open("/dev/null").unwrap();
        assert!(first_byte(&write_only, MIB).is_err());
    }
}
