//! `agent logs`: where the logs are, and one archive of all that a support ticket needs, with no
//! secret in it.
//!
//! What goes in is listed in [`sources`]; everything that does goes through one [`redact`]or, the
//! names of files excepted, and is bounded: of what is longer its end is taken. The archive says
//! itself what was masked and what could not be had (`manifest.json`).
//!
//! The output of the user's script stays out: the script is its user's, and what it prints is
//! known to nobody else.

pub mod redact;
mod secrets;
mod sources;
mod written;

use crate::tools::sync::ustar;
use flate2::Compression;
use flate2::write::GzEncoder;
use redact::Redactor;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use sources::{LogFile, logs};

/// The version of the manifest's form.
pub const SCHEMA: &str = "agent.bundle/1";

/// One part of the archive, before it is redacted.
struct Part {
    name: String,
    /// The text, or why there is none.
    text: Result<Text, String>,
}

/// A text, or the end of a longer one.
struct Text {
    text: String,
    /// Bytes that stand before it.
    cut: u64,
}

/// What the archive says of itself.
#[derive(Debug, Serialize)]
struct Manifest {
    schema: &'static str,
    agent: &'static str,
    made: String,
    /// How often each kind of secret was masked.
    redacted: BTreeMap<&'static str, usize>,
    /// What must not be in it and is not known; for its sake logs and configuration are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reduced: Vec<String>,
    files: Vec<Entry>,
}

/// One file of the archive.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    bytes: usize,
    /// So many bytes before it were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<u64>,
    /// Why it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

/// What became of it.
#[derive(Debug)]
pub struct Bundle {
    /// How many files are in it.
    pub files: usize,
    /// What could not be had, and why.
    pub missing: Vec<String>,
    /// How many secrets were masked.
    pub redacted: usize,
    /// What could not be known for a secret, and why; then logs and configuration are left out.
    pub reduced: Vec<String>,
}

/// Makes the archive at `to`, which must not be there yet: readable by its owner alone.
///
/// # Errors
/// It cannot be written; a sentence.
pub fn bundle(to: &Path, config: Option<&PathBuf>) -> Result<Bundle, String> {
    let told = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} is there already; next: name another file", to.display())
        }
        _ => format!("{}: {e}", to.display()),
    };
    // First: a place that cannot be written is known before seconds are spent.
    let file = File::options().write(true).create_new(true).mode(0o600).open(to).map_err(told)?;
    let written = collect(file, config);
    if written.is_err() {
        let _ = fs::remove_file(to);
    }
    written.map_err(told)
}

fn collect(file: File, config: Option<&PathBuf>) -> io::Result<Bundle> {
    let (parts, mut redactor, unknown) = sources::gather(config);
    let mut files: Vec<(String, String)> = Vec::new();
    let mut entries = Vec::new();
    let mut missing = Vec::new();
    for Part { name, text } in parts {
        match text {
            Ok(Text { text, cut }) => {
                let text = redactor.redact(&text);
                let cut = (cut > 0).then_some(cut);
                entries.push(Entry { name: name.clone(), bytes: text.len(), cut, missing: None });
                files.push((name, text));
            }
            Err(why) => {
                let why = redactor.redact(&why);
                missing.push(format!("{name}: {why}"));
                entries.push(Entry { name, bytes: 0, cut: None, missing: Some(why) });
            }
        }
    }
    let reduced: Vec<String> = unknown.iter().map(|why| redactor.redact(why)).collect();
    let Redactor { counts, .. } = redactor;
    let redacted = counts.values().sum();
    let manifest = Manifest {
        schema: SCHEMA,
        agent: env!("CARGO_PKG_VERSION"),
        made: jiff::Timestamp::now().to_string(),
        redacted: counts,
        reduced: reduced.clone(),
        files: entries,
    };
    files.insert(0, ("manifest.json".into(), serde_json::to_string_pretty(&manifest)?));
    let named: Vec<(String, &str)> =
        files.iter().map(|(name, text)| (format!("agent-bundle/{name}"), text.as_str())).collect();
    let archive = named.iter().map(|(name, text)| (name.as_str(), text.as_bytes()));
    let archive = ustar::write(archive).map_err(io::Error::other)?;
    let mut gzip = GzEncoder::new(file, Compression::default());
    gzip.write_all(&archive)?;
    gzip.finish()?.sync_all()?;
    Ok(Bundle { files: files.len(), missing, redacted, reduced })
}
