//! What a launch says → the user-data that says it.

use super::budget::{Budget, Encoding, LIMIT, ScriptSizes};
use super::parameters::{Fetch, Name, ParameterError, Parameters};
use super::payload::{Script, VARIABLE};
use super::shell::quote;
use super::template::Template;
use std::fmt;

/// What a machine is told at its launch.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// The contract's parameters.
    pub parameters: Parameters,
    /// The user's script. `None` and an empty one: the hook is skipped.
    pub script: Option<Script>,
    /// The agent to download, for an image without one. `None`: the image has it.
    pub fetch: Option<Fetch>,
}

/// A rendered user-data. It holds the user's script: its `Debug` shows sizes alone.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData {
    bytes: Vec<u8>,
    budget: Budget,
}

impl UserData {
    /// What EC2 is given, before the base64 of the request: [`LIMIT`] bytes at most.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How its room is spent.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserData").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Renders the user-data of one launch.
///
/// The result is a script for `/bin/sh` that any cloud-init runs, and that the agent reads
/// itself where there is none; docs/user-data.md has its form. The user's script comes back
/// on the other side byte for byte. It is in plain base64 where that fits, so that any tool
/// can read it, else in base64 of its gzip.
///
/// ```
/// use agent::stub::{self, Launch, Parameters, payload::Script};
///
/// let launch = Launch {
///     parameters: Parameters { vm_name: Some("default".into()), ..Parameters::default() },
///     script: Some(Script::verbatim(b"#!/bin/sh\necho hello\n".to_vec())?),
///     fetch: None,
/// };
/// let user_data = stub::render(&launch)?;
/// assert!(user_data.as_bytes().starts_with(b"#!/bin/sh\n"));
/// assert!(user_data.as_bytes().len() <= stub::LIMIT);
///
/// // What the guest will make of it:
/// let parsed = stub::user_data::parse(user_data.as_bytes())?;
/// assert_eq!(parsed.scripts.only(), launch.script.as_ref());
/// assert_eq!(parsed.parameters.vm_name.as_deref(), Some("default"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A program that launches machines takes the script from the one place where users keep
/// it, [`user_script`](super::user_script), and passes [`UserData::as_bytes`] on. It
/// launches nothing where this returns an error.
///
/// # Errors
/// A parameter may not be what it is, or the whole is larger than [`LIMIT`].
pub fn render(launch: &Launch) -> Result<UserData, RenderError> {
    let parts = Parts::of(launch)?;
    let budget = parts.budget();
    if budget.headroom().is_none() {
        return Err(RenderError::TooLarge(budget));
    }
    Ok(UserData { bytes: parts.join().into_bytes(), budget })
}

/// How a launch's user-data would spend its room, also where it has too little.
///
/// # Errors
/// A parameter may not be what it is.
pub fn budget(launch: &Launch) -> Result<Budget, ParameterError> {
    Parts::of(launch).map(|parts| parts.budget())
}

/// Is `text` what this version renders, whatever its payload's encoding? `launch` is what
/// was read from it.
pub(super) fn is_rendered(text: &[u8], launch: &Launch) -> bool {
    let Ok(parts) = Parts::of(&Launch { script: None, ..launch.clone() }) else { return false };
    let before = [parts.head, parts.parameters, parts.before].concat();
    text.strip_prefix(before.as_bytes())
        .and_then(|rest| rest.strip_suffix(parts.behind.as_bytes()))
        .is_some_and(|payload| {
            payload.iter().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b))
        })
}

/// The pieces of a stub, in order.
struct Parts {
    head: String,
    parameters: String,
    before: String,
    payload: String,
    behind: String,
    script: Option<ScriptSizes>,
}

impl Parts {
    fn of(launch: &Launch) -> Result<Self, ParameterError> {
        launch.parameters.check()?;
        let template = if launch.fetch.is_some() { Template::Fetch } else { Template::Baked };
        let mut parameters: String = launch
            .parameters
            .given()
            .map(|(name, value)| format!("export {}={}\n", name.variable(), quote(&value)))
            .collect();
        if let Some(fetch) = &launch.fetch {
            fetch.check()?;
            let sha256 = fetch.sha256.to_ascii_lowercase();
            for (name, value) in [(Name::Url, &fetch.url), (Name::Sha256, &sha256)] {
                parameters += &format!("{}={}\n", name.variable(), quote(value));
            }
        }
        let mut parts = Self {
            head: template.head(),
            parameters,
            before: format!("unset {VARIABLE}\n{VARIABLE}='"),
            payload: String::new(),
            behind: format!("'\n{}", template.tail()),
            script: None,
        };
        if let Some(script) = launch.script.as_ref().filter(|s| !s.bytes().is_empty()) {
            let room = LIMIT.saturating_sub(parts.budget().total());
            let (payload, sizes) = encode(script, room);
            parts.payload = payload;
            parts.script = Some(sizes);
        }
        Ok(parts)
    }

    fn budget(&self) -> Budget {
        Budget {
            template: self.head.len() + self.before.len() + self.behind.len(),
            parameters: self.parameters.len(),
            script: self.script,
        }
    }

    fn join(self) -> String {
        [self.head, self.parameters, self.before, self.payload, self.behind].concat()
    }
}

/// Plain base64 where it fits; else gzip where that is smaller.
fn encode(script: &Script, room: usize) -> (String, ScriptSizes) {
    let packed = script.packed();
    let mut sizes = ScriptSizes {
        raw: script.bytes().len(),
        gzip: decoded_length(&packed),
        base64: script.bytes().len().div_ceil(3) * 4,
        gzip_base64: packed.len(),
        encoding: Encoding::GzipBase64,
    };
    match script.plain() {
        Some(plain) if plain.len() <= room || plain.len() <= packed.len() => {
            sizes.encoding = Encoding::Base64;
            (plain, sizes)
        }
        _ => (packed, sizes),
    }
}

/// How many bytes a base64 text stands for.
fn decoded_length(text: &str) -> usize {
    text.len() / 4 * 3 - text.bytes().rev().take_while(|&b| b == b'=').count()
}

/// Why there is no user-data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderError {
    /// A parameter is not what it must be.
    Parameter(ParameterError),
    /// The whole is larger than [`LIMIT`], in the smallest encoding.
    TooLarge(Budget),
}

impl From<ParameterError> for RenderError {
    fn from(e: ParameterError) -> Self {
        Self::Parameter(e)
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(e) => e.fmt(f),
            Self::TooLarge(budget) => too_large(budget, f),
        }
    }
}

impl std::error::Error for RenderError {}

/// The first line is the contract's.
fn too_large(budget: &Budget, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let total = budget.total();
    let over = total.saturating_sub(LIMIT);
    writeln!(f, "rendered user-data is {total} bytes, max is {LIMIT} ({over} bytes over limit)")?;
    let (template, parameters) = (budget.template, budget.parameters);
    let Some(script) = budget.script else {
        return write!(
            f,
            "the parameters are too big: {parameters} bytes beside a template of {template}; shorten them"
        );
    };
    write!(
        f,
        "the script is too big: {} bytes, as {} {}, beside template {template} and parameters \
         {parameters}; ",
        script.raw,
        script.encoding,
        script.encoded(),
    )?;
    write!(
        f,
        "there is room for {} bytes of script, or of its gzip (now {}); shorten it, or let it \
         download its larger part itself",
        budget.largest_plain(),
        script.gzip,
    )
}
