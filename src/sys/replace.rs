//! Putting a directory, or a file of root's, in the place of another: at once, and whole.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Reads a file that is to be replaced, of `longest` bytes at most. No link is followed: what
/// it leads to is another program's to keep.
///
/// # Errors
/// What `open(2)` says, that it is no regular file, or that it is longer.
pub fn read(path: &Path, longest: u64) -> io::Result<(File, Vec<u8>)> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    (&file).take(longest + 1).read_to_end(&mut text)?;
    if text.len() as u64 > longest {
        return Err(io::Error::other(format!("it is larger than {longest} bytes")));
    }
    Ok((file, text))
}

/// Writes a file beside `path`, syncs it, and puts it in its place. It has the permissions and the
/// owner of `old`, else `mode` and this process's owner. Its directory is root's alone.
///
/// # Errors
/// What the filesystem says; nothing is left then.
pub fn file(path: &Path, text: &[u8], mode: u32, old: Option<&File>) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = directory.join(format!(".{name}.agent-{:08x}", fastrand::u32(..)));
    let made = (|| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text)?;
        let (mode, owner) = match old.map(File::metadata).transpose()? {
            Some(m) => (m.mode() & 0o7777, Some((m.uid(), m.gid()))),
            None => (mode, None),
        };
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(directory)?.sync_all()
    })();
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made
}

/// Puts the directory `new` at `at`, whatever is there. Where the filesystem can exchange the
/// two (`renameat2(2)` with `RENAME_EXCHANGE`), nobody ever meets a missing `at`, and what
/// stood there is at `new` afterwards, for the caller to remove. Where it can't (NFS, a lower
/// layer of an overlay), the old one is removed first.
///
/// # Errors
/// What `rename(2)` says, or that the old one can't be removed.
pub fn directory(new: &Path, at: &Path) -> io::Result<()> {
    if at.symlink_metadata().is_err() {
        return fs::rename(new, at);
    }
    if exchange(new, at).is_ok() {
        return Ok(());
    }
    match at.symlink_metadata() {
        Ok(m) if m.is_dir() => fs::remove_dir_all(at)?,
        Ok(_) => fs::remove_file(at)?,
        Err(_) => {}
    }
    fs::rename(new, at)
}

/// Exchanges two names. The C library's call is not in every C library; the kernel's is.
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    let [a, b] = [a, b].map(|p| CString::new(p.as_os_str().as_bytes()));
    let (a, b) = (a?, b?);
    // SAFETY: both are strings that end with a NUL and live across the call, which keeps no
    // pointer.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            a.as_ptr(),
            libc::AT_FDCWD,
            b.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_takes_the_place_of_whatever_is_there() {
        let tmp = tempfile::tempdir().unwrap();
        let (new, at) = (tmp.path().join("new"), tmp.path().join("at"));
        for old in ["nothing", "directory", "file"] {
            let _ = fs::remove_file(&new);
            let _ = fs::remove_dir_all(&new);
            let _ = fs::remove_dir_all(&at);
            match old {
                "directory" => {
                    fs::create_dir(&at).unwrap();
                    fs::write(at.join("old"), "").unwrap();
                }
                "file" => fs::write(&at, "").unwrap(),
                _ => {}
            }
            fs::create_dir(&new).unwrap();
            fs::write(new.join("is"), "new").unwrap();
            directory(&new, &at).unwrap();
            assert_eq!(fs::read_to_string(at.join("is")).unwrap(), "new", "{old}");
            assert!(!at.join("old").exists());
        }
    }
}
