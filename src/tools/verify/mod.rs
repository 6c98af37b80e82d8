//! Is a tool that mise calls installed whole? Looked at by a process that is the sandbox user
//! (`agent internal tools-verify`).
//!
//! For mise a tool is installed where its directory is there and mise's cache holds no marker
//! `TOOL/VERSION/incomplete`. That is not enough. mise makes the directory before the marker:
//! a kill between the two leaves an empty tool. Whoever clears the cache clears the markers.
//! Shims are made last, when every tool has lost its marker. What is removed by other means
//! than mise's own is missed by nobody. So the programs are looked at: each is there, isn't
//! empty, may be executed, leads to what it is a wrapper of, and has a shim where its users
//! call it by one. Nothing is run.

pub mod aside;
mod package;
mod programs;

use super::places::Places;
use package::Package;
use programs::Programs;
pub(in crate::tools) use programs::fault;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The marker of an installation that has begun and not ended.
const INCOMPLETE: &str = "incomplete";

/// The version that means "whatever the PATH has": there is no directory to look into.
const NOT_MISES: &str = "system";

/// What is asked of the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// mise's cache, which holds the marks of installations that have begun.
    pub cache: PathBuf,
    /// What lies below has shims: the image's tools have none of the user's.
    pub installs: PathBuf,
    /// The shims.
    pub shims: PathBuf,
    /// The tools that mise calls installed.
    pub claims: Vec<Claim>,
    /// The directories of programs, as `mise bin-paths` prints them.
    pub bin_paths: Vec<PathBuf>,
}

impl Request {
    /// The question about these tools, for a mise with these places; `variable` gives what its
    /// environment says, if it is an absolute path.
    pub fn new(
        places: &Places,
        variable: impl Fn(&str) -> Option<PathBuf>,
        claims: Vec<Claim>,
        bin_paths: Vec<PathBuf>,
    ) -> Self {
        Self {
            cache: places.cache.clone(),
            installs: variable("MISE_INSTALLS_DIR").unwrap_or_else(|| places.data.clone()),
            shims: variable("MISE_SHIMS_DIR").unwrap_or_else(|| places.shims()),
            claims,
            bin_paths,
        }
    }
}

/// One tool that mise calls installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its name in the config, such as `npm:cowsay`.
    pub name: String,
    /// The version that is resolved.
    pub version: String,
    /// Where it is said to be.
    pub path: PathBuf,
}

impl Claim {
    /// What mise is asked for it by.
    pub fn called(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// What was found of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is missing.
    Whole,
    /// Its installation has begun and not ended: it was cut off, or another process is at it.
    Unfinished,
    /// Something of it is missing.
    Broken {
        /// What.
        why: String,
        /// Some of its programs are whole nevertheless.
        usable: bool,
    },
    /// It is whole, but a shim of it doesn't work.
    Uncallable {
        /// What is wrong with the shim.
        why: String,
        /// Somebody's file lies in its place, which neither mise nor the agent takes away.
        foreign: bool,
    },
}

impl Verdict {
    /// What is wrong, in words.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Whole => None,
            Self::Unfinished => Some("its installation has begun and not ended"),
            Self::Broken { why, .. } | Self::Uncallable { why, .. } => Some(why),
        }
    }
}

/// The helper: a verdict for each claim, in order.
pub fn helper(request: &Request) -> Vec<Verdict> {
    request.claims.iter().map(|claim| verdict(request, claim)).collect()
}

fn verdict(request: &Request, claim: &Claim) -> Verdict {
    if claim.version == NOT_MISES {
        return Verdict::Whole;
    }
    if marker(&request.cache, &claim.path).is_some_and(|m| m.exists()) {
        return Verdict::Unfinished;
    }
    let path = claim.path.display();
    let broken = |why: String, usable| Verdict::Broken { why, usable };
    match claim.path.read_dir().map(|mut entries| entries.next().is_some()) {
        Ok(true) => {}
        Ok(false) => return broken(format!("{path} is empty"), false),
        Err(e) => return broken(format!("{path}: {e}"), false),
    }
    let package = Package::of(claim);
    let programs = Programs::of(&claim.path, &request.bin_paths, package.as_ref());
    let usable = !programs.whole.is_empty();
    if let Some(fault) = programs.fault {
        return broken(fault, usable);
    }
    // A library has no programs; only npm's packages say that they are one.
    if !usable && !package.as_ref().is_some_and(|p| p.is_library) {
        return broken(format!("there is no program in {path}"), false);
    }
    if !claim.path.starts_with(&request.installs) {
        return Verdict::Whole;
    }
    let shims = programs.whole.iter().map(|name| request.shims.join(name));
    let faults: Vec<_> =
        shims.filter_map(|s| Some((programs::fault(&s)?, in_the_way(&s)))).collect();
    // Which files of an archive are its programs is mise's guess: there, one shim must do.
    let too_many = if package.is_some() { 1 } else { programs.whole.len() };
    match faults.into_iter().nth(too_many.saturating_sub(1)) {
        Some((why, foreign)) => Verdict::Uncallable { why, foreign },
        None => Verdict::Whole,
    }
}

/// Does somebody's file lie where a shim should be? An empty file is nobody's: nothing is lost
/// with it, but mise would leave it there, so it is removed.
fn in_the_way(shim: &Path) -> bool {
    match shim.symlink_metadata() {
        Ok(m) if m.is_file() && m.len() == 0 => std::fs::remove_file(shim).is_err(),
        Ok(m) => !m.is_symlink(),
        Err(_) => false,
    }
}

/// mise keeps it in its cache, by the last two parts of the installation's path.
fn marker(cache: &Path, path: &Path) -> Option<PathBuf> {
    let (version, tool) = (path.file_name()?, path.parent()?.file_name()?);
    Some(cache.join(tool).join(version).join(INCOMPLETE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    /// A home with one npm tool as the embedded installer leaves it.
    struct Home {
        dir: TempDir,
        request: Request,
    }

    const WRAPPER: &str = "#!/bin/sh\n# aube-bin-shim v2 target=../.mise/t@1/t.js\nexec node\n";

    fn program(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    impl Home {
        fn new() -> Self {
            let dir = TempDir::new().unwrap();
            let places = Places::of(dir.path(), |_| None);
            let path = places.data.join("installs/npm-t/1");
            program(&path.join("node_modules/.bin/t"), WRAPPER);
            program(&path.join("node_modules/.mise/t@1/t.js"), "1");
            fs::create_dir_all(path.join("node_modules/t")).unwrap();
            let package = r#"{"bin":{"t":"t.js"}}"#;
            fs::write(path.join("node_modules/t/package.json"), package).unwrap();
            fs::write(path.join("node_modules/t/t.js"), "1").unwrap();
            program(&places.shims().join("t"), "mise");
            symlink("1", path.parent().unwrap().join("latest")).unwrap();
            // mise names the directory by its link.
            let bin = path.parent().unwrap().join("latest/node_modules/.bin");
            let claim = Claim { name: "npm:t".into(), version: "1".into(), path };
            let request = Request::new(&places, |_| None, vec![claim], vec![bin]);
            Self { dir, request }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.request.claims[0].path.join(path)
        }

        fn verdict(&self) -> Verdict {
            helper(&self.request)[0].clone()
        }

        #[track_caller]
        fn is_broken(&self, part: &str) {
            match self.verdict() {
                Verdict::Broken { why, usable: false } => assert!(why.contains(part), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_whole_tool_is_whole() {
        assert_eq!(Home::new().verdict(), Verdict::Whole);
        // Also where mise doesn't say where its programs are.
        let mut home = Home::new();
        home.request.bin_paths.clear();
        assert_eq!(home.verdict(), Verdict::Whole);
    }

    #[test]
    fn a_marker_is_an_installation_that_has_not_ended() {
        let home = Home::new();
        let marker = home.dir.path().join(".cache/mise/npm-t/1/incomplete");
        program(&marker, "");
        assert_eq!(home.verdict(), Verdict::Unfinished);
        fs::rename(marker, home.dir.path().join(".cache/mise/npm-t/1/other")).unwrap();
        assert_eq!(home.verdict(), Verdict::Whole);
    }

    #[test]
    fn a_directory_that_is_gone_or_empty_is_no_tool() {
        let home = Home::new();
        fs::remove_dir_all(home.at("")).unwrap();
        home.is_broken("No such file");
        fs::create_dir(home.at("")).unwrap();
        home.is_broken("is empty");
    }

    #[test]
    fn programs_that_are_gone_empty_or_not_executable_are_told() {
        let home = Home::new();
        fs::write(home.at("node_modules/.mise/t@1/t.js"), "").unwrap();
        home.is_broken("t.js, which is empty");
        let home = Home::new();
        fs::remove_dir_all(home.at("node_modules/.mise")).unwrap();
        home.is_broken("t.js, which is missing");
        let home = Home::new();
        fs::write(home.at("node_modules/.bin/t"), "").unwrap();
        home.is_broken(".bin/t is empty");
        let home = Home::new();
        fs::remove_file(home.at("node_modules/.bin/t")).unwrap();
        home.is_broken("its program t is missing");
        let home = Home::new();
        fs::set_permissions(home.at("node_modules/.bin/t"), fs::Permissions::from_mode(0o644))
            .unwrap();
        home.is_broken("cannot be executed");
        let home = Home::new();
        fs::remove_dir_all(home.at("node_modules")).unwrap();
        fs::write(home.at("README"), "x").unwrap();
        home.is_broken("there is no program");
    }

    /// The npm program's layout: a link, not a wrapper.
    #[test]
    fn a_link_that_leads_to_nothing_is_told_and_so_is_one_program_of_two() {
        let home = Home::new();
        symlink("../lib/none.js", home.at("node_modules/.bin/other")).unwrap();
        match home.verdict() {
            Verdict::Broken { why, usable: true } => assert!(why.contains("leads to nothing")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_library_needs_no_program() {
        let home = Home::new();
        fs::remove_file(home.at("node_modules/.bin/t")).unwrap();
        fs::write(home.at("node_modules/t/package.json"), r#"{"name":"t"}"#).unwrap();
        assert_eq!(home.verdict(), Verdict::Whole);
        // Cut off within its package.json, it says nothing.
        fs::write(home.at("node_modules/t/package.json"), r#"{"na"#).unwrap();
        home.is_broken("there is no program");
    }

    #[test]
    fn a_shim_that_is_gone_or_leads_nowhere_is_told() {
        let shim = |home: &Home| home.request.shims.join("t");
        let told = |home: &Home| match home.verdict() {
            Verdict::Uncallable { why, .. } => why,
            other => panic!("{other:?}"),
        };
        let home = Home::new();
        fs::remove_file(shim(&home)).unwrap();
        assert!(told(&home).ends_with("shims/t is missing"));
        symlink("/nonexistent/mise", shim(&home)).unwrap();
        assert!(told(&home).ends_with("leads to nothing"));
        fs::remove_file(shim(&home)).unwrap();
        fs::create_dir(shim(&home)).unwrap();
        assert!(told(&home).ends_with("is no file"));
        let foreign =
            |home: &Home| matches!(home.verdict(), Verdict::Uncallable { foreign: true, .. });
        assert!(foreign(&home), "nobody's force takes a directory away");
    }

    /// The image's tools have no shims of the user's; an archive has files beside its program.
    #[test]
    fn what_is_no_npm_package_is_judged_by_its_executables() {
        let mut home = Home::new();
        fs::remove_dir_all(home.at("node_modules")).unwrap();
        program(&home.at("tool"), "ELF");
        program(&home.at("install.sh"), "#!/bin/sh\n");
        fs::write(home.at("LICENSE"), "free").unwrap();
        symlink("nowhere", home.at("dangling")).unwrap();
        home.request.bin_paths = vec![home.at("")];
        assert!(matches!(home.verdict(), Verdict::Uncallable { .. }));
        program(&home.request.shims.join("tool"), "mise");
        assert_eq!(home.verdict(), Verdict::Whole);
        fs::remove_dir_all(&home.request.shims).unwrap();
        home.request.installs = "/elsewhere".into();
        assert_eq!(home.verdict(), Verdict::Whole);
    }

    #[test]
    fn what_stands_in_the_way_makes_nobody_wait() {
        let home = Home::new();
        fs::remove_file(home.at("node_modules/.bin/t")).unwrap();
        let fifo = home.at("node_modules/.bin/t");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        home.is_broken("is no file");
    }

    #[test]
    fn the_version_system_is_not_mises() {
        let mut home = Home::new();
        home.request.claims[0].version = "system".into();
        home.request.claims[0].path = "/nonexistent".into();
        assert_eq!(home.verdict(), Verdict::Whole);
    }
}
