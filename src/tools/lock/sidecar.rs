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
    let said = match crate::tools::manifest::text_of(&manifest) {
        Ok(Some(said)) => said,
        Ok(None) => return State::Missing(format!("{} is missing", manifest.display())),
        Err(e) => return State::Missing(e.to_string()),
    };
    if let Err(why) = is_manifest(&said, npm) {
        return State::Missing(format!("{} is none: {why}", manifest.display()));
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

/// What the package manager reads beside the tree: mise refuses a tree without.
fn is_manifest(text: &str, npm: bool) -> Result<(), String> {
    type Object = serde_json::Map<String, serde_json::Value>;
    match npm {
        true => serde_json::from_str::<Object>(text).map(drop).map_err(|e| e.to_string()),
        false => toml::from_str::<toml::Table>(text).map(drop).map_err(|e| e.message().to_owned()),
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
/// indentation of two, its `resolution` at four, on one line or with its keys below at six.
/// What is written in another way is taken for something without an integrity.
fn packages(text: &str) -> Vec<(&str, bool)> {
    let mut all: Vec<(&str, bool)> = Vec::new();
    let (mut within, mut resolution) = (false, false);
    let lines = text.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
    for (n, line) in lines.enumerate() {
        // Of two documents a reader may take the other one.
        if n > 0 && line.starts_with("---") {
            return Vec::new();
        }
        let words = line.trim();
        let depth = line.len() - line.trim_start().len();
        if depth <= 4 {
            resolution = false;
        }
        match depth {
            0 => within = words == "packages:",
            2 if within => {
                let key = words.split(": ").next().unwrap_or_default().trim_end_matches(':');
                all.push((key.trim_matches(['\'', '"']), false));
            }
            4 if within && words == "resolution:" => resolution = true,
            4 if within => {
                if let Some(map) = words.strip_prefix("resolution: ") {
                    prove(&mut all, flow_integrity(map));
                }
            }
            6 if resolution => {
                if let Some(value) = words.strip_prefix("integrity: ") {
                    prove(&mut all, is_integrity(value));
                }
            }
            _ => {}
        }
    }
    all
}

/// A second word on the same package makes the first worthless.
fn prove(all: &mut [(&str, bool)], proves: bool) {
    if let Some((_, proved)) = all.last_mut() {
        *proved = proves && !*proved;
    }
}

/// `{integrity: SUM, tarball: URL}`, with nothing behind it.
fn flow_integrity(map: &str) -> bool {
    let Some(inner) = map.strip_prefix('{').and_then(|m| m.strip_suffix('}')) else { return false };
    // What quotes, nests or comments can't be split at commas.
    if inner.contains(['"', '{', '}', '#', '[']) || inner.matches('\'').count() % 2 == 1 {
        return false;
    }
    let mut quoted = false;
    let parts = inner.split(|c: char| {
        quoted ^= c == '\'';
        c == ',' && !quoted
    });
    let mut sums = parts.filter_map(|part| part.trim().strip_prefix("integrity:"));
    sums.next().is_some_and(|sum| is_integrity(sum.trim())) && sums.next().is_none()
}

/// One or more sums, each of a known algorithm and of the length that is the algorithm's.
fn is_integrity(value: &str) -> bool {
    let value = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')).unwrap_or(value);
    let lengths = [("sha512", 88), ("sha384", 64), ("sha256", 44), ("sha1", 28)];
    let sum = |one: &str| {
        let Some((kind, sum)) = one.split_once('-') else { return false };
        let digits = sum.trim_end_matches('=');
        lengths.contains(&(kind, sum.len()))
            && sum.len() - digits.len() <= 2
            && digits.chars().all(|c| c.is_ascii_alphanumeric() || "+/".contains(c))
    };
    !value.is_empty() && value.split(' ').all(sum)
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

    /// Each of these was taken for an integrity, or might be.
    #[test]
    fn only_a_whole_sum_in_the_resolution_is_an_integrity() {
        let whole = |second: &str| {
            let text = yaml(second);
            looked(&text, &text, "locks/a", true) == State::Whole
        };
        for good in [
            format!("{{integrity: {SUM}}}"),
            format!("{{integrity: {SUM}, tarball: https://x/y.tgz}}"),
            format!("{{tarball: 'https://x/a,b', integrity: '{SUM}'}}"),
            format!("\n      integrity: {SUM}"),
            format!("{{integrity: sha1-{}= {SUM}}}", "a".repeat(27)),
        ] {
            assert!(whole(&good), "{good}");
        }
        for wrong in [
            "{}".to_owned(),
            format!("{{}}\n    # integrity: {SUM}"),
            format!("{{}}\n    hint: {{integrity: {SUM}}}"),
            format!("{{}} # {{integrity: {SUM}}}"),
            format!("{{tarball: 'https://x, integrity: {SUM}'}}"),
            format!("{{tarball: x}}\n    integrity: {SUM}"),
            format!("{{tarball: x}}\n      integrity: {SUM}"),
            format!("{{integrity: {SUM}}}\n    resolution: {{}}"),
            format!("{{integrity: {}}}", SUM.replace("==", "")),
            format!("{{integrity: {}}}", SUM.replace("sha512", "sha256")),
            format!("{{integrity: {}}}", SUM.replace("oVek", "oVe")),
            "{integrity: sha1-aaaaaaaaaaaaaaaaaaaaaaaaaaaa, integrity: x}".to_owned(),
        ] {
            assert!(!whole(&wrong), "{wrong}");
        }
        let comment = yaml("{}")
            .replace("  '@b/b@2.0.0'", &format!("    # integrity: {SUM}\n  '@b/b@2.0.0'"));
        assert_ne!(looked(&comment, &comment, "locks/a", true), State::Whole);
        let two = format!("{}\n---\n{}", yaml(&format!("{{integrity: {SUM}}}")), yaml("{}"));
        assert_eq!(looked(&two, &two, "locks/a", true), State::Foreign);
    }

    #[test]
    fn what_lies_beside_the_tree_must_be_readable() {
        for (npm, text, good) in [
            (true, "{}", true),
            (true, "<<<<", false),
            (true, "[]", false),
            (false, "[project]\n", true),
            (false, "[project\n", false),
        ] {
            assert_eq!(is_manifest(text, npm).is_ok(), good, "{text}");
        }
    }
}
