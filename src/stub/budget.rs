//! How the room of a user-data is spent.

use super::payload::MAX_SCRIPT;
use serde::Serialize;
use std::fmt;

/// What EC2 takes of user-data at most, in raw bytes: before the base64 of the request (EC2
/// user guide, "User data"). 16,384 are taken, 16,385 refused.
pub const LIMIT: usize = 16_384;

/// How the script stands in the stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Base64 of its bytes.
    Base64,
    /// Base64 of their gzip.
    GzipBase64,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base64 => "base64",
            Self::GzipBase64 => "base64 of gzip",
        })
    }
}

/// A script's sizes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScriptSizes {
    /// As it is.
    pub raw: usize,
    /// Its gzip.
    pub gzip: usize,
    /// Its base64.
    pub base64: usize,
    /// The base64 of its gzip.
    pub gzip_base64: usize,
    /// What is used.
    pub encoding: Encoding,
}

impl ScriptSizes {
    /// What it takes of the user-data.
    pub fn encoded(&self) -> usize {
        match self.encoding {
            Encoding::Base64 => self.base64,
            Encoding::GzipBase64 => self.gzip_base64,
        }
    }
}

/// What each part of a user-data takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// The text around everything else.
    pub template: usize,
    /// The lines of the parameters, an agent's URL and hash included.
    pub parameters: usize,
    /// The script, where there is one.
    pub script: Option<ScriptSizes>,
}

impl Budget {
    /// The whole user-data.
    pub fn total(&self) -> usize {
        self.template + self.parameters + self.script.map_or(0, |s| s.encoded())
    }

    /// What is left of [`LIMIT`]; `None` where it is passed.
    pub fn headroom(&self) -> Option<usize> {
        LIMIT.checked_sub(self.total())
    }

    /// The longest script that fits in plain base64, in bytes.
    pub fn largest_plain(&self) -> usize {
        // Base64 makes four bytes of three, in whole groups.
        LIMIT.saturating_sub(self.template + self.parameters) / 4 * 3
    }

    /// The longest gzip that fits, in bytes.
    pub fn largest_gzip(&self) -> usize {
        self.largest_plain()
    }

    /// An estimate of the longest script that fits by gzip, in bytes: what would fit if all
    /// of it packed as well as this script does. `None` without a script to judge by.
    pub fn estimated_by_gzip(&self) -> Option<usize> {
        let script = self.script.filter(|s| s.gzip > 0)?;
        let estimate = self.largest_gzip().saturating_mul(script.raw) / script.gzip;
        Some(estimate.min(usize::try_from(MAX_SCRIPT).unwrap_or(usize::MAX)))
    }
}
