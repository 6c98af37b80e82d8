//! Reading what mise says: its list as JSON, its errors as text. Pure.
//!
//! mise's exit status alone is not believed: it says 0 when an install directory was
//! emptied, and its list says "nothing missing" of a tool whose backend is denied. So
//! both are read, and the directories are looked at.

use crate::journal::event::Tool;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One tool as `mise ls --current --json` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Name and version.
    pub(super) tool: Tool,
    /// Where it is, or would be.
    pub(super) path: PathBuf,
}

/// Reads the list.
///
/// # Errors
/// It is not of the known form.
pub(super) fn parse_list(json: &str) -> Result<Vec<Listed>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Entry {
        version: String,
        install_path: PathBuf,
        #[serde(default)]
        installed: bool,
    }
    let all: BTreeMap<String, Vec<Entry>> = serde_json::from_str(json)?;
    Ok(all
        .into_iter()
        .flat_map(|(name, entries)| entries.into_iter().map(move |e| (name.clone(), e)))
        .map(|(name, e)| Listed {
            tool: Tool { name, version: e.version, installed: e.installed },
            path: e.install_path,
        })
        .collect())
}

/// What an `install` that failed told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// Tools that were named with their reasons: (`npm:x@1`, reason).
    pub(super) tools: Vec<(String, String)>,
    /// A config file that could not be read as TOML: path, line and column.
    pub(super) malformed: Option<String>,
    /// Other errors, in order.
    pub(super) other: Vec<String>,
}

impl Failure {
    /// Reads mise's standard error.
    pub(super) fn parse(output: &str) -> Self {
        let mut failure = Self::default();
        for error in errors(output) {
            if let Some(rest) = error.strip_prefix("Failed to install ")
                && let Some((tool, reason)) = rest.split_once(": ")
            {
                failure.tools.push((tool.to_owned(), reason.to_owned()));
            } else if !(error.starts_with("Version: ") || error.starts_with("Run with --verbose")) {
                failure.other.push(error);
            }
        }
        if output.contains("Invalid TOML in config file") {
            failure.malformed = output
                .lines()
                .find_map(|l| {
                    l.split_once("╭─[")?.1.split_once(']').map(|(place, _)| place.to_owned())
                })
                .or_else(|| Some("a mise config file".to_owned()));
        }
        failure
    }

    /// Is a network that is away among the reasons, so that trying again may help? A
    /// certificate that isn't trusted won't be at the next attempt.
    pub(super) fn may_pass(&self) -> bool {
        self.malformed.is_none() && self.has(Reason::Network) && !self.has(Reason::Certificate)
    }

    /// Is there an error for this reason?
    pub(super) fn has(&self, reason: Reason) -> bool {
        let named = self.tools.iter().map(|(_, text)| text);
        named.chain(&self.other).any(|text| Reason::of(text) == reason)
    }
}

/// mise's errors, each in one line: a cause stands on lines of its own behind its error.
/// The same error also appears as a progress line, which is passed over.
fn errors(output: &str) -> Vec<String> {
    let mut errors: Vec<String> = Vec::new();
    let mut open = false;
    for line in output.lines() {
        if let Some((_, error)) = line.split_once("mise ERROR ") {
            errors.push(error.trim().to_owned());
            open = true;
        } else if let Some(cause) = line.trim().strip_prefix("caused by:")
            && open
            && let Some(error) = errors.last_mut()
        {
            error.push_str(": ");
            error.push_str(cause.trim());
        } else {
            open = false;
        }
    }
    errors
}

/// What kind of reason a text of mise's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The disk or a quota is full.
    NoSpace,
    /// A certificate isn't trusted: the network is there, and trying again won't help.
    Certificate,
    /// A resolver, a socket or an HTTP client tells a passing failure.
    Network,
    /// The backend is not allowed.
    Denied,
    /// The lockfile has no entry for it.
    NotLocked,
    /// The lockfile should be changed and can't be.
    StaleLock,
    /// Anything else.
    Other,
}

impl Reason {
    /// Tells by the words that mise and the libraries below it use.
    pub(super) fn of(text: &str) -> Self {
        const WORDS: &[(Reason, &[&str])] = &[
            (Reason::NoSpace, &["no space left on device", "disk quota exceeded", "os error 28"]),
            (Reason::Certificate, &["certificate"]),
            (
                Reason::Denied,
                &["disabled by disable_backends", "are supported in the current configuration"],
            ),
            (Reason::NotLocked, &["not in the lockfile"]),
            (Reason::StaleLock, &["failed to update lockfiles"]),
            (
                Reason::Network,
                &[
                    "error sending request",
                    "dns error",
                    "failed to lookup",
                    "name resolution",
                    "enotfound",
                    "eai_again",
                    "connection refused",
                    "econnrefused",
                    "connection reset",
                    "econnreset",
                    "connection closed",
                    "etimedout",
                    "timed out",
                    "network is unreachable",
                    "enetunreach",
                    "host unreachable",
                    "429 too many",
                    "500 internal",
                    "502 bad",
                    "503 service",
                    "504 gateway",
                ],
            ),
        ];
        let text = text.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
        WORDS.iter().find(|(_, words)| has(words)).map_or(Self::Other, |(reason, _)| *reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let json = r#"{"npm:cowsay":[{"version":"1.6.0","requested_version":"1.6.0",
            "install_path":"/usr/local/share/mise/installs/npm-cowsay/1.6.0",
            "source":{"type":"mise.toml","path":"/etc/mise/config.toml"},"installed":true,"active":true}]}"#;
        let list = parse_list(json).unwrap();
        assert_eq!(
            list[0].tool,
            Tool { name: "npm:cowsay".into(), version: "1.6.0".into(), installed: true }
        );
        assert!(parse_list("{}").unwrap().is_empty());
        assert!(parse_list("mise says no").is_err());
    }

    #[test]
    fn errors_are_attributed() {
        let output = "mise ✗ npm:cowsay@99.9.9  0.1s · failed: no version\n\
            mise ERROR Failed to install npm:cowsay@99.9.9: aube install failed: no version of cowsay matches 99.9.9\n\
            mise ERROR Version: 2026.9.15 linux-x64 (2026-09-27)\n\
            mise ERROR Run with --verbose or MISE_VERBOSE=1 for more information\n";
        let f = Failure::parse(output);
        assert_eq!(
            f.tools,
            [(
                "npm:cowsay@99.9.9".to_owned(),
                "aube install failed: no version of cowsay matches 99.9.9".to_owned()
            )]
        );
        assert!(f.other.is_empty() && !f.may_pass());
        let f = Failure::parse(
            "mise ERROR node is in the mise tool registry but none of its backends (core:node) are supported\n",
        );
        assert_eq!(f.other.len(), 1);
    }

    #[test]
    fn a_cause_on_the_next_line_belongs_to_its_error() {
        let output = "mise ERROR Failed to install npm:typescript@5.4.5: aube install failed: failed to write /home/x/package.json\n  \
            caused by: No space left on device (os error 28)\n\
            mise ERROR Version: 2026.9.15\n";
        let f = Failure::parse(output);
        assert_eq!(f.tools.len(), 1);
        assert_eq!(Reason::of(&f.tools[0].1), Reason::NoSpace);
        assert!(f.other.is_empty());
    }

    #[test]
    fn a_malformed_config_is_told_with_its_place() {
        let output = "mise::config::parse_error\n\n  × Invalid TOML in config file\n   ╭─[~/.config/mise/config.toml:1:7]\n 1 │ [tools\n";
        assert_eq!(Failure::parse(output).malformed.unwrap(), "~/.config/mise/config.toml:1:7");
    }

    #[test]
    fn only_passing_failures_are_retried() {
        let network = "mise ERROR Failed to install npm:x@1: aube install failed: failed to fetch x: HTTP error: error sending request for url (https://registry.example/x)";
        let disk = "mise ERROR Failed to install npm:x@1: No space left on device (os error 28)";
        let denied =
            "mise ERROR Failed to install cargo:x@1: backend cargo is disabled by disable_backends";
        let tls = "mise ERROR Failed to install npm:x@1: error sending request: invalid peer certificate: UnknownIssuer";
        assert!(Failure::parse(network).may_pass());
        for (text, reason) in
            [(disk, Reason::NoSpace), (denied, Reason::Denied), (tls, Reason::Certificate)]
        {
            assert!(!Failure::parse(text).may_pass());
            assert_eq!(Reason::of(text), reason);
        }
    }
}
