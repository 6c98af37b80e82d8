//! The file that holds the proof: the user's, replaced whole or not at all.

use super::{Inputs, Settled, shims::Shims, tree};
use crate::sys::files::open_regular;
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The form of the file, and of what is compared with it.
pub(super) const VERSION: u32 = 1;

/// No proof is larger, in bytes: some 2,500 directories and programs take 0.3 MB.
const MAX: u64 = 1 << 20;

/// A proof.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Proof {
    /// [`VERSION`].
    pub(super) version: u32,
    /// When it was made, in seconds since 1970.
    pub(super) made: i64,
    /// What mise's answer depends on.
    pub(super) inputs: Inputs,
    /// The user's shims.
    pub(super) shims: Shims,
    /// What each tool looked like.
    pub(super) tools: Vec<tree::Print>,
    /// What the boot came to.
    pub(super) settled: Settled,
}

/// The proof's place.
fn path(places: &Places) -> PathBuf {
    places.agent_state.join("tools-proof.json")
}

/// Reads it. The error says why there is none that could hold.
pub(super) fn read(places: &Places) -> Result<Proof, String> {
    let path = path(places);
    let file = match open_regular(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err("there is none yet".into()),
        Err(e) => return Err(format!("{} cannot be read: {e}", path.display())),
    };
    let mut text = Vec::new();
    file.take(MAX + 1)
        .read_to_end(&mut text)
        .map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    if text.len() as u64 > MAX {
        return Err(format!("{} is larger than {MAX} bytes", path.display()));
    }
    /// What every version of the file has.
    #[derive(Deserialize)]
    struct Any {
        version: u32,
    }
    let no_proof = |e: serde_json::Error| format!("{} is no proof: {e}", path.display());
    // Another version may have another form.
    if let Ok(Any { version }) = serde_json::from_slice(&text)
        && version != VERSION
    {
        return Err(format!("{} is another agent's, of form {version}", path.display()));
    }
    serde_json::from_slice(&text).map_err(no_proof)
}

/// Writes it beside its place and moves it there.
///
/// It is not synced: after a power cut it may be missing or garbage, and then it doesn't hold.
///
/// # Errors
/// It is too large, or what the file system says.
pub(super) fn write(places: &Places, proof: &Proof) -> io::Result<()> {
    let text = serde_json::to_vec(proof)?;
    if text.len() as u64 > MAX {
        return Err(io::Error::other(format!("it has {} bytes, more than {MAX}", text.len())));
    }
    replace(&path(places), &text)
}

/// Copies a lockfile that mise is going to write over. Where the copy is, and whether an older
/// one gave way to it: [`COPIES`] are kept.
///
/// # Errors
/// It can't be read, is larger than [`MAX_COPY`], or what the file system says.
pub(super) fn keep_copy(places: &Places, lock: &Path) -> io::Result<(PathBuf, bool)> {
    let bytes = whole(lock)?;
    let name = lock.file_name().unwrap_or_default().to_string_lossy();
    let copy = |n: u32| {
        let number = if n == 1 { String::new() } else { format!(".{n}") };
        places.agent_state.join(format!("{name}.corrupt{number}"))
    };
    for n in 1..=COPIES {
        let at = copy(n);
        match whole(&at) {
            Ok(there) if there == bytes => return Ok((at, false)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return replace(&at, &bytes).map(|()| (at, false));
            }
            _ => {}
        }
    }
    let last = copy(COPIES);
    replace(&last, &bytes).map(|()| (last, true))
}

/// How many copies of one lockfile are kept.
const COPIES: u32 = 9;

/// No larger lockfile is copied, in bytes.
const MAX_COPY: u64 = 16 << 20;

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(MAX_COPY + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_COPY {
        true => Err(io::Error::other(format!("it is larger than {MAX_COPY} bytes"))),
        false => Ok(bytes),
    }
}

/// Replaces a file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&new);
    let written = fs::File::create_new(&new)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof() -> Proof {
        Proof {
            version: VERSION,
            made: 1,
            inputs: Inputs::default(),
            shims: Shims::default(),
            tools: Vec::new(),
            settled: Settled::default(),
        }
    }

    #[test]
    fn a_proof_is_read_back_and_nothing_else_is_one() {
        let tmp = tempfile::tempdir().unwrap();
        let places = Places::of(tmp.path(), |_| None);
        assert_eq!(read(&places).unwrap_err(), "there is none yet");
        write(&places, &proof()).unwrap();
        assert_eq!(read(&places).unwrap().made, 1);
        assert_eq!(fs::read_dir(&places.agent_state).unwrap().count(), 1, "nothing is left over");
        let text = fs::read(path(&places)).unwrap();
        for (bytes, why) in [
            (&b""[..], "is no proof"),
            (&text[..text.len() / 2], "is no proof"),
            (&b"{\"version\":99}"[..], "of form 99"),
            (&vec![b' '; 2 << 20][..], "is larger"),
        ] {
            fs::write(path(&places), bytes).unwrap();
            let said = read(&places).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        fs::remove_file(path(&places)).unwrap();
        nix::unistd::mkfifo(&path(&places), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&places).unwrap_err().contains("cannot be read"));
        write(&places, &proof()).unwrap();
        read(&places).unwrap();
    }

    #[test]
    fn a_lock_that_mise_will_write_over_is_kept() {
        let tmp = tempfile::tempdir().unwrap();
        let places = Places::of(tmp.path(), |_| None);
        let lock = tmp.path().join("mise.lock");
        let kept = |text: &str| {
            fs::write(&lock, text).unwrap();
            let (at, replaced) = keep_copy(&places, &lock).unwrap();
            assert_eq!(fs::read_to_string(&at).unwrap(), text);
            (at.file_name().unwrap().to_str().unwrap().to_owned(), replaced)
        };
        let long = "x".repeat(3 << 20);
        assert_eq!(kept("<<<<<<< HEAD\n"), ("mise.lock.corrupt".into(), false));
        // The same again takes no room, another one takes nothing's place.
        assert_eq!(kept("<<<<<<< HEAD\n"), ("mise.lock.corrupt".into(), false));
        assert_eq!(kept(&long), ("mise.lock.corrupt.2".into(), false));
        for n in 3..=COPIES {
            assert_eq!(kept(&n.to_string()), (format!("mise.lock.corrupt.{n}"), false));
        }
        assert_eq!(kept("one more"), ("mise.lock.corrupt.9".into(), true));
        assert_eq!(kept(&long), ("mise.lock.corrupt.2".into(), false));
        fs::write(&lock, vec![b'x'; MAX_COPY as usize + 1]).unwrap();
        assert!(keep_copy(&places, &lock).unwrap_err().to_string().contains("larger"));
    }

    #[test]
    fn only_a_boot_keeps_a_copy_also_of_a_format_that_is_not_known() {
        let tmp = tempfile::tempdir().unwrap();
        let places = Places::of(tmp.path(), |_| None);
        fs::create_dir_all(&places.config).unwrap();
        fs::write(places.config.join("mise.lock"), "lockfile_version = 99\n").unwrap();
        fs::write(places.config.join("mise.test.lock"), "lockfile_version = 2\n").unwrap();
        let asked = |boot: bool| {
            let request = super::super::Request {
                places: places.clone(),
                resume_import: boot,
                ..Default::default()
            };
            super::super::corrupt_locks(&request)
        };
        let found = asked(false);
        assert!(found.len() == 1 && found[0].kept.is_none(), "{found:?}");
        assert!(!places.agent_state.exists());
        let kept = asked(true)[0].kept.clone().unwrap();
        assert_eq!(fs::read(kept).unwrap(), b"lockfile_version = 99\n");
    }
}
