//! Files with a property that the standard library has no word for: space on a
//! filesystem, an anonymous file in memory, reserved blocks, an advisory lock.

use nix::fcntl::{FallocateFlags, FcntlArg, FdFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statfs;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs::{File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What `statvfs(3)` says of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that an unprivileged user can still write.
    pub free_bytes: u64,
    /// Inodes an unprivileged user can still make; `None` where the filesystem
    /// doesn't count them (btrfs, some network filesystems).
    pub free_inodes: Option<u64>,
    /// Programs on it cannot be executed.
    pub noexec: bool,
    /// It is mounted read-only.
    pub read_only: bool,
}

/// Space and flags of the filesystem that holds `path`.
///
/// # Errors
/// What `statvfs(3)` says.
pub fn space(path: &Path) -> io::Result<Space> {
    let v = statvfs(path)?;
    let flags = v.flags();
    Ok(Space {
        free_bytes: v.blocks_available().saturating_mul(v.fragment_size()),
        free_inodes: (v.files() > 0).then(|| v.files_available()),
        noexec: flags.contains(FsFlags::ST_NOEXEC),
        read_only: flags.contains(FsFlags::ST_RDONLY),
    })
}

/// Does `path` lie in memory (tmpfs or ramfs), so that nothing written there
/// survives a power cut?
pub fn in_memory(path: &Path) -> bool {
    const RAMFS_MAGIC: libc::c_long = 0x8584_58f6;
    statfs::statfs(path).is_ok_and(|s| {
        s.filesystem_type() == statfs::TMPFS_MAGIC
            || libc::c_long::from(s.filesystem_type().0) == RAMFS_MAGIC
    })
}

/// An anonymous file in memory (`memfd_create(2)`) that holds `bytes`, positioned
/// at its start.
///
/// # Errors
/// What `memfd_create(2)` or the write says.
pub fn memory_file(name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Takes over the inherited descriptor `fd` by opening its file anew; the inherited one
/// stays as it is.
///
/// # Errors
/// No such descriptor, or `/proc` is not mounted.
pub fn inherited(fd: i32) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{fd}"))
}

/// Lets the next programs that this process becomes or starts have the descriptor.
///
/// # Errors
/// What `fcntl(2)` says.
pub fn let_inherit(file: &File) -> io::Result<()> {
    fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Opens `path` for reading; a directory, FIFO or device in its place is an error and
/// never a hang.
///
/// # Errors
/// What `open(2)` says, or that it is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// Reserves `bytes` of blocks beyond the end of `file` (`FALLOC_FL_KEEP_SIZE`), so that
/// appends still fit when the disk has filled up meanwhile. A filesystem that can't
/// reserve is passed over.
///
/// # Errors
/// There is no room (see [`no_room`]).
pub fn reserve(file: &File, bytes: i64) -> io::Result<()> {
    let end = file.metadata().map_or(0, |m| i64::try_from(m.len()).unwrap_or(0));
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, end, bytes).map_err(io::Error::from)
    {
        Err(e) if no_room(&e) => Err(e),
        _ => Ok(()),
    }
}

/// Does the error say that the disk or the quota is full?
pub fn no_room(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// Does another process hold a record lock of the file `path` (`F_GETLK`, fcntl(2))? A file that
/// is not there or cannot be asked is locked by nobody.
pub fn is_record_locked(path: &Path) -> bool {
    let Ok(file) = open_regular(path) else { return false };
    // The whole file, for writing: any other lock is in the way of that.
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let asked = fcntl(&file, FcntlArg::F_GETLK(&mut lock));
    asked.is_ok() && lock.l_type != libc::F_UNLCK as libc::c_short
}

/// An exclusive `flock(2)` that ends with this value or with the process: its file is closed, which
/// cannot fail, rather than unlocked.
#[must_use]
pub struct Lock(#[allow(dead_code, reason = "held for its lifetime")] File);

/// Takes the exclusive lock of `file` without waiting; `None` where another holds it.
///
/// # Errors
/// The filesystem has no locks.
pub fn try_lock(file: File) -> io::Result<Option<Lock>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
