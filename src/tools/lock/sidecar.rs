//! Dependency trees beside a lockfile: is the tree there, is it the one that was locked, and
//! does it say what each package must contain?
//!
//! The digest is the SHA-256 of the native lockfile with its line ends as LF (tried with
//! mise 2026.9.15: a file with CRLF is accepted, another byte changed is not). It says
//! nothing of `package.json` beside it, which mise needs and doesn't compare.

use super::file::{Entry, Tree};
use sha2::{Digest, Sha256};
use std::path::{Component, Path};

/// How a tree stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is the locked one, and every package has an integrity.
    Whole,
    /// It is the locked one; what its packages must contain wasn't looked at (`uv.lock`).
    Unread,
    /// A file is missing, can't be read, or lies outside the lockfile's directory.
    Missing(String),
    /// It is another one than was locked.
    Changed,
    /// It doesn't hold the tool at the locked version.
    Foreign,
    /// Packages without an integrity: mise installs of them whatever the registry gives.
    Unproved(Vec<String>),
}

/// Looks at the tree of `entry`, which the lockfile in `directory` names.
pub fn look(directory: &Path, entry: &Entry, tree: &Tree) -> State {
    let inside = tree.path.components().all(|c| matches!(c, Component::Normal(_)));
    if !inside || tree.path.as_os_str().is_empty() {
        return State::Missing(format!("{} is no path beside the lock", tree.path.display()));
    }
    let at = directory.join(&tree.path);
    let npm = tree.file == "aube-lock.yaml";
    let text = match crate::tools::manifest::text_of(&at.join(tree.file)) {
        Ok(Some(text)) => text,
        Ok(None) => return State::Missing(format!("{} is missing", at.join(tree.file).display())),
        Err(e) => return State::Missing(e.to_string()),
    };
    let manifest = at.join(if npm { "package.json" } else { "pyproject.toml" });
    if !manifest.is_file() {
        return State::Missing(format!("{} is missing", manifest.display()));
    }
    if tree.digest != digest(&text) {
        return State::Changed;
    }
    if !npm {
        return State::Unread;
    }
    let packages = packages(&text);
    let full = entry.backend.as_deref().unwrap_or(&entry.tool);
    let root = format!("{}@{}", full.strip_prefix("npm:").unwrap_or(full), entry.version);
    // Peer dependencies follow a package's version in brackets.
    if !packages.iter().any(|(name, _)| name.split('(').next() == Some(root.as_str())) {
        return State::Foreign;
    }
    let unproved = packages.iter().filter(|(_, proved)| !proved).map(|(name, _)| name.to_string());
    match unproved.collect::<Vec<_>>() {
        none if none.is_empty() => State::Whole,
        some => State::Unproved(some),
    }
}

/// The digest of a native lockfile's text, as mise writes it.
pub fn digest(text: &str) -> String {
    use std::fmt::Write;
    let sum = Sha256::digest(text.replace("\r\n", "\n"));
    sum.iter().fold("sha256:".to_owned(), |mut all, byte| {
        let _ = write!(all, "{byte:02x}");
        all
    })
}

/// The packages of an `aube-lock.yaml`, each with whether it has an integrity. The file is
/// written by a program, so its lines are known: a package's key stands alone at an
/// indentation of two, what belongs to it deeper.
fn packages(text: &str) -> Vec<(&str, bool)> {
    let mut all: Vec<(&str, bool)> = Vec::new();
    let mut within = false;
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let depth = line.len() - line.trim_start().len();
        match depth {
            0 => within = line.trim_end() == "packages:",
            2 if within => {
                let key = line.trim().split(": ").next().unwrap_or_default().trim_end_matches(':');
                all.push((key.trim_matches(['\'', '"']), has_integrity(line)));
            }
            _ if within && has_integrity(line) => {
                if let Some((_, proved)) = all.last_mut() {
                    *proved = true;
                }
            }
            _ => {}
        }
    }
    all
}

fn has_integrity(line: &str) -> bool {
    line.split_once("integrity: ").is_some_and(|(_, value)| {
        let value = value.trim_start_matches(['\'', '"']);
        let known = ["sha512-", "sha384-", "sha256-", "sha1-"];
        known.iter().any(|kind| {
            value.strip_prefix(kind).is_some_and(|sum| {
                sum.chars().take_while(|c| c.is_ascii_alphanumeric() || "+/=".contains(*c)).count()
                    >= 28
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "sha512-oVekP1cKtI+CTDvHWYFUcMtsK/00wmAEfyqKfNdARm8u1wNVhSgaX7A8d4UuIlUI5e84iEwOhs7ZPYRmzU9U6A==";

    fn yaml(second: &str) -> String {
        format!(
            "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n      a:\n        specifier: 1.0.0\n\npackages:\n\n  \
             a@1.0.0:\n    resolution: {{integrity: {SUM}}}\n    hasBin: true\n\n  \
             '@b/b@2.0.0':\n    resolution: {second}\n\nsnapshots:\n\n  a@1.0.0: {{}}\n"
        )
    }

    fn looked(text: &str, digest_of: &str, path: &str, manifest: bool) -> State {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("locks/a");
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("aube-lock.yaml"), text).unwrap();
        if manifest {
            std::fs::write(at.join("package.json"), "{}").unwrap();
        }
        let entry = Entry { tool: "npm:a".into(), version: "1.0.0".into(), ..Entry::default() };
        let tree = Tree { file: "aube-lock.yaml", path: path.into(), digest: digest(digest_of) };
        look(dir.path(), &entry, &tree)
    }

    #[test]
    fn a_tree_is_whole_also_with_the_line_ends_of_another_system() {
        let text = yaml(&format!("{{integrity: {SUM}}}"));
        assert_eq!(looked(&text, &text, "locks/a", true), State::Whole);
        assert_eq!(looked(&text.replace('\n', "\r\n"), &text, "locks/a", true), State::Whole);
    }

    #[test]
    fn what_is_changed_missing_foreign_or_unproved_is_told() {
        let text = yaml("{tarball: https://x}");
        let unproved = State::Unproved(vec!["@b/b@2.0.0".into()]);
        assert_eq!(looked(&text, &text, "locks/a", true), unproved);
        assert_eq!(looked(&text, "other", "locks/a", true), State::Changed);
        for (path, manifest) in
            [("locks/b", true), ("../locks/a", true), ("", true), ("locks/a", false)]
        {
            assert!(matches!(looked(&text, &text, path, manifest), State::Missing(_)), "{path}");
        }
        let other = text.replace("a@1.0.0:", "a@1.0.1:");
        assert_eq!(looked(&other, &other, "locks/a", true), State::Foreign);
    }
}
