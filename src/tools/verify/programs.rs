//! The programs of one tool, and what can be wrong with a program.

use super::package::Package;
use crate::sys::files;
use nix::unistd::{AccessFlags, access};
use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// More entries than this of one directory of programs are not looked at.
const MAX_PROGRAMS: usize = 2000;

/// A wrapper says in its first lines what it wraps; so many bytes are read of it.
const HEAD: u64 = 1024;

/// How the wrappers of the embedded npm installer say it: a line that begins with the one
/// and has the path behind the other.
const WRAPS: (&str, &str) = ("# aube-bin-shim ", " target=");

/// Where programs lie in a tool of which mise doesn't say it.
const USUAL: [&str; 2] = ["node_modules/.bin", "bin"];

/// What lies in a tool's directories of programs.
#[derive(Default)]
pub(super) struct Programs {
    /// The names of those that are whole.
    pub(super) whole: Vec<String>,
    /// What is wrong with the first of the others.
    pub(super) fault: Option<String>,
}

impl Programs {
    /// Looks at the tool in `path`; `package` where it is one of npm's.
    pub(super) fn of(path: &Path, bin_paths: &[PathBuf], package: Option<&Package>) -> Self {
        let mut programs = Self::default();
        let mut names = BTreeSet::new();
        for dir in directories(path, bin_paths) {
            for entry in dir.read_dir().into_iter().flatten().flatten().take(MAX_PROGRAMS) {
                let path = entry.path();
                let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
                // Beside an npm package's programs lies nothing else; beside others, their
                // licence.
                let counts = package.is_some() || is_executable(&path);
                if counts && !path.is_dir() && names.insert(name.to_owned()) {
                    match fault(&path) {
                        None => programs.whole.push(name.to_owned()),
                        fault => programs.fault = programs.fault.or(fault),
                    }
                }
            }
        }
        let mut declared = package.iter().flat_map(|p| &p.programs);
        if let Some(missing) = declared.find(|name| !names.contains(*name)) {
            programs.fault = programs.fault.or(Some(format!("its program {missing} is missing")));
        }
        programs
    }
}

/// The tool's own directories of programs. mise names them by links such as `latest`.
fn directories(path: &Path, bin_paths: &[PathBuf]) -> Vec<PathBuf> {
    let real = |p: &Path| p.canonicalize().unwrap_or_else(|_| p.to_owned());
    let root = real(path);
    let named = bin_paths.iter().map(|p| real(p));
    let named: Vec<PathBuf> = named.filter(|p| p.starts_with(&root)).collect();
    if !named.is_empty() {
        return named;
    }
    let usual = USUAL.map(|name| root.join(name)).into_iter().find(|p| p.is_dir());
    vec![usual.unwrap_or(root)]
}

/// What is wrong with this program, or with what it wraps; in words that name the file.
pub(in crate::tools) fn fault(path: &Path) -> Option<String> {
    let shown = path.display();
    if let Err(why) = has_bytes(path) {
        return Some(format!("{shown} {why}"));
    }
    if !is_executable(path) {
        return Some(format!("{shown} cannot be executed"));
    }
    let target = wrapped(path)?;
    let why = has_bytes(&target).err()?;
    Some(format!("{shown} leads to {}, which {why}", target.display()))
}

fn is_executable(path: &Path) -> bool {
    access(path, AccessFlags::X_OK).is_ok()
}

fn has_bytes(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(m) if m.is_file() && m.len() > 0 => Ok(()),
        Ok(m) if m.is_file() => Err("is empty".into()),
        Ok(_) => Err("is no file".into()),
        Err(e) if e.kind() == ErrorKind::NotFound && path.is_symlink() => {
            Err("leads to nothing".into())
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Err("is missing".into()),
        Err(e) => Err(format!("cannot be read: {e}")),
    }
}

/// What a wrapper of the npm installer starts; `None` for every other program.
fn wrapped(path: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    files::open_regular(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let (_, target) = head.lines().find_map(|l| l.strip_prefix(WRAPS.0)?.split_once(WRAPS.1))?;
    Some(path.parent()?.join(target.trim()))
}
