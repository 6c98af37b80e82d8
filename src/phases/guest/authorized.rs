//! `~/.ssh/authorized_keys`, as the user whose it is: keys are added to what is there, none is
//! taken away.

use crate::stub::public_key;
use crate::sys::beneath::{Dir, Kind};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file of ten thousand keys is no larger.
const LONGEST: u64 = 1 << 20;

const DIRECTORY: &str = ".ssh";
const FILE: &str = "authorized_keys";

/// What the helper is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    pub(super) home: PathBuf,
    pub(super) keys: Vec<String>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Merged {
    added: usize,
    there: usize,
}

impl Merged {
    pub(super) fn told(&self, user: &str) -> String {
        let keys = |n: usize| if n == 1 { "1 SSH key".into() } else { format!("{n} SSH keys") };
        match (self.added, self.there) {
            (added, 0) => format!("let {} in as {user}", keys(added)),
            (0, there) => format!("{} may log in as {user} already", keys(there)),
            (added, there) => {
                format!("let {} in as {user}, beside {there} of them that were there", keys(added))
            }
        }
    }
}

/// The helper `agent internal authorized-keys`.
pub fn helper(asked: &Asked) -> Result<Merged, String> {
    for key in &asked.keys {
        public_key::check(key).map_err(|why| format!("one of them is none: {why}"))?;
    }
    merge(&asked.home, &asked.keys).map_err(|e| e.to_string())
}

fn merge(home: &Path, keys: &[String]) -> io::Result<Merged> {
    let at = |what: &str, e: io::Error| {
        io::Error::new(e.kind(), format!("{}/{what}: {e}", home.display()))
    };
    let directory = Dir::open(home)
        .and_then(|home| home.make_path(Path::new(DIRECTORY), 0o700, None))
        .map_err(|e| at(DIRECTORY, e))?;
    let file = format!("{DIRECTORY}/{FILE}");
    let (text, mode) = read(&directory).map_err(|e| at(&file, e))?;
    let lines = String::from_utf8_lossy(&text);
    let known: Vec<&str> = lines.lines().filter_map(public_key::key).collect();
    let mut missing: Vec<&str> = Vec::new();
    for key in keys.iter().map(|key| key.trim()) {
        let word = public_key::key(key);
        let there = word.is_some_and(|w| known.contains(&w));
        if !there && !missing.iter().any(|other| public_key::key(other) == word) {
            missing.push(key);
        }
    }
    let merged = Merged { added: missing.len(), there: keys.len() - missing.len() };
    if missing.is_empty() {
        return Ok(merged);
    }
    let mut text = text.clone();
    if text.last().is_some_and(|b| *b != b'\n') {
        text.push(b'\n');
    }
    for key in missing {
        text.extend(key.as_bytes());
        text.push(b'\n');
    }
    write(&directory, &text, mode).map_err(|e| at(&file, e))?;
    Ok(merged)
}

/// What is there, and its permissions, less what a server would refuse (sshd_config(5), StrictModes).
fn read(directory: &Dir) -> io::Result<(Vec<u8>, u32)> {
    match directory.kind(FILE)? {
        Kind::Missing => Ok((Vec::new(), 0o600)),
        Kind::File => {
            let file = directory.read(FILE)?;
            let mode = file.metadata()?.mode() & 0o755 | 0o600;
            let mut text = Vec::new();
            file.take(LONGEST + 1).read_to_end(&mut text)?;
            if text.len() as u64 > LONGEST {
                return Err(io::Error::other("it is larger than 1 MiB"));
            }
            Ok((text, mode))
        }
        _ => Err(io::Error::other("it is no regular file")),
    }
}

fn write(directory: &Dir, text: &[u8], mode: u32) -> io::Result<()> {
    let new = format!(".{FILE}.agent-{:08x}", fastrand::u32(..));
    let made = (|| {
        let mut file = directory.create_new(&new, 0o600)?;
        file.write_all(text)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        directory.rename(&new, FILE)?;
        directory.sync()
    })();
    if made.is_err() {
        let _ = directory.remove(&new);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0hYGvhvpDCrcULfGDkXrqxGJ0QzVKzMR4gYbkqJ6nC";

    fn asked(home: &Path, keys: &[&str]) -> Result<Merged, String> {
        helper(&Asked { home: home.into(), keys: keys.iter().map(|k| (*k).to_owned()).collect() })
    }

    #[test]
    fn keys_are_added_once_and_what_is_there_stays() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".ssh/authorized_keys");
        let key = format!("{KEY} box");
        assert_eq!(asked(home.path(), &[&key, &key]), Ok(Merged { added: 1, there: 1 }));
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{key}\n"));
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(home.path().join(".ssh").metadata().unwrap().mode() & 0o777, 0o700);
        let others = format!("# mine\nfrom=\"10.0.0.0/8\" {KEY} laptop\nssh-rsa AAAAB3other x");
        fs::write(&file, &others).unwrap();
        assert_eq!(asked(home.path(), &[&key]), Ok(Merged { added: 0, there: 1 }));
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            others,
            "it is there, with the user's own limits"
        );
        fs::write(&file, "ssh-rsa AAAAB3other x").unwrap();
        assert_eq!(asked(home.path(), &[&key]), Ok(Merged { added: 1, there: 0 }));
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("ssh-rsa AAAAB3other x\n{key}\n"));
        assert_eq!(fs::read_dir(home.path().join(".ssh")).unwrap().count(), 1, "something is left");
    }

    #[test]
    fn links_and_what_is_no_key_are_refused() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join(".ssh")).unwrap();
        assert!(asked(home.path(), &[KEY]).unwrap_err().contains(".ssh"));
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        fs::remove_file(home.path().join(".ssh")).unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        let target = elsewhere.path().join("keys");
        fs::write(&target, "theirs").unwrap();
        std::os::unix::fs::symlink(&target, home.path().join(".ssh/authorized_keys")).unwrap();
        assert!(asked(home.path(), &[KEY]).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        assert!(asked(elsewhere.path(), &["command=\"x\" ssh-rsa AAAA"]).is_err());
        assert!(!elsewhere.path().join(".ssh").exists());
        assert!(asked(&elsewhere.path().join("none"), &[KEY]).is_err());
    }
}
