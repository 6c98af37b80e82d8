//! Keeping what still works in part while it is installed anew (`agent internal tools-aside`).
//!
//! `mise install --force` removes before it fetches, and a registry that doesn't answer leaves
//! nothing. So the installation is first moved aside, on the same file system and to where mise
//! doesn't look. Afterwards either the new one is there and the old one goes, or the old one is
//! put back; where the boot was killed in between, the next one does that.

use super::super::places::Places;
use super::marker;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where installations are kept meanwhile, in mise's directory of data.
const ASIDE: &str = "agent-aside";

/// Where mise has them, in the same directory.
const INSTALLS: &str = "installs";

/// What is asked of the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Where things lie.
    pub places: Places,
    /// What is to be done.
    pub what: What,
}

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum What {
    /// Move these installations aside.
    Away(Vec<PathBuf>),
    /// Put back what is missing now, and these; remove what there is a new one of.
    Back(Vec<PathBuf>),
}

/// The helper: the places of the installations that were moved, away or back. What can't be
/// moved stays where it is.
pub fn helper(request: &Request) -> Vec<PathBuf> {
    match &request.what {
        What::Away(paths) => paths.iter().filter(|p| away(&request.places, p)).cloned().collect(),
        What::Back(failed) => back(&request.places, failed),
    }
}

fn away(places: &Places, path: &Path) -> bool {
    let Ok(below) = path.strip_prefix(places.data.join(INSTALLS)) else { return false };
    let aside = places.data.join(ASIDE).join(below);
    // What lies there already is somebody's last whole copy.
    let free = below.components().count() == 2 && aside.symlink_metadata().is_err();
    let own = path.symlink_metadata().is_ok_and(|m| m.is_dir());
    let parent = aside.parent().unwrap_or(&aside);
    free && own && fs::create_dir_all(parent).is_ok() && fs::rename(path, &aside).is_ok()
}

/// Settles whatever lies aside.
pub fn back(places: &Places, failed: &[PathBuf]) -> Vec<PathBuf> {
    let root = places.data.join(ASIDE);
    let mut put_back = Vec::new();
    for tool in entries(&root) {
        for kept in entries(&tool) {
            let Ok(below) = kept.strip_prefix(&root) else { continue };
            let place = places.data.join(INSTALLS).join(below);
            let marker = marker(&places.cache, &place);
            let begun = marker.as_ref().is_some_and(|m| m.exists());
            if !failed.contains(&place) && !begun && !entries(&place).is_empty() {
                let _ = fs::remove_dir_all(&kept);
            } else if restore(&kept, &place, marker.as_deref()).is_ok() {
                put_back.push(place);
            }
        }
        let _ = fs::remove_dir(&tool);
    }
    let _ = fs::remove_dir(&root);
    put_back
}

/// Each step leaves what the next boot puts back if it is the last.
fn restore(kept: &Path, place: &Path, marker: Option<&Path>) -> io::Result<()> {
    let missing_is_fine = |done: io::Result<()>| match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    missing_is_fine(fs::remove_dir_all(place))?;
    // It is the mark of the installation that failed.
    missing_is_fine(marker.map_or(Ok(()), fs::remove_file))?;
    fs::create_dir_all(place.parent().unwrap_or(place))?;
    fs::rename(kept, place)
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    dir.read_dir().into_iter().flatten().flatten().map(|e| e.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A home whose tool has been moved aside.
    fn moved() -> (TempDir, Places, PathBuf) {
        let tmp = TempDir::new().unwrap();
        let places = Places::of(tmp.path(), |_| None);
        let place = places.data.join("installs/npm-t/1");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("old"), "1").unwrap();
        let what = What::Away(vec![place.clone(), "/elsewhere/npm-t/1".into()]);
        let request = Request { places: places.clone(), what };
        assert_eq!(helper(&request), std::slice::from_ref(&place));
        assert!(!place.exists());
        (tmp, places, place)
    }

    fn nothing_is_aside(places: &Places) {
        assert!(!places.data.join(ASIDE).exists());
    }

    #[test]
    fn what_was_not_installed_anew_is_put_back() {
        let (_tmp, places, place) = moved();
        assert_eq!(back(&places, &[]), std::slice::from_ref(&place));
        assert!(place.join("old").exists());
        nothing_is_aside(&places);
    }

    #[test]
    fn a_new_one_that_was_cut_off_or_failed_gives_way_to_the_old() {
        for failed in [false, true] {
            let (_tmp, places, place) = moved();
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("half"), "1").unwrap();
            let mark = marker(&places.cache, &place).unwrap();
            let failed = match failed {
                true => vec![place.clone()],
                false => {
                    fs::create_dir_all(mark.parent().unwrap()).unwrap();
                    fs::write(&mark, "").unwrap();
                    vec![]
                }
            };
            assert_eq!(back(&places, &failed), std::slice::from_ref(&place));
            assert!(place.join("old").exists() && !place.join("half").exists());
            assert!(!mark.exists(), "it isn't taken for one that has begun");
            nothing_is_aside(&places);
        }
    }

    #[test]
    fn a_new_one_that_is_there_stays_and_the_old_goes() {
        let (_tmp, places, place) = moved();
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("new"), "1").unwrap();
        assert!(back(&places, &[]).is_empty());
        assert!(place.join("new").exists() && !place.join("old").exists());
        nothing_is_aside(&places);
    }

    #[test]
    fn a_link_is_no_installation_and_what_lies_aside_is_not_written_over() {
        let (_tmp, places, place) = moved();
        fs::create_dir_all(&place).unwrap();
        assert!(!away(&places, &place), "another copy lies there");
        let link = place.with_file_name("latest");
        std::os::unix::fs::symlink("1", &link).unwrap();
        assert!(!away(&places, &link));
    }
}
