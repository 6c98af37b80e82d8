//! One thing that is wrong with a user-data, with its place. A cloud-config may have many, and
//! all of them are told at once.

use super::super::told::Label;
use serde::Serialize;
use std::fmt;

/// What is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// A stable name for programs.
    pub code: &'static str,
    /// In which part; `None` where the user-data has no parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Label>,
    /// In which line, from 1: of the part, as it is when it is decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The key of cloud-config, with those above it: `write_files.source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong. A key's name may stand in it, never a value.
    pub message: String,
    /// What to do.
    pub next: String,
}

/// A key or a form that the agent doesn't know what to do with.
pub(super) const UNSUPPORTED: &str = "user-data-unsupported";

/// A value that cannot be meant.
pub(super) const INVALID: &str = "user-data-invalid";

/// Something is missing at its end, or was damaged on the way.
pub(super) const DAMAGED: &str = "user-data-damaged";

/// It is too much.
pub(super) const TOO_LARGE: &str = "user-data-too-large";

impl Fault {
    /// A fault without a place.
    pub(in crate::stub) fn new(
        code: &'static str,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let (message, next) = (message.into(), next.into());
        Self { code, part: None, line: None, key: None, message, next }
    }

    /// In this line.
    pub(super) fn at(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }

    /// About this key, if it looks like one.
    pub(super) fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()).filter(|key| is_like_a_key(key)), ..self }
    }

    /// In this part.
    pub(super) fn within(self, part: Option<&Label>) -> Self {
        Self { part: part.cloned().or(self.part), ..self }
    }
}

/// Has a name no more than a key has? Where YAML goes wrong, what is taken for a key may be a part
/// of a script.
pub(super) fn is_like_a_key(name: &str) -> bool {
    (1..=60).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.part, self.line) {
            (Some(part), Some(line)) => write!(f, "{part}, line {line}: ")?,
            (Some(part), None) => write!(f, "{part}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}
