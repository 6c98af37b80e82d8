//! The table of what is synced: one piece of data, which `sync-list` prints, `export` follows
//! and `import` enforces.

use crate::tools::places::{CONFIG, LOCK, Places};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Does it go along?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Synced {
    /// Where it is there.
    Yes,
    /// It belongs to somebody else, or to this machine.
    No,
    /// It would do harm elsewhere.
    Never,
}

/// The directory that a row's path begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The user's mise configuration.
    Config,
    /// Each workspace that is named.
    Workspace,
    /// The image's mise configuration.
    SystemConfig,
    /// What the image has installed.
    SystemData,
    /// What the user has installed.
    Data,
    /// What mise remembers.
    State,
    /// What mise can fetch again.
    Cache,
}

/// What a synced file is; its name in an archive's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// `~/.config/mise/config.toml`.
    UserConfig,
    /// `mise.lock` beside it.
    UserLock,
    /// A file that this lock names.
    UserLockSidecar,
    /// A workspace's `mise.toml`.
    WorkspaceConfig,
    /// `mise.lock` beside it.
    WorkspaceLock,
    /// A file that this lock names.
    WorkspaceLockSidecar,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where it begins.
    pub root: Root,
    /// What follows, where a `*` stands for one or more characters; empty for the directory
    /// itself.
    pub name: &'static str,
    /// What it is in an archive; only rows that go along are something there.
    pub place: Option<Place>,
    /// Does it go along?
    pub synced: Synced,
    /// Why, in words for a person.
    pub reason: &'static str,
}

/// Where mise writes what the user's lock names, below the user's configuration.
pub const USER_SIDECARS: &str = "locks";

/// The same in a workspace.
pub const WORKSPACE_SIDECARS: &str = ".mise/locks";

/// The config file of a workspace.
pub const WORKSPACE_CONFIG: &str = "mise.toml";

/// Where the user's mise configuration lies in every archive, wherever this machine has it.
pub const USER_DIRECTORY: &str = ".config/mise";

/// How the names of files end that an import has written and not yet put in place. No file of
/// an archive may be called so: it would stand in the way of another's.
pub const STAGED: &str = ".agent-import";

/// What follows the name of a backup of what was changed while an import ran.
pub const LATER: &str = ".later";

const fn row(root: Root, name: &'static str, place: Place, reason: &'static str) -> Row {
    Row { root, name, place: Some(place), synced: Synced::Yes, reason }
}

const fn stays(root: Root, name: &'static str, synced: Synced, reason: &'static str) -> Row {
    Row { root, name, place: None, synced, reason }
}

const OTHER: &str = "another name: what goes along is mise.toml";

/// The table.
pub const ROWS: &[Row] = &[
    row(Root::Config, CONFIG, Place::UserConfig, "the tools that the user declares"),
    row(
        Root::Config,
        LOCK,
        Place::UserLock,
        "their exact versions; goes with the config, never alone",
    ),
    row(
        Root::Config,
        USER_SIDECARS,
        Place::UserLockSidecar,
        "exactly the files that the lock names: without them it can't be enforced",
    ),
    row(Root::Workspace, WORKSPACE_CONFIG, Place::WorkspaceConfig, "the tools of a workspace"),
    row(
        Root::Workspace,
        LOCK,
        Place::WorkspaceLock,
        "their exact versions; goes with the config, never alone",
    ),
    row(
        Root::Workspace,
        WORKSPACE_SIDECARS,
        Place::WorkspaceLockSidecar,
        "exactly the files that the lock names: without them it can't be enforced",
    ),
    stays(
        Root::Config,
        "conf.d",
        Synced::No,
        "one machine's additions; what shall go along belongs into config.toml",
    ),
    stays(Root::Config, "config.local.toml", Synced::No, "one machine's own settings"),
    stays(Root::Config, "config.*.toml", Synced::No, "of one environment (MISE_ENV) alone"),
    stays(Root::Config, "mise.toml", Synced::No, "another name: what goes along is config.toml"),
    stays(Root::Config, "mise.*.toml", Synced::No, "another name: what goes along is config.toml"),
    stays(Root::Workspace, "mise.local.toml", Synced::No, "one machine's own settings"),
    stays(Root::Workspace, "mise.*.toml", Synced::No, "of one environment (MISE_ENV) alone"),
    stays(Root::Workspace, ".mise.toml", Synced::No, OTHER),
    stays(Root::Workspace, ".mise.*.toml", Synced::No, OTHER),
    stays(Root::Workspace, ".config/mise.toml", Synced::No, OTHER),
    stays(Root::Workspace, ".config/mise/config.toml", Synced::No, OTHER),
    stays(Root::Workspace, ".mise/config.toml", Synced::No, OTHER),
    stays(Root::Workspace, "mise/config.toml", Synced::No, OTHER),
    stays(Root::Workspace, ".tool-versions", Synced::No, OTHER),
    stays(Root::SystemConfig, "", Synced::No, "owned by the image: an image brings its own"),
    stays(Root::SystemData, "", Synced::No, "owned by the image: an image brings its own"),
    stays(
        Root::Data,
        "",
        Synced::Never,
        "installed tools: the next boot installs them from config and lock",
    ),
    stays(
        Root::State,
        "",
        Synced::Never,
        "what one machine decided, such as which configs it trusts",
    ),
    stays(Root::Cache, "", Synced::Never, "downloads: fetched again where they are needed"),
];

impl Row {
    /// The directory that it begins with on this machine; `None` for a workspace's.
    pub fn root_in<'a>(&self, places: &'a Places) -> Option<&'a Path> {
        Some(match self.root {
            Root::Config => &places.config,
            Root::SystemConfig => &places.system_config,
            Root::SystemData => &places.system_data,
            Root::Data => &places.data,
            Root::State => &places.state,
            Root::Cache => &places.cache,
            Root::Workspace => return None,
        })
    }
}

/// Checks a path that is relative to the home, as an archive names a file or a person a
/// workspace: it can only mean something below the home, and prints as what it is.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_path(path: &str) -> Result<(), String> {
    let why = match () {
        () if path.is_empty() => "it has no name",
        () if path.starts_with('/') => "it is an absolute path",
        () if path.chars().any(char::is_control) => "it has a control character in it",
        () if path.split('/').any(|c| c == "..") => "it leads to a parent directory",
        () if path.split('/').any(|c| c.is_empty() || c == ".") => "it is no plain path",
        () if path.split('/').any(|c| c.ends_with(STAGED)) => {
            "a name that ends in .agent-import is an import's own"
        }
        () => return Ok(()),
    };
    Err(why.to_owned())
}

/// Checks that the home-relative `workspace` is one: it must not be, hold or lie in a
/// directory of mise's or of the agent's own.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_workspace(workspace: &str, places: &Places) -> Result<(), String> {
    check_path(workspace)?;
    let workspace = Path::new(workspace);
    let usual = Places::of(&places.home, |_| None);
    let taken: [&PathBuf; 12] = [
        &usual.config,
        &usual.data,
        &usual.cache,
        &usual.state,
        &usual.agent_data,
        &usual.agent_state,
        &places.config,
        &places.data,
        &places.cache,
        &places.state,
        &places.agent_data,
        &places.agent_state,
    ];
    for directory in taken.iter().filter_map(|d| d.strip_prefix(&places.home).ok()) {
        if workspace.starts_with(directory) || directory.starts_with(workspace) {
            return Err(format!("no workspace: ~/{} is there", directory.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_below_the_home_are_paths() {
        for good in ["a", ".config/mise/config.toml", "p/q r/mise.toml", "...", "a\\b"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/a",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "a\nb",
            "a\u{1b}[2J",
            "p/.mise.toml.agent-import/mise.toml",
        ] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_workspace_keeps_clear_of_mises_directories_and_the_agents() {
        let places = Places::of(Path::new("/h"), |n| (n == "MISE_DATA_DIR").then(|| "/h/d".into()));
        for good in ["p", "projects/site", ".dotfiles", ".config/nvim", "d2"] {
            assert_eq!(check_workspace(good, &places), Ok(()), "{good}");
        }
        for bad in [
            ".config/mise",
            ".config/mise/conf.d",
            ".config",
            ".local",
            ".local/share/mise/installs/x",
            ".local/state/mise",
            ".local/state/agent/x",
            "d/x",
            "../x",
        ] {
            assert!(check_workspace(bad, &places).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_goes_along_is_what_an_archive_can_name() {
        for row in ROWS {
            assert_eq!(row.synced == Synced::Yes, row.place.is_some(), "{row:?}");
        }
    }
}
