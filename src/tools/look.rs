//! One look at everything that lies on the disk about tools, by a process that is the sandbox
//! user (`agent internal tools`): whatever a user has planted in its home, the reader can do
//! no more than that user, and a file that never ends keeps nobody waiting past a deadline.

use super::manifest::{self, Manifest, ManifestError};
use super::places::Places;
use super::proof;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is asked of the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Where things lie.
    pub places: Places,
    /// The mise program.
    pub mise: PathBuf,
    /// What mise's environment will hold of its own settings (`MISE_*`, `XDG_*`).
    pub variables: BTreeMap<String, String>,
    /// What is asked about the proof that nothing has changed.
    #[serde(default)]
    pub proof: proof::Asked,
}

/// What it saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The image's config, where it has one that can be read.
    pub system: Option<Manifest>,
    /// The user's.
    pub user: Option<Manifest>,
    /// Config files that are there and can't be used.
    pub unusable: Vec<ManifestError>,
    /// Whether nothing has changed, and what has. Where nothing has, nothing else is looked at.
    #[serde(default)]
    pub proof: proof::Seen,
}

/// The helper.
pub fn helper(request: &Request) -> Seen {
    let mut seen = Seen { proof: proof::look(request), ..Seen::default() };
    if seen.proof.holds.is_some() || !matches!(request.proof.what, proof::What::Holds) {
        return seen;
    }
    let mut read = |path: PathBuf| match manifest::read(&path) {
        Ok(manifest) => manifest,
        Err(e) => {
            seen.unusable.push(e);
            None
        }
    };
    let system = read(request.places.system_manifest());
    let user = read(request.places.user_manifest());
    Seen { system, user, ..seen }
}
