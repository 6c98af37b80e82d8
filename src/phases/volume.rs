//! Volumes: is each mount point what the sandbox needs, and not the image's own
//! directory beneath a mount that never happened?
//!
//! What needs privilege (mounting, giving the mount point to the user, and on a machine all
//! that comes before: [`storage`]) is done by the boot and by helpers that are root;
//! everything beneath the mount point is done by a helper that is the sandbox user, so that
//! no planted link leads root astray. Whatever touches the filesystem happens in a child
//! with a deadline: a dead network filesystem hangs the child.

mod blank;
mod check;
mod content;
mod ebs;
mod efs;
mod fill;
mod find;
mod fstab;
#[cfg(fuzzing)]
pub mod fuzzing;
mod home;
mod storage;

pub(super) use content::filesystem;
pub use fstab::without_own as without_own_lines;
pub use home::helper as home_helper;
pub use storage::helper as storage_helper;

use super::guest;
use crate::config::value::OnFailure;
use crate::config::{Home, Volume};
use crate::engine::{Context, HelperError, Report};
use crate::init::handoff::Handoff;
use crate::journal::Problem;
use crate::plan::{Storage, VolumeWork};
use crate::sys::beneath::Dir;
use crate::sys::privilege::Need;
use crate::sys::{Kernel, Linux, mounts};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::{Ask, Given, Ready, Root};
use tracing::warn;

/// How long checks and the filling of one volume may take.
const CHECKS_TAKE: Duration = Duration::from_secs(50);

/// What a failure of EFS is filed under, by the contract.
const EFS_PHASE: &str = "efs-mount";

/// What a helper is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    volume: Volume,
    uid: u32,
    gid: u32,
    /// It is a machine's own, so no container engine can mount it otherwise.
    machine: bool,
}

impl Request {
    /// The next step: a container's is taken outside of it, a machine's inside.
    fn either(&self, container: String, machine: impl Into<String>) -> String {
        if self.machine { machine.into() } else { container }
    }
}

/// What a helper answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    problems: Vec<(OnFailure, Problem)>,
    notes: Vec<String>,
}

/// Makes and checks every volume. All of them are looked at, so that one boot names
/// all that is wrong. The home is seen to where nothing is.
pub async fn run(volumes: &[VolumeWork], home: &Home, cx: &Context<'_>) -> Report {
    let mut report = Report::default();
    for work in volumes {
        let volume = &work.volume;
        let mut answer = one(work, cx).await.unwrap_or_else(|problem| Answer {
            problems: vec![(volume.on_failure(), problem)],
            notes: vec![],
        });
        if volume.efs.is_some() {
            let filed = |(means, p): (_, Problem)| (means, p.filed_under(EFS_PHASE));
            answer.problems = answer.problems.into_iter().map(filed).collect();
        }
        report.problems.extend(answer.problems);
        report.notes.extend(answer.notes);
        if cx.cancel.requested().is_some() {
            return report;
        }
    }
    if !home.is_empty() && !report.problems.iter().any(|(means, _)| *means == OnFailure::Fail) {
        see_to(home, cx, &mut report).await;
    }
    if !report.problems.iter().any(|(means, _)| *means == OnFailure::Fail) {
        guest::at_mounted_home(cx, &mut report).await;
    }
    report
}

async fn one(work: &VolumeWork, cx: &Context<'_>) -> Result<Answer, Problem> {
    let volume = &work.volume;
    let request = Request {
        volume: volume.clone(),
        uid: cx.user().uid,
        gid: cx.user().gid,
        machine: work.storage.is_some(),
    };
    let mut ready = Ready::default();
    match &work.storage {
        Some(Storage::Skip { reason }) => {
            return Ok(Answer { problems: vec![], notes: vec![reason.clone()] });
        }
        Some(Storage::Refuse { problem }) => return Err(problem.clone()),
        Some(Storage::Efs(efs)) => ready = efs::ready(efs, &mut Root::new(&request, cx)?).await?,
        Some(Storage::Ebs(ebs)) => ready = ebs::ready(ebs, &mut Root::new(&request, cx)?).await?,
        None => ready.notes.extend(mount_where_wanted(&request, cx).await?),
    }
    let Ready { mut notes, problems } = ready;
    let degrading = problems.into_iter().map(|p| (OnFailure::Degrade, p));
    let mount = check::mount_point(&request, &Linux)?;
    notes.push(format!("{} is {} from {}", volume.target.display(), mount.fstype, mount.source));
    if volume.chown {
        notes.extend(give(&request, cx).await?);
    }
    let answer: Result<Answer, _> = cx.helper("volume", &request, true, CHECKS_TAKE).await;
    let mut answer = answer.map_err(|e| no_answer(&request, "checking", e))?;
    notes.append(&mut answer.notes);
    answer.problems.extend(degrading);
    Ok(Answer { notes, ..answer })
}

/// In a helper: a server that has gone hangs whoever looks at the owner.
async fn give(request: &Request, cx: &Context<'_>) -> Result<Option<String>, Problem> {
    let ask = Ask::Give(Box::new(request.clone()));
    let given: Result<Given, _> = cx.helper("storage", &ask, false, CHECKS_TAKE).await;
    given.map_err(|e| no_answer(request, "giving away", e))?
}

async fn see_to(home: &Home, cx: &Context<'_>, report: &mut Report) {
    let request = home::Request { home: cx.user().home.clone(), wanted: home.clone() };
    let answer: Result<home::Answer, _> = cx.helper("home", &request, true, CHECKS_TAKE).await;
    match answer {
        Ok(answer) => {
            report.problems.extend(answer.problems.into_iter().map(|p| (OnFailure::Degrade, p)));
            report.notes.extend(answer.notes);
        }
        Err(e) => {
            report.problems.push((OnFailure::Degrade, hung(&request.home, "seeing to", e, true)))
        }
    }
}

/// The helper `agent internal volume`: as the sandbox user, checks and fills one volume.
pub fn helper(request: &Request) -> Answer {
    let mut answer = Answer::default();
    let volume = &request.volume;
    check::as_user(request, &Linux, &mut answer.problems);
    // What is broken is not also written to.
    if !answer.problems.iter().any(|(means, _)| *means == OnFailure::Fail) {
        fill::fill(volume, &mut answer.problems, &mut answer.notes);
    }
    answer
}

/// The helper `agent internal mount`: mounts one volume. The answer is the problem, if any.
pub fn mount_helper(request: &Request) -> Option<Problem> {
    let target = &request.volume.target;
    let m = request.volume.mount.as_ref()?;
    // The way to the target may lead through the user's home: what is mounted on is the
    // directory that was opened without following a link, not whatever its path leads to.
    let made = match (target.parent(), target.file_name()) {
        (Some(parent), Some(name)) => Dir::from_root(parent, Some(0o755)).and_then(|parent| {
            mounts::make(&m.source, (&parent, Path::new(name)), &m.fstype, &m.options)
        }),
        _ => Err(io::Error::other("it is the root directory")),
    };
    made.err().map(|e| cannot_mount(&request.volume, &m.source, &m.fstype, &e))
}

/// The helper `agent internal unmount`: unmounts what a boot has mounted, in this order. Each that
/// fails, or is still in use, is told; returns whether all are gone from the tree.
pub fn unmount(targets: &[PathBuf]) -> bool {
    let mut all = true;
    for target in targets {
        let name = target.display();
        match mounts::unmake(target) {
            Ok(true) => {}
            Ok(false) => eprintln!("agent: warning: {name} was still in use as it was unmounted"),
            Err(e) => {
                eprintln!("agent: warning: {name} cannot be unmounted: {e}");
                all = false;
            }
        }
    }
    all
}

fn cannot_mount(volume: &Volume, source: &str, fstype: &str, e: &io::Error) -> Problem {
    let target = volume.target.display();
    if matches!(e.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR)) {
        return Problem::new(
            "volume-target-link",
            format!(
                "nothing is mounted at {target}: a part of its path is a symbolic link or no directory"
            ),
            "remove the link, or write the real path as `target`",
        );
    }
    let why = match e.raw_os_error() {
        Some(libc::ENODEV) => ": the kernel doesn't know this filesystem type",
        Some(libc::EBUSY) => ": the source is mounted elsewhere or in use",
        Some(libc::EINVAL) => ": wrong filesystem type, bad option, or damaged superblock",
        _ => "",
    };
    Problem::new(
        "volume-mount-failed",
        format!("{source} cannot be mounted at {target} as {fstype}"),
        "check that the device is attached and holds that filesystem; the kernel log (dmesg) may say more",
    )
    .evidence(format!("{e}{why}"))
}

async fn mount_where_wanted(
    request: &Request,
    cx: &Context<'_>,
) -> Result<Option<String>, Problem> {
    let volume = &request.volume;
    let Some(mount) = &volume.mount else {
        return Ok(None);
    };
    let target = volume.target.display();
    let table = Linux.mounts().map_err(|e| check::no_mount_table(&e))?;
    if mounts::at(&table, &volume.target).is_some() {
        return Ok(None);
    }
    may_mount(&mount.source, request)?;
    // Before the mount: a boot that is cut off meanwhile leaves nothing mounted either.
    if let Err(e) = cx.line.tell(&Handoff::Mount(volume.target.clone())) {
        warn!("PID 1 cannot be told to unmount {target} at the end: {e}");
    }
    mount_now(request, cx).await?;
    Ok(Some(format!("mounted {} at {target}", mount.source)))
}

/// Has the agent the capability?
fn may_mount(source: &str, request: &Request) -> Result<(), Problem> {
    if Linux.may(Need::SysAdmin) {
        return Ok(());
    }
    let target = request.volume.target.display();
    let name = Need::SysAdmin.name();
    Err(Problem::new(
        "volume-mount-no-capability",
        format!("{source} cannot be mounted at {target}: the agent lacks {name}"),
        request.either(
            format!("mount it from outside (-v SOURCE:{target}), or start with --cap-add {name}"),
            format!("run the agent as root, and leave it {name}"),
        ),
    ))
}

/// Mounts what the request's volume says, in a helper.
async fn mount_now(request: &Request, cx: &Context<'_>) -> Result<(), Problem> {
    let deadline = request.volume.mount.as_ref().map(|m| m.deadline.0).unwrap_or_default();
    let answer: Result<Option<Problem>, _> = cx.helper("mount", request, false, deadline).await;
    answer.map_err(|e| no_answer(request, "mounting", e))?.map_or(Ok(()), Err)
}

fn no_answer(request: &Request, doing: &str, e: HelperError) -> Problem {
    hung(&request.volume.target, doing, e, request.machine)
}

fn hung(what: &Path, doing: &str, e: HelperError, machine: bool) -> Problem {
    let what = what.display();
    match e {
        HelperError::Hung => Problem::new(
            "volume-hung",
            format!("{doing} {what} did not end in time"),
            if machine {
                "a disk or a server that is gone hangs so: see the kernel log (journalctl -k); a large disk may need a longer `deadline`"
            } else {
                "a network filesystem whose server is gone hangs so: check the server and the network"
            },
        ),
        HelperError::Broken(why) => Problem::new(
            "volume-unchecked",
            format!("{doing} {what} broke off"),
            "run `agent boot` again; if it persists, report it with this evidence",
        )
        .evidence(why),
        HelperError::Cancelled => Problem::new(
            "volume-interrupted",
            format!("{doing} {what} was cut off by a request to stop"),
            if machine {
                "start the machine again, or run `agent boot`"
            } else {
                "start the sandbox again"
            },
        ),
    }
}
