//! Putting a directory in the place of another.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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
