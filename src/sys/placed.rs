//! A file that root is told to put somewhere.
//!
//! A link is followed only where nobody but root could have laid it (`/var/run`, `/bin`): else
//! whoever owns a directory on the way would choose what root overwrites. The file takes the
//! place of what was there in one step, and is on the disk before that.

use super::beneath::{Dir, Kind, Owner};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Component, Path};

/// The permissions of a directory that is made on the way.
const DIRECTORY: u32 = 0o755;

/// As many links as the kernel follows (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// The largest file that is appended to, in bytes: it is copied.
const MAX_OLD: u64 = 64 << 20;

/// What is put.
pub struct Put<'a> {
    /// Where, an absolute path.
    pub path: &'a Path,
    /// What.
    pub content: &'a [u8],
    /// Behind what is there?
    pub append: bool,
    /// It may have been put already, by a run that was cut off: nothing is appended to what
    /// ends with it.
    pub again: bool,
    /// Permission bits.
    pub mode: u32,
    /// Whose.
    pub owner: Owner,
}

/// Puts it.
///
/// # Errors
/// A directory on the way can't be made or is none, a link is one that others than root can
/// change, or the file can't be written.
pub fn put(what: &Put<'_>) -> io::Result<()> {
    let (dir, name) = find(what.path)?;
    let mut content = Vec::new();
    if what.append {
        old(&dir, &name)?.map_or(Ok(0), |file| file.take(MAX_OLD + 1).read_to_end(&mut content))?;
        if content.len() as u64 > MAX_OLD {
            return Err(io::Error::other("it is too large to be appended to"));
        }
    }
    if !(what.append && what.again && content.ends_with(what.content)) {
        content.extend_from_slice(what.content);
    }
    let new = format!(".{}.agent-new", short(&name));
    dir.remove(&new)?;
    let written = write(dir.create_new(&new, 0o600)?, &content, what);
    let placed = written.and_then(|()| dir.rename(&new, &name)).and_then(|()| dir.sync());
    if placed.is_err() {
        let _ = dir.remove(&new);
    }
    placed
}

fn write(mut file: File, content: &[u8], what: &Put<'_>) -> io::Result<()> {
    file.write_all(content)?;
    // The owner first: a change of it takes set-user-id bits away.
    fchown(&file, Some(what.owner.0), Some(what.owner.1))?;
    file.set_permissions(PermissionsExt::from_mode(what.mode))?;
    file.sync_all()
}

/// What is appended to. In a directory of another's it must not be a second name of a file
/// that its owner could not read.
fn old(dir: &Dir, name: &str) -> io::Result<Option<File>> {
    let file = match dir.read(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    if file.metadata()?.nlink() > 1 && !dir.is_roots()? {
        return Err(io::Error::other("it has several names, in a directory that is not root's"));
    }
    Ok(Some(file))
}

/// A name that stays short enough with something around it.
fn short(name: &str) -> &str {
    let end = (0..=name.len().min(200)).rev().find(|&n| name.is_char_boundary(n));
    name.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The directory that holds the file, made where it is missing, and the file's name there.
fn find(path: &Path) -> io::Result<(Dir, String)> {
    let mut rest: Vec<OsString> = Vec::new();
    push(&mut rest, path);
    // The directories from the root to here: `..` in a link leads back.
    let mut way = vec![Dir::open(Path::new("/"))?];
    let mut links = 0;
    let nowhere = || io::Error::other("it names no file");
    while let Some(next) = rest.pop() {
        let here = way.last().ok_or_else(nowhere)?;
        if next == ".." {
            if way.len() > 1 {
                way.pop();
            }
            continue;
        }
        let name = next.to_str().ok_or_else(|| io::Error::other("a name on the way is no text"))?;
        let last = rest.is_empty();
        match here.kind(name)? {
            Kind::Link if here.is_roots()? => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::other("too many links"));
                }
                let target = here.link(name)?;
                if target.is_absolute() {
                    way.truncate(1);
                }
                push(&mut rest, &target);
            }
            // A file takes the link's own place.
            Kind::Link | Kind::File | Kind::Missing if last => {
                let name = name.to_owned();
                return Ok((way.pop().ok_or_else(nowhere)?, name));
            }
            Kind::Link => {
                let text = format!("{name} on the way is a link that others than root can change");
                return Err(io::Error::other(text));
            }
            Kind::Directory if last => return Err(io::ErrorKind::IsADirectory.into()),
            Kind::Directory => {
                let below = here.enter(name)?;
                way.push(below);
            }
            Kind::Missing => {
                let below = here.make_path(Path::new(name), DIRECTORY, None)?;
                way.push(below);
            }
            Kind::File | Kind::Special if !last => return Err(io::ErrorKind::NotADirectory.into()),
            Kind::File | Kind::Special => return Err(io::Error::other("it is no regular file")),
        }
    }
    Err(nowhere())
}

/// Lays the components of `path` on the stack, the first on top.
fn push(rest: &mut Vec<OsString>, path: &Path) {
    rest.extend(path.components().rev().filter_map(|c| match c {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{getegid, geteuid};
    use std::fs;
    use std::os::unix::fs::symlink;

    fn own() -> Owner {
        (geteuid().as_raw(), getegid().as_raw())
    }

    fn file<'a>(path: &'a Path, content: &'a [u8]) -> Put<'a> {
        Put { path, content, append: false, again: false, mode: 0o640, owner: own() }
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_its_directories_are_made() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("a/b/c");
        put(&file(&path, b"one")).unwrap();
        put(&file(&path, b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::metadata(tmp.path().join("a")).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_dir(tmp.path().join("a/b")).unwrap().count(), 1, "nothing is left");
    }

    #[test]
    fn what_is_appended_is_appended_once_where_it_is_repeated() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("x");
        let append = |again| put(&Put { append: true, again, ..file(&path, b"line\n") }).unwrap();
        append(false);
        append(false);
        append(true);
        assert_eq!(fs::read(&path).unwrap(), b"line\nline\n");
    }

    #[test]
    fn a_link_that_others_could_lay_is_not_followed() {
        let tmp = tempfile::tempdir().unwrap();
        fs::set_permissions(tmp.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let victim = tempfile::tempdir().unwrap();
        fs::write(victim.path().join("f"), "theirs").unwrap();
        symlink(victim.path(), tmp.path().join("way")).unwrap();
        symlink(victim.path().join("f"), tmp.path().join("end")).unwrap();
        assert!(put(&file(&tmp.path().join("way/f"), b"x")).is_err());
        assert!(put(&Put { append: true, ..file(&tmp.path().join("end"), b"x") }).is_err());
        put(&file(&tmp.path().join("end"), b"x")).unwrap();
        assert_eq!(fs::read(victim.path().join("f")).unwrap(), b"theirs");
        assert!(tmp.path().join("end").symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_second_name_of_a_file_is_not_read_for_others() {
        let tmp = tempfile::tempdir().unwrap();
        fs::set_permissions(tmp.path(), PermissionsExt::from_mode(0o777)).unwrap();
        fs::write(tmp.path().join("secret"), "s").unwrap();
        fs::hard_link(tmp.path().join("secret"), tmp.path().join("x")).unwrap();
        assert!(put(&Put { append: true, ..file(&tmp.path().join("x"), b"y") }).is_err());
    }

    #[test]
    fn roots_own_links_are_followed_and_other_things_are_refused() {
        if !geteuid().is_root() {
            return;
        }
        let tmp = tempfile::tempdir_in("/run").unwrap();
        fs::create_dir(tmp.path().join("real")).unwrap();
        symlink("real", tmp.path().join("alias")).unwrap();
        symlink("../real/f", tmp.path().join("real/g")).unwrap();
        put(&file(&tmp.path().join("alias/g"), b"x")).unwrap();
        assert_eq!(fs::read(tmp.path().join("real/f")).unwrap(), b"x");
        symlink("loop", tmp.path().join("loop")).unwrap();
        for (path, why) in
            [("loop", "too many links"), ("real", "directory"), ("real/f/x", "directory")]
        {
            let e = put(&file(&tmp.path().join(path), b"x")).unwrap_err().to_string();
            assert!(e.contains(why), "{path}: {e}");
        }
        assert!(put(&file(Path::new("/dev/null"), b"x")).is_err());
    }
}
