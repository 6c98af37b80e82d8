//! What the volume phase asks of the kernel, behind one trait.

use super::beneath::Dir;
use super::files::{self, Space};
use super::mounts::{self, Mount};
use super::privilege::{self, Need};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The kernel as a phase sees it. [`Linux`] is the real one.
pub trait Kernel {
    /// The mount table of this namespace, in mount order.
    ///
    /// # Errors
    /// `/proc` is not readable.
    fn mounts(&self) -> io::Result<Vec<Mount>>;
    /// Space and flags of the filesystem at `path`.
    ///
    /// # Errors
    /// What `statvfs(3)` says.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// The user and group that own `path`.
    ///
    /// # Errors
    /// What `stat(2)` says.
    fn owner(&self, path: &Path) -> io::Result<(u32, u32)>;
    /// Makes `uid:gid` the owner of `path` alone, nothing beneath it.
    ///
    /// # Errors
    /// What `chown(2)` says.
    fn set_owner(&self, path: &Path, owner: (u32, u32)) -> io::Result<()>;
    /// Is the capability in this process's effective set?
    fn may(&self, need: Need) -> bool;
}

/// The running kernel.
pub struct Linux;

impl Kernel for Linux {
    fn mounts(&self) -> io::Result<Vec<Mount>> {
        mounts::table()
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        files::space(path)
    }
    fn owner(&self, path: &Path) -> io::Result<(u32, u32)> {
        path.metadata().map(|m| (m.uid(), m.gid()))
    }
    fn set_owner(&self, path: &Path, owner: (u32, u32)) -> io::Result<()> {
        Dir::from_root(path, None)?.set_owner(owner)
    }
    fn may(&self, need: Need) -> bool {
        privilege::has(need)
    }
}
