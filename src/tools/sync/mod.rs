//! What goes along to another machine, and what never does.
//!
//! A [`table`] says it, row by row. An export follows the table and writes a [`bundle`] as a
//! tar archive ([`ustar`]) with the same bytes wherever it is made. An import reads all of an
//! archive and judges it by the same table before it changes anything; then it puts the files
//! in place so that, cut off at any instant, what is there is the old or will be the new
//! ([`record`]). All of it is done as the user whose home it is.

pub mod bundle;
pub mod export;
pub mod ground;
pub mod import;
pub mod record;
pub mod staying;
pub mod table;
pub mod text;
pub mod undo;
pub mod ustar;

#[cfg(test)]
mod tests;

use super::places::Places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a boot does about an import that was cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// One was finished; or undone, where it had changed nothing yet.
    #[serde(default)]
    pub resumed: Option<String>,
    /// One can be neither finished nor undone, and this is in the way.
    #[serde(default)]
    pub stuck: Option<String>,
    /// What a person does then.
    #[serde(default)]
    pub way_out: String,
}

/// Finishes an import that a kill or a power cut interrupted. Runs as the user.
pub fn look(places: &Places) -> Seen {
    if !record::is_pending(places) {
        return Seen::default();
    }
    let ground = ground::Ground { places: places.clone(), links: BTreeMap::new() };
    let resumed = match record::lock(&ground) {
        // Another import runs right now; it sees to it.
        Ok(None) => return Seen::default(),
        Ok(Some(_held)) => record::resume(places),
        Err(e) => Err(e),
    };
    match resumed {
        Ok(resumed) => Seen { resumed: resumed.as_ref().map(told), ..Seen::default() },
        Err(e) => {
            Seen { stuck: Some(e.to_string()), way_out: record::way_out(places), resumed: None }
        }
    }
}

/// What became of an import that had been cut off, for a person.
pub fn told(resumed: &record::Resumed) -> String {
    match resumed {
        record::Resumed::Finished => "an import of tools that had been cut off is finished",
        record::Resumed::Undone => {
            "an import of tools that had been cut off before it changed anything is undone"
        }
    }
    .to_owned()
}
