//! The names of backends, and the denylist that follows from the allowed ones. Pure.

use std::collections::BTreeSet;

/// Every backend that a release of mise has had, under every name it went by (`mise backends`
/// of releases from 2026.2 to 2026.9; `pipx` became `pypi`, `pkgx` came in 2026.6). Naming one
/// that a mise doesn't have does no harm.
pub const KNOWN: &[&str] = &[
    "aqua", "asdf", "cargo", "conda", "core", "dotnet", "forgejo", "gem", "github", "gitlab", "go",
    "http", "npm", "packslip", "pipx", "pkgx", "pypi", "s3", "spm", "ubi", "vfox",
];

/// What is to be denied, sorted: the known backends and `more`, less the allowed ones.
pub fn denied<'a>(allowed: &[String], more: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let all: BTreeSet<&str> = KNOWN.iter().copied().chain(more).collect();
    all.into_iter().filter(|n| !allowed.iter().any(|a| a == n)).map(str::to_owned).collect()
}

/// May a plugin resolve anything? Plugins are run by these two backends, or are backends
/// under their own names.
pub fn plugins_allowed(allowed: &[String]) -> bool {
    allowed.iter().any(|a| matches!(a.as_str(), "asdf" | "vfox") || !KNOWN.contains(&a.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn what_is_not_allowed_is_denied() {
        let denied = denied(&names(&["npm", "github"]), ["newcomer", "cargo"]);
        assert!(denied.contains(&"newcomer".to_owned()) && denied.contains(&"core".to_owned()));
        assert!(!denied.iter().any(|d| d == "npm" || d == "github"));
        assert!(denied.is_sorted() && denied.iter().filter(|d| *d == "cargo").count() == 1);
    }

    #[test]
    fn a_plugin_is_allowed_by_its_own_name() {
        assert!(!plugins_allowed(&names(&["npm", "github"])));
        assert!(plugins_allowed(&names(&["npm", "vfox"])));
        assert!(plugins_allowed(&names(&["my-plugin"])));
    }
}
