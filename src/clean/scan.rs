//! The files that nobody named: small ones in homes and in `/etc`, told by their content.
//!
//! In a home the files of the home itself are looked at, and those in its hidden directories,
//! where programs keep what they are told once. What somebody works on lies in the others. A link
//! is followed as the image means it: nothing is done here but to look.

use super::detect::{self, Seen};
use super::ground::{Ground, Place, Thing};
use super::table::{Does, Item};
use std::io;
use std::path::{Path, PathBuf};

/// Larger ones are data.
const LARGEST: u64 = 256 << 10;

/// So many files are read in one home or in `/etc`; more is told.
const MOST: usize = 20_000;

/// How deep directories are entered: those of a home, and those of `/etc`.
const DEEP: usize = 2;
const DEEP_CONFIG: usize = 3;
const DEEP_ETC: usize = 5;

/// What programs fetched, and made of it: large, and not a person's.
const FETCHED: &[&str] =
    &[".cache", ".npm", ".nvm", ".rustup", ".cargo", ".pyenv", ".vscode-server", ".git"];

/// Of what is found here.
pub(super) static KEYS: Item = Item {
    name: "private-keys",
    why: "by its content a private key",
    paths: &[],
    does: Does::Tell,
    only: None,
};

/// Likewise.
pub(super) static TOKENS: Item = Item {
    name: "tokens",
    why: "by its content a credential",
    paths: &[],
    does: Does::Tell,
    only: None,
};

/// What is told of a file, or why it was not looked at.
pub(super) type Told = (PathBuf, Result<(Thing, &'static Item, usize), io::Error>);

/// Where a link leads out of what this image's people wrote.
const ELSEWHERE: &[&str] = &["/dev", "/proc", "/run", "/sys", "/usr"];

/// Looks through a home.
pub(super) fn home(ground: &Ground, home: &Place) -> Vec<Told> {
    let mut scan = Scan { ground, told: Vec::new(), read: 0 };
    scan.directory(home, 0, &|thing, depth| {
        let name = thing.name().to_string_lossy();
        match depth {
            0 => name.starts_with('.') && !FETCHED.contains(&&*name),
            _ => {
                let path = thing.path();
                let config = path.strip_prefix(home.path()).is_ok_and(|p| p.starts_with(".config"));
                depth < if config { DEEP_CONFIG } else { DEEP } && !FETCHED.contains(&&*name)
            }
        }
    });
    scan.told
}

/// Looks through `/etc`.
pub(super) fn etc(ground: &Ground, etc: &Place) -> Vec<Told> {
    let mut scan = Scan { ground, told: Vec::new(), read: 0 };
    // Certificates are many and public; their keys are elsewhere.
    let enters = |thing: &Thing, depth: usize| {
        depth < DEEP_ETC && thing.path() != Path::new("/etc/ssl/certs")
    };
    scan.directory(etc, 0, &enters);
    scan.told
}

struct Scan<'g> {
    ground: &'g Ground,
    told: Vec<Told>,
    read: usize,
}

impl Scan<'_> {
    fn directory(&mut self, place: &Place, depth: usize, enters: &dyn Fn(&Thing, usize) -> bool) {
        let things = match place.things() {
            Ok(things) => things,
            Err(e) => return self.told.push((place.path().into(), Err(e))),
        };
        for thing in things {
            // By its name here, whatever is at its end.
            let enters_it = (thing.is_directory() || thing.is_link()) && enters(&thing, depth);
            let Some(thing) = self.end(thing) else { continue };
            if thing.is_directory() && enters_it {
                match thing.enter() {
                    Ok(Some(below)) => self.directory(&below, depth + 1, enters),
                    Ok(None) => {}
                    Err(e) => self.told.push((thing.path(), Err(e))),
                }
            } else if thing.is_file() && !thing.is_empty() && thing.size() <= LARGEST {
                self.read += 1;
                if self.read > MOST {
                    if self.read == MOST + 1 {
                        let why = format!("there are more than {MOST} files, which are not read");
                        self.told.push((place.path().into(), Err(io::Error::other(why))));
                    }
                    return;
                }
                self.file(thing);
            }
        }
    }

    /// The thing, or what it leads to.
    fn end(&mut self, thing: Thing) -> Option<Thing> {
        if !thing.is_link() {
            return Some(thing);
        }
        match self.ground.follow(&thing.path()) {
            Ok(end) => end.filter(|end| !ELSEWHERE.iter().any(|e| end.path().starts_with(e))),
            Err(e) => {
                self.told.push((thing.path(), Err(e)));
                None
            }
        }
    }

    fn file(&mut self, thing: Thing) {
        let path = thing.path();
        match thing.content().map(|text| detect::finding(&text)) {
            Ok(None) => {}
            Ok(Some(Seen::Key(line))) => self.told.push((path, Ok((thing, &KEYS, line)))),
            Ok(Some(Seen::Token(line))) => self.told.push((path, Ok((thing, &TOKENS, line)))),
            Err(e) => self.told.push((path, Err(e))),
        }
    }
}
