//! One look at everything that lies on the disk about tools, by a process that is the sandbox
//! user (`agent internal tools`): whatever a user has planted in its home, the reader can do
//! no more than that user, and a file that never ends keeps nobody waiting past a deadline.

use super::baseline;
use super::lock;
use super::manifest::{self, Manifest, ManifestError};
use super::places::Places;
use super::policy::installed;
use super::proof;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What is asked of the helper.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// Where things lie.
    pub places: Places,
    /// The mise program.
    pub mise: PathBuf,
    /// What mise's environment will hold of its own settings (`MISE_*`, `XDG_*`).
    pub variables: BTreeMap<String, String>,
    /// A boot asks: finish an import that was cut off, put back what a repair that was cut off has
    /// moved aside, keep a copy of what mise will write over. Who only asks changes nothing.
    #[serde(default)]
    pub resume_import: bool,
    /// What is asked about the proof that nothing has changed.
    #[serde(default)]
    pub proof: proof::Asked,
}

/// What of an environment mise takes for its own settings. No other variable is shown to anybody
/// but mise.
pub fn settings(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> BTreeMap<String, String> {
    let text = |(n, v): (OsString, OsString)| Some((n.into_string().ok()?, v.into_string().ok()?));
    let all = environment.into_iter().filter_map(text);
    all.filter(|(n, _)| n.starts_with("MISE_") || n.starts_with("XDG_")).collect()
}

/// What it saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The image's config, where it has one that can be read.
    pub system: Option<Manifest>,
    /// The user's.
    pub user: Option<Manifest>,
    /// The other configs that mise reads for all directories: `conf.d` and what is local.
    #[serde(default)]
    pub more_of_system: Vec<Manifest>,
    /// The same of the user's.
    #[serde(default)]
    pub more_of_user: Vec<Manifest>,
    /// What became of an import that was cut off.
    #[serde(default)]
    pub sync: super::sync::Seen,
    /// Config files that are there and can't be used.
    pub unusable: Vec<ManifestError>,
    /// Plugins, and by which backend what is installed was.
    #[serde(default)]
    pub policy: installed::Seen,
    /// What the lockfiles are worth.
    #[serde(default)]
    pub lock: lock::Seen,
    /// Links to the image's tools.
    #[serde(default)]
    pub baseline: baseline::Seen,
    /// Whether nothing has changed, and what has. Where nothing has, nothing else is looked at.
    #[serde(default)]
    pub proof: proof::Seen,
}

/// The helper.
pub fn helper(request: &Request) -> Seen {
    // First: it changes what is read below.
    let sync = match request.resume_import {
        true => {
            super::verify::aside::back(&request.places, &[]);
            super::sync::look(&request.places)
        }
        false => super::sync::Seen::default(),
    };
    let mut seen = Seen { sync, proof: proof::look(request), ..Seen::default() };
    if matches!(request.proof.what, proof::What::Again) {
        seen.lock = lock::look(&request.places, &request.variables);
    }
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
    let mut others = |dir: &Path| others(dir).into_iter().filter_map(&mut read).collect();
    let more_of_system = others(&request.places.system_config);
    let more_of_user = others(&request.places.config);
    let policy = installed::look(request);
    let lock = lock::look(&request.places, &request.variables);
    let baseline = baseline::look(request);
    Seen { system, user, more_of_system, more_of_user, policy, lock, baseline, ..seen }
}

impl Seen {
    /// Every config that holds for all directories, the image's first.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        let system = self.system.iter().chain(&self.more_of_system);
        system.chain(&self.user).chain(&self.more_of_user)
    }
}

/// What mise reads in a directory of configuration beside `config.toml`.
fn others(dir: &Path) -> Vec<PathBuf> {
    /// Nobody has more parts than this.
    const PARTS: usize = 64;
    let entries = dir.join("conf.d").read_dir().into_iter().flatten().flatten();
    let mut parts: Vec<PathBuf> = entries.map(|e| e.path()).take(PARTS).collect();
    parts.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    parts.sort();
    let local = ["config.local.toml", "mise.toml", "mise.local.toml"].map(|name| dir.join(name));
    parts.into_iter().chain(local).collect()
}
