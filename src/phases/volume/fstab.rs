//! One line of `/etc/fstab` for each volume that the agent mounts, so that later boots mount
//! it by themselves.
//!
//! The file is the operator's. Every other line stays as it is, byte for byte; a line for the
//! same mount point that somebody else wrote is never changed. The agent's own are known by the
//! comment above them. A new file takes the place of the old one at once, and whole: half a
//! file would keep the machine from booting.

use crate::plan::Entry;
use crate::sys::replace;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "/etc/fstab";

/// Stands above a line that the agent may change.
const MARK: &str = "# The agent keeps the next line; without this one it leaves it alone.";

/// A real one has some hundred bytes.
const LONGEST: u64 = 1 << 20;

/// What became of the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    /// It, or one that names the same source for the same mount point, is there.
    None,
    /// It was written.
    Written,
    /// A line that somebody else wrote mounts this source there instead.
    Foreign(String),
    /// The file cannot be changed; the text says why.
    Failed(String),
}

/// Does this machine's file mount anything at `target`?
pub(super) fn names(target: &Path) -> bool {
    let text = replace::read(Path::new(FILE), LONGEST).map(|(_, text)| text).unwrap_or_default();
    let mut lines = text.split(|b| *b == b'\n').filter_map(fields);
    lines.any(|(_, at)| same_place(&at, target))
}

/// Sees to it that `entry` stands in this machine's file.
pub(super) fn ensure(entry: &Entry) -> Change {
    ensure_in(Path::new(FILE), entry)
}

fn ensure_in(path: &Path, entry: &Entry) -> Change {
    change(path, entry).unwrap_or_else(|e| Change::Failed(e.to_string()))
}

fn change(path: &Path, entry: &Entry) -> io::Result<Change> {
    let (old, text) = match replace::read(path, LONGEST) {
        Ok((file, text)) => (Some(file), text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => (None, Vec::new()),
        Err(e) => return Err(e),
    };
    match edit(&text, entry) {
        Edit::Same => Ok(Change::None),
        Edit::Foreign(source) => Ok(Change::Foreign(source)),
        Edit::New(text) => {
            replace::file(path, &text, 0o644, old.as_ref()).map(|()| Change::Written)
        }
    }
}

/// `text` without the lines that the agent wrote: an image's file, which must not name one
/// instance's volumes.
pub fn without_own(text: &[u8]) -> Vec<u8> {
    let mut lines = text.split_inclusive(|b| *b == b'\n');
    let mut kept = Vec::with_capacity(text.len());
    while let Some(line) = lines.next() {
        match line.trim_ascii() == MARK.as_bytes() {
            true => drop(lines.next()),
            false => kept.extend(line),
        }
    }
    kept
}

#[derive(Debug, PartialEq, Eq)]
enum Edit {
    Same,
    New(Vec<u8>),
    Foreign(String),
}

fn edit(text: &[u8], entry: &Entry) -> Edit {
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let mut own = None;
    for (n, line) in lines.iter().enumerate() {
        let Some((source, target)) = fields(line) else { continue };
        if !same_place(&target, &entry.target) {
            continue;
        }
        let before = n.checked_sub(1).and_then(|b| lines.get(b));
        if before.is_some_and(|b| b.trim_ascii() == MARK.as_bytes()) {
            own = Some((n, line.trim_ascii() == entry.to_string().as_bytes()));
        } else if source == entry.source {
            // The operator's own options for the same thing.
            return Edit::Same;
        } else {
            return Edit::Foreign(source);
        }
    }
    match own {
        Some((_, true)) => Edit::Same,
        Some((own, false)) => {
            let line = |(n, line): (usize, &&[u8])| {
                if n == own { format!("{entry}\n").into_bytes() } else { line.to_vec() }
            };
            Edit::New(lines.iter().enumerate().flat_map(line).collect())
        }
        None => {
            let mut text = text.to_vec();
            if text.last().is_some_and(|b| *b != b'\n') {
                text.push(b'\n');
            }
            text.extend(format!("{MARK}\n{entry}\n").into_bytes());
            Edit::New(text)
        }
    }
}

/// For `fuzz/`: what the file becomes, where it changes.
#[cfg(fuzzing)]
pub(super) fn edited(text: &[u8], entry: &Entry) -> Option<Vec<u8>> {
    match edit(text, entry) {
        Edit::New(text) => Some(text),
        Edit::Same | Edit::Foreign(_) => None,
    }
}

/// Source and target of a line; `None` of a comment or an empty one (`fstab(5)`).
fn fields(line: &[u8]) -> Option<(String, PathBuf)> {
    let text = String::from_utf8_lossy(line);
    let mut fields = text.split_ascii_whitespace();
    let source = fields.next().filter(|f| !f.starts_with('#'))?;
    Some((unescape(source), unescape(fields.next()?).into()))
}

/// `/mnt` and `/mnt/` are one place.
fn same_place(a: &Path, b: &Path) -> bool {
    a.components().eq(b.components())
}

/// White space and backslashes stand as `\040`, `\011`, `\012`, `\134`.
fn unescape(field: &str) -> String {
    let mut out = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        rest = match code {
            Some(code) => {
                out.push(char::from(code));
                after.get(3..).unwrap_or_default()
            }
            None => {
                out.push('\\');
                after
            }
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::disk_entry;
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    const OTHERS: &str = "# /etc/fstab: static file system information.\n#\nUUID=aaaa\t/ \text4   errors=remount-ro 0 1\n\n  /swap none swap sw 0 0";

    fn entry(uuid: &str) -> Entry {
        disk_entry(uuid, Path::new("/mint/projects"), "ext4")
    }

    fn stage(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fstab");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn a_line_is_added_once_and_the_others_stay_byte_for_byte() {
        let (dir, path) = stage(OTHERS);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(ensure_in(&path, &entry("1111")), Change::Written);
        let text = fs::read_to_string(&path).unwrap();
        let added = format!("\n{MARK}\nUUID=1111 /mint/projects ext4 defaults,nofail 0 2\n");
        assert_eq!(text, format!("{OTHERS}{added}"));
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
        let inode = path.metadata().unwrap().ino();
        assert_eq!(ensure_in(&path, &entry("1111")), Change::None);
        assert_eq!(path.metadata().unwrap().ino(), inode, "written for nothing");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something is left");
    }

    #[test]
    fn its_own_line_is_replaced_where_it_stands() {
        let (_dir, path) = stage(OTHERS);
        ensure_in(&path, &entry("1111"));
        let behind = "tmpfs /scratch tmpfs size=1m 0 0\n";
        File::options().append(true).open(&path).unwrap().write_all(behind.as_bytes()).unwrap();
        assert_eq!(ensure_in(&path, &entry("2222")), Change::Written);
        let text = fs::read_to_string(&path).unwrap();
        let line = "UUID=2222 /mint/projects ext4 defaults,nofail 0 2\n";
        assert_eq!(text, format!("{OTHERS}\n{MARK}\n{line}{behind}"));
    }

    #[test]
    fn another_line_for_the_place_is_the_operators() {
        for (line, expected) in [
            ("UUID=1111 /mint/projects/ ext4 noatime 0 0\n", Change::None),
            ("/dev/sdx /mint/projects ext4 defaults 0 2\n", Change::Foreign("/dev/sdx".into())),
            ("# /dev/sdx /mint/projects ext4 defaults 0 2\n", Change::Written),
            ("/dev/sdx /mint/projects/more ext4 defaults 0 2\n", Change::Written),
            ("/dev/sdx\n", Change::Written),
        ] {
            let (_dir, path) = stage(line);
            assert_eq!(ensure_in(&path, &entry("1111")), expected, "{line}");
            assert!(fs::read_to_string(&path).unwrap().starts_with(line), "{line}");
        }
    }

    #[test]
    fn a_name_with_a_space_is_found_again() {
        let (_dir, path) = stage("");
        let entry = disk_entry("1111", Path::new("/mint/my projects"), "ext4");
        assert_eq!(ensure_in(&path, &entry), Change::Written);
        assert_eq!(ensure_in(&path, &entry), Change::None);
        assert_eq!(unescape("/a\\040b\\134c\\9"), "/a b\\c\\9");
    }

    #[test]
    fn a_file_that_is_missing_is_made_and_one_that_is_none_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fstab");
        assert_eq!(ensure_in(&path, &entry("1111")), Change::Written);
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o644);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(ensure_in(&link, &entry("2222")), Change::Failed(_)));
        assert!(link.symlink_metadata().unwrap().is_symlink());
        let nowhere = dir.path().join("none/fstab");
        assert!(matches!(ensure_in(&nowhere, &entry("2222")), Change::Failed(_)));
        assert!(fs::read_to_string(&path).unwrap().contains("UUID=1111"));
    }

    #[test]
    fn what_is_no_text_stays_too() {
        let (_dir, path) = stage("");
        fs::write(&path, b"# \xff\xfe\n/dev/sdx /x ext4 defaults 0 0\n").unwrap();
        assert_eq!(ensure_in(&path, &entry("1111")), Change::Written);
        assert!(fs::read(&path).unwrap().starts_with(b"# \xff\xfe\n/dev/sdx /x ext4"));
    }
}
