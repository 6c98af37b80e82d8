//! What configs and environments say of the policy, beside what holds. Pure.
//!
//! The environment decides in mise, so a config that says otherwise changes nothing where the
//! environment is whole. It does where a process has lost its environment; and it shows what
//! somebody wanted.

use super::{DENIED, PLUGINS, backends};
use crate::tools::manifest::Manifest;
use crate::tools::places::NO_PLUGINS;
use serde::Serialize;
use std::collections::BTreeMap;

/// What holds.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The backends that may resolve.
    pub allowed: &'a [String],
    /// Those that must be denied: this mise's own list, less the allowed ones.
    pub denied: &'a [String],
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The image's config.
    Image,
    /// The user's config.
    User,
    /// The environment of the process that asks.
    Environment,
}

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Who says it.
    pub source: Source,
    /// Where: a file's path, or a variable's name.
    pub place: String,
    /// Does it say what holds?
    pub agrees: bool,
    /// What it says.
    pub says: String,
}

/// What a config file says.
pub fn of_config(source: Source, manifest: &Manifest, policy: Policy<'_>) -> Vec<Claim> {
    let place = manifest.path.display().to_string();
    let mut all = Vec::new();
    let mut say =
        |agrees, says: String| all.push(Claim { source, place: place.clone(), agrees, says });
    match (&manifest.disable_backends, source) {
        (Some(names), _) => {
            let (agrees, says) = of_list("settings.disable_backends", names, policy);
            say(agrees, says);
        }
        (None, Source::Image) => say(
            false,
            "nothing of settings.disable_backends: a process that has lost its environment may use every backend".into(),
        ),
        // A user's config need not repeat it.
        (None, _) => say(true, "nothing of settings.disable_backends".into()),
    }
    let refused = |full: &str| {
        let backend = full.split_once(':').map(|(backend, _)| backend);
        backend.is_some_and(|b| !policy.allowed.iter().any(|a| a == b))
    };
    for tool in manifest.tools.iter().filter(|t| refused(&t.name)) {
        say(false, format!("[tools] declares {}, whose backend is denied", tool.name));
    }
    for (name, full) in manifest.aliases.iter().filter(|(_, full)| refused(full)) {
        say(false, format!("an alias makes {name} mean {full}, whose backend is denied"));
    }
    if !backends::plugins_allowed(policy.allowed) {
        for name in &manifest.plugins {
            say(false, format!("[plugins] declares {name}: no plugin may resolve"));
        }
    }
    for name in manifest.variables.iter().filter(|n| [DENIED, PLUGINS].contains(&n.as_str())) {
        say(
            false,
            format!(
                "[env] sets {name}: mise keeps to its own, what a shim starts is given this one"
            ),
        );
    }
    all
}

/// What the environment of this process says.
pub fn of_environment(variables: &BTreeMap<String, String>, policy: Policy<'_>) -> Vec<Claim> {
    let claim = |name: &str, (agrees, says): (bool, String)| Claim {
        source: Source::Environment,
        place: name.to_owned(),
        agrees,
        says,
    };
    let denied = match variables.get(DENIED) {
        Some(value) => of_list("it", &backends::list(value), policy),
        None => (false, "is not set: configs decide".to_owned()),
    };
    let plugins = match variables.get(PLUGINS).map(String::as_str) {
        _ if backends::plugins_allowed(policy.allowed) => (true, "plugins are allowed".to_owned()),
        Some(NO_PLUGINS) => (true, "there are no plugins there".to_owned()),
        Some(other) => (false, format!("plugins are taken from {other}")),
        None => (false, "is not set: a plugin of the user's may resolve".to_owned()),
    };
    vec![claim(DENIED, denied), claim(PLUGINS, plugins)]
}

fn of_list(what: &str, names: &[String], policy: Policy<'_>) -> (bool, String) {
    let lacks = backends::undecided(policy.denied, policy.allowed, names);
    let refuses: Vec<&str> = policy
        .allowed
        .iter()
        .map(String::as_str)
        .filter(|a| names.iter().any(|n| n == a))
        .collect();
    let mut parts = Vec::new();
    if !lacks.is_empty() {
        parts.push(format!("{what} leaves out {}", lacks.join(", ")));
    }
    if !refuses.is_empty() {
        parts.push(format!("{what} denies what is allowed: {}", refuses.join(", ")));
    }
    if parts.is_empty() {
        (true, format!("{what} denies the same"))
    } else {
        (false, parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::manifest;
    use std::path::Path;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    fn disagreements(source: Source, text: &str) -> Vec<String> {
        let (allowed, denied) = (names(&["npm", "github"]), names(&["cargo", "core"]));
        let manifest = manifest::parse(Path::new("/c"), text).unwrap();
        of_config(source, &manifest, Policy { allowed: &allowed, denied: &denied })
            .into_iter()
            .filter(|c| !c.agrees)
            .map(|c| c.says)
            .collect()
    }

    #[test]
    fn a_config_that_denies_the_same_or_more_agrees() {
        let text = "[settings]\ndisable_backends = [\"cargo\", \"core\", \"gone\"]\n";
        assert!(disagreements(Source::Image, text).is_empty());
        assert!(disagreements(Source::User, "[tools]\n\"npm:x\" = \"1\"\n").is_empty());
    }

    #[test]
    fn every_way_to_say_otherwise_is_told() {
        let text = "[settings]\ndisable_backends = [\"cargo\", \"npm\"]\n[tools]\n\"cargo:x\" = \"1\"\n\
            [tool_alias]\ny = \"evil:y\"\n[plugins]\nevil = \"https://x\"\n[env]\nMISE_DISABLE_BACKENDS = \"\"\n";
        let all = disagreements(Source::User, text);
        assert_eq!(all.len(), 5, "{all:#?}");
        assert!(all[0].contains("leaves out core") && all[0].contains("allowed: npm"), "{all:#?}");
        let silent = disagreements(Source::Image, "[tools]\n");
        assert!(silent[0].contains("lost its environment"), "{silent:#?}");
    }

    #[test]
    fn an_environment_must_hold_both_variables() {
        let (allowed, denied) = (names(&["npm"]), names(&["cargo"]));
        let policy = Policy { allowed: &allowed, denied: &denied };
        let says = |pairs: &[(&str, &str)]| {
            let set = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            of_environment(&set, policy).iter().map(|c| c.agrees).collect::<Vec<_>>()
        };
        assert_eq!(says(&[(DENIED, "cargo, pkgx"), (PLUGINS, NO_PLUGINS)]), [true, true]);
        assert_eq!(says(&[(DENIED, ""), (PLUGINS, "/home/x")]), [false, false]);
        assert_eq!(says(&[]), [false, false]);
    }
}
