//! Volumes: is each mount point what the sandbox needs, and not the image's own
//! directory beneath a mount that never happened?
//!
//! What needs privilege (mounting, giving the mount point to the user) is done by the
//! boot; everything beneath the mount point is done by a helper that is the sandbox
//! user, so that no planted link leads root astray. Whatever touches the filesystem
//! happens in a child with a deadline: a dead network filesystem hangs the child.

mod check;
mod fill;

use crate::config::Volume;
use crate::config::value::OnFailure;
use crate::engine::{Context, HelperError, Report};
use crate::journal::Problem;
use crate::sys::beneath::Dir;
use crate::sys::privilege::Need;
use crate::sys::{Kernel, Linux, mounts};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long checks and the filling of one volume may take.
const CHECKS_TAKE: Duration = Duration::from_secs(50);

/// What a helper is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    volume: Volume,
    uid: u32,
    gid: u32,
}

/// What a helper answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    problems: Vec<(OnFailure, Problem)>,
    notes: Vec<String>,
}

/// Makes and checks every volume. All of them are looked at, so that one boot names
/// all that is wrong.
pub async fn run(volumes: &[Volume], cx: &Context<'_>) -> Report {
    let mut report = Report::default();
    for volume in volumes {
        let answer = one(volume, cx).await.unwrap_or_else(|problem| Answer {
            problems: vec![(volume.on_failure(), problem)],
            notes: vec![],
        });
        report.problems.extend(answer.problems);
        report.notes.extend(answer.notes);
        if cx.cancel.requested().is_some() {
            break;
        }
    }
    report
}

async fn one(volume: &Volume, cx: &Context<'_>) -> Result<Answer, Problem> {
    let request = Request { volume: volume.clone(), uid: cx.user().uid, gid: cx.user().gid };
    let mut notes = Vec::new();
    notes.extend(mount_where_wanted(&request, cx).await?);
    let mount = check::mount_point(volume, &Linux)?;
    notes.push(format!("{} is {} from {}", volume.target.display(), mount.fstype, mount.source));
    notes.extend(check::give_to_user(&request, &Linux)?);
    let answer: Result<Answer, _> = cx.helper("volume", &request, true, CHECKS_TAKE).await;
    let mut answer = answer.map_err(|e| no_answer(volume, "checking", e))?;
    notes.append(&mut answer.notes);
    Ok(Answer { notes, ..answer })
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
    if !Linux.may(Need::SysAdmin) {
        let name = Need::SysAdmin.name();
        return Err(Problem::new(
            "volume-mount-no-capability",
            format!("{} cannot be mounted at {target}: the agent lacks {name}", mount.source),
            format!("mount it from outside (-v SOURCE:{target}), or start with --cap-add {name}"),
        ));
    }
    let answer: Result<Option<Problem>, _> =
        cx.helper("mount", request, false, mount.deadline.0).await;
    match answer.map_err(|e| no_answer(volume, "mounting", e))? {
        None => Ok(Some(format!("mounted {} at {target}", mount.source))),
        Some(problem) => Err(problem),
    }
}

fn no_answer(volume: &Volume, doing: &str, e: HelperError) -> Problem {
    let target = volume.target.display();
    match e {
        HelperError::Hung => Problem::new(
            "volume-hung",
            format!("{doing} {target} did not end in time"),
            "a network filesystem whose server is gone hangs so: check the server and the network",
        ),
        HelperError::Broken(why) => Problem::new(
            "volume-unchecked",
            format!("{doing} {target} broke off"),
            "run `agent boot` again; if it persists, report it with this evidence",
        )
        .evidence(why),
        HelperError::Cancelled => Problem::new(
            "volume-interrupted",
            format!("{doing} {target} was cut off by a request to stop"),
            "start the sandbox again",
        ),
    }
}
