//! How it is proved, without asking mise, that nothing has changed since a boot that found
//! everything in its place.

use crate::journal::event::Tool;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a reconcile came to, as far as it stays true until something changes. A later boot
/// that finds nothing changed says the same again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The tools, all of them in place.
    pub tools: Vec<Tool>,
    /// What else a reader should know at every boot.
    pub notes: Vec<String>,
    /// Variables that the workload gets because of what was found.
    pub variables: BTreeMap<String, String>,
}
