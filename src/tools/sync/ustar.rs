//! The tar archive: the smallest part of the ustar format (POSIX.1-1988, `pax(1)`) that holds
//! what is synced. Pure.
//!
//! Written, it has the same bytes on every machine: nothing in it tells when, where or by whom
//! it was made. Read, it is plain files or nothing: whatever else a tar archive can say (links,
//! devices, long names by extension, sparse files) has no use here and only serves to say one
//! thing to one reader and another to the next.

/// Everything comes in pieces of this size, in bytes.
const BLOCK: usize = 512;

/// No archive is larger than this, in bytes: config and locks of many workspaces have some
/// hundred kilobytes.
pub const MAX_ARCHIVE: u64 = 32 << 20;

/// No file in it is larger than this, in bytes. A lock of many packages has some hundred
/// kilobytes.
pub const MAX_FILE: u64 = 8 << 20;

/// No archive has more entries.
pub const MAX_ENTRIES: usize = 4096;

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as it is written there.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Writes an archive of files, in the given order.
///
/// # Errors
/// A name is too long for the format, or a file too large; the text names it.
pub fn write<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, String> {
    let mut archive = Vec::new();
    for (name, bytes) in files {
        archive.extend(header(name, bytes.len())?);
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Ok(archive)
}

/// Fields of a header: where they begin and how long they are.
mod field {
    use std::ops::Range;
    pub(super) const NAME: Range<usize> = 0..100;
    pub(super) const MODE: Range<usize> = 100..108;
    pub(super) const UID: Range<usize> = 108..116;
    pub(super) const GID: Range<usize> = 116..124;
    pub(super) const SIZE: Range<usize> = 124..136;
    pub(super) const MTIME: Range<usize> = 136..148;
    pub(super) const CHECKSUM: Range<usize> = 148..156;
    pub(super) const KIND: usize = 156;
    pub(super) const LINK: Range<usize> = 157..257;
    pub(super) const MAGIC: Range<usize> = 257..265;
    pub(super) const PREFIX: Range<usize> = 345..500;
}

const MAGIC: &[u8] = b"ustar\x0000";

/// The same as GNU tar writes it; its prefix field holds other things.
const GNU_MAGIC: &[u8] = b"ustar  \0";

fn header(name: &str, size: usize) -> Result<[u8; BLOCK], String> {
    if size as u64 > MAX_FILE {
        return Err(format!("{name} is larger than {MAX_FILE} bytes"));
    }
    let (prefix, last) = split(name).ok_or_else(|| {
        format!("the path {name} is too long for a tar archive (255 bytes at most)")
    })?;
    let mut block = [0; BLOCK];
    put(&mut block, field::NAME.start, last.as_bytes());
    put(&mut block, field::PREFIX.start, prefix.as_bytes());
    put(&mut block, field::MODE.start, b"0000644");
    for zero in [field::UID, field::GID] {
        put(&mut block, zero.start, b"0000000");
    }
    put(&mut block, field::SIZE.start, format!("{size:011o}").as_bytes());
    put(&mut block, field::MTIME.start, b"00000000000");
    block[field::KIND] = b'0';
    put(&mut block, field::MAGIC.start, MAGIC);
    let sum = checksum(&block);
    put(&mut block, field::CHECKSUM.start, format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    for (to, from) in block.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// A long name is split at a slash into what fits the two fields.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= field::NAME.len() {
        return Some(("", name));
    }
    let fits = |at: &usize| *at <= field::PREFIX.len() && name.len() - at - 1 <= field::NAME.len();
    let at = name.match_indices('/').map(|(at, _)| at).find(fits)?;
    Some((name.get(..at)?, name.get(at + 1..)?))
}

/// The sum of a header's bytes, its own field taken for spaces.
fn checksum(block: &[u8]) -> u64 {
    let byte =
        |(at, b): (usize, &u8)| u64::from(if field::CHECKSUM.contains(&at) { b' ' } else { *b });
    block.iter().enumerate().map(byte).sum()
}

/// Reads an archive.
///
/// # Errors
/// It is no tar archive, not whole, or holds what is no plain file; the text names the entry
/// and says why.
pub fn read(archive: &[u8]) -> Result<Vec<Entry>, String> {
    if let Some(kind) = compressed(archive) {
        return Err(format!(
            "it is compressed with {kind}: unpack it to a plain tar archive first"
        ));
    }
    if archive.is_empty() {
        return Err("it is empty".into());
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut rest = archive;
    loop {
        let (block, after) = rest.split_at_checked(BLOCK).ok_or_else(|| torn(&entries))?;
        if block.iter().all(|b| *b == 0) {
            return ended(after, &entries).map(|()| entries);
        }
        if entries.len() >= MAX_ENTRIES {
            return Err(format!("it has more than {MAX_ENTRIES} entries"));
        }
        let (name, size) = entry(block, entries.last())?;
        let (bytes, after) = after.split_at_checked(size).ok_or_else(|| cut(&name))?;
        let padding = size.next_multiple_of(BLOCK) - size;
        rest = after.get(padding..).ok_or_else(|| cut(&name))?;
        entries.push(Entry { name, bytes: bytes.to_vec() });
    }
}

/// An archive ends with two empty blocks; a tape's worth of zeros may follow, nothing else.
fn ended(after: &[u8], entries: &[Entry]) -> Result<(), String> {
    if after.len() < BLOCK {
        return Err(torn(entries));
    }
    match after.iter().all(|b| *b == 0) {
        true => Ok(()),
        false => Err("something follows its end".into()),
    }
}

fn torn(entries: &[Entry]) -> String {
    match entries.last() {
        Some(last) => format!("it is cut off after {}", last.name),
        None => "it is no tar archive".to_owned(),
    }
}

fn cut(name: &str) -> String {
    format!("it is cut off in {name}")
}

/// Name and size of the file that a header announces.
fn entry(block: &[u8], before: Option<&Entry>) -> Result<(String, usize), String> {
    let magic = block.get(field::MAGIC).unwrap_or_default();
    let sum = octal(block.get(field::CHECKSUM).unwrap_or_default());
    if !(magic == MAGIC || magic == GNU_MAGIC) || sum != Some(checksum(block)) {
        return Err(match before {
            Some(last) => format!("what follows {} is no entry of a tar archive", last.name),
            None => "it is no tar archive".to_owned(),
        });
    }
    let prefix = if magic == MAGIC { text(block, field::PREFIX) } else { &[] };
    let mut name = prefix.to_vec();
    if !name.is_empty() {
        name.push(b'/');
    }
    name.extend(text(block, field::NAME));
    let shown: String =
        String::from_utf8_lossy(&name).chars().flat_map(char::escape_debug).collect();
    let kind = block.get(field::KIND).copied().unwrap_or_default();
    if !matches!(kind, b'0' | 0) {
        return Err(format!("{shown} is {}, no plain file", kind_name(kind)));
    }
    if !text(block, field::LINK).is_empty() {
        return Err(format!("{shown} is a link, no plain file"));
    }
    let name = String::from_utf8(name).map_err(|_| format!("the name {shown} is no UTF-8"))?;
    let size = octal(block.get(field::SIZE).unwrap_or_default())
        .filter(|size| *size <= MAX_FILE)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| format!("{shown} is announced as larger than {MAX_FILE} bytes"))?;
    Ok((name, size))
}

/// A field's bytes up to its end.
fn text(block: &[u8], range: std::ops::Range<usize>) -> &[u8] {
    let field = block.get(range).unwrap_or_default();
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// A number as tar writes it. The extension for larger ones (base 256) is none.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    let octal = !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    octal.then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        b'1' => "a hard link",
        b'2' => "a symbolic link",
        b'3' | b'4' => "a device",
        b'5' => "a directory",
        b'6' => "a FIFO",
        b'x' | b'g' => "an extended header (pax)",
        b'L' | b'K' => "a long name (GNU)",
        b'S' => "a sparse file",
        _ => "of an unknown kind",
    }
}

/// What compressed the bytes, by the signatures that such files begin with.
fn compressed(bytes: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 5] = [
        (&[0x1f, 0x8b], "gzip"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (&[0xfd, b'7', b'z', b'X', b'Z'], "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
    ];
    SIGNATURES.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        let archive = write([("a", &b""[..]), (&long, &[7; 513]), ("b/c", b"x")]).unwrap();
        assert_eq!(archive.len() % BLOCK, 0);
        let read: Vec<_> =
            read(&archive).unwrap().into_iter().map(|e| (e.name, e.bytes.len())).collect();
        assert_eq!(read, [("a".into(), 0), (long, 513), ("b/c".to_owned(), 1)]);
        assert!(write([(&*"n".repeat(101), &b""[..])]).is_err(), "no slash to split it at");
    }

    #[test]
    fn an_archive_that_is_cut_anywhere_is_refused() {
        let archive = write([("a", &b"text"[..]), ("b", b"more")]).unwrap();
        for length in 0..archive.len() {
            assert!(read(&archive[..length]).is_err(), "{length} of {}", archive.len());
        }
        assert!(read(&[&archive[..], &[0; 4096]].concat()).is_ok(), "a tape's padding");
        assert!(read(&[&archive[..], b"x"].concat()).is_err());
    }

    #[test]
    fn a_changed_header_is_no_header() {
        let mut archive = write([("a", &b"text"[..])]).unwrap();
        archive[0] = b'b';
        assert_eq!(read(&archive).unwrap_err(), "it is no tar archive");
    }

    #[test]
    fn a_number_in_another_base_is_none() {
        assert_eq!(octal(b"00000000017\0"), Some(15));
        assert_eq!(octal(b"   17 \0"), Some(15));
        for bad in [&b"\x80\0\0\0\0\0\0\0\0\0\0\x01"[..], b"0x1", b"", b"-1", b"8"] {
            assert_eq!(octal(bad), None, "{bad:?}");
        }
    }
}
