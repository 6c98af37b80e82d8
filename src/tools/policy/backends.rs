//! The names of backends, and the denylist that follows from the allowed ones. Pure.

use crate::tools::manifest::Manifest;
use crate::tools::places::NO_PLUGINS;
use std::collections::BTreeSet;

/// Every backend that a release of mise has had, under every name it went by (`mise backends`
/// of releases from 2026.2 to 2026.9; `pipx` became `pypi`, `pkgx` came in 2026.6). Naming one
/// that a mise doesn't have does no harm.
pub const KNOWN: &[&str] = &[
    "aqua", "asdf", "cargo", "conda", "core", "dotnet", "forgejo", "gem", "github", "gitlab", "go",
    "http", "npm", "packslip", "pipx", "pkgx", "pypi", "s3", "spm", "ubi", "vfox",
];

/// No more names than these are taken from a user's directory or config: what is denied goes
/// into one variable, and a user who makes thousands of directories must not make it too large.
const MOST_NAMES: usize = 200;

/// What is to be denied, sorted: the known backends and `more`, less the allowed ones.
pub fn denied<'a>(allowed: &[String], more: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let all: BTreeSet<&str> = KNOWN.iter().copied().chain(more).collect();
    all.into_iter()
        .filter(|n| is_name(n) && !allowed.iter().any(|a| a == n))
        .map(str::to_owned)
        .collect()
}

/// Allowed names that no release of mise, not the one that `listed` these, and no plugin has:
/// most likely a slip of the pen, and it lets plugins in.
pub fn unknown(allowed: &[String], listed: &[String], plugins: &[String]) -> Vec<String> {
    let is = |n: &&String| KNOWN.contains(&n.as_str()) || listed.contains(n) || plugins.contains(n);
    allowed.iter().filter(|n| !is(n)).cloned().collect()
}

/// May a plugin resolve anything? Plugins are run by these two backends, or are backends
/// under their own names.
pub fn plugins_allowed(allowed: &[String]) -> bool {
    allowed.iter().any(|a| matches!(a.as_str(), "asdf" | "vfox") || !KNOWN.contains(&a.as_str()))
}

/// The backends of `listed` that are neither allowed nor denied by a list that was written
/// before this mise was there.
pub fn undecided(listed: &[String], allowed: &[String], denied: &[String]) -> Vec<String> {
    listed.iter().filter(|n| !allowed.contains(n) && !denied.contains(n)).cloned().collect()
}

/// The names in a variable's value, as mise reads it.
pub fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

/// What `mise backends ls` printed: a name a line.
pub fn listed(output: &str) -> Vec<String> {
    let mut all: Vec<String> =
        output.lines().map(str::trim).filter(|n| is_name(n)).map(str::to_owned).collect();
    all.sort();
    all.dedup();
    all
}

/// Can it be a backend's or a plugin's name? Whatever else a user's directory is called stays
/// out of the denylist, in which a comma would begin another name.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Names in a config that mise would take for a plugin: what `[plugins]` declares, and what
/// stands before the colon of a tool or of an alias' meaning and is no known backend.
pub fn foreign(manifest: &Manifest) -> Vec<String> {
    let plugins = manifest.plugins.iter().map(|n| n.rsplit(':').next().unwrap_or(n));
    let tools = manifest.tools.iter().filter_map(|t| t.backend());
    let aliases = manifest.aliases.iter().filter_map(|(_, full)| Some(full.split_once(':')?.0));
    let all: BTreeSet<&str> = plugins.chain(tools).chain(aliases).collect();
    all.into_iter()
        .filter(|n| is_name(n) && !KNOWN.contains(n))
        .take(MOST_NAMES)
        .map(str::to_owned)
        .collect()
}

/// The names of plugin directories.
pub fn plugin_names(directories: impl Iterator<Item = String>) -> Vec<String> {
    let all: BTreeSet<String> = directories.filter(|n| is_name(n)).take(MOST_NAMES).collect();
    all.into_iter().collect()
}

/// The line for a mise config's `[settings]`.
pub fn config_line(denied: &[String]) -> String {
    let names: Vec<String> = denied.iter().map(|n| format!("\"{n}\"")).collect();
    format!("disable_backends = [{}]", names.join(", "))
}

/// The line for an environment, such as an image's `ENV`.
pub fn variable_line(denied: &[String]) -> String {
    format!("{}={}", super::DENIED, denied.join(","))
}

/// The other line for it: where plugins are.
pub fn plugins_line(allowed: &[String]) -> Option<String> {
    (!plugins_allowed(allowed)).then(|| format!("{}={NO_PLUGINS}", super::PLUGINS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::manifest;
    use std::path::Path;

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
    fn an_allowed_name_that_nothing_has_is_found() {
        let allowed = names(&["npm", "githbu", "newcomer", "my-plugin", "pkgx"]);
        let unknown = unknown(&allowed, &names(&["newcomer"]), &names(&["my-plugin"]));
        assert_eq!(unknown, ["githbu"]);
    }

    #[test]
    fn a_plugin_is_allowed_by_its_own_name() {
        assert!(!plugins_allowed(&names(&["npm", "github"])));
        assert!(plugins_allowed(&names(&["npm", "vfox"])));
        assert!(plugins_allowed(&names(&["my-plugin"])));
    }

    #[test]
    fn a_backend_that_nobody_decided_on_is_found() {
        let listed = listed("npm\ncargo\n\nnewcomer\n");
        assert_eq!(
            undecided(&listed, &names(&["npm"]), &names(&["cargo", "gone"])),
            names(&["newcomer"])
        );
        assert!(undecided(&listed, &names(&["npm"]), &names(&["cargo", "newcomer"])).is_empty());
    }

    #[test]
    fn a_directory_cannot_smuggle_a_name_into_the_list() {
        let made = ["evil", "x,npm", "", "../up", "a b"].map(str::to_owned);
        assert_eq!(plugin_names(made.into_iter()), ["evil"]);
        let many = (0..10_000).map(|n| format!("plugin{n}"));
        assert!(plugin_names(many).len() <= MOST_NAMES);
        assert!(!denied(&names(&["npm"]), ["x,npm"]).iter().any(|n| n.contains("npm")));
    }

    #[test]
    fn what_a_config_takes_for_a_plugin_is_found() {
        let text = "[plugins]\none = \"https://x\"\n\"vfox-backend:two\" = \"https://y\"\n\
            [tools]\n\"three:x\" = \"1\"\n\"npm:x\" = \"1\"\nnode = \"22\"\n[tool_alias]\nx = \"four:y\"\ny = \"asdf:z\"\n";
        let manifest = manifest::parse(Path::new("/x"), text).unwrap();
        assert_eq!(foreign(&manifest), ["four", "one", "three", "two"]);
    }

    #[test]
    fn the_lines_to_commit_are_whole() {
        let denied = names(&["aqua", "go"]);
        assert_eq!(config_line(&denied), "disable_backends = [\"aqua\", \"go\"]");
        assert_eq!(variable_line(&denied), "MISE_DISABLE_BACKENDS=aqua,go");
    }
}
