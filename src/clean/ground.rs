//! The image's files: found and removed beneath its root, wherever links in it lead.
//!
//! An image may be mounted anywhere, and its absolute links mean its own root, not this machine's
//! (`RESOLVE_IN_ROOT`, `openat2(2)`). What lies in a home is its user's: there no link is
//! followed at all. A thing is never named by its path again once it is found, only by the open
//! directory that it is in.

use nix::dir::Dir as Listing;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, syncfs, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Directories in each other beyond this are left, and told.
const DEEPEST: usize = 200;

/// So much of a file is looked at.
const LOOKED_AT: u64 = 256 << 10;

/// An image's root directory, held open.
#[derive(Debug)]
pub struct Ground {
    root: OwnedFd,
    live: bool,
}

/// A directory of the image, held open, and its path in the image.
#[derive(Clone, Debug)]
pub struct Place {
    dir: Rc<OwnedFd>,
    path: PathBuf,
}

/// An entry of a directory of the image.
#[derive(Clone, Debug)]
pub struct Thing {
    place: Place,
    name: OsString,
    stat: FileStat,
}

impl Ground {
    /// The image whose root is `root`; this machine itself where that is `/`.
    ///
    /// # Errors
    /// It cannot be opened, or is no root: it has no `etc`.
    pub fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let here = nix::fcntl::open(root, flags, Mode::empty())?;
        let machine = nix::fcntl::open("/", flags, Mode::empty())?;
        let same = |a: FileStat, b: FileStat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        let ground = Self { live: same(fstat(&here)?, fstat(&machine)?), root: here };
        match ground.place(Path::new("/etc"))? {
            Some(_) => Ok(ground),
            None => Err(io::Error::other("it has no etc, so it is no image's root")),
        }
    }

    /// Is it this machine's own root?
    pub fn live(&self) -> bool {
        self.live
    }

    /// The directory at the absolute `path`; `None` where there is none.
    ///
    /// # Errors
    /// What `openat2(2)` says.
    pub fn place(&self, path: &Path) -> io::Result<Option<Place>> {
        let below = path.strip_prefix("/").unwrap_or(path);
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        open_beneath(&self.root, below, resolve, path)
    }

    /// The content of a file of root's at the absolute `path`, also where a link within the image
    /// leads to it; empty where there is none.
    ///
    /// # Errors
    /// What the filesystem says.
    pub fn read(&self, path: &Path) -> io::Result<String> {
        let bytes = self.follow(path)?.map(|thing| thing.read(u64::MAX)).transpose()?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    }

    /// What is at the absolute `path` in the end, where links within the image lead: by its own
    /// path. `None` where there is nothing.
    ///
    /// # Errors
    /// What `openat2(2)` says; it has been moved meanwhile.
    pub fn follow(&self, path: &Path) -> io::Result<Option<Thing>> {
        let below = path.strip_prefix("/").unwrap_or(path);
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
        let end = match openat2(&self.root, below, how) {
            Ok(end) => end,
            // A link that leads to itself, or into a process, leads to nothing of an image.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let (root, real) = (path_of(&self.root)?, path_of(&end)?);
        let real = match real.strip_prefix(&root) {
            Ok(real) => Path::new("/").join(real),
            Err(_) => return Err(io::Error::other(format!("it leads to {}", real.display()))),
        };
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Ok(None);
        };
        let thing = self.place(parent)?.map(|place| place.thing(name)).transpose()?.flatten();
        let stat = fstat(&end)?;
        let same = |t: &Thing| (t.stat.st_dev, t.stat.st_ino) == (stat.st_dev, stat.st_ino);
        match thing {
            Some(thing) if same(&thing) => Ok(Some(thing)),
            _ => Err(io::Error::other("what it leads to has been moved")),
        }
    }

    /// Waits until the image's disk has what was done.
    pub fn sync(&self) {
        let _ = syncfs(&self.root);
    }
}

/// The path of what is open (`proc_pid_fd(5)`).
fn path_of(open: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd()))
}

fn open_beneath(
    from: &OwnedFd,
    below: &Path,
    resolve: ResolveFlag,
    shown: &Path,
) -> io::Result<Option<Place>> {
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let how = OpenHow::new().flags(OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(resolve);
    match openat2(from, below, how) {
        Ok(dir) => Ok(Some(Place { dir: Rc::new(dir), path: shown.to_owned() })),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

impl Place {
    /// The directory `below` this one, on the way to which no link is followed.
    ///
    /// # Errors
    /// What `openat2(2)` says; ELOOP where a link lies on the way.
    pub fn below(&self, below: &Path) -> io::Result<Option<Self>> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        open_beneath(&self.dir, below, resolve, &self.path.join(below))
    }

    /// The directory's path in the image.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does it lie in memory, so that no image of the disk has it?
    pub fn in_memory(&self) -> bool {
        nix::sys::statfs::fstatfs(&*self.dir)
            .is_ok_and(|s| s.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
    }

    /// The entry `name`; `None` where there is none.
    ///
    /// # Errors
    /// What `fstatat(2)` says.
    pub fn thing(&self, name: &OsStr) -> io::Result<Option<Thing>> {
        match fstatat(&*self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Thing { place: self.clone(), name: name.to_owned(), stat })),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// All entries, in the order of their names.
    ///
    /// # Errors
    /// What `getdents(2)` says.
    pub fn things(&self) -> io::Result<Vec<Thing>> {
        let again = openat(&*self.dir, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Listing::from_fd(again)?.iter() {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        let things = names.iter().filter_map(|name| self.thing(name).transpose());
        things.collect()
    }
}

impl Thing {
    /// Its path in the image.
    pub fn path(&self) -> PathBuf {
        self.place.path.join(&self.name)
    }

    /// Its name.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    fn is(&self, kind: SFlag) -> bool {
        SFlag::from_bits_truncate(self.stat.st_mode) & SFlag::S_IFMT == kind
    }

    /// Is it a regular file?
    pub fn is_file(&self) -> bool {
        self.is(SFlag::S_IFREG)
    }

    /// Is it a directory itself, no link to one?
    pub fn is_directory(&self) -> bool {
        self.is(SFlag::S_IFDIR)
    }

    /// Is it a symbolic link?
    pub fn is_link(&self) -> bool {
        self.is(SFlag::S_IFLNK)
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// Is it a file with nothing in it?
    pub fn is_empty(&self) -> bool {
        self.stat.st_size == 0
    }

    /// The directory that it is; `None` on another filesystem, which is not this image's.
    ///
    /// # Errors
    /// What `openat(2)` says.
    pub fn enter(&self) -> io::Result<Option<Place>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let dir = openat(&*self.place.dir, &*self.name, flags, Mode::empty())?;
        let same = fstat(&dir)?.st_dev == fstat(&*self.place.dir)?.st_dev;
        Ok(same.then(|| Place { dir: Rc::new(dir), path: self.path() }))
    }

    /// All of its content.
    ///
    /// # Errors
    /// As [`Self::content`]; it is too large to be what it should be.
    pub fn whole(&self) -> io::Result<Vec<u8>> {
        let bytes = self.read(LOOKED_AT + 1)?;
        match bytes.len() as u64 > LOOKED_AT {
            true => Err(io::Error::other(format!("it is larger than {LOOKED_AT} bytes"))),
            false => Ok(bytes),
        }
    }

    /// Its content, as far as it is looked at.
    ///
    /// # Errors
    /// It is no regular file, or cannot be read.
    pub fn content(&self) -> io::Result<Vec<u8>> {
        self.read(LOOKED_AT)
    }

    fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(OFlag::O_RDONLY)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open(&self, access: OFlag) -> io::Result<File> {
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&*self.place.dir, &*self.name, flags, Mode::empty())?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is no regular file")),
        }
    }

    /// Removes it with all that is in it, other filesystems' directories excepted.
    ///
    /// # Errors
    /// What is left, and why.
    pub fn remove(&self) -> io::Result<()> {
        self.remove_at(0)
    }

    fn remove_at(&self, depth: usize) -> io::Result<()> {
        if !self.is_directory() {
            return self.unlink(UnlinkatFlags::NoRemoveDir);
        }
        if depth > DEEPEST {
            return Err(io::Error::other("directories in each other without an end"));
        }
        let entered = match self.enter() {
            // It has a second way to it, by which it has been removed already.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            entered => entered?,
        };
        let Some(place) = entered else {
            return Err(io::Error::other("another filesystem is mounted there"));
        };
        let mut left = Ok(());
        for thing in place.things()? {
            if let Err(e) = thing.remove_at(depth + 1) {
                left = Err(io::Error::other(format!("{}: {e}", thing.path().display())));
            }
        }
        left?;
        self.unlink(UnlinkatFlags::RemoveDir)
    }

    fn unlink(&self, how: UnlinkatFlags) -> io::Result<()> {
        match unlinkat(&*self.place.dir, &*self.name, how) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes it empty. A file that has a second name is removed instead: that one may be
    /// somebody else's.
    ///
    /// # Errors
    /// It is no regular file, or cannot be written.
    pub fn empty(&self) -> io::Result<()> {
        if self.stat.st_nlink > 1 {
            return self.unlink(UnlinkatFlags::NoRemoveDir);
        }
        self.open(OFlag::O_WRONLY)?.set_len(0)
    }

    /// Puts `content` in its place, at once and whole, with its owner and permissions.
    ///
    /// # Errors
    /// What the filesystem says.
    pub fn replace(&self, content: &[u8]) -> io::Result<()> {
        use std::io::Write;
        let new = [self.name.as_bytes(), b".agent-new"].concat();
        let new = OsStr::from_bytes(&new);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let _ = unlinkat(&*self.place.dir, new, UnlinkatFlags::NoRemoveDir);
        let mut file =
            File::from(openat(&*self.place.dir, new, flags, Mode::from_bits_truncate(0o600))?);
        file.write_all(content)?;
        std::os::unix::fs::fchown(&file, Some(self.stat.st_uid), Some(self.stat.st_gid))?;
        let mode = Mode::from_bits_truncate(self.stat.st_mode & 0o7777);
        nix::sys::stat::fchmod(&file, mode)?;
        file.sync_all()?;
        nix::fcntl::renameat(&*self.place.dir, new, &*self.place.dir, &*self.name)?;
        Ok(nix::unistd::fsync(&*self.place.dir)?)
    }
}

/// Does `name` match a pattern in which each `*` stands for anything?
pub fn matches(pattern: &str, name: &OsStr) -> bool {
    fn rest(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', more)), _) => {
                rest(more, name) || name.split_first().is_some_and(|(_, n)| rest(pattern, n))
            }
            (Some((p, more)), Some((n, name))) => p == n && rest(more, name),
            _ => false,
        }
    }
    rest(pattern.as_bytes(), name.as_bytes())
}
