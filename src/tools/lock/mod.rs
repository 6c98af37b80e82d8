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
pub mod file;
pub mod judge;
pub mod pairs;
pub mod platform;
pub mod request;
pub mod sidecar;

pub use check::{Checked, Outcome, check};
pub use judge::{Code, Finding};

use super::places::Places;
use pairs::{Kind, Pair};
use platform::Platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The variable that enforces lockfiles.
pub const ENFORCED: &str = "MISE_LOCKED";

/// What was seen of the lockfiles that a boot's mise reads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The image's; `None` where it declares no tool.
    pub image: Option<Scope>,
    /// The user's; `None` where it declares no tool.
    pub user: Option<Scope>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scope {
    /// What the check found.
    pub checked: Checked,
    /// mise refuses what is not in this lockfile.
    pub enforced: bool,
}

/// Looks at the lockfiles of the image and of the user, for this machine's platform.
/// `variables` are what mise's environment holds of its own settings.
pub fn look(places: &Places, variables: &BTreeMap<String, String>) -> Seen {
    let asked = Some(vec![Platform::here()]);
    let manager = variables.get(check::NPM_MANAGER).map(String::as_str);
    let of = |pair: Option<Pair>| {
        let mut checked = check(&pair?, asked.as_deref(), manager);
        let empty = checked.tools.is_empty() && checked.findings.is_empty();
        // A boot asks what is wrong; a long list of what is well would not fit the answer.
        checked.tools.clear();
        (!empty).then_some(checked)
    };
    let image = of(pairs::directory(&places.system_config, Kind::System));
    let user = of(pairs::directory(&places.config, Kind::Global));
    // The user's settings outrank the image's; the environment outranks both.
    let said = |read: fn(&Checked) -> Option<&Vec<String>>| {
        let all = [&user, &image].into_iter().flatten();
        all.filter_map(read).next().cloned()
    };
    let locked = variables.get(ENFORCED).map(|v| switched_on(v)).or_else(|| {
        [&user, &image].into_iter().flatten().find_map(|checked| checked.settings.locked)
    });
    let scopes = variables
        .get("MISE_LOCKED_SCOPES")
        .map(|v| v.split(',').map(|s| s.trim().to_owned()).collect())
        .or_else(|| said(|checked| checked.settings.locked_scopes.as_ref()));
    let enforced = |scope: &str| {
        locked == Some(true) && scopes.as_ref().is_none_or(|all| all.iter().any(|s| s == scope))
    };
    let scope = |checked: Option<Checked>, name: &str| {
        checked.map(|checked| Scope { checked, enforced: enforced(name) })
    };
    Seen { image: scope(image, "system"), user: scope(user, "global") }
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
        let on = |s: &Seen| (s.image.as_ref().unwrap().enforced, s.user.as_ref().unwrap().enforced);
        assert_eq!(on(&seen(tool, &[])), (false, false));
        assert_eq!(on(&seen(tool, &[("MISE_LOCKED", "yes")])), (true, true));
        assert_eq!(on(&seen(tool, &[("MISE_LOCKED", "0")])), (false, false));
        let config = format!("[settings]\nlocked = true\nlocked_scopes = [\"global\"]\n{tool}");
        assert_eq!(on(&seen(&config, &[])), (false, true));
        assert_eq!(on(&seen(&config, &[("MISE_LOCKED", "false")])), (false, false));
        let set = [("MISE_LOCKED", "1"), ("MISE_LOCKED_SCOPES", "system")];
        assert_eq!(on(&seen(tool, &set)), (true, false));
    }

    #[test]
    fn a_config_without_tools_needs_no_lock() {
        let seen = seen("[env]\nA = \"1\"\n", &[("MISE_LOCKED", "1")]);
        assert!(seen.user.is_none());
        assert_eq!(seen.image.unwrap().checked.findings.len(), 1);
    }
}
