//! What a lockfile is worth: does it answer for every tool that the config beside it declares?
//!
//! mise itself says so only at an install under `MISE_LOCKED=1`, one tool at a time, and says
//! less than one might think: a lockfile that can't be parsed is a warning (and is written
//! anew), an entry's `backend` replaces the one in the tool's name, a package without an
//! integrity is installed unchecked. So the files are read and compared here, without mise
//! and without a network: what is declared, what is locked, and for what the lock really
//! answers: a version, a dependency tree, or the bytes of an artifact.

pub mod backend;
pub mod check;
pub mod copy;
mod exposed;
pub mod file;
pub mod judge;
pub mod pairs;
pub mod platform;
pub mod request;
pub mod sidecar;

pub use check::{Checked, Outcome, check};
pub use judge::{Code, Finding};

use super::places::Places;
use pairs::Kind;
use platform::Platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The variable that enforces lockfiles.
pub const ENFORCED: &str = "MISE_LOCKED";

/// What was seen of the lockfiles that a boot's mise reads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The image's, without those that have no tool to answer for.
    #[serde(default)]
    pub image: Vec<Scope>,
    /// The user's, likewise.
    #[serde(default)]
    pub user: Vec<Scope>,
    /// What of the user's leads into the image's configuration, where this user can write it.
    #[serde(default)]
    pub exposed: Option<PathBuf>,
}

impl Seen {
    /// Is this lockfile one that mise refuses to do without?
    pub fn enforced(&self, lock: &Path) -> Option<&Scope> {
        let mut all = self.user.iter().chain(&self.image);
        all.find(|scope| scope.checked.lock == lock && scope.enforced)
    }
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scope {
    /// What the check found.
    pub checked: Checked,
    /// mise refuses what is not in this lockfile.
    pub enforced: bool,
    /// The config whose `locked` says so; `None` where [`ENFORCED`] does.
    #[serde(default)]
    pub by: Option<PathBuf>,
}

/// Looks at the lockfiles of the image and of the user, for this machine's platform.
/// `variables` are what mise's environment holds of its own settings.
pub fn look(places: &Places, variables: &BTreeMap<String, String>) -> Seen {
    let asked = Some(vec![Platform::here()]);
    let manager = variables.get(check::NPM_MANAGER).map(String::as_str);
    let environments = variables.get("MISE_ENV").map(String::as_str).unwrap_or_default();
    let environments: Vec<&str> = environments.split(',').map(str::trim).collect();
    let of = |directory: &Path, kind: Kind| -> Vec<Checked> {
        let read = pairs::directory(directory, kind);
        let read = read.iter().filter(|pair| pair.is_read(&environments));
        read.map(|pair| check(pair, asked.as_deref(), manager)).collect()
    };
    let image = of(&places.system_config, Kind::System);
    let user = of(&places.config, Kind::Global);
    // The user's settings outrank the image's; the environment outranks both.
    let settings = || user.iter().chain(&image).map(|checked| &checked.settings);
    let (locked, by) = match variables.get(ENFORCED) {
        Some(value) => (switched_on(value), None),
        None => match settings().find(|s| s.locked.is_some()) {
            Some(said) => (said.locked == Some(true), said.locked_in.clone()),
            None => (false, None),
        },
    };
    let scopes = variables
        .get("MISE_LOCKED_SCOPES")
        .map(|v| v.split(',').map(|s| s.trim().to_owned()).collect())
        .or_else(|| settings().find_map(|s| s.locked_scopes.clone()));
    let enforced = |scope: &str| {
        locked && scopes.as_ref().is_none_or(|all: &Vec<String>| all.iter().any(|s| s == scope))
    };
    let scopes = |all: Vec<Checked>, name: &str| -> Vec<Scope> {
        let some = |c: &Checked| !c.tools.is_empty() || !c.findings.is_empty();
        let all = all.into_iter().filter(some).map(|mut checked| {
            // A boot asks what is wrong; a long list of what is well would not fit the answer.
            checked.tools.clear();
            Scope { checked, enforced: enforced(name), by: by.clone() }
        });
        all.collect()
    };
    Seen {
        image: scopes(image, "system"),
        user: scopes(user, "global"),
        exposed: exposed::look(places),
    }
}

/// What mise takes for true in a variable (tried with 2026.9.15: `on` and `2` are errors).
pub fn switched_on(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "1" | "true" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn places(dir: &Path) -> Places {
        let at = |name: &str| Some(dir.join(name));
        Places::of(dir, |name| match name {
            "MISE_SYSTEM_CONFIG_DIR" => at("etc"),
            "MISE_CONFIG_DIR" => at("user"),
            _ => None,
        })
    }

    fn seen(user: &str, variables: &[(&str, &str)]) -> Seen {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("etc", "[tools]\n\"npm:a\" = \"1\"\n"), ("user", user)] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("config.toml"), text).unwrap();
        }
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        look(&places(dir.path()), &variables)
    }

    #[test]
    fn a_lock_is_enforced_by_the_environment_or_by_a_config_and_within_scopes() {
        let tool = "[tools]\n\"npm:b\" = \"1\"\n";
        let on = |s: &Seen| (s.image[0].enforced, s.user[0].enforced);
        assert_eq!(on(&seen(tool, &[])), (false, false));
        assert_eq!(on(&seen(tool, &[("MISE_LOCKED", "yes")])), (true, true));
        assert_eq!(on(&seen(tool, &[("MISE_LOCKED", "0")])), (false, false));
        let config = format!("[settings]\nlocked = true\nlocked_scopes = [\"global\"]\n{tool}");
        assert_eq!(on(&seen(&config, &[])), (false, true));
        let by = seen(&config, &[]).user[0].by.clone().unwrap();
        assert!(by.ends_with("user/config.toml"), "{by:?}");
        assert_eq!(seen(&config, &[("MISE_LOCKED", "1")]).user[0].by, None);
        assert_eq!(on(&seen(&config, &[("MISE_LOCKED", "false")])), (false, false));
        let set = [("MISE_LOCKED", "1"), ("MISE_LOCKED_SCOPES", "system")];
        assert_eq!(on(&seen(tool, &set)), (true, false));
    }

    #[test]
    fn a_config_without_tools_needs_no_lock() {
        let seen = seen("[env]\nA = \"1\"\n", &[("MISE_LOCKED", "1")]);
        assert!(seen.user.is_empty());
        assert_eq!(seen.image[0].checked.findings.len(), 1);
    }

    #[test]
    fn every_config_that_mise_reads_is_checked() {
        for (config, lock) in [
            ("config.local.toml", "mise.local.lock"),
            ("mise.local.toml", "mise.local.lock"),
            ("mise.toml", "mise.lock"),
            ("conf.d/a.toml", "mise.lock"),
            ("config.test.toml", "mise.test.lock"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let user = dir.path().join("user");
            std::fs::create_dir_all(user.join("conf.d")).unwrap();
            std::fs::write(user.join(config), "[tools]\n\"npm:semver\" = \"1\"\n").unwrap();
            let entry = "[[tools.\"npm:semver\"]]\nversion = \"1.0.0\"\nbackend = \"npm:cowsay\"\n";
            std::fs::write(user.join(lock), entry).unwrap();
            let places = places(dir.path());
            let variables = |env: &str| BTreeMap::from([("MISE_ENV".to_owned(), env.to_owned())]);
            let found = look(&places, &variables("test")).user;
            assert_eq!(found.len(), 1, "{config}");
            assert_eq!(found[0].checked.findings[0].code, Code::Backend, "{config}");
            let without = look(&places, &variables("")).user.len();
            assert_eq!(without, usize::from(!config.contains("test")), "{config}");
        }
    }
}
