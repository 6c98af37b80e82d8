//! Where mise's files and the agent's own about tools lie, for one user.
//!
//! The rules are mise's: `MISE_*_DIR` first, then the XDG base directories, then their
//! defaults.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the image build puts links to the baseline's programs.
pub const IMAGE_LINKS: &str = "/usr/local/share/agent/baseline/bin";

/// What `MISE_PLUGINS_DIR` is set to where no plugin may resolve: nobody has made it, and
/// the sandbox user can't.
pub const NO_PLUGINS: &str = "/usr/local/share/agent/no-plugins";

/// The file that declares tools, in a directory of mise configuration.
pub const CONFIG: &str = "config.toml";

/// The lockfile, beside it.
pub const LOCK: &str = "mise.lock";

/// The places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The sandbox user's home.
    pub home: PathBuf,
    /// The user's mise configuration.
    pub config: PathBuf,
    /// What the user has installed.
    pub data: PathBuf,
    /// mise's cache.
    pub cache: PathBuf,
    /// What mise remembers of this machine, such as which configs are trusted.
    pub state: PathBuf,
    /// The image's mise configuration.
    pub system_config: PathBuf,
    /// What the image has installed (`mise install --system`).
    pub system_data: PathBuf,
    /// Links to programs of the baseline, made when the image was built.
    pub image_links: PathBuf,
    /// The agent's own files for this user: baseline links of what the image lacks.
    pub agent_data: PathBuf,
    /// The agent's own state for this user: the proof that nothing is missing.
    pub agent_state: PathBuf,
}

impl Places {
    /// The places for a user at `home`; `variable` gives what the environment says, if it is
    /// an absolute path.
    pub fn of(home: &Path, variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let xdg = |name: &str, default: &str| variable(name).unwrap_or_else(|| home.join(default));
        let config_home = xdg("XDG_CONFIG_HOME", ".config");
        let data_home = xdg("XDG_DATA_HOME", ".local/share");
        let cache_home = xdg("XDG_CACHE_HOME", ".cache");
        let state_home = xdg("XDG_STATE_HOME", ".local/state");
        let named = |name: &str, default: PathBuf| variable(name).unwrap_or(default);
        Self {
            home: home.into(),
            config: named("MISE_CONFIG_DIR", config_home.join("mise")),
            data: named("MISE_DATA_DIR", data_home.join("mise")),
            cache: named("MISE_CACHE_DIR", cache_home.join("mise")),
            state: named("MISE_STATE_DIR", state_home.join("mise")),
            system_config: named("MISE_SYSTEM_CONFIG_DIR", "/etc/mise".into()),
            system_data: named("MISE_SYSTEM_DATA_DIR", "/usr/local/share/mise".into()),
            image_links: IMAGE_LINKS.into(),
            agent_data: home.join(".local/share/agent"),
            agent_state: home.join(".local/state/agent"),
        }
    }

    /// The user's own declaration of tools.
    pub fn user_manifest(&self) -> PathBuf {
        self.config.join(CONFIG)
    }

    /// The image's.
    pub fn system_manifest(&self) -> PathBuf {
        self.system_config.join(CONFIG)
    }

    /// The user's shims.
    pub fn shims(&self) -> PathBuf {
        self.data.join("shims")
    }

    /// Links to programs of the baseline that this boot made on the volume.
    pub fn volume_links(&self) -> PathBuf {
        self.agent_data.join("baseline/bin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_outrank_xdg_and_the_defaults() {
        let none = Places::of(Path::new("/h"), |_| None);
        assert_eq!(none.user_manifest(), Path::new("/h/.config/mise/config.toml"));
        assert_eq!(none.shims(), Path::new("/h/.local/share/mise/shims"));
        let some = Places::of(Path::new("/h"), |name| match name {
            "XDG_CONFIG_HOME" => Some("/x".into()),
            "MISE_DATA_DIR" => Some("/d".into()),
            _ => None,
        });
        assert_eq!(some.config, Path::new("/x/mise"));
        assert_eq!(some.data, Path::new("/d"));
        assert_eq!(some.system_config, Path::new("/etc/mise"));
    }
}
