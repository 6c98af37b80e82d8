//! Is a path one that only root can have laid?

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Does `path` lead to the open `file` through directories and links that are all root's,
/// and that nobody else can change? A sticky directory doesn't count: there anybody can
/// make an entry.
pub fn leads_to(path: &Path, file: &File) -> bool {
    let Some(found) = walk(path) else { return false };
    file.metadata().is_ok_and(|m| (m.dev(), m.ino()) == (found.dev(), found.ino()))
}

/// Follows the path by hand, a component at a time from the root.
fn walk(path: &Path) -> Option<Metadata> {
    let mut rest: Vec<PathBuf> = Vec::new();
    push(&mut rest, path)?;
    let mut here = PathBuf::from("/");
    let mut links = 0;
    while let Some(next) = rest.pop() {
        roots_own(&here.symlink_metadata().ok()?).then_some(())?;
        if next == Path::new("..") {
            here.pop();
            continue;
        }
        let entry = here.join(&next);
        let meta = entry.symlink_metadata().ok()?;
        if !meta.is_symlink() {
            here = entry;
            continue;
        }
        links += 1;
        (meta.uid() == 0 && links <= MAX_LINKS).then_some(())?;
        let target = fs::read_link(&entry).ok()?;
        if target.is_absolute() {
            here = "/".into();
        }
        push(&mut rest, &target)?;
    }
    here.symlink_metadata().ok()
}

/// Lays the components of `path` on the stack, the first on top.
fn push(rest: &mut Vec<PathBuf>, path: &Path) -> Option<()> {
    let components = path.components().rev().filter_map(|c| match c {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    rest.extend(components);
    (rest.len() < 4096).then_some(())
}

fn roots_own(directory: &Metadata) -> bool {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    directory.is_dir() && directory.uid() == 0 && directory.mode() & WRITABLE_BY_OTHERS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_own_way_is_trusted_and_one_through_a_shared_directory_is_not() {
        let passwd = File::open("/etc/passwd").unwrap();
        assert!(leads_to(Path::new("/etc/passwd"), &passwd));
        assert!(leads_to(Path::new("/etc/../etc/./passwd"), &passwd));
        let shared = tempfile::tempdir_in("/tmp").unwrap();
        let planted = shared.path().join("x");
        std::os::unix::fs::symlink("/etc/passwd", &planted).unwrap();
        assert!(!leads_to(&planted, &passwd));
        assert!(!leads_to(Path::new("/etc/group"), &passwd), "another file");
    }
}
