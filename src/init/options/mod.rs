//! What an init is asked for, under whichever name: `agent init` has its own command line;
//! called `tini`, `dumb-init` or `catatonit` it understands theirs, so that an image changes
//! one COPY line.
//!
//! It is read without the machinery of the other commands: PID 1 keeps what it touches at its
//! start for as long as it lives.

mod catatonit;
mod dumb_init;
mod duties;
#[cfg(fuzzing)]
pub mod fuzzing;
mod own;
mod signal;
mod tini;

pub(super) use duties::{Duties, Target, Verbosity};

use super::handoff::Stand;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest that both graces may take together: a stop ends within 30 s (the
/// contract), and killing takes its part of that.
const LONGEST_STOP: Duration = Duration::from_secs(25);

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) command: Vec<OsString>,
    pub(super) no_boot: bool,
    pub(super) json: bool,
    pub(super) config: Option<PathBuf>,
    pub(super) duties: Duties,
    hold: Option<bool>,
    grace: Option<Duration>,
    leftover_grace: Option<Duration>,
}

/// The outcome of reading the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Run(Options),
    Say(String),
    /// The same, on standard error.
    SayAside(String),
    /// What is wrong, and the exit status that says so.
    Wrong(String, u8),
}

/// By which name this program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `agent init`.
    Agent,
    /// <https://github.com/krallin/tini>, also as docker's `docker-init`.
    Tini,
    /// <https://github.com/Yelp/dumb-init>.
    DumbInit,
    /// <https://github.com/openSUSE/catatonit>, also as podman's `podman-init`.
    Catatonit,
}

impl Name {
    /// The name in `argv[0]`; every other one is the agent's.
    pub fn of(program: &OsStr) -> Self {
        match Path::new(program).file_name().and_then(OsStr::to_str) {
            Some("tini" | "tini-static" | "docker-init") => Self::Tini,
            Some("dumb-init") => Self::DumbInit,
            Some("catatonit" | "podman-init") => Self::Catatonit,
            _ => Self::Agent,
        }
    }
}

/// Reads `arguments`, those behind the program's name (and behind the word `init`).
pub(super) fn parse(name: Name, arguments: Vec<OsString>) -> Parsed {
    match name {
        Name::Agent => own::parse(arguments),
        Name::Tini => tini::parse(arguments, |n| std::env::var(n).ok()),
        Name::DumbInit => dumb_init::parse(arguments, |n| std::env::var(n).ok()),
        Name::Catatonit => catatonit::parse(arguments, |n| std::env::var(n).ok()),
    }
}

impl Options {
    /// The command line outranks the configuration.
    pub(super) fn amend(&self, stand: Stand) -> Stand {
        let grace = self.grace.unwrap_or(stand.grace);
        let leftover_grace = self.leftover_grace.unwrap_or(stand.leftover_grace);
        Stand {
            hold: self.hold.unwrap_or(stand.hold),
            grace,
            // Both together end a stop in time, wherever each of them was written.
            leftover_grace: leftover_grace.min(LONGEST_STOP.saturating_sub(grace)),
            ..stand
        }
    }
}

/// Options of one letter that may stand together (`-gv`), as the other inits take them.
/// `option` is given each, and takes a value where it needs one (`-p SIG`, `-pSIG`). A name in
/// `long` may be cut short where that is still one of them alone, as `getopt_long(3)` has it.
/// Returns the command.
fn letters(
    arguments: Vec<OsString>,
    long: &[&str],
    mut option: impl FnMut(&str, &mut dyn FnMut() -> Option<OsString>) -> Result<(), String>,
) -> Result<Vec<OsString>, String> {
    let mut rest = arguments.into_iter();
    let mut command = Vec::new();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy().into_owned();
        if text == "--" {
            break;
        }
        if let Some(text) = text.strip_prefix("--") {
            let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
            let mut meant = long.iter().filter(|l| l.starts_with(name));
            let name = match (meant.next(), meant.next()) {
                (Some(only), None) => only,
                _ => name,
            };
            let mut value = value.map(OsString::from);
            option(&format!("--{name}"), &mut || value.take().or_else(|| rest.next()))?;
        } else if let Some(cluster) = text.strip_prefix('-').filter(|c| !c.is_empty()) {
            let mut left = cluster;
            while let Some(letter) = left.chars().next() {
                left = left.get(letter.len_utf8()..).unwrap_or_default();
                let mut took = false;
                option(&format!("-{letter}"), &mut || {
                    took = true;
                    if left.is_empty() { rest.next() } else { Some(left.into()) }
                })?;
                if took {
                    break;
                }
            }
        } else {
            command.push(argument);
            break;
        }
    }
    command.extend(rest);
    Ok(command)
}
