//! Keeping secrets out of what goes to a stranger. Pure.
//!
//! Two nets: what is known to be secret on this machine (the lines of the user's script, values of
//! the configuration and the environment, the role's keys), wherever and however it is written;
//! and what looks like a credential, whoever's it is. Too much is masked rather than too little:
//! a line of the script that is also a line of a log is gone from it.

mod shapes;
mod value;
mod words;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::collections::{BTreeMap, BTreeSet};

pub use words::{has_token, names_secret};

/// What stands in a secret's place.
const MASK: &str = "[redacted]";

/// Shorter ones are no secrets and would mask half a text.
const SHORTEST: usize = 6;

/// A line of a script that is shorter tells nothing.
const SHORTEST_LINE: usize = 10;

/// Signs in a line of `base64(1)`, and of PEM (RFC 7468, 2).
const WRAP_BASE64: usize = 76;
const WRAP_PEM: usize = 64;

/// The kind of what is known of the user's script.
const SCRIPT: &str = "user-script";

/// What is known to be secret, and how often it was met.
#[derive(Debug, Default)]
pub struct Redactor {
    /// Longest first: one may hold another.
    known: Vec<(String, &'static str)>,
    seen: BTreeSet<String>,
    /// How often each kind was masked.
    pub counts: BTreeMap<&'static str, usize>,
}

impl Redactor {
    /// Knows a secret value from here on, also as JSON, URLs and base64 write it, and each line of
    /// a longer one.
    pub fn know(&mut self, value: &str, kind: &'static str) {
        let value = value.trim();
        if value.len() < SHORTEST {
            return;
        }
        self.know_text(value, kind);
        let escaped: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let percent = escaped.replace('+', "%20");
        for text in [escaped, percent].into_iter().chain(in_base64(value.as_bytes())) {
            self.add(text, kind);
        }
        let lines: Vec<&str> = value.lines().map(str::trim).collect();
        for line in lines.iter().filter(|line| lines.len() > 1 && line.len() >= SHORTEST_LINE) {
            self.know_text(line, kind);
        }
    }

    fn know_text(&mut self, value: &str, kind: &'static str) {
        let json = serde_json::to_string(value).unwrap_or_default();
        let json = json.trim_start_matches('"');
        self.add(json.strip_suffix('"').unwrap_or(json).to_owned(), kind);
        self.add(value.to_owned(), kind);
    }

    fn add(&mut self, text: String, kind: &'static str) {
        if text.len() >= SHORTEST && self.seen.insert(text.clone()) {
            self.known.push((text, kind));
        }
    }

    /// Knows the user's script: the whole of it, as it is and as base64 wraps it, each of its
    /// lines, and what in it is a value of a secret.
    pub fn know_script(&mut self, script: &[u8]) {
        let encoded = STANDARD_NO_PAD.encode(script);
        self.know_text(&encoded, SCRIPT);
        for width in [WRAP_BASE64, WRAP_PEM] {
            for line in encoded.as_bytes().chunks(width) {
                let line = String::from_utf8_lossy(line);
                if line.len() >= SHORTEST_LINE {
                    self.add(line.into_owned(), SCRIPT);
                }
            }
        }
        let text = String::from_utf8_lossy(script);
        for line in text.lines().map(str::trim) {
            if line.len() >= SHORTEST_LINE && !line.starts_with("#!") {
                self.know_text(line, SCRIPT);
            }
        }
        let mut values = Vec::new();
        shapes::mask(&text, &mut |_, value| values.push(value.to_owned()));
        for value in values.iter().filter(|value| !value.starts_with('$') && !is_word(value)) {
            self.know(value, SCRIPT);
            // Of a login the password is one by itself.
            if let Some((_, password)) = value.split_once(':').filter(|(_, p)| !is_word(p)) {
                self.know(password, SCRIPT);
            }
        }
    }

    /// Knows what of these variables are secrets, by their names.
    pub fn know_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, value) in variables {
            // A key by itself is no word for a secret in a text, in a variable's name it is.
            if names_secret(&name) || name.to_ascii_uppercase().ends_with("KEY") {
                self.know(&value, "environment");
            }
        }
    }

    /// The text without secrets.
    pub fn redact(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        self.known.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
        for (value, kind) in &self.known {
            let met = text.matches(value.as_str()).count();
            if met > 0 {
                text = text.replace(value.as_str(), MASK);
                *self.counts.entry(kind).or_default() += met;
            }
        }
        let counts = &mut self.counts;
        shapes::mask(&text, &mut |kind, _| *counts.entry(kind).or_default() += 1)
    }
}

/// A word that stands in many a text.
fn is_word(value: &str) -> bool {
    value.len() < 8 && value.bytes().all(|b| b.is_ascii_lowercase())
}

/// What of a value is certain in base64, wherever in a longer text it stands: at each of the three
/// offsets the signs that nothing but the value has a part in.
fn in_base64(value: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for offset in 0..3 {
        let shifted = [&[0; 3][..offset], value].concat();
        // Signs of 6 bits that share one with what stands before or behind.
        let (before, whole) = ((offset * 8).div_ceil(6), shifted.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            all.extend(
                encoded.get(before..whole).filter(|e| e.len() >= SHORTEST).map(str::to_owned),
            );
        }
    }
    all
}

#[cfg(test)]
mod tests;
