//! `[[step]]`: what the operator wants done to the machine before anything else.
//!
//! Entries keep the place where they were written, so that what only the whole can
//! tell (a step without a command, a group that is torn apart) is told with line and
//! column too.

use super::error::{ConfigError, place};
use super::layer::StepLayer;
use super::resolved::is_variable_name;
use super::value::Span;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use toml::Spanned;

/// Attempts in all that a step may be given.
const MOST_ATTEMPTS: u32 = 20;

/// One provisioning step, checked.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name, unique.
    pub name: String,
    /// What is run.
    pub command: CommandLine,
    /// Who runs it.
    pub user: StepUser,
    /// Further variables.
    pub environment: BTreeMap<String, String>,
    /// Working directory; the home of its user where `None`.
    pub directory: Option<PathBuf>,
    /// Deadline of all its attempts together.
    pub deadline: Span,
    /// Does its failure fail the boot (else it degrades it)?
    pub required: bool,
    /// How often it is run.
    pub run: RunAt,
    /// The name that a failure is filed under.
    pub failure_phase: String,
    /// Neighbours of the same group run side by side.
    pub group: Option<String>,
    /// Attempts in all.
    pub attempts: u32,
}

/// What a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// Program and arguments.
    Words(Vec<String>),
    /// A text for `/bin/sh -c`.
    Shell(String),
}

impl CommandLine {
    /// Program and arguments, the shell's included.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Words(words) => words.clone(),
            Self::Shell(text) => vec!["/bin/sh".into(), "-c".into(), text.clone()],
        }
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = CommandLine;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of words, or a text for the shell")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<CommandLine, E> {
                checked(vec![text.into()]).map(|_| CommandLine::Shell(text.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<CommandLine, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = all.next_element()? {
                    words.push(word);
                }
                checked(words).map(CommandLine::Words)
            }
        }
        d.deserialize_any(Written)
    }
}

/// The first word names a program, and none can hold what no argument can (`execve(2)`).
fn checked<E: de::Error>(words: Vec<String>) -> Result<Vec<String>, E> {
    if words.first().is_none_or(|program| program.trim().is_empty()) {
        return Err(E::custom("the command is empty; write the program first"));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(E::custom("a command cannot hold a zero byte"));
    }
    Ok(words)
}

/// Who runs a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepUser {
    /// Root.
    Root,
    /// The sandbox user.
    Sandbox,
    /// An account of `/etc/passwd`, looked up when the step starts: an earlier step may make it.
    #[serde(untagged)]
    Account(String),
}

impl fmt::Display for StepUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Sandbox => f.write_str("the sandbox user"),
            Self::Account(name) => f.write_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for StepUser {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        match text.as_str() {
            "root" => Ok(Self::Root),
            "sandbox" => Ok(Self::Sandbox),
            name if is_login(name) => Ok(Self::Account(text)),
            _ => Err(de::Error::custom(format!(
                "{text:?} is no login name; write \"root\", \"sandbox\" or a name of /etc/passwd"
            ))),
        }
    }
}

fn is_login(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// How often a step is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunAt {
    /// At every boot.
    EveryBoot,
    /// Until it has succeeded once on this instance.
    Once,
}

/// The name of a step, and what a failure is filed under: 1 to 64 of `[a-z0-9-]`, which is
/// also a file's name, a tag's value and a word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(pub String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if is_label(&text) { Ok(Self(text)) } else { Err(de::Error::custom(no_label(&text))) }
    }
}

/// The name of a group, or nothing: a higher source takes a step out of its group so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group(pub String);

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let good = text.is_empty() || is_label(&text);
        if good { Ok(Self(text)) } else { Err(de::Error::custom(no_label(&text))) }
    }
}

fn is_label(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(good)
}

fn no_label(text: &str) -> String {
    format!("{text:?} is no name; use 1 to 64 small letters, digits and the sign -")
}

/// Where an entry was written, or last amended.
#[derive(Clone, Debug, Default)]
pub struct Written {
    origin: String,
    place: Option<(usize, usize)>,
}

impl Written {
    fn error(&self, message: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        ConfigError { place: self.place, ..ConfigError::of(&self.origin, message, hint) }
    }
}

/// Notes in each entry where it stands in `text`.
pub(super) fn locate(steps: &mut [Spanned<StepLayer>], origin: &str, text: &str) {
    for step in steps {
        let place = Some(place(text, &step.span()));
        step.get_mut().written = Some(Written { origin: origin.into(), place });
    }
}

/// An entry whose name is already declared amends it; another is added behind.
pub(super) fn over(
    upper: Option<Vec<Spanned<StepLayer>>>,
    lower: Option<Vec<Spanned<StepLayer>>>,
) -> Option<Vec<Spanned<StepLayer>>> {
    let (Some(upper), Some(mut all)) = (upper.clone(), lower.clone()) else {
        return upper.or(lower);
    };
    for step in upper {
        match all.iter_mut().map(Spanned::get_mut).find(|s| s.name == step.get_ref().name) {
            Some(there) => *there = step.into_inner().over(there.clone()),
            None => all.push(step),
        }
    }
    Some(all)
}

/// Fills the entries up with the defaults and refuses what no other source can mend. One
/// without a command amends another source's, and is no step here.
///
/// # Errors
/// The first entry that cannot be meant.
pub(super) fn resolve(layers: &[Spanned<StepLayer>]) -> Result<Vec<Step>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut steps = Vec::new();
    for layer in layers.iter().map(Spanned::get_ref) {
        let at = layer.written.clone().unwrap_or_default();
        let Some(Label(name)) = layer.name.clone() else {
            return Err(
                at.error("a [[step]] has no `name`", "write name = \"packages\" or another")
            );
        };
        if !names.insert(name.clone()) {
            return Err(at.error(
                format!("step {name} is declared twice"),
                "join the two entries, or give one of them another name",
            ));
        }
        let attempts = layer.attempts.unwrap_or(1);
        if !(1..=MOST_ATTEMPTS).contains(&attempts) {
            return Err(at.error(
                format!("step {name}: attempts is {attempts}"),
                format!("write a number from 1 to {MOST_ATTEMPTS}"),
            ));
        }
        if let Some(relative) = layer.directory.as_ref().filter(|d| !d.is_absolute()) {
            return Err(at.error(
                format!("step {name}: directory \"{}\" is relative", relative.display()),
                "write an absolute path",
            ));
        }
        let environment = layer.environment.clone().unwrap_or_default();
        if let Some((variable, _)) = environment.iter().find(|(n, v)| !is_variable(n, v)) {
            return Err(at.error(
                format!("step {name}: {variable:?} cannot be set"),
                "use letters, digits and underscores, no digit first; the user's script is given to nobody",
            ));
        }
        let Some(command) = layer.command.clone() else { continue };
        steps.push(Step {
            command,
            user: layer.user.clone().unwrap_or(StepUser::Root),
            environment,
            directory: layer.directory.clone(),
            deadline: layer.deadline.unwrap_or(Span::seconds(10 * 60)),
            required: layer.required.unwrap_or(true),
            run: layer.run.unwrap_or(RunAt::EveryBoot),
            failure_phase: layer.failure_phase.as_ref().map_or(&name, |Label(l)| l).clone(),
            group: layer.group.clone().map(|Group(g)| g).filter(|g| !g.is_empty()),
            attempts,
            name,
        });
    }
    Ok(steps)
}

fn is_variable(name: &str, value: &str) -> bool {
    is_variable_name(name) && name != crate::stub::payload::VARIABLE && !value.contains('\0')
}

/// Refuses what only all sources together can tell.
///
/// # Errors
/// A step has no command anywhere, or a group's steps don't stand together.
pub(super) fn check_whole(layers: &[Spanned<StepLayer>]) -> Result<(), ConfigError> {
    let mut closed = BTreeSet::new();
    let mut open: Option<&str> = None;
    for layer in layers.iter().map(Spanned::get_ref) {
        let at = layer.written.clone().unwrap_or_default();
        let name = layer.name.as_ref().map_or("", |Label(name)| name);
        if layer.command.is_none() {
            return Err(at.error(
                format!("step {name} has no `command`"),
                "write one; a file that only amends another file's step is checked together with it, by `agent config check`",
            ));
        }
        let group = layer.group.as_ref().map(|Group(g)| g.as_str()).filter(|g| !g.is_empty());
        if group != open {
            closed.extend(open);
            open = group;
        }
        if let Some(torn) = group.filter(|g| closed.contains(g)) {
            return Err(at.error(
                format!("step {name}: the other steps of group {torn} do not stand next to it"),
                "let the steps of a group follow each other, or give this one another group",
            ));
        }
    }
    Ok(())
}
