//! What a machine was told at its launch, read from its user-data without a shell.
//!
//! Understood are a stub of this project, a stub of the parents' template, a plain script,
//! cloud-config (a part of it), a boothook, several of these in a MIME message, and each as
//! gzip. Everything else, and whatever is damaged, is an error with a name; none is guessed at,
//! none becomes another script than the one that was sent, and nothing of a user-data is done
//! of which a part is refused.

mod cloud_config;
mod error;
mod fault;
mod formats;
mod mime;
mod parts;
mod yaml;

pub use error::UserDataError;
pub use fault::Fault;

use super::parameters::{Fetch, NAMES, Name, PARAMETERS, Parameters, is_placeholder};
use super::payload::{self, GZIP, MAX_SCRIPT, Script, VARIABLE};
use super::shell::{Assignment, Obstacle, assignments};
use super::template::{END, MARKER, MARKER_FIELDS, PROTOCOL, SHEBANG, Template};
use super::told::{CloudConfig, Duties, Scripts};
use formats::Format;
use serde::Serialize;
use std::borrow::Cow;

/// A user-data, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What it is.
    pub kind: Kind,
    /// What was given beside the script.
    pub parameters: Parameters,
    /// The user's scripts. None: the hook is skipped.
    pub scripts: Scripts,
    /// Where the stub's shell part downloads what it runs. From a parents' stub it is what
    /// was found, unchecked: only the stub itself acts on it.
    pub fetch: Option<Fetch>,
    /// What cloud-config says that other phases do.
    pub cloud: CloudConfig,
    /// What root is to do.
    pub duties: Duties,
}

/// What a user-data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing.
    Empty,
    /// A stub of this project.
    Stub {
        /// The version of its form.
        protocol: u32,
        /// Where the agent comes from.
        template: Template,
    },
    /// A stub of the parents' template.
    ParentStub,
    /// A script, the user's own.
    Script,
    /// cloud-config alone.
    CloudConfig,
    /// A boothook alone.
    Boothook,
    /// A MIME message.
    Multipart {
        /// How many parts hold something.
        parts: usize,
    },
}

impl Kind {
    /// What it is, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Empty => "none".into(),
            Self::Stub { protocol, template } => {
                format!("stub, protocol {protocol}, {}", template.word())
            }
            Self::ParentStub => "stub of the parent system".into(),
            Self::Script => "script".into(),
            Self::CloudConfig => "cloud-config".into(),
            Self::Boothook => "cloud-boothook".into(),
            Self::Multipart { parts: 1 } => "MIME message, 1 part".into(),
            Self::Multipart { parts } => format!("MIME message, {parts} parts"),
        }
    }
}

/// Reads a user-data. Arbitrary bytes are an error at worst.
///
/// # Errors
/// It is none of what is understood, or it is damaged.
pub fn parse(bytes: &[u8]) -> Result<Parsed, UserDataError> {
    let text = unpack(bytes)?;
    if text.trim_ascii().is_empty() {
        return Ok(Parsed::of(Kind::Empty, Scripts::default()));
    }
    if mime::is_message(&text) {
        return parts::message(&text);
    }
    match formats::by_beginning(&text) {
        // A stub of which the very beginning is left.
        Some(Format::Script) if [SHEBANG, MARKER].concat().as_bytes().starts_with(&text) => {
            Err(UserDataError::Truncated)
        }
        Some(Format::Script) => program(&text),
        Some(Format::Refused(refusal)) => Err(UserDataError::Faults(vec![parts::refused(refusal)])),
        Some(format) => parts::alone(&text, format),
        None => Err(UserDataError::Unrecognized { found: error::what_it_is(&text) }),
    }
}

/// Reads what begins with `#!`: a stub, or the user's own script.
fn program(text: &[u8]) -> Result<Parsed, UserDataError> {
    let (first, rest) = split_line(text);
    let (second, _) = split_line(rest);
    if second.starts_with(MARKER.as_bytes()) {
        return own(text, second);
    }
    if is_displaced(text) {
        return Err(UserDataError::Marker);
    }
    let found = assignments(text);
    let parameters = found.iter().filter(|a| is_parameter(a.name)).count();
    match (found.iter().any(|a| a.name == VARIABLE), parameters) {
        (true, 1..) => parents(text, first, &found),
        (false, 2..) => Err(UserDataError::NoPayload),
        _ => {
            let script = Script::verbatim(text.to_vec()).map_err(|_| UserDataError::TooLarge)?;
            Ok(Parsed::of(Kind::Script, Some(script).into()))
        }
    }
}

/// The user-data itself, unpacked where it is gzip, and never more than [`MAX_SCRIPT`].
pub(super) fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, UserDataError> {
    let text: Cow<'_, [u8]> = if bytes.starts_with(GZIP) {
        payload::inflate(bytes)
            .map_err(|e| match e {
                payload::PayloadError::TooLarge => UserDataError::TooLarge,
                _ => UserDataError::DamagedGzip,
            })?
            .into()
    } else {
        bytes.into()
    };
    if text.len() as u64 > MAX_SCRIPT { Err(UserDataError::TooLarge) } else { Ok(text) }
}

/// The first line with its end, and what follows.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&b| b == b'\n').map_or(text.len(), |n| n + 1);
    text.split_at(end)
}

/// Is it a stub of ours behind lines that somebody put there? As a user's script it would
/// boot from within the boot.
fn is_displaced(text: &[u8]) -> bool {
    text.trim_ascii_end().ends_with(END.as_bytes())
        && text.split(|&b| b == b'\n').any(|line| line.starts_with(MARKER_FIELDS.as_bytes()))
}

/// Does this variable carry a parameter?
fn is_parameter(variable: &str) -> bool {
    PARAMETERS.iter().any(|n| n.variable() == variable)
}

/// A stub of this project; `marker` is its second line.
fn own(text: &[u8], marker: &[u8]) -> Result<Parsed, UserDataError> {
    let Some(marker) = marker.strip_suffix(b"\n") else { return Err(UserDataError::Truncated) };
    if marker.ends_with(b"\r") {
        return Err(UserDataError::CarriageReturns);
    }
    let (protocol, rest) = read_marker(marker).ok_or(UserDataError::Marker)?;
    if protocol != PROTOCOL {
        return Err(UserDataError::UnknownProtocol { found: protocol });
    }
    let template = rest.strip_prefix(" template=").and_then(Template::of);
    let template = template.ok_or(UserDataError::Marker)?;
    let body = text.trim_ascii_end().strip_suffix(END.as_bytes());
    let body = body.filter(|b| b.ends_with(b"\n")).ok_or(UserDataError::Truncated)?;

    let found = assignments(body);
    let known =
        |a: &&Assignment| a.name == VARIABLE || NAMES.iter().any(|n| n.variable() == a.name);
    if let Some(a) = found.iter().filter(|a| a.name.starts_with("MINT_")).find(|a| !known(a)) {
        return Err(UserDataError::UnknownVariable { line: a.line });
    }
    let values = Values(&found);
    let parameters = values.parameters()?;
    let payload = values.payload()?;
    let fetch = match template {
        Template::Baked => None,
        Template::Fetch => {
            let fetch =
                Fetch { url: values.required(Name::Url)?, sha256: values.required(Name::Sha256)? };
            Some(fetch)
        }
    };
    let kind = Kind::Stub { protocol, template };
    Parsed { parameters, fetch, ..Parsed::of(kind, Scripts::default()) }.with(payload)
}

/// The protocol, and what stands behind it.
fn read_marker(line: &[u8]) -> Option<(u32, &str)> {
    let rest = std::str::from_utf8(line).ok()?.strip_prefix(MARKER_FIELDS)?;
    let end = rest.find(' ').unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    Some((number.parse().ok()?, rest))
}

/// A stub of the parents' template.
fn parents(text: &[u8], first: &[u8], found: &[Assignment]) -> Result<Parsed, UserDataError> {
    if first.ends_with(b"\r\n") {
        return Err(UserDataError::CarriageReturns);
    }
    unfilled(text)?;
    here_document(text, found)?;
    // Its end is unknown, but it doesn't end with its payload: that may be a part of one.
    if found.iter().any(|a| a.name == VARIABLE && a.at_end && a.value.is_ok()) {
        return Err(UserDataError::Truncated);
    }
    hidden(text, found)?;
    let values = Values(found);
    let payload = values.payload()?;
    Parsed {
        parameters: values.parameters()?,
        fetch: downloaded(found),
        ..Parsed::of(Kind::ParentStub, Scripts::default())
    }
    .with(payload)
}

/// A parameter that is only set where a shell would have to tell whether (behind `&&`, in an
/// `if`) must not be passed over.
fn hidden(text: &[u8], found: &[Assignment]) -> Result<(), UserDataError> {
    for (line, content) in (1..).zip(text.split(|&b| b == b'\n')) {
        let content = String::from_utf8_lossy(content);
        if content.trim_start().starts_with('#') {
            continue;
        }
        for variable in PARAMETERS.iter().map(|n| n.variable()) {
            let is_set = format!("{variable}=");
            let alone = |at: usize| {
                let before = content.get(..at).and_then(|c| c.chars().next_back());
                before.is_none_or(|c| !(c.is_ascii_alphanumeric() || c == '_'))
            };
            let mentioned = content.match_indices(&is_set).any(|(at, _)| alone(at));
            if mentioned && found.iter().all(|a| a.name != variable) {
                return Err(UserDataError::Computed { variable, line });
            }
        }
    }
    Ok(())
}

/// Lines of a here-document look like assignments and are none. Which of the two a text behind
/// one is takes a shell to tell, so neither is believed.
fn here_document(text: &[u8], found: &[Assignment]) -> Result<(), UserDataError> {
    let payload = found.iter().filter(|a| a.name == VARIABLE).map(|a| a.line).max().unwrap_or(0);
    for (line, content) in (1..payload).zip(text.split(|&b| b == b'\n')) {
        let content = String::from_utf8_lossy(content);
        let content = content.replace("<<<", "");
        // `1<<3` is arithmetic; a here-document's word is no number.
        let begins = content.match_indices("<<").any(|(at, _)| {
            let word = content.get(at + 2..).unwrap_or_default();
            let word = word.strip_prefix('-').unwrap_or(word).trim_start();
            word.starts_with(|c: char| c.is_ascii_alphabetic() || "_'\"\\".contains(c))
        });
        if begins && !content.trim_start().starts_with('#') {
            return Err(UserDataError::HereDocument { line });
        }
    }
    Ok(())
}

/// Is a placeholder of the template left outside comments?
fn unfilled(text: &[u8]) -> Result<(), UserDataError> {
    let names = NAMES.iter().map(|n| n.variable()).chain([VARIABLE]);
    let placeholders: Vec<String> = names.map(|n| format!("__{n}__")).collect();
    for (line, content) in (1..).zip(text.split(|&b| b == b'\n')) {
        if content.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let content = String::from_utf8_lossy(content);
        if placeholders.iter().any(|p| content.contains(p.as_str())) {
            return Err(UserDataError::Placeholder { line });
        }
    }
    Ok(())
}

/// What a parents' stub downloads: its variables for that have no names of the contract, so
/// they are known by their values.
fn downloaded(found: &[Assignment]) -> Option<Fetch> {
    let text = |a: &Assignment| String::from_utf8(a.value.clone().ok()?).ok();
    let find = |good: &dyn Fn(&str) -> bool| found.iter().filter_map(text).find(|v| good(v));
    Some(Fetch {
        url: find(&|v| v.starts_with("https://") || v.starts_with("http://"))?,
        sha256: find(&|v| Name::Sha256.check(v).is_ok())?,
    })
}

/// What the payload decodes to, and its line.
type Payload = (Result<Option<Script>, payload::PayloadError>, usize);

/// A stub's assignments, by variable.
struct Values<'a>(&'a [Assignment<'a>]);

impl Values<'_> {
    /// The value and line of `variable`, where it is assigned once.
    fn get(&self, variable: &'static str) -> Result<Option<(&[u8], usize)>, UserDataError> {
        let mut all = self.0.iter().filter(|a| a.name == variable);
        let Some(a) = all.next() else { return Ok(None) };
        if let Some(other) = all.next() {
            return Err(UserDataError::Twice { variable, lines: (a.line, other.line) });
        }
        match &a.value {
            Ok(value) => Ok(Some((value, a.line))),
            Err(Obstacle::Computed) => Err(UserDataError::Computed { variable, line: a.line }),
            Err(Obstacle::Unclosed) => Err(UserDataError::Unclosed { variable, line: a.line }),
        }
    }

    /// The same as text; what is no UTF-8 cannot be valid, and is told so by the check.
    fn text(&self, name: Name) -> Result<Option<(Cow<'_, str>, usize)>, UserDataError> {
        let found = self.get(name.variable())?;
        Ok(found.map(|(value, line)| (String::from_utf8_lossy(value), line)))
    }

    fn required(&self, name: Name) -> Result<String, UserDataError> {
        let variable = name.variable();
        let (value, line) = self.text(name)?.ok_or(UserDataError::Missing { variable })?;
        name.check(&value).map_err(|error| UserDataError::Parameter { line, error })?;
        Ok(value.into_owned())
    }

    fn parameters(&self) -> Result<Parameters, UserDataError> {
        let mut parameters = Parameters::default();
        for name in PARAMETERS {
            let Some((value, line)) = self.text(name)? else { continue };
            parameters
                .set(name, &value)
                .map_err(|error| UserDataError::Parameter { line, error })?;
        }
        Ok(parameters)
    }

    /// The script; an empty payload is none.
    fn payload(&self) -> Result<Payload, UserDataError> {
        let (value, line) = self.get(VARIABLE)?.ok_or(UserDataError::NoPayload)?;
        if std::str::from_utf8(value).is_ok_and(is_placeholder) {
            return Err(UserDataError::Placeholder { line });
        }
        Ok((Script::decode(value), line))
    }
}

impl Parsed {
    /// One that says nothing else.
    fn of(kind: Kind, scripts: Scripts) -> Self {
        Self {
            kind,
            scripts,
            parameters: Parameters::default(),
            fetch: None,
            cloud: CloudConfig::default(),
            duties: Duties::default(),
        }
    }

    /// With the script; one that does not decode leaves the rest as it is.
    fn with(self, (script, line): Payload) -> Result<Self, UserDataError> {
        match script {
            Ok(script) => Ok(Self { scripts: script.into(), ..self }),
            Err(error) => Err(UserDataError::Payload { line, error, rest: Box::new(self) }),
        }
    }
}
