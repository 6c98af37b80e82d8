//! The status of this sandbox, as it is seen from inside by any of its users.

use crate::config::{self, Sources};
use crate::journal::status::{Observer, fold};
use crate::journal::{Status, file, place};
use crate::survey;
use crate::sys::process;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Finds the journal of this life of the sandbox and folds it. A configuration that
/// cannot be read doesn't keep the state from being found: the defaults lead there too.
///
/// `config` is the file that the boot was started with; without it, the one that PID 1
/// was started with, else the standard ones.
pub fn status(config: Option<&Path>) -> Status {
    let named = config.map(Path::to_owned).or_else(config_of_init);
    let sources = named.map_or_else(Sources::standard, |path| Sources::file(&path));
    let config = config::load(&sources).unwrap_or_else(|e| *e.usable);
    let user = survey::sandbox_user(&config, &mut Vec::new());
    let bases = place::bases(&user.home, (user.uid, user.gid));
    let epoch = file::epoch();
    let Some(found) = place::find_journal(&bases, &epoch) else {
        let places: Vec<String> = bases.iter().map(|b| b.path().display().to_string()).collect();
        return Status::none(format!(
            "no boot has begun here, or it found no place for its journal ({})",
            places.join(", ")
        ));
    };
    let observer = Observer { epoch, lives: &|r| process::lives(r.pid, r.start_ticks) };
    let mut status = fold(&found.contents.records, &observer);
    status.journal = Some(found.path);
    status.unreadable_lines = found.contents.unreadable;
    status
}

/// The `--config` of an `agent init` that is PID 1 (`proc_pid_cmdline(5)`).
fn config_of_init() -> Option<PathBuf> {
    let line = fs::read("/proc/1/cmdline").ok()?;
    let mut arguments = line.split(|&b| b == 0);
    (arguments.nth(1)? == b"init").then_some(())?;
    let mut before_command = arguments.take_while(|a| *a != b"--");
    before_command.find(|a| *a == b"--config")?;
    before_command.next().map(|file| OsString::from_vec(file.to_vec()).into())
}
