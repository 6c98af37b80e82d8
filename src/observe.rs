//! The status of this sandbox, as it is seen from inside by any of its users.

use crate::config::{self, Sources};
use crate::journal::status::{Observer, fold};
use crate::journal::{Status, file, place};
use crate::survey;
use crate::sys::process;

/// Finds the journal of this life of the sandbox and folds it. A configuration that
/// cannot be read doesn't keep the state from being found: the defaults lead there too.
pub fn status() -> Status {
    let config = config::load(&Sources::standard()).unwrap_or_else(|e| *e.usable);
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
