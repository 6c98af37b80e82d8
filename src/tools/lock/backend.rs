//! What a lock entry can promise, by backend. From mise's own table ("Backend support" on its
//! page about mise.lock), and tried where the backend can be reached.

/// What an entry of a backend holds at best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locks {
    /// For each platform a URL and a checksum of what lies there.
    Artifact,
    /// With a sidecar the whole dependency tree, without one the version.
    Tree,
    /// The version, and nothing of its contents.
    Version,
}

/// What the backend of `full` (`npm:x`, `core:node`) can lock.
pub fn locks(full: &str) -> Locks {
    let (backend, tool) = full.split_once(':').unwrap_or((full, ""));
    match backend {
        "aqua" | "conda" | "forgejo" | "github" | "gitlab" | "http" | "packslip" | "s3" => {
            Locks::Artifact
        }
        // What these install comes from another installer.
        "core" if matches!(tool, "dotnet" | "rust" | "swift") => Locks::Version,
        "core" => Locks::Artifact,
        "npm" | "pipx" | "pypi" => Locks::Tree,
        // asdf, cargo, dotnet, gem, go, spinel, spm, ubi, vfox, and plugins under their own names.
        _ => Locks::Version,
    }
}

/// A tool's name without options in brackets (`ubi:x[exe=y]`).
pub fn bare(name: &str) -> &str {
    name.split('[').next().unwrap_or(name)
}

/// The options in brackets of a tool's name: `x[asset_pattern=y,bin=z]`.
pub fn bracketed(name: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let inner = name.split_once('[').and_then(|(_, inner)| inner.strip_suffix(']'));
    let parts = inner.unwrap_or_default().split(',').filter_map(|part| part.split_once('='));
    parts.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
}

/// Does mise compare this option of a tool's with the entry's? `None` where it isn't known.
/// From mise's own list of what an entry of these backends holds, and of what else they know.
pub fn compares(full: &str, option: &str) -> Option<bool> {
    match (full.split_once(':').map_or(full, |(backend, _)| backend), option) {
        ("npm", "allow_builds") => Some(true),
        ("npm", _) => Some(false),
        (
            "github" | "gitlab" | "forgejo",
            "api_url"
            | "version_prefix"
            | "asset_pattern"
            | "additional_asset_patterns"
            | "url"
            | "no_app"
            | "matching"
            | "matching_regex",
        ) => Some(true),
        (
            "github" | "gitlab" | "forgejo",
            "bin" | "bin_path" | "filter_bins" | "rename_exe" | "strip_components",
        ) => Some(false),
        _ => None,
    }
}

/// Do these two name the same backend and tool? `pipx` is the older name of `pypi`.
pub fn same(declared: &str, locked: &str) -> bool {
    let modern = |full: &str| match bare(full).split_once(':') {
        Some(("pipx", tool)) => format!("pypi:{tool}"),
        _ => bare(full).to_owned(),
    };
    modern(declared) == modern(locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_backend_promises_more_than_it_holds() {
        for (full, locked) in [
            ("npm:x", Locks::Tree),
            ("github:a/b", Locks::Artifact),
            ("core:node", Locks::Artifact),
            ("core:rust", Locks::Version),
            ("cargo:x", Locks::Version),
            ("ubi:a/b", Locks::Version),
            ("my-plugin:x", Locks::Version),
            ("node", Locks::Version),
        ] {
            assert_eq!(locks(full), locked, "{full}");
        }
        assert!(same("pipx:black", "pypi:black") && same("ubi:a/b[exe=b]", "ubi:a/b"));
        assert!(!same("npm:semver", "npm:ms"));
        let found: Vec<_> = bracketed("ubi:a/b[exe=b, x=y]").collect();
        assert_eq!(found, [("exe".into(), "b".into()), ("x".into(), "y".to_owned())]);
        assert_eq!(bracketed("ubi:a/b").count(), 0);
    }
}
