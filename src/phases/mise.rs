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
        for line in output.lines() {
            // The same error appears as a progress line and as an ERROR line.
            let Some(error) = line.split_once("mise ERROR ").map(|(_, e)| e.trim()) else {
                continue;
            };
            if let Some(rest) = error.strip_prefix("Failed to install ")
                && let Some((tool, reason)) = rest.split_once(": ")
            {
                failure.tools.push((tool.to_owned(), reason.to_owned()));
            } else if !(error.starts_with("Version: ") || error.starts_with("Run with --verbose")) {
                failure.other.push(error.to_owned());
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

    /// Do all errors look like a network that is away, so that trying again may help?
    pub fn looks_like_network(&self) -> bool {
        let reasons = || self.tools.iter().map(|(_, r)| r.as_str());
        self.malformed.is_none()
            && reasons().chain(self.other.iter().map(String::as_str)).any(is_network)
    }
}

/// Did the disk fill up?
pub fn is_no_space(reason: &str) -> bool {
    ["No space left on device", "Disk quota exceeded", "os error 28"]
        .iter()
        .any(|words| reason.contains(words))
}

/// Does the reason have words by which resolvers, sockets and HTTP clients tell a
/// passing failure?
pub fn is_network(reason: &str) -> bool {
    const WORDS: &[&str] = &[
        "error sending request",
        "dns error",
        "failed to lookup",
        "name resolution",
        "enotfound",
        "eai_again",
        "econnrefused",
        "connection refused",
        "econnreset",
        "connection reset",
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
        "connection closed",
    ];
    let reason = reason.to_lowercase();
    WORDS.iter().any(|w| reason.contains(w))
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
        assert!(f.other.is_empty() && !f.looks_like_network());
        let f = Failure::parse(
            "mise ERROR node is in the mise tool registry but none of its backends (core:node) are supported\n",
        );
        assert_eq!(f.other.len(), 1);
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
        assert!(Failure::parse(network).looks_like_network());
        assert!(!Failure::parse(disk).looks_like_network() && is_no_space(disk));
        assert!(!Failure::parse(denied).looks_like_network());
    }
}
