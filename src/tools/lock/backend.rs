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
    }
}
