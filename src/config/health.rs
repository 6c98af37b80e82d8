//! `[health]`: what the machine must have before the user's script runs.

use super::error::ConfigError;
use super::layer::HealthLayer;
use super::value::Span;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is looked for.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Programs that the sandbox user must find on its PATH, or absolute paths of such.
    pub commands: Vec<String>,
    /// Units that systemd must call active.
    pub services: Vec<String>,
    /// Paths that must be there; `~` is the sandbox user's home.
    pub files: Vec<PathBuf>,
    /// Paths that must be mount points; `~` is the sandbox user's home.
    pub mounts: Vec<PathBuf>,
    /// Does something that is missing fail the first boot (else it degrades it)?
    pub required: bool,
    /// Deadline of the check.
    pub deadline: Span,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            commands: Vec::new(),
            services: Vec::new(),
            files: Vec::new(),
            mounts: Vec::new(),
            required: true,
            deadline: Span::seconds(30),
        }
    }
}

impl Health {
    /// Is there nothing to look for?
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
            && self.services.is_empty()
            && self.files.is_empty()
            && self.mounts.is_empty()
    }
}

/// Fills the table up with the defaults and refuses what can never be found.
///
/// # Errors
/// A name or path that cannot be meant.
pub(super) fn resolve(layer: HealthLayer, origin: &str) -> Result<Health, ConfigError> {
    let refuse = |key: &str, what: &dyn std::fmt::Display, why: &str, hint: &str| {
        Err(ConfigError::of(origin, format!("health.{key}: \"{what}\" {why}"), hint))
    };
    let standard = Health::default();
    let health = Health {
        commands: layer.commands.unwrap_or_default(),
        services: layer.services.unwrap_or_default(),
        files: layer.files.unwrap_or_default(),
        mounts: layer.mounts.unwrap_or_default(),
        required: layer.required.unwrap_or(standard.required),
        deadline: layer.deadline.unwrap_or(standard.deadline),
    };
    let no_command = |c: &&String| c.is_empty() || (c.contains('/') && !c.starts_with('/'));
    if let Some(bad) = health.commands.iter().find(no_command) {
        return refuse("commands", bad, "is no program", "write a name, or an absolute path");
    }
    if let Some(bad) = health.services.iter().find(|s| !is_unit(s)) {
        return refuse("services", bad, "is no unit", "write one such as \"docker.service\"");
    }
    for (key, paths) in [("files", &health.files), ("mounts", &health.mounts)] {
        let relative = |p: &&PathBuf| !p.is_absolute() && !p.starts_with(Path::new("~"));
        if let Some(bad) = paths.iter().find(relative) {
            let hint = "write an absolute path, or one that begins with \"~\"";
            return refuse(key, &bad.display(), "is relative", hint);
        }
    }
    Ok(health)
}

/// A unit's name (`systemd.unit(5)`) with its ending, and no option of systemctl.
fn is_unit(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    name.len() <= 255
        && !name.starts_with('-')
        && name.split_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && !ending.is_empty())
        && name.bytes().all(good)
}
