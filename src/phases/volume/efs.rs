//! EFS: NFS 4.1, mounted by the contract's command. A server that doesn't answer hangs a
//! `hard` mount for ever; here it hangs a child, which is ended at its deadline, and the boot
//! goes on to say so.

use super::storage::{Ask, Ready, Root, absent, there};
use super::{may_mount, no_answer};
use crate::config::value::human;
use crate::engine::HelperError;
use crate::engine::command::End;
use crate::engine::retry;
use crate::journal::Problem;
use crate::plan::EfsWork;
use crate::sys::mounts::Mount;
use crate::sys::privilege::Need;
use crate::sys::{Kernel, Linux};
use std::time::{Duration, Instant};
use tokio::time;

/// What `mount(8)` starts for NFS.
const CLIENT: &str = "mount.nfs4";

/// A server that has just been mounted answers at once.
const ANSWER_TAKES: Duration = Duration::from_secs(10);

/// What may pass: a name that is not yet known (a new mount target's takes up to 90 s), a network
/// that is not yet there, a server that is not yet up. Words of `strerror(3)` and
/// `gai_strerror(3)`, which mount.nfs repeats.
const PASSING: &[&str] = &[
    "Name or service not known",
    "Temporary failure in name resolution",
    "No address associated with hostname",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Network is unreachable",
    "Network is down",
    "No route to host",
    "Host is down",
    "Resource temporarily unavailable",
];

/// Gets it mounted and answering, and into fstab.
pub(super) async fn ready(work: &EfsWork, root: &mut Root<'_, '_>) -> Result<Ready, Problem> {
    let mut ready = Ready::default();
    root.within(work.deadline.0);
    if !is_mounted(work, root)? {
        may_mount(&work.source, root.request)?;
        if !there(CLIENT) {
            return Err(absent(CLIENT));
        }
        root.way().await?;
        mount(work, root, &mut ready).await?;
    }
    answers(work, root).await?;
    // An agent that is not root finds what root has mounted, and can do no more.
    if Linux.may(Need::SysAdmin) {
        root.fstab(work.fstab.clone(), &mut ready).await;
    }
    Ok(ready)
}

/// Is the right thing mounted there? Nothing is mounted over a wrong one.
fn is_mounted(work: &EfsWork, root: &Root<'_, '_>) -> Result<bool, Problem> {
    match root.mounted()? {
        None => Ok(false),
        Some(mount) => right(work, &mount).map(|()| true),
    }
}

fn right(work: &EfsWork, mount: &Mount) -> Result<(), Problem> {
    if mount.fstype.starts_with("nfs") && mount.source == work.source {
        return Ok(());
    }
    let (at, source) = (mount.point.display(), &mount.source);
    Err(Problem::new(
        "efs-wrong-mount",
        format!("{at} is {} from {source}, not {}", mount.fstype, work.source),
        format!(
            "unmount it (umount {at}) and take it out of /etc/fstab, or correct this volume; then run `agent boot`"
        ),
    ))
}

async fn mount(work: &EfsWork, root: &mut Root<'_, '_>, ready: &mut Ready) -> Result<(), Problem> {
    let mut rng = fastrand::Rng::new();
    for attempt in 1.. {
        let (end, output) = root.execute(&work.mount).await?;
        // Whatever it says: systemd mounts what is in fstab at the same time.
        if is_mounted(work, root)? {
            let times = if attempt > 1 { format!(" at attempt {attempt}") } else { String::new() };
            ready.notes.push(format!("mounted {}{times}", work.source));
            return Ok(());
        }
        match end {
            End::Exited(status) => {
                let wait = retry::backoff(attempt + 1, &mut rng);
                let passing = PASSING.iter().any(|words| output.contains(words));
                if !passing || Instant::now() + wait >= root.limit {
                    return Err(root.quoting(failed(work, root, status, &output), &output));
                }
                tokio::select! {
                    () = time::sleep(wait) => {}
                    () = root.cx.cancel.wait() => {
                        return Err(root.cut_off(&work.mount, &End::Cancelled, &output));
                    }
                }
            }
            End::Deadline => {
                return Err(root.quoting(silent(work, root, "did not answer"), &output));
            }
            other => return Err(root.cut_off(&work.mount, &other, &output)),
        }
    }
    Ok(())
}

fn failed(work: &EfsWork, root: &Root<'_, '_>, status: i32, output: &str) -> Problem {
    let target = root.volume().target.display();
    let next = match output {
        o if o.contains("resolve") || o.contains("Name or service") => {
            "check the file system's id, that it has a mount target in this availability zone, and that the VPC resolves DNS names"
        }
        o if o.contains("access denied") || o.contains("not permitted") => {
            "check the file system's policy and the mount target's security group"
        }
        o if PASSING.iter().any(|words| o.contains(words)) => {
            "check that the mount target's security group lets this machine in on TCP port 2049"
        }
        _ => "see the kernel log (journalctl -k) and the log of the volume phase",
    };
    Problem::new(
        "efs-mount-failed",
        format!("{} cannot be mounted at {target} (mount ended with status {status})", work.source),
        next,
    )
}

fn silent(work: &EfsWork, root: &Root<'_, '_>, what: &str) -> Problem {
    let target = root.volume().target.display();
    Problem::new(
        "efs-no-answer",
        format!(
            "the server of {} for {target} {what} within {}",
            work.source,
            human(work.deadline.0)
        ),
        "check that the mount target's security group lets this machine in on TCP port 2049, and the state of the file system; then run `agent boot`",
    )
}

/// The mount table says nothing of the server.
async fn answers(work: &EfsWork, root: &Root<'_, '_>) -> Result<(), Problem> {
    let ask = Ask::Answers { target: root.volume().target.clone() };
    let deadline = root.left().max(ANSWER_TAKES);
    let answer: Result<Option<String>, _> = root.cx.helper("storage", &ask, false, deadline).await;
    match answer {
        Ok(None) => Ok(()),
        Ok(Some(why)) => {
            Err(silent(work, root, "is mounted, and did not answer rightly").evidence(why))
        }
        Err(HelperError::Hung) => Err(silent(work, root, "is mounted, and did not answer")),
        Err(e) => Err(no_answer(root.request, "asking", e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Span;
    use crate::plan::Entry;
    use crate::sys::fake::mount as mounted;

    fn work() -> EfsWork {
        EfsWork {
            source: "fs-01234567.efs.eu-central-1.amazonaws.com:/".into(),
            mount: vec!["mount".into()],
            deadline: Span::seconds(90),
            fstab: Entry {
                source: String::new(),
                target: "/mint/user".into(),
                fstype: String::new(),
                options: String::new(),
                pass: 0,
            },
        }
    }

    #[test]
    fn what_fstab_has_mounted_already_must_be_the_same_server() {
        let mut there = mounted("/mint/user", "nfs4");
        there.source = work().source;
        assert_eq!(right(&work(), &there), Ok(()));
        there.source = "fs-89abcdef.efs.eu-central-1.amazonaws.com:/".into();
        assert_eq!(right(&work(), &there).unwrap_err().code, "efs-wrong-mount");
        let mut disk = mounted("/mint/user", "ext4");
        disk.source = work().source;
        assert_eq!(right(&work(), &disk).unwrap_err().code, "efs-wrong-mount");
    }
}
