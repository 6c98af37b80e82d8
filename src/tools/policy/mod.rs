//! Which of mise's backends may resolve a tool.
//!
//! What is allowed is declared once (`tools.backends`). mise has only a denylist, and a
//! denylist drifts: releases bring backends, and a plugin is a backend under its own name.
//! So the denylist is computed: from every backend that a release of mise is known to have
//! had, from what the installed mise lists, and from the plugins that are there or that a
//! config names. It goes into the environment, which mise ranks above every config file.
//!
//! Not believed but tried ([`trial`]): an older mise drops denied backends from its registry
//! and installs by them all the same.

pub mod backends;
pub mod claims;
pub mod compare;

#[cfg(target_os = "linux")]
pub mod installed;
#[cfg(target_os = "linux")]
pub mod report;
#[cfg(target_os = "linux")]
pub mod trial;

use std::collections::BTreeMap;

/// The variable by which mise is told what is denied.
pub const DENIED: &str = "MISE_DISABLE_BACKENDS";

/// The variable that moves mise's plugins: to a place where there are none.
pub const PLUGINS: &str = "MISE_PLUGINS_DIR";

/// The variables that hold the policy for mise and for everything that may start one.
/// `more` are backends beyond the known ones.
pub fn variables<'a>(
    allowed: &[String],
    more: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, String> {
    let denied = backends::denied(allowed, more);
    let mut set = BTreeMap::from([(DENIED.to_owned(), denied.join(","))]);
    if !backends::plugins_allowed(allowed) {
        set.insert(PLUGINS.to_owned(), super::places::NO_PLUGINS.to_owned());
    }
    set
}

/// What an environment denies already beyond the known backends stays denied: an operator may
/// have answered a newer mise there that this program knows nothing of. Empty where it names
/// nothing of the kind.
pub fn inherited(allowed: Option<&[String]>, given: Option<&str>) -> BTreeMap<String, String> {
    let (Some(allowed), Some(given)) = (allowed, given) else { return BTreeMap::new() };
    let more = backends::list(given);
    let usual = variables(allowed, []);
    let mut all = variables(allowed, more.iter().map(String::as_str));
    all.retain(|name, value| usual.get(name) != Some(value));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_environment_denies_beyond_the_known_stays_denied() {
        let allowed = ["npm".to_owned()];
        let all = inherited(Some(&allowed), Some("cargo,newcomer,npm"));
        let denied = &all[DENIED];
        assert!(denied.split(',').any(|n| n == "newcomer"), "{denied}");
        assert!(!denied.split(',').any(|n| n == "npm"), "what is allowed is declared elsewhere");
        assert!(inherited(Some(&allowed), Some("cargo,aqua")).is_empty());
        assert!(inherited(Some(&allowed), None).is_empty());
        assert!(inherited(None, Some("newcomer")).is_empty(), "no policy, no variable");
    }
}
