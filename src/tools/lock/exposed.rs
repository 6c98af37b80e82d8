//! Does something in the user's configuration lead into the image's?
//!
//! mise is pointed at a copy of the image's configuration, but the user's own it reads in its
//! place: a link from there to the image's lockfile, or to the whole directory, would have the
//! boot write what the image declares.

use crate::tools::places::Places;
use nix::unistd::{AccessFlags, access};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most entries of a directory that are looked at.
const MOST: usize = 4096;

/// What of the user's configuration is the image's, if this user can write there.
pub(super) fn look(places: &Places) -> Option<PathBuf> {
    let image = places.system_config.canonicalize().ok()?;
    let config = &places.config;
    let below = |directory: PathBuf| {
        let entries = directory.read_dir().into_iter().flatten().flatten();
        entries.take(MOST).map(|e| e.path()).collect::<Vec<_>>()
    };
    let locks = ["locks", ".mise", ".mise/locks"].map(|name| config.join(name));
    let mut all = vec![config.clone()];
    all.extend(below(config.clone()));
    all.extend(locks.iter().cloned());
    all.extend(locks.iter().flat_map(|at| below(at.clone())));
    all.into_iter().find(|path| leads_into(path, &image) && writable(path))
}

/// By whatever way: a link, a second name of the same file, the same directory mounted twice.
fn leads_into(path: &Path, image: &Path) -> bool {
    let real = real(path);
    let same = |a: &Path, b: &Path| {
        let id = |p: &Path| p.metadata().ok().map(|m| (m.dev(), m.ino()));
        id(a).is_some_and(|a| Some(a) == id(b))
    };
    let lock = path.extension().is_some_and(|e| e == "lock");
    let twin = || lock && path.file_name().is_some_and(|name| same(path, &image.join(name)));
    real.starts_with(image) || real.ancestors().any(|at| same(at, image)) || twin()
}

/// Where a path leads, also where nothing is there yet.
fn real(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // As many links as the kernel follows.
    for _ in 0..40 {
        if let Ok(real) = path.canonicalize() {
            return real;
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        match path.read_link() {
            Ok(to) => path = parent.join(to),
            Err(_) => {
                let name = path.file_name().unwrap_or_default();
                return parent.canonicalize().map_or(path.clone(), |parent| parent.join(name));
            }
        }
    }
    path
}

fn writable(path: &Path) -> bool {
    let real = real(path);
    let at = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    at(&real) || real.parent().is_some_and(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn places(dir: &Path) -> Places {
        Places::of(dir, |name| (name == "MISE_SYSTEM_CONFIG_DIR").then(|| dir.join("etc")))
    }

    fn looked(make: impl Fn(&Path, &Path)) -> Option<PathBuf> {
        let dir = tempfile::tempdir().unwrap();
        let (user, etc) = (dir.path().join(".config/mise"), dir.path().join("etc"));
        fs::create_dir_all(etc.join("locks")).unwrap();
        fs::create_dir_all(user.parent().unwrap()).unwrap();
        fs::write(etc.join("config.toml"), "").unwrap();
        make(&user, &etc);
        let found = look(&places(dir.path()))?;
        Some(found.strip_prefix(dir.path()).unwrap().to_owned())
    }

    #[test]
    fn whatever_leads_into_the_images_configuration_is_found() {
        let inside = |make: &dyn Fn(&Path, &Path)| {
            looked(|user, etc| {
                fs::create_dir_all(user).unwrap();
                fs::write(etc.join("mise.lock"), "").unwrap();
                make(user, etc);
            })
        };
        assert_eq!(inside(&|_, _| ()), None);
        assert_eq!(looked(|_, _| ()), None, "no directory at all");
        let directory = looked(|user, etc| symlink(etc, user).unwrap());
        assert_eq!(directory.unwrap(), Path::new(".config/mise"));
        let lock = Path::new(".config/mise/mise.lock");
        let linked =
            |u: &Path, e: &Path| symlink(e.join("mise.lock"), u.join("mise.lock")).unwrap();
        assert_eq!(inside(&linked).unwrap(), lock);
        let hard = |u: &Path, e: &Path| {
            fs::hard_link(e.join("mise.lock"), u.join("mise.lock")).unwrap();
        };
        assert_eq!(inside(&hard).unwrap(), lock);
        // Written through a link to what isn't there yet.
        let none = |u: &Path, _: &Path| symlink("../../etc/new.lock", u.join("mise.lock")).unwrap();
        assert_eq!(inside(&none).unwrap(), lock);
        let locks = |u: &Path, e: &Path| symlink(e.join("locks"), u.join("locks")).unwrap();
        assert_eq!(inside(&locks).unwrap(), Path::new(".config/mise/locks"));
    }

    #[test]
    fn what_this_user_cannot_write_is_not_exposed() {
        if nix::unistd::geteuid().is_root() {
            return;
        }
        let found = looked(|user, etc| {
            fs::write(etc.join("mise.lock"), "").unwrap();
            fs::create_dir_all(user).unwrap();
            symlink(etc.join("mise.lock"), user.join("mise.lock")).unwrap();
            fs::set_permissions(etc.join("mise.lock"), Permissions::from_mode(0o444)).unwrap();
            fs::set_permissions(etc, Permissions::from_mode(0o555)).unwrap();
        });
        assert_eq!(found, None);
    }
}
