//! A kernel that answers what a test tells it to.

use super::files::Space;
use super::kernel::Kernel;
use super::mounts::Mount;
use super::privilege::Need;
use std::cell::RefCell;
use std::io;
use std::path::Path;

/// Answers from its fields; records what it was asked to change.
pub(crate) struct Fake {
    pub(crate) mounts: Vec<Mount>,
    pub(crate) space: Space,
    pub(crate) owner: (u32, u32),
    pub(crate) may: Vec<Need>,
    pub(crate) changed: RefCell<Vec<String>>,
}

impl Fake {
    /// A machine with one healthy volume at `point`, owned by `owner`, and no capability.
    pub(crate) fn with_volume(point: &str, owner: (u32, u32)) -> Self {
        Self {
            mounts: vec![mount("/", "overlay"), mount(point, "ext4")],
            space: Space {
                free_bytes: 10 << 30,
                free_inodes: Some(1_000_000),
                noexec: false,
                read_only: false,
            },
            owner,
            may: Vec::new(),
            changed: RefCell::default(),
        }
    }
}

pub(crate) fn mount(point: &str, fstype: &str) -> Mount {
    Mount {
        point: point.into(),
        device: (0, 0),
        root: "/".into(),
        fstype: fstype.into(),
        source: format!("/dev/{fstype}"),
        options: "rw,relatime,rw".into(),
    }
}

impl Kernel for Fake {
    fn mounts(&self) -> io::Result<Vec<Mount>> {
        Ok(self.mounts.clone())
    }
    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(self.space)
    }
    fn owner(&self, _: &Path) -> io::Result<(u32, u32)> {
        Ok(self.owner)
    }
    fn set_owner(&self, path: &Path, owner: (u32, u32)) -> io::Result<()> {
        self.changed.borrow_mut().push(format!("chown {}:{} {}", owner.0, owner.1, path.display()));
        Ok(())
    }
    fn may(&self, need: Need) -> bool {
        self.may.contains(&need)
    }
}
