//! The mount table, and making a mount.

use super::beneath::Dir;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Major and minor number of the device; major 0 where no block device is behind it.
    pub device: (u32, u32),
    /// Which directory of the filesystem is mounted there (a bind mount or a
    /// container volume shows its own directory here).
    pub root: PathBuf,
    /// Filesystem type.
    pub fstype: String,
    /// Device, export or pseudo-name it came from.
    pub source: String,
    /// This mount point's options and the filesystem's, joined by a comma.
    pub options: String,
}

impl Mount {
    /// Is this mount point, or the filesystem beneath it, read-only?
    pub fn read_only(&self) -> bool {
        self.options.split(',').any(|o| o == "ro")
    }
}

/// The mount table of this process's namespace, in mount order.
///
/// # Errors
/// `/proc` is not mounted or not readable.
pub fn table() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// The mount whose mount point is exactly `path`; the last one made lies on top.
pub fn at<'a>(table: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    table.iter().rev().find(|m| m.point == path)
}

/// Reads the text of a mount table; lines of another form are passed over.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&b| b == b'\n').filter_map(parse_line).collect()
}

/// `ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAG…] - TYPE SOURCE SUPER-OPTIONS`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let device = text(fields.nth(2)?);
    let (major, minor) = device.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let own = text(fields.next()?);
    fields.find(|f| *f == b"-")?;
    let fstype = text(fields.next()?);
    let source = unescape(fields.next()?).to_string_lossy().into_owned();
    let superblock = text(fields.next().unwrap_or_default());
    let options = format!("{own},{superblock}");
    Some(Mount { point: point.into(), device, root: root.into(), fstype, source, options })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Space, tab, newline and backslash stand as `\040`, `\011`, `\012`, `\134`.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\'
            && let Some(digits) = tail.get(..3)
            && let Some(value) = octal(digits)
        {
            out.push(value);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(first);
            rest = tail;
        }
    }
    OsString::from_vec(out)
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// Mounts `source` on the directory `name` of `parent`, which is made where it is missing
/// (`mount(2)`). Options that the kernel knows as flags become flags; the rest goes to the
/// filesystem as data. A `bind` with other flags needs a second call on what is then
/// mounted, as `mount(8)` makes; if that fails, nothing stays mounted.
///
/// # Errors
/// What `mount(2)` says, or that `name` is a link.
pub fn make(
    source: &str,
    (parent, name): (&Dir, &Path),
    fstype: &str,
    options: &[String],
) -> io::Result<()> {
    let (flags, data) = split_options(options);
    let data = (!data.is_empty()).then(|| data.join(","));
    let beneath = parent.make_path(name, 0o755, None)?;
    mount(Some(source), &beneath.handle(), Some(fstype), flags, data.as_deref())?;
    let remount = flags - MsFlags::MS_BIND - MsFlags::MS_REC;
    if !flags.contains(MsFlags::MS_BIND) || remount.is_empty() {
        return Ok(());
    }
    // Opened anew, the name leads into what was mounted.
    let mounted = parent.make_path(name, 0o755, None)?;
    let flags = remount | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    let restricted = mount(None::<&str>, &mounted.handle(), None::<&str>, flags, None::<&str>);
    if restricted.is_err() {
        let _ = umount2(&mounted.handle(), MntFlags::MNT_DETACH);
    }
    Ok(restricted?)
}

/// Unmounts what lies on top at `target` (`umount(2)`); no part of the path may be a link. What
/// is still in use is written back and taken out of the tree, and goes with its last user: then
/// the answer is `false`. Nothing mounted there is no error.
///
/// # Errors
/// What `umount(2)` says.
pub fn unmake(target: &Path) -> io::Result<bool> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(io::Error::other("it is the root directory"));
    };
    if at(&table()?, target).is_none() {
        return Ok(true);
    }
    let parent = Dir::from_root(parent, None)?;
    let place = parent.handle().join(name);
    match umount2(&place, MntFlags::UMOUNT_NOFOLLOW) {
        Err(Errno::EBUSY) => {
            if let Ok(root) = File::open(&place) {
                let _ = nix::unistd::syncfs(&root);
            }
            umount2(&place, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH)?;
            Ok(false)
        }
        done => Ok(done.map(|()| true)?),
    }
}

fn split_options(options: &[String]) -> (MsFlags, Vec<&str>) {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in options.iter().flat_map(|o| o.split(',')).filter(|o| !o.is_empty()) {
        match option {
            "ro" => flags |= MsFlags::MS_RDONLY,
            "rw" | "defaults" | "nofail" | "_netdev" | "auto" | "noauto" => {}
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "nodiratime" => flags |= MsFlags::MS_NODIRATIME,
            "relatime" => flags |= MsFlags::MS_RELATIME,
            "strictatime" => flags |= MsFlags::MS_STRICTATIME,
            "sync" => flags |= MsFlags::MS_SYNCHRONOUS,
            "dirsync" => flags |= MsFlags::MS_DIRSYNC,
            "bind" => flags |= MsFlags::MS_BIND,
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            other => data.push(other),
        }
    }
    (flags, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
        22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
        30 22 0:5 /vol/data /home/iter\\040on rw,nosuid shared:1 master:2 - ext4 /dev/vda rw,discard\n\
        31 22 0:6 / /mnt ro - tmpfs tmpfs rw\n\
        32 22 0:7 / /mnt rw - xfs /dev/xvdf ro\n\
        garbage\n";

    #[test]
    fn optional_tags_and_escapes_are_read() {
        let table = parse(TABLE);
        assert_eq!(table.len(), 4);
        let volume = at(&table, Path::new("/home/iter on")).unwrap();
        assert_eq!(
            (volume.fstype.as_str(), volume.root.as_path()),
            ("ext4", Path::new("/vol/data"))
        );
        assert!(!volume.read_only());
        assert_eq!(volume.device, (0, 5));
    }

    #[test]
    fn the_mount_on_top_counts_and_a_read_only_filesystem_is_seen() {
        let table = parse(TABLE);
        let top = at(&table, Path::new("/mnt")).unwrap();
        assert_eq!(top.fstype, "xfs");
        assert!(top.read_only());
        assert!(at(&table, Path::new("/home")).is_none());
    }

    #[test]
    fn options_are_told_apart() {
        let options = ["ro,nodev".to_owned(), "size=1m".to_owned(), "_netdev".to_owned()];
        let (flags, data) = split_options(&options);
        assert_eq!(flags, MsFlags::MS_RDONLY | MsFlags::MS_NODEV);
        assert_eq!(data, ["size=1m"]);
    }
}
