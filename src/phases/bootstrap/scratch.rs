//! The private file that the script is run from. It lies in memory where the sandbox
//! has such a place, belongs to the user, and is gone when this value is.

use crate::engine::Context;
use crate::journal::file;
use crate::sys::beneath::Dir;
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
    /// cut leaves nothing; else in the state directory, at last in the one on the volume. A
    /// program (`executed`) needs a place that lets it be executed.
    pub(super) fn write(bytes: &[u8], executed: bool, cx: &Context<'_>) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        let mut bases = candidates(&[&cx.place.path]);
        bases.extend(cx.state_at_home());
        for base in bases {
            if executed && files::space(&base).is_ok_and(|s| s.noexec) {
                last = io::Error::from(io::ErrorKind::Unsupported);
                continue;
            }
            match Self::write_in(&base, bytes, cx) {
                Ok(scratch) => return Ok(scratch),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn write_in(base: &Path, bytes: &[u8], cx: &Context<'_>) -> io::Result<Self> {
        let name = format!("{}{:016x}", own_prefix(), fastrand::u64(..));
        let owner = cx.credentials().map(|_| cx.owner());
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
