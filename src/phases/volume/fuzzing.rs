//! The way in for `fuzz/`; in no program.

use super::content::{self, Blkid, Content, Seen};
use super::fstab;
use crate::plan::Entry;
use std::fs::File;

/// What an fstab becomes when `entry` is to stand in it; `None` where it stays as it is.
pub fn fstab(text: &[u8], entry: &Entry) -> Option<Vec<u8>> {
    fstab::edited(text, entry)
}

/// Kind and size of a file system by its first 4 KiB.
pub fn filesystem(head: &[u8]) -> Option<(bool, u64)> {
    content::filesystem(head)
}

/// May a file system be made on this device, by what `blkid` says and what is read?
///
/// # Errors
/// It cannot be read.
pub fn is_blank(device: &File, size: u64, status: i32, output: &str) -> std::io::Result<bool> {
    let seen: Seen = content::look(device, size)?;
    Ok(content::content(&seen, &Blkid::of(status, output)) == Content::Blank)
}
