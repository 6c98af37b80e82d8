//! EBS: wait for the disk, find out what is on it, make ext4 only where nothing is, check,
//! mount, grow, and write it into fstab.
//!
//! The disk is opened for reading alone until all of that is decided. What is not understood
//! is left as it is, and named.

use super::content::{Blkid, Content, Filesystem, Seen, content};
use super::find::{Disk, Found};
use super::fstab;
use super::storage::{Ask, Looked, Ready, Root};
use super::{Request, may_mount, mount_now};
use crate::config::MountRequest;
use crate::config::value::{Bytes, Span, human, millis};
use crate::journal::Problem;
use crate::plan::{DEVICE, EbsWork, disk_entry};
use crate::sys::mounts::Mount;
use crate::sys::privilege::Need;
use crate::sys::{Kernel, Linux};
use std::time::{Duration, Instant};
use tokio::time;

/// How long another one may be at a disk that nobody has business with.
const OTHERS_TAKE: Duration = Duration::from_secs(10);

/// What a file system may be smaller than its disk: its size is a number of whole blocks.
const SLACK: u64 = 1 << 20;

/// Gets it mounted, and into fstab.
pub(super) async fn ready(work: &EbsWork, root: &mut Root<'_, '_>) -> Result<Ready, Problem> {
    let mut ready = Ready::default();
    let disk = find(work, root).await?;
    root.within(work.deadline.0);
    let (filesystem, kind, size) = match idle(&disk, root).await? {
        // An agent that is not root finds what root has mounted, and can do no more.
        Stand::Mounted(_) if !Linux.may(Need::SysAdmin) => return Ok(ready),
        Stand::Mounted(mount) => mounted(&mount, &disk, root).await?,
        Stand::Idle(seen) => mount(seen, work, &disk, root, &mut ready).await?,
    };
    if size > filesystem.size + SLACK
        && let Some(grow) = &work.grow
        && let Err(problem) = self::grow(grow, &filesystem, size, &disk, root, &mut ready).await
    {
        ready.problems.push(problem);
    }
    let entry = disk_entry(&filesystem.uuid, &root.volume().target, &kind);
    root.fstab(entry, &mut ready).await;
    Ok(ready)
}

async fn find(work: &EbsWork, root: &Root<'_, '_>) -> Result<Disk, Problem> {
    let (device, wait) = (&work.device, work.wait.0);
    let ask = Ask::Find { device: device.clone(), wait_ms: millis(wait) };
    let lookup = "compare with the volume's attachment in EC2 and with lsblk -o NAME,SERIAL,SIZE";
    match root.ask_within(&ask, wait + OTHERS_TAKE).await? {
        Found::Disk(disk) => Ok(disk),
        Found::Several(names) => Err(Problem::new(
            "ebs-ambiguous",
            format!("{device} is the name of more than one disk: {}", names.join(", ")),
            "name the disk by its volume id in `device`",
        )),
        Found::NoDevice(path) => Err(Problem::new(
            "ebs-no-device",
            format!("{} is there and is no block device", path.display()),
            format!("correct `device`; {lookup}"),
        )),
        Found::Nothing(seen) => Err(Problem::new(
            "ebs-missing",
            format!("the disk {device} did not appear within {}", human(wait)),
            format!("attach it, or correct `device`; {lookup}"),
        )
        .evidence(format!("disks that are there: {}", seen.join("; ")))),
    }
}

/// How the disk stands once nobody else is at it.
enum Stand {
    /// It is where it belongs.
    Mounted(Mount),
    /// Nobody uses it.
    Idle(Seen),
}

/// Waits until nobody else is at it: systemd checks and mounts what is in fstab at the same
/// time as the agent.
async fn idle(disk: &Disk, root: &Root<'_, '_>) -> Result<Stand, Problem> {
    let target = &root.volume().target;
    let patience = if fstab::names(target) { root.left() } else { OTHERS_TAKE.min(root.left()) };
    let patience = Instant::now() + patience;
    loop {
        if let Some(mount) = root.mounted()? {
            return right(&mount, disk).map(|()| Stand::Mounted(mount));
        }
        may_mount(&disk.node.to_string_lossy(), root.request)?;
        let table = Linux.mounts().map_err(|e| super::check::no_mount_table(&e))?;
        if let Some(problem) = elsewhere(disk, &table, &target.display().to_string()) {
            return Err(problem);
        }
        match look(disk, false, root).await? {
            Looked::Seen(seen) => return Ok(Stand::Idle(seen)),
            Looked::Unreadable(why) => return Err(unreadable(disk, &why)),
            Looked::Busy if Instant::now() >= patience => return Err(busy(disk)),
            Looked::Busy => {}
        }
        tokio::select! {
            () = time::sleep(Duration::from_millis(250)) => {}
            () = root.cx.cancel.wait() => return Err(busy(disk)),
        }
    }
}

/// It, or a part of it (the root disk's, say), is mounted at another place.
fn elsewhere(disk: &Disk, table: &[Mount], target: &str) -> Option<Problem> {
    let whole = (&disk.name, disk.number);
    let parts = disk.partitions.iter().map(|(name, number)| (name, *number));
    std::iter::once(whole).chain(parts).find_map(|(name, number)| {
        let mount = table.iter().find(|m| m.device == number)?;
        Some(Problem::new(
            "ebs-busy",
            format!("/dev/{name} is mounted at {}, not at {target}", mount.point.display()),
            "correct `device` where it is the wrong disk, or unmount it there; then run `agent boot`",
        ))
    })
}

/// Is what is mounted there the whole of this disk?
fn right(mount: &Mount, disk: &Disk) -> Result<(), Problem> {
    if mount.device == disk.number && mount.root == std::path::Path::new("/") {
        return Ok(());
    }
    let at = mount.point.display();
    Err(Problem::new(
        "ebs-wrong-mount",
        format!("{at} is {} from {}, not {}", mount.fstype, mount.source, disk.node.display()),
        format!(
            "unmount it (umount {at}) and take it out of /etc/fstab, or correct this volume; then run `agent boot`"
        ),
    ))
}

fn busy(disk: &Disk) -> Problem {
    let users = match disk.holders.as_slice() {
        [] => "something".to_owned(),
        holders => holders.join(", "),
    };
    Problem::new(
        "ebs-busy",
        format!("{} is in use by {users}; it is not touched", disk.node.display()),
        "see with lsblk what holds it: a mount, swap, RAID, LVM, or one of its partitions; correct `device` where it is the wrong disk",
    )
}

fn unreadable(disk: &Disk, why: &str) -> Problem {
    Problem::new(
        "ebs-unreadable",
        format!("{} cannot be read, so nothing is known of what is on it", disk.node.display()),
        "see the kernel log (journalctl -k), and the volume's state in EC2; what cannot be read is never formatted",
    )
    .evidence(why)
}

async fn look(disk: &Disk, mounted: bool, root: &Root<'_, '_>) -> Result<Looked, Problem> {
    let ask = Ask::Look { disk: disk.clone(), mounted };
    root.ask_within(&ask, root.left()).await
}

/// What a file system that is mounted already says of itself.
async fn mounted(
    mount: &Mount,
    disk: &Disk,
    root: &Root<'_, '_>,
) -> Result<(Filesystem, String, u64), Problem> {
    match look(disk, true, root).await? {
        Looked::Seen(Seen { size, filesystem: Some(found), .. }) => {
            Ok((found, mount.fstype.clone(), size))
        }
        Looked::Seen(_) => Err(foreign(disk, &mount.fstype)),
        Looked::Unreadable(why) => Err(unreadable(disk, &why)),
        Looked::Busy => Err(busy(disk)),
    }
}

async fn mount(
    seen: Seen,
    work: &EbsWork,
    disk: &Disk,
    root: &mut Root<'_, '_>,
    ready: &mut Ready,
) -> Result<(Filesystem, String, u64), Problem> {
    root.way().await?;
    let (filesystem, kind) = match identify(&seen, disk, root).await? {
        Content::Filesystem(found, kind) => (found, kind),
        Content::Blank => format(&seen, work, disk, root, ready).await?,
        other => return Err(unusable(other, disk)),
    };
    if disk.read_only && root.volume().writable {
        return Err(read_only(disk));
    }
    if filesystem.ext
        && !disk.read_only
        && let Stand::Mounted(_) = check(work, disk, root, ready).await?
    {
        return Ok((filesystem, kind, seen.size));
    }
    let request = mount_request(root.request, disk, &kind, root.left());
    let mounted = mount_now(&request, root.cx).await;
    // systemd may have been first.
    match root.mounted()? {
        Some(mount) => right(&mount, disk)?,
        None => {
            return Err(mounted.err().unwrap_or_else(|| {
                Problem::new(
                    "volume-mount-failed",
                    format!("{} was mounted and is gone again", disk.node.display()),
                    "see what unmounts it: journalctl -b",
                )
            }));
        }
    }
    Ok((filesystem, kind, seen.size))
}

fn mount_request(request: &Request, disk: &Disk, kind: &str, deadline: Duration) -> Request {
    let mut request = request.clone();
    request.volume.mount = Some(MountRequest {
        source: disk.node.to_string_lossy().into_owned(),
        fstype: kind.to_owned(),
        options: disk.read_only.then(|| "ro".into()).into_iter().collect(),
        deadline: Span(deadline),
    });
    request
}

/// Asks `blkid` (without its cache) and compares with what was seen.
async fn identify(seen: &Seen, disk: &Disk, root: &mut Root<'_, '_>) -> Result<Content, Problem> {
    let node = disk.node.to_string_lossy().into_owned();
    let argv = ["blkid", "--probe", "--output", "export", &node].map(str::to_owned);
    let ran = root.run(&argv).await?;
    Ok(content(seen, &Blkid::of(ran.status, &ran.output)))
}

fn unusable(content: Content, disk: &Disk) -> Problem {
    let node = disk.node.display();
    match content {
        Content::Foreign(what) => foreign(disk, &what),
        Content::Unknown(at) => Problem::new(
            "ebs-not-blank",
            format!("{node} has no known file system and is not blank: byte {at} is not zero"),
            format!(
                "if nothing on it is wanted, clear it (blkdiscard --zeroout {node}: wipefs alone leaves data) and run `agent boot`; it is not touched"
            ),
        ),
        Content::Unclear(why) => unreadable(disk, &why),
        Content::Blank | Content::Filesystem(..) => unreadable(disk, "it changed meanwhile"),
    }
}

fn foreign(disk: &Disk, what: &str) -> Problem {
    let node = disk.node.display();
    Problem::new(
        "ebs-foreign",
        format!("{node} holds {what}, no ext or XFS file system of its own; it is not touched"),
        "look at it with lsblk -f; correct `device` (a partition can be named: /dev/nvme1n1p1), or make a file system by hand",
    )
}

fn read_only(disk: &Disk) -> Problem {
    Problem::new(
        "ebs-read-only",
        format!("{} takes no writes", disk.node.display()),
        "attach the volume for writing, or say writable = false of this volume",
    )
}

/// Makes ext4 on a disk that was found blank, and looks at what came of it.
async fn format(
    seen: &Seen,
    work: &EbsWork,
    disk: &Disk,
    root: &mut Root<'_, '_>,
    ready: &mut Ready,
) -> Result<(Filesystem, String), Problem> {
    let (node, size) = (disk.node.display(), Bytes(seen.size));
    let Some(format) = &work.format else {
        return Err(Problem::new(
            "ebs-blank",
            format!(
                "{node} ({size}) is blank, and this volume does not allow a file system to be made"
            ),
            "say format = true in [volume.ebs], or make one by hand (mkfs.ext4); then run `agent boot`",
        ));
    };
    if disk.read_only {
        return Err(read_only(disk));
    }
    // Reading took its time: is it still the same disk, and still nobody else's?
    let ask = Ask::Find { device: work.device.clone(), wait_ms: 0 };
    if root.ask::<Found>(&ask).await? != Found::Disk(disk.clone()) {
        return Err(unreadable(disk, "another disk took its place while it was read"));
    }
    let ran = root.run(&on(format, disk)).await?;
    let failed = |why: String| {
        let problem = Problem::new(
            "ebs-format-failed",
            format!("no file system could be made on {node}: {why}"),
            format!(
                "see the log and the kernel's (journalctl -k); a disk that was left half made is cleared by blkdiscard --zeroout {node}"
            ),
        );
        root.quoting(problem, &ran.output)
    };
    if ran.status != 0 {
        return Err(failed(format!("mkfs.ext4 ended with status {}", ran.status)));
    }
    let made = match look(disk, false, root).await? {
        Looked::Seen(seen) => seen,
        Looked::Busy => return Err(busy(disk)),
        Looked::Unreadable(why) => return Err(unreadable(disk, &why)),
    };
    let failed = failed("what mkfs.ext4 made is no ext4".into());
    match identify(&made, disk, root).await? {
        Content::Filesystem(found, kind) => {
            ready.notes.push(format!("{node} ({size}) was blank; made {kind} on it"));
            Ok((found, kind))
        }
        _ => Err(failed),
    }
}

/// The planned command with the device in its place.
fn on(argv: &[String], disk: &Disk) -> Vec<String> {
    let node = disk.node.to_string_lossy();
    argv.iter().map(|word| if word == DEVICE { node.to_string() } else { word.clone() }).collect()
}

/// Checks ext before it is mounted; repairs what can be repaired without asking. Where somebody
/// else was at it meanwhile, it may be mounted afterwards.
async fn check(
    work: &EbsWork,
    disk: &Disk,
    root: &mut Root<'_, '_>,
    ready: &mut Ready,
) -> Result<Stand, Problem> {
    let mut ran = root.run(&on(&work.check, disk)).await?;
    let mut stand = idle(disk, root).await?;
    if ran.status & NOT_BEGUN != 0
        && let Stand::Idle(_) = stand
    {
        ran = root.run(&on(&work.check, disk)).await?;
        stand = idle(disk, root).await?;
    }
    let node = disk.node.display();
    match (judge(ran.status), &stand) {
        (Verdict::Bad(what), Stand::Idle(_)) => {
            let problem = Problem::new(
                "ebs-fsck",
                format!("the file system on {node} {what} (e2fsck status {})", ran.status),
                format!(
                    "take a snapshot of the volume, then run e2fsck -f {node} by hand and `agent boot`; it is not mounted"
                ),
            );
            return Err(root.quoting(problem, &ran.output));
        }
        (Verdict::Corrected, _) => {
            let note =
                format!("e2fsck corrected {node}; volume.log tells what (status {})", ran.status);
            ready.notes.push(note);
        }
        (Verdict::Clean, _) | (Verdict::Bad(_), Stand::Mounted(_)) => {}
    }
    Ok(stand)
}

/// The bit of `e2fsck`'s status that says, among other things, that the disk is in use.
const NOT_BEGUN: i32 = 8;

/// What the exit status of `e2fsck(8)`, a sum of bits, means for a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Clean,
    Corrected,
    Bad(&'static str),
}

fn judge(status: i32) -> Verdict {
    // 2 asks for a restart because the kernel may know the old state of what was mounted;
    // nothing was.
    const CORRECTED: i32 = 1 | 2;
    match status {
        0 => Verdict::Clean,
        s if s > 0 && s & !CORRECTED == 0 => Verdict::Corrected,
        s if s & 4 != 0 => Verdict::Bad("has errors that are not corrected without asking"),
        s if s & 32 != 0 => Verdict::Bad("was not checked: the check was cancelled"),
        _ => Verdict::Bad("could not be checked"),
    }
}

/// Grows what is mounted; both kinds can do it in that state alone, without a full check.
async fn grow(
    grow: &[String],
    filesystem: &Filesystem,
    size: u64,
    disk: &Disk,
    root: &mut Root<'_, '_>,
    ready: &mut Ready,
) -> Result<(), Problem> {
    let target = root.volume().target.to_string_lossy().into_owned();
    let argv =
        if filesystem.ext { on(grow, disk) } else { vec!["xfs_growfs".to_owned(), target.clone()] };
    let (from, to) = (Bytes(filesystem.size), Bytes(size));
    let need = Need::SysResource;
    if filesystem.ext && !Linux.may(need) {
        return Err(Problem::new(
            "ebs-grow-failed",
            format!(
                "{target} has {from} of the disk's {to}: to grow it the agent lacks {}",
                need.name()
            ),
            format!(
                "leave the agent {} (CapabilityBoundingSet of its unit), or run {}",
                need.name(),
                argv.join(" ")
            ),
        ));
    }
    let ran = root.run(&argv).await?;
    if ran.status == 0 {
        ready.notes.push(format!("grew {target} from {from} towards the disk's {to}"));
        return Ok(());
    }
    let problem = Problem::new(
        "ebs-grow-failed",
        format!(
            "{target} has {from} of the disk's {to}, and cannot be grown (status {})",
            ran.status
        ),
        format!("run {} and see what it says", argv.join(" ")),
    );
    Err(root.quoting(problem, &ran.output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::mount as mounted;

    fn disk() -> Disk {
        Disk {
            name: "nvme1n1".into(),
            node: "/dev/nvme1n1".into(),
            number: (259, 4),
            sequence: None,
            read_only: false,
            holders: vec![],
            partitions: vec![("nvme1n1p1".into(), (259, 5))],
        }
    }

    #[test]
    fn a_disk_of_which_a_part_is_mounted_is_somebody_elses() {
        let mut root = mounted("/", "ext4");
        assert_eq!(elsewhere(&disk(), std::slice::from_ref(&root), "/mint/projects"), None);
        root.device = (259, 5);
        let said = elsewhere(&disk(), &[root], "/mint/projects").unwrap().message;
        assert_eq!(said, "/dev/nvme1n1p1 is mounted at /, not at /mint/projects");
    }

    #[test]
    fn the_bits_of_e2fsck_decide_whether_it_is_mounted() {
        for (status, clean) in [(0, true), (1, true), (2, true), (3, true)] {
            assert_eq!(!matches!(judge(status), Verdict::Bad(_)), clean, "{status}");
        }
        for bad in [4, 5, 7, 8, 9, 12, 16, 32, 33, 128, -1] {
            assert!(matches!(judge(bad), Verdict::Bad(_)), "{bad}");
        }
        assert_eq!(judge(0), Verdict::Clean);
        assert_eq!(judge(1), Verdict::Corrected);
    }

    #[test]
    fn only_the_whole_of_the_same_disk_is_the_right_mount() {
        let mut there = mounted("/mint/projects", "ext4");
        there.device = (259, 4);
        assert_eq!(right(&there, &disk()), Ok(()));
        there.root = "/sub".into();
        assert_eq!(right(&there, &disk()).unwrap_err().code, "ebs-wrong-mount");
        there = mounted("/mint/projects", "ext4");
        there.device = (259, 8);
        assert_eq!(right(&there, &disk()).unwrap_err().code, "ebs-wrong-mount");
    }

    #[test]
    fn the_device_stands_where_the_plan_has_its_place() {
        let argv = ["mkfs.ext4", "-L", "x", DEVICE].map(str::to_owned);
        assert_eq!(on(&argv, &disk()).join(" "), "mkfs.ext4 -L x /dev/nvme1n1");
    }

    #[test]
    fn what_cannot_be_used_says_that_it_is_left_alone() {
        for (content, code) in [
            (Content::Foreign("crypto_LUKS".into()), "ebs-foreign"),
            (Content::Unknown(510), "ebs-not-blank"),
            (Content::Unclear("x".into()), "ebs-unreadable"),
        ] {
            assert_eq!(unusable(content, &disk()).code, code);
        }
    }
}
