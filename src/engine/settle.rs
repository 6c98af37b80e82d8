//! What commands wrote is on the disk before the record that they are done is: a power cut must not
//! leave a record of files that are not there.
//!
//! A program that ends has written to the kernel's memory; the disk follows within half a minute.
//! The record is synced at once. So the file systems that a command of this boot most likely wrote to are
//! synced before (`syncfs(2)`): the root, the home, the volumes. A helper does it, with a
//! deadline: a disk may take its time, and a server that is gone never answers.

use super::{Context, HelperError};
use crate::config::value::OnFailure;
use crate::journal::Problem;
use crate::plan::Work;
use crate::sys::files;
use nix::unistd::syncfs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long it may take. A disk that is slower is told.
const TAKES: Duration = Duration::from_secs(30);

/// What the helper is asked: directories, whose file systems are synced.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    directories: Vec<PathBuf>,
}

impl Context<'_> {
    /// Waits until what was written is on the disk. That it isn't is told, and is no failure:
    /// without a power cut nothing is lost.
    pub async fn settle(&self, what: &str) -> Option<(OnFailure, Problem)> {
        let volumes = self.plan.phases.iter().flat_map(|phase| match &phase.work {
            Work::Volumes { volumes, .. } => volumes.as_slice(),
            _ => &[],
        });
        let directories = [PathBuf::from("/"), self.user().home.clone()]
            .into_iter()
            .chain(volumes.map(|work| work.volume.target.clone()))
            .collect();
        let answer: Result<Vec<String>, HelperError> =
            self.helper("settle", &Asked { directories }, false, TAKES).await;
        let why = match answer {
            Ok(refused) if refused.is_empty() => return None,
            Ok(refused) => refused.join("; "),
            Err(HelperError::Hung) => format!("no end within {} s", TAKES.as_secs()),
            Err(HelperError::Broken(why)) => why,
            // The boot ends, and says so itself.
            Err(HelperError::Cancelled) => return None,
        };
        let problem = Problem::new(
            "unsettled",
            format!("what {what} wrote may not be on the disk yet: a power cut would lose it"),
            "see the kernel's log for errors of the disk (dmesg, journalctl -k)",
        );
        Some((OnFailure::Degrade, problem.evidence(why)))
    }
}

/// The helper `agent internal settle`: what could not be synced, and why.
pub fn helper(asked: &Asked) -> Vec<String> {
    let mut seen = BTreeSet::new();
    asked.directories.iter().filter_map(|path| sync(path, &mut seen).err()).collect()
}

fn sync(path: &Path, seen: &mut BTreeSet<u64>) -> Result<(), String> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    // What this user may not open, or what is not there, nobody wrote to in its name.
    let Ok(directory) = File::options().read(true).custom_flags(flags).open(path) else {
        return Ok(());
    };
    let device = directory.metadata().map(|m| m.dev()).unwrap_or_default();
    if files::in_memory(path) || !seen.insert(device) {
        return Ok(());
    }
    syncfs(&directory).map_err(|e| format!("{}: {e}", path.display()))
}
