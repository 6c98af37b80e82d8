//! What the boot tells PID 1, through a pipe: entries `KEY=VALUE`, each ended by a NUL
//! byte. PID 1 reads no configuration and looks up no user; it is told numbers.
//!
//! The writer is this same program, but a boot that dies may leave half an entry, so
//! the reader takes what is whole and passes over what it doesn't know.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// The most that is read: a pipe's capacity (`pipe(7)`).
pub const MAX: usize = 64 << 10;

/// How PID 1 stands to the workload; sent as soon as the configuration is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Start the workload after a failed boot too.
    pub hold: bool,
    /// Deadline of the whole boot.
    pub deadline: Duration,
    /// From TERM to KILL for the workload.
    pub grace: Duration,
    /// From TERM to KILL for what is left after it.
    pub leftover_grace: Duration,
    /// User, group and groups that the workload gets; `None` keeps PID 1's own.
    pub become_user: Option<(u32, u32, Vec<u32>)>,
    /// PID 1's own lines are JSON.
    pub json: bool,
    /// Variables that are set for the workload.
    pub variables: Vec<(String, String)>,
}

impl Default for Stand {
    /// Where the boot could tell nothing.
    fn default() -> Self {
        Self {
            hold: false,
            deadline: Duration::from_secs(60 * 60),
            grace: Duration::from_secs(7),
            leftover_grace: Duration::from_secs(1),
            become_user: None,
            json: false,
            variables: Vec::new(),
        }
    }
}

/// One message of the boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handoff {
    /// See [`Stand`].
    Stand(Stand),
    /// Why the boot ended as it did, one line.
    Reason(String),
    /// Something is about to be mounted here; to be unmounted at the end.
    Mount(PathBuf),
}

impl From<Stand> for Handoff {
    fn from(stand: Stand) -> Self {
        Self::Stand(stand)
    }
}

impl Handoff {
    /// Writes the message in one piece.
    ///
    /// # Errors
    /// What `write(2)` says: PID 1 is gone.
    pub fn send(&self, pipe: &mut impl Write) -> io::Result<()> {
        let mut text = String::new();
        let mut put = |key: &str, value: &str| {
            let value = value.replace('\0', " ");
            text.push_str(&format!("{key}={value}\0"));
        };
        match self {
            Self::Reason(reason) => put("reason", reason),
            Self::Mount(target) => put("mount", &target.to_string_lossy()),
            Self::Stand(s) => {
                put("hold", if s.hold { "1" } else { "0" });
                put("json", if s.json { "1" } else { "0" });
                put("deadline", &s.deadline.as_millis().to_string());
                put("grace", &s.grace.as_millis().to_string());
                put("leftover", &s.leftover_grace.as_millis().to_string());
                if let Some((uid, gid, groups)) = &s.become_user {
                    let numbers: Vec<String> =
                        [uid, gid].into_iter().chain(groups).map(ToString::to_string).collect();
                    put("user", &numbers.join(","));
                }
                for (name, value) in &s.variables {
                    put("set", &format!("{name}={value}"));
                }
                put("stand", "1");
            }
        }
        pipe.write_all(text.as_bytes())?;
        pipe.flush()
    }
}

/// The way to PID 1, where it is the parent of this boot.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Somebody listens: standard output is PID 1's pipe.
    pub open: bool,
}

impl Line {
    /// Tells PID 1, if it listens.
    ///
    /// # Errors
    /// What `write(2)` says: PID 1 is gone.
    pub fn tell(self, handoff: &Handoff) -> io::Result<()> {
        if self.open { handoff.send(&mut io::stdout().lock()) } else { Ok(()) }
    }
}

/// What has been received so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Present once it has arrived whole.
    pub stand: Option<Stand>,
    /// The last reason.
    pub reason: Option<String>,
    /// Where something was mounted, or was going to be.
    pub mounts: Vec<PathBuf>,
}

/// Reads every whole entry in `bytes`.
pub fn read(bytes: &[u8]) -> Received {
    let mut received = Received::default();
    let mut stand = Stand::default();
    let whole = bytes.iter().rposition(|&b| b == 0).map_or(0, |last| last + 1);
    for entry in bytes.get(..whole).unwrap_or_default().split(|&b| b == 0) {
        let entry = String::from_utf8_lossy(entry);
        let Some((key, value)) = entry.split_once('=') else {
            continue;
        };
        match key {
            "hold" => stand.hold = value == "1",
            "json" => stand.json = value == "1",
            "deadline" => set_millis(&mut stand.deadline, value),
            "grace" => set_millis(&mut stand.grace, value),
            "leftover" => set_millis(&mut stand.leftover_grace, value),
            "user" => stand.become_user = user(value),
            "set" => stand
                .variables
                .extend(value.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()))),
            "stand" => received.stand = Some(std::mem::take(&mut stand)),
            "mount" => received.mounts.push(value.into()),
            "reason" => received.reason = Some(value.to_owned()),
            _ => {}
        }
    }
    received
}

fn set_millis(place: &mut Duration, value: &str) {
    if let Ok(ms) = value.parse() {
        *place = Duration::from_millis(ms);
    }
}

fn user(value: &str) -> Option<(u32, u32, Vec<u32>)> {
    let numbers: Vec<u32> = value.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    match numbers.as_slice() {
        [uid, gid, groups @ ..] => Some((*uid, *gid, groups.to_vec())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Stand {
        Stand {
            hold: true,
            deadline: Duration::from_secs(5),
            grace: Duration::from_millis(1500),
            leftover_grace: Duration::from_secs(2),
            become_user: Some((1000, 1001, vec![1001, 27])),
            json: true,
            variables: vec![("PATH".into(), "/a=b:/c".into())],
        }
    }

    #[test]
    fn what_is_sent_arrives() {
        let mut bytes = Vec::new();
        Handoff::from(sample()).send(&mut bytes).unwrap();
        Handoff::Reason("failed: it\0did".into()).send(&mut bytes).unwrap();
        Handoff::Mount("/data=1".into()).send(&mut bytes).unwrap();
        let received = read(&bytes);
        assert_eq!(received.stand, Some(sample()));
        assert_eq!(received.reason.as_deref(), Some("failed: it did"));
        assert_eq!(received.mounts, [PathBuf::from("/data=1")]);
    }

    #[test]
    fn half_a_message_is_none() {
        let mut bytes = Vec::new();
        Handoff::from(sample()).send(&mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]).stand, None, "cut at {cut}");
        }
        assert_eq!(read(b"\xff\0=\0user=1\0stand=1\0").stand, Some(Stand::default()));
    }
}
