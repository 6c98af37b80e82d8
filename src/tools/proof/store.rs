//! The file that holds the proof: the user's, replaced whole or not at all.

use super::{Inputs, Settled, shims::Shims, tree};
use crate::sys::files::open_regular;
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The form of the file, and of what is compared with it.
pub(super) const VERSION: u32 = 1;

/// No proof is larger, in bytes: some 2,500 directories and programs take 0.3 MB.
const MAX: u64 = 1 << 20;

/// A proof.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Proof {
    /// [`VERSION`].
    pub(super) version: u32,
    /// When it was made, in seconds since 1970.
    pub(super) made: i64,
    /// What mise's answer depends on.
    pub(super) inputs: Inputs,
    /// The user's shims.
    pub(super) shims: Shims,
    /// What each tool looked like.
    pub(super) tools: Vec<tree::Print>,
    /// What the boot came to.
    pub(super) settled: Settled,
}

/// The proof's place.
fn path(places: &Places) -> PathBuf {
    places.agent_state.join("tools-proof.json")
}

/// Reads it. The error says why there is none that could hold.
pub(super) fn read(places: &Places) -> Result<Proof, String> {
    let path = path(places);
    let file = match open_regular(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err("there is none yet".into()),
        Err(e) => return Err(format!("{} cannot be read: {e}", path.display())),
    };
    let mut text = Vec::new();
    file.take(MAX + 1)
        .read_to_end(&mut text)
        .map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    if text.len() as u64 > MAX {
        return Err(format!("{} is larger than {MAX} bytes", path.display()));
    }
    /// What every version of the file has.
    #[derive(Deserialize)]
    struct Any {
        version: u32,
    }
    let no_proof = |e: serde_json::Error| format!("{} is no proof: {e}", path.display());
    // Another version may have another form.
    if let Ok(Any { version }) = serde_json::from_slice(&text)
        && version != VERSION
    {
        return Err(format!("{} is another agent's, of form {version}", path.display()));
    }
    serde_json::from_slice(&text).map_err(no_proof)
}

/// Writes it beside its place and moves it there.
///
/// It is not synced: after a power cut it may be missing or garbage, and then it doesn't hold.
///
/// # Errors
/// It is too large, or what the file system says.
pub(super) fn write(places: &Places, proof: &Proof) -> io::Result<()> {
    let text = serde_json::to_vec(proof)?;
    if text.len() as u64 > MAX {
        return Err(io::Error::other(format!("it has {} bytes, more than {MAX}", text.len())));
    }
    fs::create_dir_all(&places.agent_state)?;
    let path = path(places);
    let new = path.with_extension(format!("json.{}", std::process::id()));
    let _ = fs::remove_file(&new);
    let written = fs::File::create_new(&new)
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
