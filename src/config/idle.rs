//! `[idle]`: when an unused machine stops itself, and how.

use super::error::ConfigError;
use super::layer::IdleLayer;
use super::value::Span;
use serde::{Deserialize, Serialize};

/// When an unused machine stops itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Idle {
    /// Does it ever?
    pub enabled: bool,
    /// Unused so long; the launch's where `None`.
    pub timeout: Option<Span>,
    /// Counts as used so long after each start and each boot of the agent.
    pub grace: Span,
    /// The longest single extension by hand.
    pub extension_max: Span,
    /// How it is stopped.
    pub stop: StopBy,
    /// Names of further processes that count as use.
    pub processes: Vec<String>,
}

/// How an unused machine is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopBy {
    /// By `StopInstances`; where the API refuses that, by switching off, if the API says that this
    /// stops the instance and doesn't terminate it.
    Auto,
    /// By `StopInstances` alone.
    StopInstance,
    /// By switching off. What EC2 makes of it is the instance's shutdown behaviour.
    PowerOff,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            enabled: false,
            timeout: None,
            grace: Span::seconds(15 * 60),
            extension_max: Span::seconds(24 * 60 * 60),
            stop: StopBy::Auto,
            // A session through the Systems Manager has no sshd.
            processes: vec!["ssm-session-worker".into()],
        }
    }
}

/// Fills the table up with the defaults; an EC2 instance stops itself unless told otherwise.
///
/// # Errors
/// A process that no process can be called.
pub(super) fn resolve(layer: IdleLayer, ec2: bool, origin: &str) -> Result<Idle, ConfigError> {
    let standard = Idle::default();
    let idle = Idle {
        enabled: layer.enabled.unwrap_or(ec2),
        timeout: layer.timeout,
        grace: layer.grace.unwrap_or(standard.grace),
        extension_max: layer.extension_max.unwrap_or(standard.extension_max),
        stop: layer.stop.unwrap_or(standard.stop),
        processes: layer.processes.unwrap_or(standard.processes),
    };
    match idle.processes.iter().find(|name| name.is_empty() || name.contains('/')) {
        None => Ok(idle),
        Some(bad) => Err(ConfigError::of(
            origin,
            format!("idle.processes: {bad:?} is no process's name"),
            "write the program's name without a path, such as \"rsync\"",
        )),
    }
}
