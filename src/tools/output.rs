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
pub struct Listed {
    /// Name and version.
    pub tool: Tool,
    /// Where it is, or would be.
    pub path: PathBuf,
}

/// Reads the list.
///
/// # Errors
/// It is not of the known form.
pub fn parse_list(json: &str) -> Result<Vec<Listed>, serde_json::Error> {
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

/// The directories of programs in what `mise bin-paths` prints: they are absolute, and warnings
/// may stand between them.
pub fn bin_paths(output: &str) -> Vec<PathBuf> {
    output.lines().filter(|l| l.starts_with('/')).map(PathBuf::from).collect()
}

/// What an `install` that failed told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Tools that were named with their reasons: (`npm:x@1`, reason).
    pub tools: Vec<(String, String)>,
    /// A config file that could not be read as TOML: path, line and column.
    pub malformed: Option<String>,
    /// Other errors, in order.
    pub other: Vec<String>,
}

impl Failure {
    /// Reads mise's standard error.
    pub fn parse(output: &str) -> Self {
        let mut failure = Self::default();
        for block in blocks(output) {
            let Some((head, details)) = block.split_first() else { continue };
            let whole = |text: &str| with_causes(text, details);
            if let Some(names) = head.strip_prefix("Failed to install tools: ") {
                failure.tools.extend(several(names, details));
            } else if let Some((tool, reason)) =
                head.strip_prefix("Failed to install ").and_then(|rest| rest.split_once(": "))
            {
                failure.tools.push((tool.to_owned(), whole(reason)));
            } else if !(head.starts_with("Version: ") || head.starts_with("Run with --verbose")) {
                failure.other.push(whole(head));
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
    pub fn may_pass(&self) -> bool {
        self.malformed.is_none() && self.has(Reason::Network) && !self.has(Reason::Certificate)
    }

    /// Is there an error for this reason?
    pub fn has(&self, reason: Reason) -> bool {
        let named = self.tools.iter().map(|(_, text)| text);
        named.chain(&self.other).any(|text| Reason::of(text) == reason)
    }
}

/// mise's errors, each with the lines behind it that are its own. The same error also
/// appears as a progress line, which is passed over.
fn blocks(output: &str) -> Vec<Vec<&str>> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut open = false;
    for line in output.lines() {
        if let Some((_, error)) = line.split_once("mise ERROR ") {
            blocks.push(vec![error.trim()]);
            open = true;
        } else if line.starts_with("mise ") {
            open = false;
        } else if open && let Some(block) = blocks.last_mut() {
            block.extend(Some(line.trim()).filter(|l| !l.is_empty()));
        }
    }
    blocks
}

/// A cause stands on a line of its own behind its error.
fn with_causes(text: &str, details: &[&str]) -> String {
    let causes = details.iter().filter_map(|d| d.strip_prefix("caused by:"));
    causes.fold(text.to_owned(), |all, cause| format!("{all}: {}", cause.trim()))
}

/// Where several tools fail, one line names them all, and each has its reason below.
fn several(names: &str, details: &[&str]) -> Vec<(String, String)> {
    let names = names.split(", ").map(str::trim).filter(|n| !n.is_empty());
    names
        .map(|name| {
            let own = |d: &&&str| d.strip_prefix(name).is_some_and(|rest| rest.starts_with(": "));
            let at = details.iter().position(|d| own(&d));
            let reason = at.and_then(|at| {
                let (first, rest) = details.get(at..)?.split_first()?;
                let mine = rest.iter().take_while(|d| d.starts_with("caused by:")).count();
                let reason = first.strip_prefix(name)?.trim_start_matches(": ");
                Some(with_causes(reason, rest.get(..mine).unwrap_or_default()))
            });
            (name.to_owned(), reason.unwrap_or_else(|| "mise gives no reason".to_owned()))
        })
        .collect()
}

/// What kind of reason a text of mise's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
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
    pub fn of(text: &str) -> Self {
        const WORDS: &[(Reason, &[&str])] = &[
            (Reason::NoSpace, &["no space left on device", "disk quota exceeded", "os error 28"]),
            (Reason::Certificate, &["certificate"]),
            (
                Reason::Denied,
                &["disabled by disable_backends", "are supported in the current configuration"],
            ),
            (
                Reason::NotLocked,
                &["not in the lockfile", "dependency sidecar", "no embedded-aube dependency graph"],
            ),
            (Reason::StaleLock, &["failed to update lockfiles"]),
            (
                Reason::Network,
                &[
                    "error sending request",
                    // The connection ended in the middle of an answer.
                    "error decoding response body",
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
    fn several_tools_are_named_each_with_its_reason() {
        let output = "mise \u{2717} npm:bar@9.9.9  56ms \u{b7} failed: aube install failed\n\
            mise ERROR Failed to install tools: npm:@scope/y@1, npm:bar@9.9.9, npm:odd@latest\n\n\
            npm:@scope/y@1: timed out after 20.00s\n\n\
            npm:bar@9.9.9: aube install failed: failed to write /x\n  caused by: No space left on device\n\
            mise ERROR Version: 2026.9.15\n";
        let f = Failure::parse(output);
        let reasons: Vec<_> = f.tools.iter().map(|(n, r)| (n.as_str(), Reason::of(r))).collect();
        assert_eq!(
            reasons,
            [
                ("npm:@scope/y@1", Reason::Network),
                ("npm:bar@9.9.9", Reason::NoSpace),
                ("npm:odd@latest", Reason::Other)
            ]
        );
        assert!(f.other.is_empty() && f.may_pass());
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
        let quota = "mise ERROR Failed to install npm:x@1: failed to write /x: Disk quota exceeded (os error 122)";
        let denied =
            "mise ERROR Failed to install cargo:x@1: backend cargo is disabled by disable_backends";
        let tls = "mise ERROR Failed to install npm:x@1: error sending request: invalid peer certificate: UnknownIssuer";
        assert!(Failure::parse(network).may_pass());
        let torn = "mise ERROR Failed to install npm:x@1: aube install failed: failed to fetch x: HTTP error: error decoding response body for url (https://registry.example/x)";
        assert!(Failure::parse(torn).may_pass());
        for (text, reason) in [
            (disk, Reason::NoSpace),
            (quota, Reason::NoSpace),
            (denied, Reason::Denied),
            (tls, Reason::Certificate),
        ] {
            assert!(!Failure::parse(text).may_pass());
            assert_eq!(Reason::of(text), reason);
        }
    }
}
