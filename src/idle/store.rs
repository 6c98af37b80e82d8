//! Where the account of idle time is kept: `/run/agent/idle`, root's, in memory, so that it
//! ends with each start of the machine. And how the sandbox user, who may not write there,
//! asks for more time.
//!
//! A request is a file in a directory of that user's. It is taken once, by the check, and
//! becomes a line in root's own account: it says how long from when, never until when, and
//! is bounded there. What else lies in that directory is never followed, and root writes
//! nothing there.

use super::account::Account;
use crate::sys::beneath::{Dir, Owner};
use crate::sys::files::{self, Lock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Where everything is, below `/run`.
const PLACE: &str = "agent/idle";
const ACCOUNT: &str = "account";
/// The directory in which the sandbox user asks, and the request.
const ASK: &str = "ask";
const REQUEST: &str = "request";

/// No file here is larger.
const LONGEST: u64 = 64 << 10;

/// How long another check is waited for. It may be calling the EC2 API.
const PATIENCE: Duration = Duration::from_secs(100);

/// Somebody wants more time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// In which start of the machine (the kernel's boot id).
    pub start: String,
    /// When, of [`super::clock::Now::up_ms`].
    pub asked_ms: u64,
    /// For how long; 0 takes an extension back.
    pub for_ms: u64,
}

/// The place, opened by root, and nobody else's while this lives.
pub struct Store {
    dir: Dir,
    _lock: Lock,
}

impl Store {
    /// Opens it, making it where it is missing, and the sandbox user's directory in it.
    ///
    /// # Errors
    /// It cannot be made or locked.
    pub fn open(user: Owner) -> io::Result<Self> {
        let dir = Dir::open(Path::new("/run"))?.make_path(Path::new(PLACE), 0o755, None)?;
        let limit = Instant::now() + PATIENCE;
        let lock = loop {
            if let Some(lock) = files::try_lock(dir.append("lock", 0o600)?)? {
                break lock;
            }
            if Instant::now() > limit {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another check does not end"));
            }
            thread::sleep(Duration::from_millis(50));
        };
        dir.make_path(Path::new(ASK), 0o700, None)?.set_owner(user)?;
        Ok(Self { dir, _lock: lock })
    }

    /// What is known; nothing where there is no account, or none that can be read.
    pub fn account(&self) -> Account {
        self.dir.read(ACCOUNT).and_then(parsed).unwrap_or_default()
    }

    /// Keeps it, at once and whole.
    ///
    /// # Errors
    /// There is no room.
    pub fn keep(&self, account: &Account) -> io::Result<()> {
        write(&self.dir, ACCOUNT, 0o644, account)
    }

    /// Takes the request that lies there, if one does that is really `user`'s.
    pub fn take_request(&self, user: Owner) -> Option<Request> {
        let ask = self.dir.enter(ASK).ok()?;
        let read = || {
            let file = ask.read(REQUEST).ok()?;
            let meta = file.metadata().ok()?;
            let theirs = meta.uid() == user.0 && meta.nlink() == 1;
            theirs.then(|| parsed(file).ok()).flatten()
        };
        let request = read();
        let _ = ask.remove(REQUEST);
        request
    }
}

/// The account as every user can read it.
pub fn look() -> Account {
    open_place().and_then(|dir| dir.read(ACCOUNT)).and_then(parsed).unwrap_or_default()
}

/// The request that waits for the next check, where this user may see it.
pub fn waiting() -> Option<Request> {
    let ask = open_place().and_then(|dir| dir.enter(ASK)).ok()?;
    ask.read(REQUEST).and_then(parsed).ok()
}

/// Leaves a request, as the sandbox user.
///
/// # Errors
/// This user may not, or no check has made the place yet.
pub fn ask(request: &Request) -> io::Result<()> {
    write(&open_place()?.enter(ASK)?, REQUEST, 0o600, request)
}

fn open_place() -> io::Result<Dir> {
    let components = Path::new(PLACE).components().filter_map(|c| c.as_os_str().to_str());
    components.into_iter().try_fold(Dir::open(Path::new("/run"))?, |here, name| here.enter(name))
}

fn parsed<T: DeserializeOwned>(file: impl Read) -> io::Result<T> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Writes a file that is never seen half.
fn write<T: Serialize>(dir: &Dir, name: &str, mode: u32, content: &T) -> io::Result<()> {
    let new = format!(".{name}.new");
    dir.remove(&new)?;
    dir.create_new(&new, mode)?.write_all(&serde_json::to_vec(content)?)?;
    dir.rename(&new, name)
}
