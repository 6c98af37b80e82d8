//! Which of mise's backends may resolve a tool.
//!
//! What is allowed is declared once (`tools.backends`). mise has only a denylist, and a
//! denylist drifts: releases bring backends, and a plugin is a backend under its own name.
//! So the denylist is computed: from every backend that a release of mise is known to have
//! had, from what the installed mise lists, and from the plugins that are there or that a
//! config names. It goes into the environment, which mise ranks above every config file.

pub mod backends;

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
