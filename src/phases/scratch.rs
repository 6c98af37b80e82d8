//! The private file that a script is run from. It lies in memory where the sandbox
//! has such a place, belongs to whoever runs it, and is gone when this value is.

use crate::engine::Context;
use crate::journal::file;
use crate::sys::beneath::{Dir, Owner};
use crate::sys::files;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

/// How the directories are called; what a killed boot left is found by it.
const PREFIX: &str = "agent-script-";

/// The script's name in its directory.
const NAME: &str = "user-script";

/// A directory of the user's with the script in it.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Writes the script where it can be kept private: in memory first, so that a power
    /// cut leaves nothing; else in the state directory, at last in the one on the volume. What
    /// root runs doesn't lie in the user's home, nor where the user's runtime directory is. A
    /// program (`executed`) needs a place that lets it be executed.
    pub(super) fn write(
        bytes: &[u8],
        executed: bool,
        root: bool,
        cx: &Context<'_>,
    ) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let mut bases = candidates(&[&cx.place.path]);
        match root {
            true if cx.user().uid != 0 => bases.retain(|base| is_roots(base)),
            true => {}
            false => bases.extend(cx.state_at_home()),
        }
        for base in bases {
            if executed && files::space(&base).is_ok_and(|s| s.noexec) {
                last = io::Error::from(io::ErrorKind::Unsupported);
                continue;
            }
            let owner = if root { None } else { cx.credentials().map(|_| cx.owner()) };
            match Self::write_in(&base, bytes, owner) {
                Ok(scratch) => return Ok(scratch),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn write_in(base: &Path, bytes: &[u8], owner: Option<Owner>) -> io::Result<Self> {
        let name = format!("{}{:016x}", own_prefix(), fastrand::u64(..));
        let dir = Dir::open(base)?.make_path(Path::new(&name), 0o700, owner)?;
        // From here on a failure removes what was made.
        let scratch = Self { path: base.join(name) };
        let mut file = dir.create_new(NAME, 0o500)?;
        file.write_all(bytes)?;
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        Ok(scratch)
    }

    /// The script's path.
    pub(super) fn script(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// The directory, which nobody else can look into.
    pub(super) fn directory(&self) -> &Path {
        &self.path
    }

    /// Does its filesystem refuse to execute programs?
    pub(super) fn noexec(&self) -> bool {
        files::space(&self.path).is_ok_and(|s| s.noexec)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Can nobody but root rename what root makes there? Every directory on the way is root's, and
/// one that others may write to has the sticky bit.
fn is_roots(base: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(base) = base.canonicalize() else { return false };
    base.ancestors().all(|directory| {
        directory.symlink_metadata().is_ok_and(|m| {
            m.is_dir() && m.uid() == 0 && (m.mode() & 0o022 == 0 || m.mode() & 0o1000 != 0)
        })
    })
}

/// Directories in memory, then the state directories.
fn candidates(states: &[&Path]) -> Vec<PathBuf> {
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_absolute());
    let states = states.iter().map(|p| p.to_path_buf());
    let in_memory = states.clone().chain(runtime).chain(["/dev/shm".into(), "/tmp".into()]);
    in_memory.filter(|p| files::in_memory(p)).chain(states).collect()
}

/// How this sandbox's directories begin: others may share its memory filesystems.
fn own_prefix() -> String {
    format!("{PREFIX}{:x}-", file::pid_namespace())
}

/// Removes what a boot that was killed left of its script. `states` are this instance's
/// state directories.
pub fn sweep(states: &[&Path]) {
    let own = own_prefix();
    for base in candidates(states) {
        // A state directory is this instance's alone; its earlier lives had other names.
        let prefix = if states.contains(&base.as_path()) { PREFIX } else { own.as_str() };
        for entry in fs::read_dir(&base).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}
