//! Keeping secrets out of what goes to a stranger. Pure.
//!
//! Two nets: what is known to be secret on this machine (the lines of the user's script, values of
//! the configuration and the environment, the role's keys), wherever and however it is written;
//! and what looks like a credential, whoever's it is. Too much is masked rather than too little:
//! a line of the script that is also a line of a log is gone from it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::collections::{BTreeMap, BTreeSet};

/// What stands in a secret's place.
const MASK: &str = "[redacted]";

/// Shorter ones are no secrets and would mask half a text.
const SHORTEST: usize = 6;

/// A line of a script that is shorter tells nothing.
const SHORTEST_LINE: usize = 10;

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

/// Beginnings of tokens that are told by them, and the least length of what follows.
const TOKENS: &[(&str, usize)] = &[
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("npm_", 20),
    ("pypi-", 20),
    ("sk-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxs-", 10),
    ("AIza", 30),
    ("hf_", 20),
    ("dop_v1_", 20),
    ("eyJ", 30),
    ("FQoG", 40),
    ("IQoJ", 40),
    ("AGE-SECRET-KEY-", 20),
];

/// Names whose values are secrets, in any case and with `-` or `_`.
const NAMES: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "apikey",
    "api_key",
    "access_key",
    "accesskey",
    "private_key",
    "privatekey",
    "signature",
    "authorization",
    "_auth",
    "authtoken",
    "cookie",
    "bearer",
    "mint_user_bootstrap",
    "session_key",
];

impl Redactor {
    /// Knows a secret value from here on, also as JSON and base64 write it.
    pub fn know(&mut self, value: &str, kind: &'static str) {
        let value = value.trim();
        if value.len() < SHORTEST {
            return;
        }
        let json = serde_json::to_string(value).unwrap_or_default();
        let json = json.trim_matches('"');
        let encodings = match kind {
            // Its lines are many, and nobody encodes one of them.
            SCRIPT => Vec::new(),
            _ => vec![STANDARD_NO_PAD.encode(value), URL_SAFE_NO_PAD.encode(value)],
        };
        for text in [value, json].into_iter().map(str::to_owned).chain(encodings) {
            if self.seen.insert(text.clone()) {
                self.known.push((text, kind));
            }
        }
    }

    /// Knows the user's script: the whole of it, each of its lines, and each value that it gives
    /// a variable.
    pub fn know_script(&mut self, script: &[u8]) {
        self.know(&STANDARD_NO_PAD.encode(script), SCRIPT);
        let text = String::from_utf8_lossy(script);
        for line in text.lines().map(str::trim) {
            if line.len() >= SHORTEST_LINE && !line.starts_with("#!") {
                self.know(line, SCRIPT);
            }
            for word in line.split_whitespace() {
                if let Some((name, value)) = word.split_once('=')
                    && names_secret(name)
                {
                    self.know(value.trim_matches(['"', '\'']), SCRIPT);
                }
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
        let text = self.private_keys(&text);
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let line = self.userinfo(line);
            let line = self.tokens(&line);
            out.push_str(&self.named(&line));
        }
        out
    }

    fn met(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// From the first line of a private key (RFC 7468) to its last, or to the end of the text.
    fn private_keys(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("PRIVATE KEY-----") {
            let (before, after) = rest.split_at(at);
            let begin = before.rfind("-----BEGIN ").unwrap_or(at);
            out.push_str(before.get(..begin).unwrap_or_default());
            out.push_str(MASK);
            self.met("private-key");
            let body = after.get("PRIVATE KEY-----".len()..).unwrap_or_default();
            rest = match body.find("PRIVATE KEY-----") {
                Some(end) => body.get(end + "PRIVATE KEY-----".len()..).unwrap_or_default(),
                None => "",
            };
        }
        out + rest
    }

    /// `scheme://USERINFO@host` (RFC 3986, 3.2.1).
    fn userinfo(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(at) = rest.find("://") {
            let (before, after) = rest.split_at(at + 3);
            out.push_str(before);
            let end = after.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c));
            let (authority, tail) = after.split_at(end.unwrap_or(after.len()));
            match authority.rfind('@') {
                Some(sign) => {
                    self.met("url-userinfo");
                    out.push_str(MASK);
                    out.push_str(authority.get(sign..).unwrap_or_default());
                }
                None => out.push_str(authority),
            }
            rest = tail;
        }
        out + rest
    }

    /// Words that begin as a service's tokens do.
    fn tokens(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while !rest.is_empty() {
            let word = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(word);
            match token_in(word) {
                Some(at) => {
                    self.met("token");
                    out.push_str(word.get(..at).unwrap_or_default());
                    out.push_str(MASK);
                }
                None => out.push_str(word),
            }
            let sign = tail.chars().next();
            out.extend(sign);
            rest = tail.get(sign.map_or(0, char::len_utf8)..).unwrap_or_default();
        }
        out
    }

    /// What follows a name that speaks of a secret, behind `=` or `:`, to the end of the value.
    fn named(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(at) = rest.find(['=', ':']) {
            let (before, after) = rest.split_at(at + 1);
            out.push_str(before);
            rest = after;
            let name =
                before.get(..at).unwrap_or_default().trim_end_matches(['"', '\'', ' ', '\\']);
            let start = name.rfind(|c: char| !is_name(c)).map_or(0, |i| i + 1);
            let name = name.get(start..).unwrap_or_default();
            if !names_secret(name) {
                continue;
            }
            let lead = after.len() - after.trim_start_matches([' ', '"', '\'', '\\']).len();
            let value = after.get(lead..).unwrap_or_default();
            // A header's value goes to the end of the line, a word's to the next space.
            let header = name.to_ascii_lowercase().ends_with("authorization")
                || name.eq_ignore_ascii_case("cookie");
            let ends = |c: char| {
                "\"'\n\r\\,}".contains(c) || (!header && (c.is_whitespace() || "&;)]".contains(c)))
            };
            let end = value.find(ends).unwrap_or(value.len());
            let shown = value.get(..end).unwrap_or_default();
            if shown.is_empty()
                || shown == MASK
                || matches!(shown, "null" | "true" | "false" | "none")
            {
                continue;
            }
            self.met("named-value");
            out.push_str(after.get(..lead).unwrap_or_default());
            out.push_str(MASK);
            rest = value.get(end..).unwrap_or_default();
        }
        let rest = self.bearer(rest);
        out + &rest
    }

    /// `Bearer TOKEN` without a name before it.
    fn bearer(&mut self, text: &str) -> String {
        let Some((before, after)) = text.split_once("Bearer ") else { return text.to_owned() };
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        self.met("token");
        format!("{before}Bearer {MASK}{}", after.get(end..).unwrap_or_default())
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.+/".contains(c)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-".contains(c)
}

/// Is there a word in it that begins as a service's tokens do?
pub fn has_token(line: &str) -> bool {
    line.split(|c| !is_token(c)).any(|word| token_in(word).is_some())
}

/// Where in a word a token begins.
fn token_in(word: &str) -> Option<usize> {
    // What stands before it may be of the same signs: `x=ghp_…` is not, `a-ghp_…` is.
    let starts = TOKENS.iter().filter_map(|(start, least)| {
        let at = word.find(start)?;
        (word.len() >= at + start.len() + least).then_some(at)
    });
    starts.min()
}

/// Does a variable or key of this name hold a secret?
pub fn names_secret(name: &str) -> bool {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().any(|word| plain.contains(word))
}

#[cfg(test)]
mod tests;
