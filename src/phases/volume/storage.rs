//! What a machine does to get a volume to its mount point, and what both kinds share: the
//! questions that root's helper answers, and the programs that are run.
//!
//! Whatever touches a device or a file system happens in a child with a deadline.

use super::content::{self, Seen};
use super::find::{Disk, Machine};
use super::fstab::{self, Change};
use super::{Request, check, no_answer};
use crate::config::Volume;
use crate::engine::command::End;
use crate::engine::{Context, HelperError, excerpt};
use crate::journal::Problem;
use crate::phases::roots::{self, Ran};
use crate::plan::Entry;
use crate::sys::beneath::Dir;
use crate::sys::mounts::{self, Mount};
use crate::sys::{Kernel, Linux, files, signals, trusted};
use nix::sys::stat::{major, minor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What may be answered without waiting for a device or a server.
const QUICK: Duration = Duration::from_secs(20);

/// A question to `agent internal storage`, which is root.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Which device is it? (`Found`)
    Find { device: String, wait_ms: u64 },
    /// What is on it, and does nobody use it? (`Looked`)
    Look { disk: Disk, mounted: bool },
    /// Make the mount point; may root walk there? (`Option<String>`, why not)
    Way { target: PathBuf },
    /// Does the file system answer? (`Option<String>`, why not)
    Answers { target: PathBuf },
    /// See to it that the line is in fstab. (`Change`)
    Fstab { entry: Entry },
    /// Give the mount point to the user. (`Given`)
    Give(Box<Request>),
}

/// What was given away, or what kept it from being.
pub(super) type Given = Result<Option<String>, Problem>;

/// The answer to [`Ask::Look`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Looked {
    /// This is on it.
    Seen(Seen),
    /// Something else uses it.
    Busy,
    /// It cannot be read; the text says why.
    Unreadable(String),
}

/// The helper `agent internal storage`.
pub fn helper(ask: &Ask) -> Option<serde_json::Value> {
    let answer = match ask {
        Ask::Find { device, wait_ms } => {
            serde_json::to_value(Machine::this().wait_for(device, Duration::from_millis(*wait_ms)))
        }
        Ask::Look { disk, mounted } => serde_json::to_value(look(disk, *mounted)),
        Ask::Way { target } => serde_json::to_value(way(target).err()),
        Ask::Answers { target } => serde_json::to_value(answers(target).err()),
        Ask::Fstab { entry } => serde_json::to_value(fstab::ensure(entry)),
        Ask::Give(request) => serde_json::to_value(check::give_to_user(request, &Linux)),
    };
    answer.ok()
}

/// Opened for reading alone. Exclusively, too, unless it is known to be mounted: then the
/// kernel refuses a device that is mounted, swapped to, or part of another (`open(2)`, O_EXCL).
fn look(disk: &Disk, mounted: bool) -> Looked {
    let exclusive = if mounted { 0 } else { libc::O_EXCL };
    let opened =
        File::options().read(true).custom_flags(exclusive | libc::O_NONBLOCK).open(&disk.node);
    let mut file = match opened {
        Ok(file) => file,
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) => return Looked::Busy,
        Err(e) => return Looked::Unreadable(e.to_string()),
    };
    let seen = file.metadata().and_then(|m| {
        let number = (major(m.rdev()) as u32, minor(m.rdev()) as u32);
        if !m.file_type().is_block_device() || number != disk.number {
            return Err(std::io::Error::other("another device took its place"));
        }
        let size = file.seek(SeekFrom::End(0))?;
        content::look(&file, size)
    });
    seen.map_or_else(|e| Looked::Unreadable(e.to_string()), Looked::Seen)
}

/// `mount(8)`, and systemd after the next start, follow the path by its name: nobody but root
/// may be able to lay another way there.
fn way(target: &Path) -> Result<(), String> {
    Dir::from_root(target, Some(0o755)).map_err(|e| e.to_string())?;
    let parent = target.parent().unwrap_or(Path::new("/"));
    let there = File::open(parent).map_err(|e| e.to_string())?;
    let roots = trusted::leads_to(parent, &there)
        && there.metadata().is_ok_and(|m| m.uid() == 0 && m.mode() & 0o022 == 0);
    if roots { Ok(()) } else { Err("others than root can change the way to it".into()) }
}

fn answers(target: &Path) -> Result<(), String> {
    files::space(target).map_err(|e| e.to_string())?;
    let mut entries = target.read_dir().map_err(|e| e.to_string())?;
    entries.next().transpose().map(|_| ()).map_err(|e| e.to_string())
}

/// What a volume's storage came to, where nothing failed.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) notes: Vec<String>,
    /// What doesn't keep the volume from being used.
    pub(super) problems: Vec<Problem>,
}

/// Root at work on one volume.
pub(super) struct Root<'a, 'b> {
    pub(super) request: &'a Request,
    pub(super) cx: &'a Context<'b>,
    /// When it must be done.
    pub(super) limit: Instant,
    log: File,
    log_path: PathBuf,
}

impl<'a, 'b> Root<'a, 'b> {
    pub(super) fn new(request: &'a Request, cx: &'a Context<'b>) -> Result<Self, Problem> {
        let (log, log_path) = cx.open_log("volume").map_err(|e| no_log(&e))?;
        Ok(Self { request, cx, limit: cx.limit, log, log_path })
    }

    pub(super) fn volume(&self) -> &Volume {
        &self.request.volume
    }

    /// From now on there is this much time.
    pub(super) fn within(&mut self, deadline: Duration) {
        self.limit = (Instant::now() + deadline).min(self.cx.limit);
    }

    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_duration_since(Instant::now())
    }

    /// Asks what needs no more than a moment.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, Problem> {
        self.ask_within(ask, QUICK.min(self.left())).await
    }

    pub(super) async fn ask_within<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        deadline: Duration,
    ) -> Result<T, Problem> {
        let answer: Result<T, HelperError> = self.cx.helper("storage", ask, false, deadline).await;
        answer.map_err(|e| no_answer(self.request, "preparing", e))
    }

    /// What is mounted at the mount point.
    pub(super) fn mounted(&self) -> Result<Option<Mount>, Problem> {
        let table = Linux.mounts().map_err(|e| check::no_mount_table(&e))?;
        Ok(mounts::at(&table, &self.volume().target).cloned())
    }

    /// Root must be able to get to the mount point, and nobody else to move it.
    pub(super) async fn way(&self) -> Result<(), Problem> {
        let target = &self.volume().target;
        let why: Option<String> = self.ask(&Ask::Way { target: target.clone() }).await?;
        let Some(why) = why else { return Ok(()) };
        let shown = target.display();
        Err(Problem::new(
            "volume-target-open",
            format!("nothing is mounted at {shown}: {why}"),
            "write a target whose directories are all root's, without links and closed to the writing of others; for a way from the home there is [home.links]",
        ))
    }

    /// Runs a program as root to its end by itself; any other end is a problem.
    pub(super) async fn run(&mut self, argv: &[String]) -> Result<Ran, Problem> {
        match self.execute(argv).await? {
            (End::Exited(status), output) => Ok(Ran { status, output }),
            (other, output) => Err(self.cut_off(argv, &other, &output)),
        }
    }

    /// Runs a program as root.
    pub(super) async fn execute(&mut self, argv: &[String]) -> Result<(End, String), Problem> {
        let name = argv.first().map_or("", String::as_str);
        let Some(program) = roots::program(name) else { return Err(absent(name)) };
        let log = (&self.log, self.log_path.as_path());
        let ran = roots::execute(program, argv, log, self.limit, self.cx).await;
        ran.map_err(|e| no_log(&e))
    }

    pub(super) fn cut_off(&self, argv: &[String], end: &End, output: &str) -> Problem {
        let name = argv.first().map_or("", String::as_str);
        let target = self.volume().target.display();
        let problem = match end {
            End::NotStarted(e) => Problem::new(
                "storage-program",
                format!("{name} cannot be started: {e}"),
                "check that the program is built for this machine",
            ),
            End::Signaled(signal) => Problem::new(
                "storage-program",
                format!("{name} for {target} was killed by {}", signals::name(*signal)),
                "run `agent boot` again; SIGKILL without an operator is most often a lack of memory",
            ),
            End::Deadline => Problem::new(
                "storage-deadline",
                format!("{name} for {target} did not end in time"),
                "look at the log of the volume phase and at the kernel's (journalctl -k); raise `deadline` of this volume where it only needs longer",
            ),
            End::Cancelled | End::Exited(_) => Problem::new(
                "volume-interrupted",
                format!("{name} for {target} was cut off by a request to stop"),
                "start the machine again, or run `agent boot`",
            ),
        };
        self.with_log(problem.evidence(excerpt(output)))
    }

    /// The program's last words, and where the rest is.
    pub(super) fn quoting(&self, problem: Problem, output: &str) -> Problem {
        self.with_log(problem.evidence(excerpt(output)))
    }

    fn with_log(&self, problem: Problem) -> Problem {
        problem.log(self.log_path.clone())
    }

    /// The line for later boots. Without it the volume is mounted all the same, by the agent.
    pub(super) async fn fstab(&self, entry: Entry, ready: &mut Ready) {
        let target = self.volume().target.display().to_string();
        let line = entry.to_string();
        let problem = match self.ask(&Ask::Fstab { entry }).await {
            Ok(Change::None) => return,
            Ok(Change::Written) => {
                return ready.notes.push(format!("wrote to /etc/fstab: {line}"));
            }
            Ok(Change::Foreign(source)) => Problem::new(
                "fstab-foreign",
                format!(
                    "/etc/fstab mounts {source} at {target}, not what this boot has mounted there"
                ),
                format!("remove that line, or correct this volume; the agent's would be: {line}"),
            ),
            Ok(Change::Failed(why)) => Problem::new(
                "fstab-unwritable",
                format!("/etc/fstab cannot be changed: {why}"),
                format!("add the line yourself: {line}"),
            ),
            Err(problem) => problem,
        };
        ready.problems.push(problem);
    }
}

/// Is a program there that another one starts?
pub(super) fn there(name: &str) -> bool {
    roots::there(name)
}

pub(super) fn absent(name: &str) -> Problem {
    roots::absent("storage-program-absent", name)
}

fn no_log(e: &std::io::Error) -> Problem {
    Problem::new(
        "log-unwritable",
        format!("the log of the volume phase cannot be opened: {e}"),
        "make room in the state directory",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_way_that_somebody_else_can_change_is_none() {
        let shared = tempfile::tempdir_in("/var/tmp").unwrap();
        let target = shared.path().join("mnt");
        let why = way(&target).unwrap_err();
        assert!(why.contains("others than root"), "/var/tmp is everybody's: {why}");
        std::fs::set_permissions(shared.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("/", shared.path().join("link")).unwrap();
        assert!(way(&shared.path().join("link/x")).is_err());
        assert!(way(Path::new("relative")).is_err());
    }

    #[test]
    fn a_file_is_no_device_and_a_directory_answers() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("image");
        std::fs::write(&node, [0; 4096]).unwrap();
        let disk = Disk {
            name: "image".into(),
            node,
            number: (7, 0),
            sequence: None,
            read_only: false,
            holders: vec![],
            partitions: vec![],
        };
        assert!(matches!(look(&disk, false), Looked::Unreadable(why) if why.contains("another")));
        assert_eq!(answers(dir.path()), Ok(()));
        assert!(answers(&dir.path().join("none")).is_err());
    }
}
