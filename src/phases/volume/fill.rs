//! What an empty or old volume lacks: the skeleton, and directories that newer images
//! expect. Runs as the sandbox user; nothing that is there is changed.

use super::check::PROBE;
use crate::config::Volume;
use crate::config::value::OnFailure;
use crate::journal::Problem;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;

/// Deeper skeletons than this are a mistake (a link loop made of bind mounts).
const MAX_DEPTH: usize = 16;

pub(super) fn fill(
    volume: &Volume,
    problems: &mut Vec<(OnFailure, Problem)>,
    notes: &mut Vec<String>,
) {
    let target = &volume.target;
    if let Some(skeleton) = &volume.skeleton
        && skeleton.is_dir()
        && is_empty(target)
    {
        match copy_tree(skeleton, target, 0) {
            Ok(0) => {}
            Ok(n) => {
                notes.push(format!("copied {n} skeleton files to the empty {}", target.display()))
            }
            Err(e) => problems.push((
                OnFailure::Degrade,
                Problem::new(
                    "volume-skeleton",
                    format!(
                        "the skeleton {} cannot be copied to {}: {e}",
                        skeleton.display(),
                        target.display()
                    ),
                    "make the skeleton readable for the sandbox user, or say skeleton = \"\"",
                ),
            )),
        }
    }
    for directory in &volume.directories {
        let path = target.join(directory);
        if path.is_dir() {
            continue;
        }
        match DirBuilder::new().recursive(true).mode(0o755).create(&path) {
            Ok(()) => notes.push(format!("made {}", path.display())),
            Err(e) => problems.push((
                volume.on_failure(),
                Problem::new(
                    "volume-directory",
                    format!("{} cannot be made: {e}", path.display()),
                    "remove what stands in its place",
                ),
            )),
        }
    }
}

/// A new filesystem has a `lost+found`, and the agent's own state may be the first
/// thing on a new volume: neither makes it a used one.
fn is_empty(target: &Path) -> bool {
    fs::read_dir(target).is_ok_and(|entries| {
        entries.flatten().all(|e| {
            let name = e.file_name();
            name == "lost+found" || name == ".local" || name.to_string_lossy().starts_with(PROBE)
        })
    })
}

/// Copies files, directories and links; what exists at the destination stays. Returns
/// how many files were made.
pub(super) fn copy_tree(from: &Path, to: &Path, depth: usize) -> io::Result<usize> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other("it is nested too deeply"));
    }
    let mut copied = 0;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = source.symlink_metadata()?;
        if meta.is_dir() {
            already_there_is_fine(DirBuilder::new().mode(meta.mode() & 0o777).create(&target))?;
            copied += copy_tree(&source, &target, depth + 1)?;
        } else if meta.is_symlink() {
            copied += already_there_is_fine(symlink(fs::read_link(&source)?, &target))?;
        } else if meta.is_file() {
            copied += already_there_is_fine(copy_file(&source, &target, meta.mode() & 0o777))?;
        }
    }
    Ok(copied)
}

fn copy_file(source: &Path, target: &Path, mode: u32) -> io::Result<()> {
    let mut to = File::options().write(true).create_new(true).mode(mode).open(target)?;
    io::copy(&mut File::open(source)?, &mut to).map(|_| ())
}

/// 1 where something was made, 0 where something stood there already.
fn already_there_is_fine(made: io::Result<()>) -> io::Result<usize> {
    match made {
        Ok(()) => Ok(1),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(0),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skeleton_is_copied_once_and_never_over_anything() {
        let skel = tempfile::tempdir().unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::write(skel.path().join(".bashrc"), "skeleton").unwrap();
        fs::create_dir(skel.path().join(".config")).unwrap();
        fs::write(skel.path().join(".config/x"), "x").unwrap();
        symlink(".bashrc", skel.path().join(".profile")).unwrap();
        fs::create_dir(home.path().join("lost+found")).unwrap();
        assert!(is_empty(home.path()));
        assert_eq!(copy_tree(skel.path(), home.path(), 0).unwrap(), 3);
        fs::write(home.path().join(".bashrc"), "mine").unwrap();
        assert!(!is_empty(home.path()));
        assert_eq!(copy_tree(skel.path(), home.path(), 0).unwrap(), 0);
        assert_eq!(fs::read_to_string(home.path().join(".bashrc")).unwrap(), "mine");
        assert_eq!(fs::read_link(home.path().join(".profile")).unwrap(), Path::new(".bashrc"));
    }
}
