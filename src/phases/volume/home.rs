//! What `[home]` asks of a home that is no volume: files of a skeleton, directories, private
//! ones, links. Done by a helper that is the sandbox user, once the volumes are there: whatever
//! path it follows, it can do no more than that user. Nothing that is there is replaced.

use super::fill;
use crate::config::Home;
use crate::journal::Problem;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What the helper is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub(super) home: PathBuf,
    pub(super) wanted: Home,
}

/// What it answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<String>,
}

/// The helper `agent internal home`.
pub fn helper(request: &Request) -> Answer {
    let mut answer = Answer::default();
    let Request { home, wanted } = request;
    if !home.is_dir() {
        answer.problems.push(Problem::new(
            "home-missing",
            format!("the home {} is no directory", home.display()),
            "make it, or correct user.home",
        ));
        return answer;
    }
    if let Some(skeleton) = &wanted.skeleton {
        answer.keep(copy(skeleton, home));
    }
    for directory in &wanted.directories {
        answer.keep(make(&home.join(directory), 0o755));
    }
    for directory in &wanted.private {
        answer.keep(private(&home.join(directory)));
    }
    for (name, to) in &wanted.links {
        answer.keep(link(&home.join(name), to));
    }
    answer
}

impl Answer {
    fn keep(&mut self, done: Result<Option<String>, Problem>) {
        match done {
            Ok(note) => self.notes.extend(note),
            Err(problem) => self.problems.push(problem),
        }
    }
}

fn copy(skeleton: &Path, home: &Path) -> Result<Option<String>, Problem> {
    match fill::copy_tree(skeleton, home, 0) {
        Ok(0) => Ok(None),
        Ok(n) => {
            Ok(Some(format!("copied {n} files of {} to {}", skeleton.display(), home.display())))
        }
        Err(e) => Err(Problem::new(
            "home-skeleton",
            format!("{} cannot be copied to {}: {e}", skeleton.display(), home.display()),
            "make the skeleton readable for the sandbox user, and the home writable",
        )),
    }
}

fn make(path: &Path, mode: u32) -> Result<Option<String>, Problem> {
    if path.is_dir() {
        return Ok(None);
    }
    match DirBuilder::new().recursive(true).mode(mode).create(path) {
        Ok(()) => Ok(Some(format!("made {}", path.display()))),
        Err(e) => Err(cannot_make(path, &e)),
    }
}

/// Only the directory itself: `~/.ssh` that is a link was made so by its user.
fn private(path: &Path) -> Result<Option<String>, Problem> {
    const OTHERS: u32 = 0o077;
    let shown = path.display();
    match path.symlink_metadata() {
        Ok(there) if there.is_symlink() => {
            Ok(Some(format!("{shown} is a link; its permissions are left as they are")))
        }
        Ok(there) if there.is_dir() && there.mode() & OTHERS != 0 => {
            let mode = there.mode() & 0o7777;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|e| {
                Problem::new(
                    "home-private",
                    format!("{shown} (mode {mode:04o}) cannot be closed to others: {e}"),
                    format!("give it to the sandbox user, or run chmod 0700 {shown}"),
                )
            })?;
            Ok(Some(format!("{shown} had mode {mode:04o}, now 0700")))
        }
        Ok(there) if there.is_dir() => Ok(None),
        Ok(_) => Err(cannot_make(path, &io::Error::from_raw_os_error(libc::ENOTDIR))),
        Err(_) => {
            if let Some(parent) = path.parent().filter(|p| !p.is_dir()) {
                make(parent, 0o755)?;
            }
            make(path, 0o700)
        }
    }
}

fn cannot_make(path: &Path, e: &io::Error) -> Problem {
    Problem::new(
        "home-directory",
        format!("{} cannot be made: {e}", path.display()),
        "move away what stands in its place, or make the home writable for the sandbox user",
    )
}

fn link(path: &Path, to: &Path) -> Result<Option<String>, Problem> {
    let (shown, leads) = (path.display(), to.display());
    if let Ok(there) = path.symlink_metadata() {
        return match fs::read_link(path) {
            Ok(old) if old == to => Ok(None),
            old => Err(Problem::new(
                "home-link",
                match old {
                    Ok(old) => format!("{shown} leads to {}, not to {leads}", old.display()),
                    Err(_) if there.is_dir() => {
                        format!("{shown} is a directory, no link to {leads}")
                    }
                    Err(_) => format!("{shown} is a file, no link to {leads}"),
                },
                format!(
                    "move it away, or take it out of [home.links]; then run `agent boot`: nothing of {shown} is replaced"
                ),
            )),
        };
    }
    let made = path
        .parent()
        .map_or(Ok(()), |parent| DirBuilder::new().recursive(true).mode(0o755).create(parent))
        .and_then(|()| symlink(to, path));
    match made {
        Ok(()) => Ok(Some(format!("linked {shown} to {leads}"))),
        Err(e) => Err(Problem::new(
            "home-link",
            format!("{shown} cannot be linked to {leads}: {e}"),
            "make the home writable for the sandbox user",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn wanted(skeleton: Option<&Path>) -> Home {
        Home {
            skeleton: skeleton.map(Into::into),
            directories: vec!["work/here".into()],
            private: vec![".ssh".into(), ".config/secret".into()],
            links: BTreeMap::from([("projects".into(), "/mint/projects".into())]),
        }
    }

    fn codes(answer: &Answer) -> Vec<&str> {
        answer.problems.iter().map(|p| p.code.as_str()).collect()
    }

    fn mode(path: PathBuf) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_missing_is_made_once() {
        let (skel, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(skel.path().join(".profile"), "skeleton").unwrap();
        fs::write(skel.path().join(".bashrc"), "skeleton").unwrap();
        fs::write(home.path().join(".bashrc"), "mine").unwrap();
        let request = Request { home: home.path().into(), wanted: wanted(Some(skel.path())) };
        let first = helper(&request);
        assert_eq!(codes(&first), [""; 0]);
        assert_eq!(first.notes.len(), 5, "{first:?}");
        assert_eq!(fs::read_to_string(home.path().join(".profile")).unwrap(), "skeleton");
        assert_eq!(fs::read_to_string(home.path().join(".bashrc")).unwrap(), "mine");
        assert_eq!(mode(home.path().join(".ssh")), 0o700);
        assert_eq!(mode(home.path().join(".config/secret")), 0o700);
        assert_ne!(mode(home.path().join(".config")), 0o700, "only the last part is private");
        assert!(home.path().join("work/here").is_dir());
        let link = fs::read_link(home.path().join("projects")).unwrap();
        assert_eq!(link, Path::new("/mint/projects"));
        let again = helper(&request);
        assert!(again.notes.is_empty() && again.problems.is_empty(), "{again:?}");
    }

    #[test]
    fn what_stands_in_the_way_is_named_and_left() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("projects/mine")).unwrap();
        fs::write(home.path().join(".ssh"), "a file").unwrap();
        fs::write(home.path().join("work"), "a file").unwrap();
        let request = Request { home: home.path().into(), wanted: wanted(None) };
        let answer = helper(&request);
        assert_eq!(codes(&answer), ["home-directory", "home-directory", "home-link"]);
        assert!(home.path().join("projects/mine").is_dir());
        assert_eq!(fs::read_to_string(home.path().join(".ssh")).unwrap(), "a file");
        fs::remove_dir_all(home.path().join("projects")).unwrap();
        symlink("/elsewhere", home.path().join("projects")).unwrap();
        let answer = helper(&request);
        assert!(answer.problems.iter().any(|p| p.message.contains("leads to /elsewhere")));
    }

    #[test]
    fn a_directory_that_is_too_open_is_closed_and_a_link_is_left() {
        let home = tempfile::tempdir().unwrap();
        let ssh = home.path().join(".ssh");
        fs::create_dir(&ssh).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o750)).unwrap();
        let note = private(&ssh).unwrap().unwrap();
        assert!(note.contains("had mode 0750"), "{note}");
        assert_eq!(mode(ssh.clone()), 0o700);
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(private(&ssh).unwrap(), None);
        assert_eq!(mode(ssh), 0o500);
        let outside = tempfile::tempdir().unwrap();
        fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(outside.path(), home.path().join("link")).unwrap();
        assert!(private(&home.path().join("link")).unwrap().unwrap().contains("is a link"));
        assert_eq!(mode(outside.path().into()), 0o755);
    }

    #[test]
    fn a_home_that_is_missing_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let request = Request { home: dir.path().join("none"), wanted: wanted(None) };
        assert_eq!(codes(&helper(&request)), ["home-missing"]);
    }
}
