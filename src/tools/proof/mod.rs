//! How it is proved, without asking mise, that nothing has changed since a boot that found
//! everything in its place.
//!
//! A boot whose tools phase has nothing to complain of leaves a proof in the user's state:
//! a hash of everything that mise's answer depends on ([`inputs`]), what each tool and each
//! shim looked like ([`tree`], [`shims`]), and what that boot said. The next boot looks again.
//! Where all is the same it says the same, and no mise runs. Where not, mise is asked as ever,
//! and the old proof tells what of a tool is gone: mise takes a directory that is there for an
//! installed tool, whatever is missing in it.
//!
//! All of this is done by the helper, which is the sandbox user: the proof is that user's own
//! file about that user's own tools, and whoever forges it deceives nobody else.

mod inputs;
mod shims;
mod store;
mod tree;

pub use inputs::Inputs;
pub use shims::{Shim, Wrong};
pub use tree::{Change, Damage};

use super::lock;
use super::look::Request;
use super::manifest::ManifestError;
use crate::journal::event::Tool;
use crate::tools::policy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

impl Settled {
    /// Are these variables ones that a boot may take over from a file of the user's? They are
    /// mise's own, and none denies less than `plan` does.
    pub fn is_no_laxer_than(&self, plan: &BTreeMap<String, String>) -> bool {
        let denied = |set: &BTreeMap<String, String>| -> Vec<String> {
            let list = set.get(policy::DENIED).map(String::as_str).unwrap_or_default();
            list.split(',').map(str::to_owned).collect()
        };
        self.variables.iter().all(|(name, value)| match name.as_str() {
            policy::DENIED => {
                let kept = denied(&self.variables);
                denied(plan).iter().all(|name| kept.contains(name))
            }
            policy::PLUGINS => plan.get(policy::PLUGINS).is_none_or(|p| p == value),
            other => other.starts_with("MISE_"),
        })
    }
}

/// What is asked about the proof.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Asked {
    /// What the operator decided about tools, in one text: a proof that was made under another
    /// decision doesn't hold.
    #[serde(default)]
    pub decided: String,
    /// What is wanted.
    #[serde(default)]
    pub what: What,
}

/// What is wanted of the helper.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum What {
    /// Does a proof hold? If not, everything else that the helper can see is wanted too.
    #[default]
    Holds,
    /// What the inputs are now, and what of the tools the proof knew is gone.
    Again,
    /// Make a proof.
    Keep(Box<Whole>),
}

/// A reconciled state, as mise describes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Whole {
    /// The inputs from before mise listed the tools.
    pub inputs: Inputs,
    /// The tools that mise lists, and where each is.
    pub tools: Vec<(Tool, PathBuf)>,
    /// Tools that are linked, and that mise need not list; no shim is asked of them.
    #[serde(default)]
    pub linked: Vec<(Tool, PathBuf)>,
    /// The directories of programs, by mise's own word (`mise bin-paths`).
    pub programs: Vec<PathBuf>,
    /// What the boot came to.
    pub settled: Settled,
}

/// What was seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The proof holds: when it was made, in seconds since 1970, and what that boot came to.
    #[serde(default)]
    pub holds: Option<(i64, Settled)>,
    /// Why there is none that holds, or why none could be made.
    #[serde(default)]
    pub why: Option<String>,
    /// What mise's answer depends on.
    #[serde(default)]
    pub inputs: Inputs,
    /// Tools that have lost something since they were whole.
    #[serde(default)]
    pub damaged: Vec<Damage>,
    /// Shims that don't lead to mise.
    #[serde(default)]
    pub shims: Vec<Shim>,
    /// Lockfiles that are none.
    #[serde(default)]
    pub locks: Vec<Corrupt>,
    /// A proof was made.
    #[serde(default)]
    pub kept: bool,
}

/// A lockfile that is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Corrupt {
    /// Which, and why.
    pub error: ManifestError,
    /// Where a copy of it is.
    #[serde(default)]
    pub kept: Option<PathBuf>,
    /// An older copy gave way.
    #[serde(default)]
    pub replaced: bool,
    /// Why there is no copy.
    #[serde(default)]
    pub not_kept: Option<String>,
}

/// Does what is asked.
pub fn look(request: &Request) -> Seen {
    match &request.proof.what {
        What::Keep(whole) => keep(request, whole),
        What::Holds => match holds(request) {
            Ok(held) => Seen { holds: Some(held), ..Seen::default() },
            Err(why) => Seen {
                why: Some(why),
                inputs: inputs::of(request),
                locks: corrupt_locks(request),
                ..Seen::default()
            },
        },
        What::Again => {
            let proof = store::read(&request.places).ok();
            let damaged =
                proof.iter().flat_map(|p| p.tools.iter().filter_map(|print| print.damage(p.made)));
            Seen { damaged: damaged.collect(), inputs: inputs::of(request), ..Seen::default() }
        }
    }
}

/// Does the proof hold? The error says why not.
fn holds(request: &Request) -> Result<(i64, Settled), String> {
    let proof = store::read(&request.places)?;
    if !proof.settled.is_no_laxer_than(&request.variables) {
        return Err("it would loosen what the operator decided".into());
    }
    let inputs = inputs::of(request);
    if let Some(why) = &inputs.unprovable {
        return Err(why.clone());
    }
    let other = inputs.differs_from(&proof.inputs);
    if !other.is_empty() {
        return Err(format!("changed since then: {}", other.join(", ")));
    }
    proof.tools.iter().try_for_each(|tool| match tool.change(&request.places) {
        None => Ok(()),
        Some(change) => Err(format!("{}: {change}", tool.name())),
    })?;
    proof.shims.same(&request.places)?;
    Ok((proof.made, proof.settled))
}

/// Makes the proof, if everything still is as it was when mise listed it.
fn keep(request: &Request, whole: &Whole) -> Seen {
    let not = |why: String| Seen { why: Some(why), ..Seen::default() };
    let places = &request.places;
    let now = inputs::of(request);
    if let Some(why) = &now.unprovable {
        return not(why.clone());
    }
    let other = now.differs_from(&whole.inputs);
    if !other.is_empty() {
        return not(format!("changed meanwhile: {}", other.join(", ")));
    }
    let prints = match tree::settled_prints(whole, places) {
        Ok(prints) => prints,
        Err(why) => return not(why),
    };
    let listed = prints.iter().take(whole.tools.len());
    let wrong = shims::wrong(places, &request.mise, listed.flat_map(|p| p.program_names(places)));
    if !wrong.is_empty() {
        return Seen { shims: wrong, ..Seen::default() };
    }
    let proof = store::Proof {
        version: store::VERSION,
        made: jiff::Timestamp::now().as_second(),
        inputs: now,
        shims: shims::Shims::of(places),
        tools: prints,
        settled: whole.settled.clone(),
    };
    match store::write(places, &proof) {
        Ok(()) => Seen { kept: true, ..Seen::default() },
        Err(e) => not(format!("it cannot be written: {e}")),
    }
}

/// Lockfiles that are no TOML, or of a format that isn't known. mise prints pages of it, goes on
/// as if there were none, ends with 0, and writes a new one over it: so a boot keeps a copy of
/// the user's.
fn corrupt_locks(request: &Request) -> Vec<Corrupt> {
    let places = &request.places;
    let corrupt = |path: PathBuf| {
        let error = lock::file::read(&path).err()?;
        let kept = match path.starts_with(&places.system_config) {
            true => Err("it is the image's".to_owned()),
            false if !request.resume_import => Err("this is no boot".to_owned()),
            false => store::keep_copy(places, &path).map_err(|e| e.to_string()),
        };
        Some(match kept {
            Ok((at, replaced)) => Corrupt { error, kept: Some(at), replaced, not_kept: None },
            Err(why) => Corrupt { error, kept: None, replaced: false, not_kept: Some(why) },
        })
    };
    [&places.system_config, &places.config]
        .iter()
        .flat_map(|directory| lock::pairs::locks(directory))
        .filter_map(corrupt)
        .collect()
}

/// Nanoseconds since 1970 of a file's last change.
fn changed(metadata: &std::fs::Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// A program: a regular file, not empty, that may be executed.
fn is_program(path: &Path) -> Option<std::fs::Metadata> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = path.metadata().ok()?;
    let good = metadata.is_file() && metadata.len() > 0;
    (good && metadata.permissions().mode() & 0o111 != 0).then_some(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    fn with(name: &str, value: &str) -> Settled {
        Settled { variables: set(name, value), ..Settled::default() }
    }

    #[test]
    fn a_file_of_the_users_loosens_no_policy() {
        let plan = set("MISE_DISABLE_BACKENDS", "asdf,cargo");
        assert!(with("MISE_DISABLE_BACKENDS", "asdf,cargo,newcomer").is_no_laxer_than(&plan));
        assert!(!with("MISE_DISABLE_BACKENDS", "cargo").is_no_laxer_than(&plan));
        assert!(!with("LD_PRELOAD", "/home/me/evil.so").is_no_laxer_than(&plan));
        let plugins = set("MISE_PLUGINS_DIR", "/none");
        assert!(!with("MISE_PLUGINS_DIR", "/home/me").is_no_laxer_than(&plugins));
        assert!(with("MISE_PLUGINS_DIR", "/none").is_no_laxer_than(&plugins));
    }
}
