//! Opening what lies in a directory that somebody else may rearrange.
//!
//! A root process that writes below the sandbox user's home must not follow a link
//! the user planted. Each component is opened by itself with `O_NOFOLLOW`
//! (`openat(2)`), which gives what `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` of
//! `openat2(2)` gives, also under a seccomp filter that doesn't know that call.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// A directory that is held open: a later rename of its path changes nothing.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// Who shall own what is made.
pub type Owner = (u32, u32);

/// What an entry of a directory is, itself: a link is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is none.
    Missing,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO, a socket or a device.
    Special,
}

impl Dir {
    /// Opens the directory `base` itself. The path to it is trusted.
    ///
    /// # Errors
    /// What `open(2)` says.
    pub fn open(base: &Path) -> io::Result<Self> {
        let file = File::open(base)?;
        if !file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self(file.into()))
    }

    /// Goes down to `path`, making what is missing with permissions `mode` (owned by
    /// `owner` where given). Links, `..` and an absolute path are refused.
    ///
    /// # Errors
    /// A component is a link or no directory, or may not be made.
    pub fn make_path(&self, path: &Path, mode: u32, owner: Option<Owner>) -> io::Result<Self> {
        let mut here = Self(self.0.try_clone()?);
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(io::Error::other(format!("{} leaves its directory", path.display())));
            };
            let made = mkdirat(&here.0, name, Mode::from_bits_truncate(mode));
            here = match (here.descend(Path::new(name)), made) {
                // It may be there although it could not be made (EROFS, EACCES).
                (Ok(next), _) => next,
                (Err(e), Ok(()) | Err(Errno::EEXIST)) => return Err(e),
                (Err(_), Err(why)) => return Err(why.into()),
            };
            let made = made.is_ok();
            if made {
                // Whatever the umask took away.
                let _ = fchmod(&here.0, Mode::from_bits_truncate(mode));
            }
            if made && let Some((uid, gid)) = owner {
                fchown(&here.0, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            }
        }
        Ok(here)
    }

    /// Opens the directory at the absolute `path`, a component at a time from the root,
    /// making what is missing where `mode` says how. A link anywhere in it is refused.
    ///
    /// # Errors
    /// A component is a link or no directory, or is missing.
    pub fn from_root(path: &Path, mode: Option<u32>) -> io::Result<Self> {
        let below = path
            .strip_prefix("/")
            .map_err(|_| io::Error::other(format!("{} is no absolute path", path.display())))?;
        let root = Self::open(Path::new("/"))?;
        match mode {
            Some(mode) => root.make_path(below, mode, None),
            None => below.components().try_fold(root, |here, c| here.descend(c.as_ref())),
        }
    }

    /// The name by which the kernel finds exactly this directory, whatever its path
    /// leads to by now; valid in this process, while the value lives.
    pub fn handle(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Makes `owner` the owner of this directory, of nothing in it.
    ///
    /// # Errors
    /// What `fchown(2)` says.
    pub fn set_owner(&self, (uid, gid): Owner) -> io::Result<()> {
        Ok(fchown(&self.0, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
    }

    /// What the entry `name` of this directory is.
    ///
    /// # Errors
    /// What `fstatat(2)` says.
    pub fn kind(&self, name: &str) -> io::Result<Kind> {
        let stat = match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(Kind::Missing),
            Err(e) => return Err(e.into()),
        };
        Ok(match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => Kind::Link,
            _ => Kind::Special,
        })
    }

    /// Can nobody but root add, remove or replace an entry of this directory?
    ///
    /// # Errors
    /// What `fstat(2)` says.
    pub fn is_roots(&self) -> io::Result<bool> {
        let stat = nix::sys::stat::fstat(&self.0)?;
        Ok(stat.st_uid == 0 && stat.st_mode & 0o022 == 0)
    }

    /// Where the link `name` of this directory leads, as it is written.
    ///
    /// # Errors
    /// What `readlinkat(2)` says.
    pub fn link(&self, name: &str) -> io::Result<PathBuf> {
        Ok(nix::fcntl::readlinkat(&self.0, name)?.into())
    }

    /// Goes down to the directory `name`, which must be there and be no link.
    ///
    /// # Errors
    /// What `openat(2)` says.
    pub fn enter(&self, name: &str) -> io::Result<Self> {
        self.descend(Path::new(name))
    }

    fn descend(&self, name: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Opens the file `name` in this directory for appending, making it with
    /// permissions `mode` where it is missing. A link, a FIFO or a device in its
    /// place is refused.
    ///
    /// # Errors
    /// What `openat(2)` says, or that it is no regular file.
    pub fn append(&self, name: &str, mode: u32) -> io::Result<File> {
        self.regular(name, OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT, mode)
    }

    /// Makes the file `name` new and empty; one that is there is an error.
    ///
    /// # Errors
    /// What `openat(2)` says.
    pub fn create_new(&self, name: &str, mode: u32) -> io::Result<File> {
        self.regular(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL, mode)
    }

    /// Opens the file `name` for reading; a link, a FIFO or a device in its place is refused
    /// and never waited for.
    ///
    /// # Errors
    /// What `openat(2)` says, or that it is no regular file.
    pub fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = File::from(openat(&self.0, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{name} is not a regular file")));
        }
        Ok(file)
    }

    /// Gives the entry `from` the name `to`, in place of what has that name.
    ///
    /// # Errors
    /// What `renameat(2)` says.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes the file `name`; one that is missing is no error.
    ///
    /// # Errors
    /// What `unlinkat(2)` says.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    /// What `unlinkat(2)` says: it is missing, or not empty.
    pub fn remove_directory(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)?)
    }

    /// Makes the entries of this directory durable (`fsync(2)` on a directory).
    ///
    /// # Errors
    /// What `fsync(2)` says.
    pub fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.0)?)
    }

    fn regular(&self, name: &str, flags: OFlag, mode: u32) -> io::Result<File> {
        // O_NONBLOCK: the open of a FIFO nobody reads must not hang.
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = File::from(openat(&self.0, name, flags, Mode::from_bits_truncate(mode))?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{name} is not a regular file")));
        }
        // Whatever the umask took away; not ours to change where it is another's.
        let _ = fchmod(&file, Mode::from_bits_truncate(mode));
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_parents_are_refused_and_what_is_missing_is_made() {
        let tmp = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), tmp.path().join("planted")).unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        assert!(dir.make_path(Path::new("planted/state"), 0o755, None).is_err());
        assert!(dir.make_path(Path::new("../elsewhere"), 0o755, None).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        dir.make_path(Path::new("a/b/c"), 0o700, None).unwrap().append("journal", 0o644).unwrap();
        assert!(tmp.path().join("a/b/c/journal").is_file());
    }

    #[test]
    fn a_fifo_or_a_link_in_place_of_a_file_is_refused_at_once() {
        let tmp = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&tmp.path().join("fifo"), Mode::S_IRWXU).unwrap();
        symlink("/etc/passwd", tmp.path().join("link")).unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        assert!(dir.append("fifo", 0o644).is_err());
        assert!(dir.append("link", 0o644).is_err());
        assert!(dir.create_new("link", 0o644).is_err());
        assert!(dir.read("fifo").is_err() && dir.read("link").is_err());
        let kinds = ["fifo", "link", ".", "none"].map(|name| dir.kind(name).unwrap());
        assert_eq!(kinds, [Kind::Special, Kind::Link, Kind::Directory, Kind::Missing]);
    }

    #[test]
    fn a_renamed_file_takes_the_place_of_a_link_and_leaves_what_it_led_to() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join("other"), "theirs").unwrap();
        symlink("other", tmp.path().join("name")).unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        dir.create_new("new", 0o600).unwrap();
        dir.rename("new", "name").unwrap();
        assert_eq!(dir.kind("name").unwrap(), Kind::File);
        assert_eq!(std::fs::read_to_string(tmp.path().join("other")).unwrap(), "theirs");
    }
}
