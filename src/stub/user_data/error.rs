//! What is wrong with a user-data, and what to do about it. No byte of it is shown: it may
//! hold the user's script.

use super::super::parameters::ParameterError;
use super::super::payload::{MAX_SCRIPT, PayloadError, VARIABLE};
use super::super::template::PROTOCOL;
use super::{Fault, Parsed};
use crate::journal::Problem;
use std::fmt;

/// Why a user-data is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserDataError {
    /// It is, or unpacks to, more than [`MAX_SCRIPT`] bytes.
    TooLarge,
    /// It starts as gzip and cannot be unpacked.
    DamagedGzip,
    /// It is something else.
    Unrecognized {
        /// What it looks like.
        found: &'static str,
    },
    /// A stub whose end is missing.
    Truncated,
    /// A stub with Windows line ends.
    CarriageReturns,
    /// A stub whose second line is not as any version writes it, or isn't the second.
    Marker,
    /// A stub of another version.
    UnknownProtocol {
        /// Which.
        found: u32,
    },
    /// A stub sets a `MINT_` variable that its version doesn't have.
    UnknownVariable {
        /// Where.
        line: usize,
    },
    /// A stub lacks a variable.
    Missing {
        /// Which.
        variable: &'static str,
    },
    /// It sets several variables of a stub, but not the payload's.
    NoPayload,
    /// A variable is set twice.
    Twice {
        /// Which.
        variable: &'static str,
        /// Where, both times.
        lines: (usize, usize),
    },
    /// A value that a shell would have to compute.
    Computed {
        /// Of which variable.
        variable: &'static str,
        /// Where.
        line: usize,
    },
    /// A value whose quotes are not closed.
    Unclosed {
        /// Of which variable.
        variable: &'static str,
        /// Where.
        line: usize,
    },
    /// A stub's variables behind the beginning of a here-document: it may as well be a script.
    HereDocument {
        /// Where that begins.
        line: usize,
    },
    /// A placeholder of the template that was not filled.
    Placeholder {
        /// Where.
        line: usize,
    },
    /// A parameter is not what it must be.
    Parameter {
        /// Where.
        line: usize,
        /// Which, and why.
        error: ParameterError,
    },
    /// It is of a form that has several lines or parts, and these are wrong. There is at least one.
    Faults(Vec<Fault>),
    /// The payload cannot be decoded.
    Payload {
        /// Where.
        line: usize,
        /// Why.
        error: PayloadError,
        /// All the rest, which is whole: a guest sets it up before it fails for the script.
        rest: Box<Parsed>,
    },
}

/// The most further faults that a problem tells; `agent-stub check` tells all.
const SHOWN: usize = 10;

impl UserDataError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "user-data-too-large",
            Self::Unrecognized { .. } => "user-data-unrecognized",
            Self::DamagedGzip | Self::Truncated | Self::Unclosed { .. } => "user-data-damaged",
            Self::UnknownProtocol { .. } => "user-data-protocol",
            Self::CarriageReturns
            | Self::Marker
            | Self::UnknownVariable { .. }
            | Self::Missing { .. }
            | Self::NoPayload
            | Self::Twice { .. }
            | Self::Computed { .. }
            | Self::HereDocument { .. }
            | Self::Placeholder { .. }
            | Self::Parameter { .. } => "user-data-invalid",
            Self::Payload { .. } => "payload-undecodable",
            Self::Faults(all) => all.first().map_or("user-data-invalid", |fault| fault.code),
        }
    }

    /// Everything that is wrong with it, each with its place.
    pub fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Faults(all) => all.clone(),
            other => vec![Fault::new(other.code(), other.to_string(), other.next())],
        }
    }

    /// What to do next, one line.
    pub fn next(&self) -> &str {
        match self {
            Self::Faults(all) => all.first().map_or("", |fault| &fault.next),
            Self::TooLarge => "send a smaller script, or one that downloads its larger part",
            Self::DamagedGzip | Self::Truncated | Self::Unclosed { .. } => {
                "compare what was sent with what the instance has; render it again with `agent-stub render` and launch again"
            }
            Self::Unrecognized { .. } => {
                "send what `agent-stub render` writes, a script with a #! line, cloud-config, or a MIME message of them"
            }
            Self::CarriageReturns => {
                "send it with plain line feeds, as `agent-stub render` writes it"
            }
            Self::UnknownProtocol { .. } => {
                "render it with the agent-stub of the release that is in the image, or put a newer agent into the image"
            }
            Self::Marker | Self::UnknownVariable { .. } | Self::Missing { .. } => {
                "a stub is not edited by hand: render it again with `agent-stub render`"
            }
            Self::NoPayload => {
                "send a stub that sets MINT_USER_BOOTSTRAP (an empty value means no script); it may be of an older release, or cut short"
            }
            Self::Twice { .. } => "set it once",
            Self::Computed { .. } => "write the value itself, in single quotes",
            Self::HereDocument { .. } => {
                "send a script without lines that set MINT_USER_BOOTSTRAP, or a stub that sets it before any here-document"
            }
            Self::Placeholder { .. } => {
                "fill in every placeholder; an empty value means: not given"
            }
            Self::Parameter { .. } => "correct the value and launch again",
            Self::Payload { .. } => {
                "encode the script again with `agent-stub render`, and recreate the instance"
            }
        }
    }

    /// The same as the journal holds it.
    pub fn problem(&self) -> Problem {
        let problem =
            Problem::new(self.code(), format!("the user-data cannot be used: {self}"), self.next());
        match self {
            Self::Faults(all) if all.len() > 1 => {
                let each = all.iter().skip(1).take(SHOWN).map(ToString::to_string);
                problem.evidence(each.collect::<Vec<_>>().join("\n"))
            }
            _ => problem,
        }
    }
}

impl fmt::Display for UserDataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "it is larger than {} MiB", MAX_SCRIPT >> 20),
            Self::DamagedGzip => f.write_str("its gzip data is damaged or cut short"),
            Self::Unrecognized { found } => write!(f, "it is {found}"),
            Self::Truncated => f.write_str("it is a stub that was cut short: its end is missing"),
            Self::CarriageReturns => f.write_str("its lines end with carriage returns"),
            Self::Marker => {
                f.write_str("the stub's marker, its second line, is damaged or displaced")
            }
            Self::UnknownProtocol { found } => write!(
                f,
                "it is a stub of protocol {found}, and this agent ({}) knows {PROTOCOL} alone",
                env!("CARGO_PKG_VERSION")
            ),
            Self::UnknownVariable { line } => {
                write!(f, "line {line} sets a MINT_ variable that protocol {PROTOCOL} has not")
            }
            Self::Missing { variable } => write!(f, "the stub doesn't set {variable}"),
            Self::NoPayload => write!(f, "it sets variables of a stub but not {VARIABLE}"),
            Self::Twice { variable, lines: (one, other) } => {
                write!(f, "{variable} is set twice, in line {one} and line {other}")
            }
            Self::Computed { variable, line } => {
                write!(
                    f,
                    "the value of {variable} in line {line} is one that a shell would compute"
                )
            }
            Self::Unclosed { variable, line } => {
                write!(f, "the quotes around {variable} in line {line} are not closed")
            }
            Self::HereDocument { line } => write!(
                f,
                "it sets a stub's variables behind the here-document in line {line}, so it may be a script as well as a stub"
            ),
            Self::Placeholder { line } => {
                write!(f, "a placeholder (__MINT_…__) was left unfilled in line {line}")
            }
            Self::Parameter { line, error } => write!(f, "line {line}: {error}"),
            Self::Faults(all) => match all.as_slice() {
                [] => Ok(()),
                [one] => write!(f, "{one}"),
                [first, rest @ ..] => write!(f, "{first} (and {} more errors)", rest.len()),
            },
            Self::Payload { line, error, .. } => {
                write!(f, "{VARIABLE} in line {line} cannot be decoded: {error}")
            }
        }
    }
}

impl std::error::Error for UserDataError {}

/// How other kinds of user-data begin (cloud-init's documentation, "User-data formats", and
/// the files' own magic numbers).
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"{", "JSON"),
    (b"\x7fELF", "an ELF program"),
    (super::GZIP, "gzip within gzip"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\xef\xbb\xbf", "text behind a byte order mark"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
];

/// What bytes that are no script look like.
pub(super) fn what_it_is(text: &[u8]) -> &'static str {
    let trimmed = text.trim_ascii_start();
    if let Some((_, what)) = BEGINNINGS.iter().find(|(start, _)| text.starts_with(start)) {
        return what;
    }
    if trimmed.starts_with(b"#!") {
        return "a script behind blank space (its first two bytes must be #!)";
    }
    // Base64 of `#!` and of gzip.
    let encoded = [b"IyE".as_slice(), b"H4sI"].iter().any(|start| trimmed.starts_with(start));
    if encoded && text.iter().all(|b| b.is_ascii_alphanumeric() || b"+/=\r\n".contains(b)) {
        return "base64 of a script (it was encoded twice)";
    }
    match std::str::from_utf8(text) {
        Ok(t) if !t.contains(|c: char| c.is_control() && !c.is_whitespace()) => {
            "text without a #! line"
        }
        _ => "binary data",
    }
}
