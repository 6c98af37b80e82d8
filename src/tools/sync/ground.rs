//! Where the files of an archive lie on this machine, reached without following a link.
//!
//! The home is the user's, and a workspace may be somebody's repository: a link in it could
//! make an export take a private key for a config, or an import write where nobody looks. So
//! each directory is entered by itself. Two links are followed, because the operator laid
//! them: those of `home.links`, and a mise configuration that a variable puts elsewhere.

use super::bundle::digest;
use super::table::USER_DIRECTORY;
use super::ustar::MAX_FILE;
use crate::sys::beneath::{Dir, Kind};
use crate::tools::places::Places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// One machine's ground.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The user's places.
    pub places: Places,
    /// Links in the home that the operator's configuration makes, and what they lead to.
    pub links: BTreeMap<PathBuf, PathBuf>,
}

/// Where a file lies: a trusted directory, and the way from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// The directory that is opened by its path.
    pub base: PathBuf,
    /// May links on the way to it be followed? The way to the home is the system's.
    pub home: bool,
    /// The rest of the way, a name after the other.
    pub below: String,
}

/// Why a file can't be reached or taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// What is in the way.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

/// A file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

impl Found {
    /// SHA-256 of its content.
    pub fn digest(&self) -> String {
        digest(&self.bytes)
    }
}

impl Ground {
    /// Where the file of this name in an archive lies.
    pub fn spot(&self, path: &str) -> Spot {
        let home = &self.places.home;
        let config = Path::new(path).strip_prefix(USER_DIRECTORY);
        if let Ok(rest) = config
            && self.places.config != home.join(USER_DIRECTORY)
        {
            return match self.places.config.strip_prefix(home) {
                Ok(below) => Spot::new(home, true, &below.join(rest)),
                Err(_) => Spot::new(&self.places.config, false, rest),
            };
        }
        for (link, target) in &self.links {
            let laid = || fs::read_link(home.join(link)).is_ok_and(|to| to == *target);
            if let Ok(rest) = Path::new(path).strip_prefix(link)
                && target.is_absolute()
                && laid()
            {
                return Spot::new(target, false, rest);
            }
        }
        Spot::new(home, true, Path::new(path))
    }

    /// The home-relative path of what a person names as a workspace, standing in `here`.
    ///
    /// # Errors
    /// It is not below the home.
    pub fn workspace(&self, named: &Path, here: &Path) -> Result<String, String> {
        let home = &self.places.home;
        let whole = match named.strip_prefix("~") {
            Ok(rest) => home.join(rest),
            Err(_) => here.join(named),
        };
        let links = self.links.iter().map(|(link, target)| (target.clone(), link.clone()));
        let roots: Vec<_> = links.chain([(home.clone(), PathBuf::new())]).collect();
        let below = |path: &Path, (root, link): &(PathBuf, PathBuf)| {
            Some(link.join(path.strip_prefix(root).ok()?))
        };
        let found = roots.iter().find_map(|root| below(&whole, root)).or_else(|| {
            // Also a directory by its other name, which `pwd` prints.
            let whole = whole.canonicalize().ok()?;
            let home = (home.canonicalize().ok()?, PathBuf::new());
            roots.iter().chain([&home]).find_map(|root| below(&whole, root))
        });
        let found = found.ok_or_else(|| format!("it is not below the home {}", home.display()))?;
        let normal: PathBuf = found.components().collect();
        let text = normal.to_str().ok_or("its name is no UTF-8")?;
        Ok(text.to_owned())
    }

    /// A path as a person writes it.
    pub fn shown(&self, path: &str) -> String {
        let whole = self.spot(path).path();
        match whole.strip_prefix(&self.places.home) {
            Ok(below) => format!("~/{}", below.display()),
            // Through a link of the operator's it is still where the user sees it.
            Err(_) if self.links.keys().any(|l| Path::new(path).starts_with(l)) => {
                format!("~/{path}")
            }
            Err(_) => whole.display().to_string(),
        }
    }
}

impl Spot {
    /// A place at `below` of `base`, which is the home where `home` says so.
    pub fn new(base: &Path, home: bool, below: &Path) -> Self {
        let below = below.to_string_lossy().into_owned();
        Self { base: base.into(), home, below }
    }

    /// Its path, for a person.
    pub fn path(&self) -> PathBuf {
        self.base.join(&self.below)
    }

    /// Its name in its directory.
    pub fn name(&self) -> &str {
        self.below.rsplit('/').next().unwrap_or_default()
    }

    /// A file of another name in the same directory.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        let below = match self.below.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{name}"),
            None => name.to_owned(),
        };
        Self { below, ..self.clone() }
    }

    /// Its directory; `Ok(None)` where there is none.
    ///
    /// # Errors
    /// Something is in the way.
    pub fn directory(&self) -> Result<Option<Dir>, Blocked> {
        self.walk(None)
    }

    /// Its directory, made with permissions `mode` and durable where it was missing.
    ///
    /// # Errors
    /// Something is in the way, or it can't be made.
    pub fn make_directory(&self, mode: u32) -> Result<Dir, Blocked> {
        let blocked = || self.blocked("its directory cannot be made".into());
        self.walk(Some(mode))?.ok_or_else(blocked)
    }

    /// The directories above it that are missing, the uppermost first.
    ///
    /// # Errors
    /// Something is in the way.
    pub fn missing(&self) -> Result<Vec<Self>, Blocked> {
        let parts: Vec<&str> = self.below.split('/').collect();
        let mut missing = Vec::new();
        for end in 1..parts.len() {
            let spot =
                Self { below: parts.get(..end).unwrap_or_default().join("/"), ..self.clone() };
            let there = spot.directory()?.map(|dir| dir.kind(spot.name()));
            if !matches!(there, Some(Ok(kind)) if kind != Kind::Missing) {
                missing.push(spot);
            }
        }
        Ok(missing)
    }

    fn walk(&self, make: Option<u32>) -> Result<Option<Dir>, Blocked> {
        let opened = match self.home {
            true => Dir::open(&self.base),
            false => Dir::from_root(&self.base, None),
        };
        let mut at = self.base.clone();
        let blocked = |path: &Path, why: String| Blocked { path: path.into(), why };
        let mut here = match opened {
            Ok(dir) => dir,
            Err(e) if e.kind() == io::ErrorKind::NotFound && make.is_none() => return Ok(None),
            Err(e) => return Err(blocked(&at, format!("it cannot be entered: {e}"))),
        };
        let Some((directories, _)) = self.below.rsplit_once('/') else { return Ok(Some(here)) };
        for name in directories.split('/') {
            at.push(name);
            here = match (here.kind(name), make) {
                (Ok(Kind::Missing), None) => return Ok(None),
                (Ok(Kind::Missing), Some(mode)) => here
                    .make_path(Path::new(name), mode, None)
                    .and_then(|made| here.sync().map(|()| made))
                    .map_err(|e| blocked(&at, format!("it cannot be made: {e}")))?,
                (Ok(Kind::Link), _) => return Err(blocked(&at, LINK.into())),
                (Ok(Kind::File | Kind::Special), _) => {
                    return Err(blocked(&at, "it is no directory".into()));
                }
                (Ok(Kind::Directory), _) => here
                    .enter(name)
                    .map_err(|e| blocked(&at, format!("it cannot be entered: {e}")))?,
                (Err(e), _) => return Err(blocked(&at, format!("it cannot be looked at: {e}"))),
            };
        }
        Ok(Some(here))
    }

    /// The file; `Ok(None)` where there is none.
    ///
    /// # Errors
    /// It is no regular file, or can't be read, or is too large, or something is in the way.
    pub fn look(&self) -> Result<Option<Found>, Blocked> {
        match self.directory()? {
            Some(dir) => self.look_in(&dir),
            None => Ok(None),
        }
    }

    /// The same in its directory, which is open.
    ///
    /// # Errors
    /// The same.
    pub fn look_in(&self, dir: &Dir) -> Result<Option<Found>, Blocked> {
        use std::os::unix::fs::MetadataExt;
        let unreadable = |e: io::Error| self.blocked(format!("it cannot be read: {e}"));
        match dir.kind(self.name()).map_err(unreadable)? {
            Kind::Missing => return Ok(None),
            Kind::File => {}
            Kind::Link => return Err(self.blocked(LINK.into())),
            Kind::Directory => return Err(self.blocked("it is a directory".into())),
            Kind::Special => return Err(self.blocked("it is no regular file".into())),
        }
        let file = dir.read(self.name()).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(self.blocked(format!("it is larger than {MAX_FILE} bytes")));
        }
        Ok(Some(Found { bytes, mode }))
    }

    /// That something is wrong here.
    pub fn blocked(&self, why: String) -> Blocked {
        Blocked { path: self.path(), why }
    }
}

const LINK: &str = "it is a symbolic link, which is not followed";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn ground(home: &Path) -> Ground {
        let mut places = Places::of(home, |_| None);
        places.config = home.join(".config/mise");
        Ground { places, links: BTreeMap::new() }
    }

    #[test]
    fn a_link_on_the_way_or_at_the_end_is_named() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("mise.toml"), "").unwrap();
        symlink(elsewhere.path(), home.path().join("p")).unwrap();
        fs::create_dir(home.path().join("q")).unwrap();
        symlink(elsewhere.path().join("mise.toml"), home.path().join("q/mise.toml")).unwrap();
        let ground = ground(home.path());
        for (path, named) in [("p/mise.toml", "p"), ("q/mise.toml", "q/mise.toml")] {
            let e = ground.spot(path).look().unwrap_err();
            assert_eq!((e.path, e.why.as_str()), (home.path().join(named), LINK));
        }
        let e = ground.spot("p/x/mise.toml").make_directory(0o755).unwrap_err();
        assert_eq!(e.path, home.path().join("p"));
    }

    #[test]
    fn a_link_of_the_operators_is_followed_where_it_leads_to_what_is_declared() {
        let home = tempfile::tempdir().unwrap();
        let disk = tempfile::tempdir().unwrap();
        fs::create_dir(disk.path().join("site")).unwrap();
        fs::write(disk.path().join("site/mise.toml"), "[tools]").unwrap();
        symlink(disk.path(), home.path().join("projects")).unwrap();
        let mut ground = ground(home.path());
        assert!(ground.spot("projects/site/mise.toml").look().is_err());
        ground.links.insert("projects".into(), disk.path().into());
        assert!(ground.spot("projects/site/mise.toml").look().unwrap().is_some());
        let here = disk.path().join("site");
        assert_eq!(ground.workspace(Path::new("."), &here).unwrap(), "projects/site");
        ground.links.insert("projects".into(), "/other".into());
        assert!(ground.spot("projects/site/mise.toml").look().is_err());
    }

    #[test]
    fn a_workspace_is_named_from_home_from_here_or_whole() {
        let ground = ground(Path::new("/h/u"));
        let named = |name: &str| ground.workspace(Path::new(name), Path::new("/h/u/p"));
        assert_eq!(named("~/p/site").unwrap(), "p/site");
        assert_eq!(named("site/").unwrap(), "p/site");
        assert_eq!(named("./site").unwrap(), "p/site");
        assert_eq!(named("/h/u/x").unwrap(), "x");
        assert!(named("/etc").is_err() && named("/h/user2").is_err());
        assert_eq!(named("..").unwrap(), "p/..", "refused by the table");
    }

    #[test]
    fn a_configuration_elsewhere_is_found_there() {
        let home = Path::new("/h");
        let mut ground = ground(home);
        ground.places.config = "/h/cfg/m".into();
        assert_eq!(ground.spot(".config/mise/mise.lock").path(), Path::new("/h/cfg/m/mise.lock"));
        ground.places.config = "/x".into();
        let spot = ground.spot(".config/mise/locks/a/b");
        assert_eq!((spot.path(), spot.home), ("/x/locks/a/b".into(), false));
    }
}
