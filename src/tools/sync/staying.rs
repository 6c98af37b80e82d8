//! What an export tells of that doesn't go along: files that declare tools and stay where
//! they are, and tools without a locked version.

use super::ground::{Blocked, Ground};
use super::table::{ROWS, Root, Row, Synced, USER_DIRECTORY};
use crate::sys::beneath::Kind;
use crate::tools::lock::pairs::{Kind as Whose, Pair};
use crate::tools::lock::{Code, check, request};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The files in `directory` that `row` means, from the home.
///
/// # Errors
/// Something is in the way.
pub fn files(ground: &Ground, directory: &str, row: &Row) -> Result<Vec<String>, Blocked> {
    let whole = format!("{directory}/{}", row.name);
    let (above, pattern) = match row.name {
        "conf.d" => (whole.clone(), "*.toml"),
        name if name.contains('*') => (directory.to_owned(), name),
        _ => {
            let spot = ground.spot(&whole);
            let there = spot.directory()?.is_some_and(|dir| {
                dir.kind(spot.name()).is_ok_and(|k| !matches!(k, Kind::Missing | Kind::Directory))
            });
            return Ok(if there { vec![whole] } else { Vec::new() });
        }
    };
    let spot = ground.spot(&format!("{above}/x"));
    let Some(dir) = spot.directory()? else { return Ok(Vec::new()) };
    let unread = |e: std::io::Error| spot.blocked(format!("its directory cannot be read: {e}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.handle()).map_err(unread)? {
        let name = entry.map_err(unread)?.file_name().to_string_lossy().into_owned();
        // A name that has a row of its own is that row's.
        let own = |other: &Row| other.root == row.root && other.name == name;
        if is_like(&name, pattern) && (pattern == "*.toml" || !ROWS.iter().any(own)) {
            names.push(format!("{above}/{name}"));
        }
    }
    names.sort();
    Ok(names)
}

fn is_like(name: &str, pattern: &str) -> bool {
    let Some((begin, end)) = pattern.split_once('*') else { return name == pattern };
    let middle = name.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
    middle.is_some_and(|middle| !middle.is_empty())
}

/// Says of each file in `directory` that stays where it is although it declares tools. What
/// can't be looked at may declare some.
pub fn warnings(ground: &Ground, directory: &str) -> Vec<String> {
    let root = if directory == USER_DIRECTORY { Root::Config } else { Root::Workspace };
    let mut all = Vec::new();
    for row in ROWS.iter().filter(|row| row.root == root && row.synced == Synced::No) {
        let stays = |path: &str, more: &str| {
            format!("{} stays behind{more}: {}", ground.shown(path), row.reason)
        };
        match files(ground, directory, row) {
            Err(e) => all.push(stays(&format!("{directory}/{}", row.name), &format!(" ({e})"))),
            Ok(paths) => {
                for path in paths {
                    match ground.spot(&path).look() {
                        Ok(None) => {}
                        Ok(Some(found)) if !declares(&path, &found.bytes) => {}
                        Ok(Some(_)) => all.push(stays(&path, " with the tools it declares")),
                        Err(e) => all.push(stays(&path, &format!(" ({})", e.why))),
                    }
                }
            }
        }
    }
    all
}

fn declares(path: &str, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    if path.ends_with(".tool-versions") {
        return text.lines().any(|l| !matches!(l.trim().chars().next(), None | Some('#')));
    }
    request::parse(Path::new(path), &text).map_or(true, |config| !config.tools.is_empty())
}

/// Says which tools of the config at `path` have no version in the lockfile at `lock`.
pub fn unlocked(ground: &Ground, path: &str, lock: &str) -> Option<String> {
    let config = ground.spot(path).path();
    let kind = match path.rsplit_once('/') {
        Some((USER_DIRECTORY, _)) => Whose::Global,
        _ => Whose::Project(config.parent().unwrap_or(Path::new("/")).to_owned()),
    };
    let pair = Pair { configs: vec![config], lock: ground.spot(lock).path(), kind };
    let checked = check(&pair, None, None);
    let counts = |code| matches!(code, Code::NoLock | Code::Missing | Code::Unsatisfied);
    let lacking: BTreeSet<&str> = checked
        .findings
        .iter()
        .filter(|finding| counts(finding.code))
        .filter_map(|finding| finding.tool.as_deref())
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let lacks = match checked.version {
        None => "there is no mise.lock with".to_owned(),
        Some(_) => format!("{} doesn't hold", ground.shown(lock)),
    };
    let named: Vec<String> = lacking.iter().map(|t| t.escape_debug().to_string()).collect();
    Some(format!(
        "{}: {lacks} {}: the versions may differ there; run: {}",
        ground.shown(path),
        named.join(", "),
        checked.run
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_wants_something_in_its_middle() {
        assert!(is_like("config.ci.toml", "config.*.toml") && is_like("a.toml", "*.toml"));
        for name in ["config.toml", "config..toml", ".toml", "config.ci.toml~"] {
            assert!(!is_like(name, "config.*.toml"), "{name}");
        }
    }
}
