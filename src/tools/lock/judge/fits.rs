//! Does an entry answer a request: its version, and its options?

use super::super::backend::{self, Locks};
use super::super::file::Entry;
use super::super::request::Request;
use std::collections::{BTreeMap, BTreeSet};

/// Does the entry answer the request? An entry with `specifiers` says so itself, and mise
/// goes by nothing else. One without is compared by version.
pub(super) fn satisfies(request: &Request, entry: &Entry) -> bool {
    // Rendered by mise, from variables that only it knows.
    if request.version.contains("{{") {
        return true;
    }
    if !entry.specifiers.is_empty() {
        return entry.specifiers.contains(&request.version);
    }
    let asked = request.version.strip_prefix("prefix:").unwrap_or(&request.version);
    let asked = asked.strip_prefix('v').unwrap_or(asked);
    let locked = entry.version.strip_prefix('v').unwrap_or(&entry.version);
    match asked {
        "latest" | "lts" => true,
        // A range in a language of the backend's.
        _ if asked.starts_with(['^', '~', '>', '<', '=', '*']) || asked.starts_with("sub-") => true,
        _ => locked.strip_prefix(asked).is_some_and(|rest| {
            // The name of a distribution is followed by its version; a version by its next
            // part, and `-` makes another release of it.
            let name = !asked.chars().any(|c| c.is_ascii_digit());
            rest.is_empty()
                || name && rest.starts_with('-')
                || rest.starts_with('.') && !is_full(asked)
        }),
    }
}

/// `1.2.3`, or a version with more parts.
fn is_full(version: &str) -> bool {
    let numeric = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let mut parts = version.split('.');
    parts.by_ref().take(3).filter(|part| numeric(part)).count() == 3
}

/// Whether an entry is for the options of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Same,
    Other,
    /// They differ in this one, and nobody knows whether it counts.
    Unknown(String),
}

/// Options are compared both ways, those that count. Of other backends than artifacts' an entry
/// may hold some that come from settings, such as Swift's platform.
pub(super) fn options(full: &str, request: &Request, entry: &Entry) -> Choice {
    let artifact = backend::locks(full) == Locks::Artifact;
    let keys: BTreeSet<&String> = request.options.keys().chain(entry.options.keys()).collect();
    let differ = |key: &&String| {
        // Written out, the default is the same as nothing.
        let value = |of: &BTreeMap<String, String>| {
            of.get(*key).filter(|v| *key != "no_app" || *v != "false").cloned()
        };
        value(&request.options) != value(&entry.options)
    };
    let mut unknown = None;
    for key in keys.into_iter().filter(differ) {
        match backend::compares(full, key) {
            Some(true) => return Choice::Other,
            // What an entry holds was written because it counts.
            Some(false) if entry.options.contains_key(key) => return Choice::Other,
            None if artifact => unknown = Some(key.clone()),
            None if request.options.contains_key(key) && entry.options.contains_key(key) => {
                return Choice::Other;
            }
            _ => {}
        }
    }
    unknown.map_or(Choice::Same, Choice::Unknown)
}

/// Do both answer, so that mise refuses to choose? Entries that differ in options are for
/// several requests; of several versions without specifiers it takes the best.
pub(super) fn is_twin(request: &Request, one: &Entry, other: &Entry) -> bool {
    let says = |e: &Entry| e.specifiers.contains(&request.version);
    one.options == other.options
        && !one.environment
        && !other.environment
        && (one.version == other.version || says(one) && says(other))
}
