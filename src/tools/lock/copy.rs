//! A copy of the image's mise configuration, for the mise that the boot runs.
//!
//! mise brings the lockfiles of every config forward that it reads, also the image's, where
//! it can write it: as root on a writable root filesystem. Then a boot would change what the
//! image declares. So a boot's mise is pointed at a copy, and what it writes goes with it.
//!
//! The copy is made by a process that is the sandbox user, in a directory that nobody else
//! can write. Its path is always the same one: mise remembers the path of every config that
//! it has read (`~/.local/state/mise/tracked-configs`), and would remember one more at each
//! boot.

use crate::sys::files;
use nix::unistd::{AccessFlags, access, geteuid};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The variables by which mise finds the image's configuration; the second is the older name.
pub const VARIABLES: [&str; 2] = ["MISE_SYSTEM_CONFIG_DIR", "MISE_SYSTEM_DIR"];

/// The most files that are copied.
const MAX_FILES: usize = 4096;

/// The most that is copied, in bytes.
const MAX_BYTES: u64 = 32 << 20;

/// The deepest directory that is copied.
const MAX_DEPTH: usize = 8;

/// What is asked of the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Copy `from`, into the first of `within` that will do.
    Make {
        /// The image's configuration.
        from: PathBuf,
        /// Directories in which the copy may lie.
        within: Vec<PathBuf>,
    },
    /// Remove the copy at this path.
    Remove(PathBuf),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Where the copy is.
    pub at: Option<PathBuf>,
    /// Why there is none; nothing where there was nothing to copy.
    pub why: Option<String>,
    /// The user could write the image's configuration.
    pub writable: bool,
}

/// The helper.
pub fn helper(request: &Request) -> Copied {
    match request {
        Request::Make { from, within } => make(from, within),
        Request::Remove(at) => {
            let why = own(at).and_then(|()| fs::remove_dir_all(at)).err();
            Copied { why: why.map(|e| e.to_string()), ..Copied::default() }
        }
    }
}

fn make(from: &Path, within: &[PathBuf]) -> Copied {
    if !from.is_dir() {
        return Copied::default();
    }
    let written =
        [from.to_owned(), from.join("mise.lock"), from.join(".mise"), from.join(".mise/locks")];
    let writable = written.iter().any(|path| access(path, AccessFlags::W_OK).is_ok());
    let mut why = Vec::new();
    for directory in within {
        let at = directory.join(format!("agent-etc-mise-{}", geteuid()));
        let done = fresh(&at).and_then(|()| {
            let mut left = Budget { files: MAX_FILES, bytes: MAX_BYTES };
            copy(from, &at, MAX_DEPTH, &mut left)
        });
        match done {
            Ok(()) => return Copied { at: Some(at), why: None, writable },
            Err(e) => why.push(format!("{}: {e}", at.display())),
        }
        let _ = own(&at).and_then(|()| fs::remove_dir_all(&at));
    }
    Copied { at: None, why: Some(why.join("; ")), writable }
}

/// Is it a directory of ours, and no link? Where others can write beside it, they may have
/// been first.
fn own(at: &Path) -> io::Result<()> {
    let seen = fs::symlink_metadata(at)?;
    if seen.is_dir() && seen.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::other("it is there already, and is not this user's directory"))
}

/// Makes an empty directory that only this user can enter.
fn fresh(at: &Path) -> io::Result<()> {
    if let Some(parent) = at.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match fs::symlink_metadata(at) {
        Ok(_) => own(at).and_then(|()| fs::remove_dir_all(at))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    DirBuilder::new().mode(0o700).create(at)
}

struct Budget {
    files: usize,
    bytes: u64,
}

/// Copies what can be read. Links are followed, as mise does: a mounted config is often one.
fn copy(from: &Path, to: &Path, depth: usize, left: &mut Budget) -> io::Result<()> {
    let too_much = |what: &str| io::Error::other(format!("{} has too {what}", from.display()));
    for entry in from.read_dir()? {
        let name = entry?.file_name();
        let (source, target) = (from.join(&name), to.join(&name));
        let Ok(seen) = fs::metadata(&source) else { continue };
        if seen.is_dir() {
            let depth = depth.checked_sub(1).ok_or_else(|| too_much("deep directories"))?;
            left.files = left.files.checked_sub(1).ok_or_else(|| too_much("many files"))?;
            DirBuilder::new().mode(0o700).create(&target)?;
            copy(&source, &target, depth, left)?;
        } else if seen.is_file() {
            left.files = left.files.checked_sub(1).ok_or_else(|| too_much("many files"))?;
            // What this user can't read, its mise can't either.
            let Ok(file) = files::open_regular(&source) else { continue };
            let mut bytes = Vec::new();
            file.take(left.bytes + 1).read_to_end(&mut bytes)?;
            let length = bytes.len() as u64;
            left.bytes = left.bytes.checked_sub(length).ok_or_else(|| too_much("many bytes"))?;
            let mut copy = File::create_new(&target)?;
            copy.write_all(&bytes)?;
            // mise keeps caches that a newer config makes worthless.
            let _ = seen.modified().and_then(|time| copy.set_modified(time));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn image() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".mise/locks/a")).unwrap();
        fs::write(dir.path().join(".mise/locks/a/aube-lock.yaml"), "tree").unwrap();
        fs::write(dir.path().join("real"), "[tools]\n").unwrap();
        symlink("real", dir.path().join("config.toml")).unwrap();
        symlink("gone", dir.path().join("broken")).unwrap();
        dir
    }

    fn made(from: &Path, within: &[&Path]) -> Copied {
        let within = within.iter().map(|p| (*p).to_owned()).collect();
        helper(&Request::Make { from: from.into(), within })
    }

    #[test]
    fn the_copy_is_whole_private_always_at_one_place_and_removed() {
        let (image, tmp) = (image(), tempfile::tempdir().unwrap());
        let first = made(image.path(), &[tmp.path()]);
        let at = first.at.clone().unwrap();
        fs::write(at.join("mise.lock"), "written by mise").unwrap();
        assert_eq!(made(image.path(), &[tmp.path()]), first);
        assert!(!at.join("mise.lock").exists() && !image.path().join("mise.lock").exists());
        assert_eq!(fs::read_to_string(at.join("config.toml")).unwrap(), "[tools]\n");
        assert_eq!(fs::read_to_string(at.join(".mise/locks/a/aube-lock.yaml")).unwrap(), "tree");
        assert_eq!(at.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(helper(&Request::Remove(at.clone())).why, None);
        assert!(!at.exists());
    }

    #[test]
    fn what_somebody_planted_is_not_used_and_the_next_place_is() {
        let (image, tmp, next) =
            (image(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = format!("agent-etc-mise-{}", geteuid());
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join("kept"), "").unwrap();
        symlink(target.path(), tmp.path().join(&name)).unwrap();
        let copied = made(image.path(), &[tmp.path(), next.path()]);
        assert_eq!(copied.at.unwrap(), next.path().join(&name));
        assert!(target.path().join("kept").exists(), "nothing is removed through a link");
        assert!(helper(&Request::Remove(tmp.path().join(&name))).why.is_some());
        let none = made(image.path(), &[tmp.path()]);
        assert!(none.at.is_none() && none.why.unwrap().contains("not this user's"));
    }

    #[test]
    fn nothing_to_copy_is_no_fault_and_too_much_is() {
        let tmp = tempfile::tempdir().unwrap();
        assert_eq!(made(Path::new("/nonexistent"), &[tmp.path()]), Copied::default());
        let deep = tempfile::tempdir().unwrap();
        fs::create_dir_all(deep.path().join("1/2/3/4/5/6/7/8/9")).unwrap();
        let why = made(deep.path(), &[tmp.path()]).why.unwrap();
        assert!(why.contains("deep"), "{why}");
        assert_eq!(tmp.path().read_dir().unwrap().count(), 0, "nothing is left of it");
    }
}
