//! The one place where a user keeps the script.

use super::payload::{MAX_SCRIPT, PayloadError, Script};
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where the script is, below the home. No flag, key or variable moves it (the contract):
/// one place to look.
pub const USER_SCRIPT: &str = ".config/mint/user-bootstrap.sh";

/// The user's script in the home directory `home`. `None` where there is none: the hook
/// is skipped.
///
/// # Errors
/// There is something and it cannot be read: never skipped.
pub fn user_script(home: &Path) -> Result<Option<Script>, UserScriptError> {
    let path = home.join(USER_SCRIPT);
    let failed = |e: io::Error| UserScriptError { path: path.clone(), why: Why::Unreadable(e) };
    match fs::symlink_metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && !dangling(&path) => return Ok(None),
        Err(e) => return Err(failed(e)),
        // A link whose target is missing is there and cannot be read.
        Ok(_) => {}
    }
    // Not opened before it is known to be a file: a pipe would never open.
    if !fs::metadata(&path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(MAX_SCRIPT + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    Script::verbatim(bytes).map(Some).map_err(|e| UserScriptError { path, why: Why::Payload(e) })
}

/// Is a directory on the way a link to nowhere?
fn dangling(path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .take(USER_SCRIPT.split('/').count() - 1)
        .any(|dir| dir.is_symlink() && !dir.exists())
}

/// The user's script is there and cannot be handed over.
#[derive(Debug)]
pub struct UserScriptError {
    /// Which file.
    pub path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Unreadable(io::Error),
    Payload(PayloadError),
}

impl fmt::Display for UserScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Unreadable(e) => write!(
                f,
                "the user script {path} cannot be read: {e}; make it readable, or remove it to \
                 launch without one"
            ),
            Why::Payload(e) => write!(
                f,
                "the user script {path} cannot be handed over: {e}; shorten it, or let it download its larger part itself"
            ),
        }
    }
}

impl std::error::Error for UserScriptError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_skipped_and_unreadable_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(user_script(home.path()).unwrap(), None);
        let path = home.path().join(USER_SCRIPT);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert_eq!(user_script(home.path()).unwrap(), None);
        fs::write(&path, b"\x1f\x8b\0no gzip").unwrap();
        let script = user_script(home.path()).unwrap().unwrap();
        assert_eq!(script.bytes(), b"\x1f\x8b\0no gzip", "as it is");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let e = user_script(home.path()).unwrap_err().to_string();
        assert!(e.contains("not a regular file") && e.contains("user-bootstrap.sh"), "{e}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nowhere_is_no_absence() {
        let home = tempfile::tempdir().unwrap();
        let mint = home.path().join(".config/mint");
        fs::create_dir_all(mint.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/nonexistent/dotfiles", &mint).unwrap();
        user_script(home.path()).unwrap_err();
        fs::remove_file(&mint).unwrap();
        fs::create_dir(&mint).unwrap();
        std::os::unix::fs::symlink("/nonexistent/x", mint.join("user-bootstrap.sh")).unwrap();
        user_script(home.path()).unwrap_err();
        fs::remove_dir_all(home.path().join(".config")).unwrap();
        fs::write(home.path().join(".config"), "a file").unwrap();
        user_script(home.path()).unwrap_err();
    }
}
