//! The journal's file: append, sync, read back whatever is left of it.

use super::event::{Epoch, Event, Record, Runner};
use crate::sys::{beneath, clock, files, process};
use jiff::Timestamp;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The file's name in a state directory.
pub const NAME: &str = "journal";

/// Blocks set aside at each boot, in bytes, so that its last events still fit when the boot
/// itself has filled the disk. Some twenty times what a boot writes.
const RESERVE: i64 = 64 << 10;

/// No more than the last part of a journal is read: the newest boot is at its end.
const MAX_READ: u64 = 4 << 20;

/// A journal larger than this is begun anew at the next boot; the old one is kept beside it.
const ROTATE_AT: u64 = 1 << 20;

/// An append-only file of [`Record`]s.
#[derive(Debug)]
pub struct Appender {
    file: File,
}

impl Appender {
    /// Opens (or makes) the file `name` in `dir`, readable by all.
    ///
    /// # Errors
    /// What `openat(2)` says, the end of the file cannot be mended, or there is no room
    /// for the events to come.
    pub fn open(dir: &beneath::Dir, name: &str) -> io::Result<Self> {
        let mut file = dir.append(name, 0o644)?;
        end_torn_line(&mut file)?;
        files::reserve(&file, RESERVE)?;
        dir.sync()?;
        Ok(Self { file })
    }

    /// Appends one event in a single write.
    ///
    /// # Errors
    /// What `write(2)` says; ENOSPC above all.
    pub fn append(&self, event: Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Record { at: Timestamp::now(), event })?;
        line.push(b'\n');
        (&self.file).write_all(&line)
    }

    /// Appends one event and waits until it and all before it are on the disk.
    ///
    /// # Errors
    /// What `write(2)` and `fdatasync(2)` say.
    pub fn append_durably(&self, event: Event) -> io::Result<()> {
        self.append(event)?;
        self.file.sync_data()
    }
}

/// A power cut may have left half a line: the next event must not be glued to it.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(());
    }
    let mut last = [0u8];
    file.read_exact_at(&mut last, length - 1)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// Sets an overgrown journal in `dir` aside as `journal.old`.
pub fn rotate(dir: &Path) {
    let path = dir.join(NAME);
    if path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() > ROTATE_AT) {
        let _ = fs::rename(&path, dir.join("journal.old"));
    }
}

/// What could be read of a journal.
#[derive(Debug, Default)]
pub struct Contents {
    /// The events, oldest first.
    pub records: Vec<Record>,
    /// Lines that are no event: torn by a power cut, damaged, or forged.
    pub unreadable: usize,
    /// Those of them that no power cut explains.
    pub damaged: usize,
    /// The file's owner.
    pub owner: u32,
}

/// Reads the file at `path`. Lines that are no event are counted and passed over.
///
/// # Errors
/// It is missing, no regular file, or cannot be read.
pub fn read(path: &Path) -> io::Result<Contents> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut file = File::options().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if meta.len() > MAX_READ {
        use std::io::Seek;
        file.seek(io::SeekFrom::End(-(MAX_READ as i64)))?;
    }
    let mut bytes = Vec::new();
    file.take(MAX_READ).read_to_end(&mut bytes)?;
    let mut contents = parse(&bytes);
    contents.owner = meta.uid();
    Ok(contents)
}

/// Reads events from arbitrary bytes.
pub fn parse(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    for line in bytes.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(record) => contents.records.push(record),
            Err(e) => {
                contents.unreadable += 1;
                contents.damaged += usize::from(!may_be_torn(line, &e));
            }
        }
    }
    contents
}

/// An append that a power cut took in the middle leaves the beginning of a line: the text
/// ends before the object does. Anything else is damage.
fn may_be_torn(line: &[u8], e: &serde_json::Error) -> bool {
    const START: &[u8] = b"{\"at\":";
    e.is_eof() && (line.starts_with(START) || START.starts_with(line))
}

/// Inode of this process's pid namespace; 0 where it cannot be seen.
pub fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino())
}

/// Does `epoch` name the life of the sandbox that is going on now? What cannot be seen
/// doesn't tell two lives apart.
pub fn is_this_life(epoch: &Epoch) -> bool {
    let here = pid_namespace();
    epoch.kernel_boot == clock::kernel_boot_id()
        && (epoch.pid_namespace == here || epoch.pid_namespace == 0 || here == 0)
        && (epoch.init_start == 0 || process::lives(epoch.init_pid, epoch.init_start))
}

/// This process as the runner of a boot in the sandbox whose init is `init_pid`.
pub fn runner(init_pid: i32) -> Runner {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let start = |pid| process::start_ticks(pid).unwrap_or(0);
    let epoch = Epoch {
        kernel_boot: clock::kernel_boot_id().to_owned(),
        pid_namespace: pid_namespace(),
        init_pid,
        init_start: start(init_pid),
    };
    Runner { pid, start_ticks: start(pid), epoch }
}

#[cfg(test)]
mod tests {
    use super::super::event::{BootEnded, Outcome};
    use super::*;
    use crate::sys::beneath::Dir;

    fn ended() -> Event {
        Event::BootEnded(BootEnded {
            outcome: Outcome::Complete,
            phase: None,
            interrupted: None,
            elapsed_ms: 1,
        })
    }

    #[test]
    fn what_is_appended_is_read_back() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        Appender::open(&dir, NAME).unwrap().append_durably(ended()).unwrap();
        Appender::open(&dir, NAME).unwrap().append(ended()).unwrap();
        let contents = read(&tmp.path().join(NAME)).unwrap();
        assert_eq!((contents.records.len(), contents.unreadable), (2, 0));
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        let path = tmp.path().join(NAME);
        Appender::open(&dir, NAME).unwrap().append(ended()).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 1..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            Appender::open(&dir, NAME).unwrap().append(ended()).unwrap();
            let contents = read(&path).unwrap();
            // Cut only before the newline, the event itself is whole.
            let survived = usize::from(cut == whole.len() - 1);
            assert_eq!(
                (contents.records.len(), contents.unreadable),
                (1 + survived, 1 - survived),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_events_and_no_panic() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let bytes: Vec<u8> = (0..rng.usize(0..400)).map(|_| rng.u8(..)).collect();
            assert!(parse(&bytes).records.is_empty());
        }
    }

    #[test]
    fn a_link_in_the_journals_place_is_not_followed() {
        let tmp = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", tmp.path().join(NAME)).unwrap();
        assert!(read(&tmp.path().join(NAME)).is_err());
    }
}
