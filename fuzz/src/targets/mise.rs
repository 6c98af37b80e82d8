//! What mise prints, its configs and its lockfiles.

use agent::tools::lock::judge::{Case, judge};
use agent::tools::lock::platform::Platform;
use agent::tools::lock::sidecar::State;
use agent::tools::lock::{file, request};
use agent::tools::manifest;
use agent::tools::output::{Failure, Reason, bin_paths, parse_list};
use agent::tools::policy::backends;
use std::path::Path;

/// `mise ls --json`, `mise bin-paths`, `mise backends ls`, and its errors.
pub fn output(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(list) = parse_list(&text) {
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let names = value.as_object().expect("an object");
        assert!(list.iter().all(|l| names.contains_key(&l.tool.name)), "a tool from nowhere");
    }
    assert!(bin_paths(&text).iter().all(|path| path.is_absolute()));
    let listed = backends::listed(&text);
    assert!(listed.is_sorted() && listed.iter().all(|name| backends::is_name(name)));
    // What is denied is written with commas, and read back as the same names.
    let names = backends::list(&text);
    assert_eq!(backends::list(&names.join(",")), names, "a name that is two");
    let failure = Failure::parse(&text);
    assert!(failure.tools.iter().all(|(_, reason)| !reason.contains('\n')));
    assert!(!failure.may_pass() || failure.has(Reason::Network));
}

/// A config, and behind a line `---` the lockfile beside it.
pub fn files(data: &[u8]) {
    let (config, lock) = super::halves(data, "---");
    let (config, lock) = (String::from_utf8_lossy(config), String::from_utf8_lossy(lock));
    let at = |place: Option<(usize, usize)>, text: &str| {
        assert!(place.is_none_or(|p| super::is_place(text, p)), "{place:?} is no place of it");
    };
    let declared = manifest::parse(Path::new("config.toml"), &config);
    let asked = request::parse(Path::new("config.toml"), &config);
    assert_eq!(declared.is_ok(), asked.is_ok(), "one reader takes it, the other doesn't");
    let locked = file::parse(Path::new("mise.lock"), &lock);
    if let Err(e) = &declared {
        at(e.place, &config);
    }
    if let Err(e) = &locked {
        at(e.place, &lock);
    }
    let (Ok(declared), Ok(asked), Ok(locked)) = (declared, asked, locked) else { return };
    assert!(declared.full_names().iter().all(|name| name.contains(':')));
    assert!(backends::foreign(&declared).iter().all(|name| !name.contains(':')));
    let here = [Platform::here()];
    let configs = [asked];
    for platforms in [None, Some(here.as_slice())] {
        let case = Case { configs: &configs, lock: &locked, asked: platforms, other_npm: false };
        let judgement = judge(&case, &|_, _| State::Whole);
        assert!(judgement.findings.iter().all(|f| !f.message.is_empty()));
        // Nothing holds that the lock does not have.
        for held in &judgement.tools {
            assert!(locked.entries.iter().any(|e| e.version == held.locked), "{held:?}");
        }
    }
}
