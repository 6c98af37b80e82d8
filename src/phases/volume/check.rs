//! What must be true of a volume. Each answer has its own name.

use super::Request;
use crate::config::Volume;
use crate::config::value::{Bytes, OnFailure};
use crate::journal::Problem;
use crate::sys::Kernel;
use crate::sys::files;
use crate::sys::mounts::{self, Mount};
use crate::sys::privilege::Need;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How a probe is called that had to have a name; one may be left by a power cut.
pub(super) const PROBE: &str = ".agent-probe-";

/// Something is mounted there, and it is the right thing.
pub(super) fn mount_point(request: &Request, kernel: &dyn Kernel) -> Result<Mount, Problem> {
    let volume = &request.volume;
    let target = volume.target.display();
    let table = kernel.mounts().map_err(|e| no_mount_table(&e))?;
    let Some(mount) = mounts::at(&table, &volume.target) else {
        let lost = request.either(
            "and what is written there is lost with the container".into(),
            "what was mounted there is gone again",
        );
        return Err(Problem::new(
            "volume-not-mounted",
            format!("nothing is mounted at {target}: it is the image's own directory, {lost}"),
            request.either(
                format!("start the container with -v NAME:{target}:U"),
                "see what unmounts it: journalctl -b",
            ),
        ));
    };
    if let Some(wanted) = &volume.source
        && !comes_from(mount, wanted)
    {
        return Err(Problem::new(
            "volume-source",
            format!(
                "{target} is mounted from {} (directory {}), not from {wanted}",
                mount.source,
                mount.root.display()
            ),
            format!("mount {wanted} there, or correct `source` of this volume"),
        ));
    }
    if !volume.fstype.is_empty() && !volume.fstype.contains(&mount.fstype) {
        return Err(Problem::new(
            "volume-fstype",
            format!("{target} is {}, not {}", mount.fstype, volume.fstype.join(" or ")),
            "mount the right volume there, or correct `fstype` of this volume",
        ));
    }
    if volume.writable && mount.read_only() {
        return Err(Problem::new(
            "volume-read-only",
            format!("{target} is mounted read-only"),
            "remove `ro` from its mount; on a machine, the kernel may have made it so after a disk error: see dmesg",
        ));
    }
    Ok(mount.clone())
}

/// A volume of a container engine is a directory of a bigger filesystem: its name
/// stands in the mount's root, not in its source.
fn comes_from(mount: &Mount, wanted: &str) -> bool {
    mount.source == wanted
        || mount.root == Path::new(wanted)
        || mount.root.iter().any(|component| component == wanted)
}

pub(super) fn no_mount_table(e: &io::Error) -> Problem {
    Problem::new(
        "no-mount-table",
        format!("/proc/self/mountinfo cannot be read: {e}"),
        "mount /proc in the sandbox",
    )
}

/// Gives the mount point, and it alone, to the user where the plan says so.
pub(super) fn give_to_user(
    request: &Request,
    kernel: &dyn Kernel,
) -> Result<Option<String>, Problem> {
    let volume = &request.volume;
    let wanted = (request.uid, request.gid);
    let target = volume.target.display();
    if !volume.chown || kernel.owner(&volume.target).is_ok_and(|owner| owner.0 == wanted.0) {
        return Ok(None);
    }
    let name = Need::Chown.name();
    if !kernel.may(Need::Chown) {
        return Err(Problem::new(
            "volume-chown-no-capability",
            format!("{target} cannot be given to the user: the agent lacks {name}"),
            request.either(
                format!("mount it with :U, or start with --cap-add {name}"),
                format!("run the agent as root, and leave it {name}"),
            ),
        ));
    }
    kernel.set_owner(&volume.target, wanted).map_err(|e| {
        Problem::new(
            "volume-chown-failed",
            format!("{target} cannot be given to {}:{}: {e}", wanted.0, wanted.1),
            request.either(
                "change the owner from outside".into(),
                "run chown by hand; an NFS server that squashes root refuses it",
            ),
        )
    })?;
    Ok(Some(format!("gave {target} to {}:{}", wanted.0, wanted.1)))
}

/// What only the user can tell: owner, writing, space.
pub(super) fn as_user(
    request: &Request,
    kernel: &dyn Kernel,
    problems: &mut Vec<(OnFailure, Problem)>,
) {
    let volume = &request.volume;
    if let Err(problem) = owner(request, kernel) {
        problems.push((volume.on_failure(), problem));
        return;
    }
    if let Err(problem) = space(volume, kernel) {
        problems.push((volume.on_full, problem));
        return;
    }
    if volume.writable
        && let Err(e) = write_probe(&volume.target)
    {
        problems.push(not_writable(request, &e));
    }
}

fn owner(request: &Request, kernel: &dyn Kernel) -> Result<(), Problem> {
    let volume = &request.volume;
    let target = volume.target.display();
    let (uid, gid) = kernel.owner(&volume.target).map_err(|e| {
        Problem::new(
            "volume-unreadable",
            format!("{target} cannot be looked at: {e}"),
            "check the permissions of its parent directories",
        )
    })?;
    if volume.owned && uid != request.uid {
        return Err(Problem::new(
            "volume-foreign-owner",
            format!(
                "{target} belongs to {uid}:{gid}, not to the sandbox user {}:{}",
                request.uid, request.gid
            ),
            request.either(
                format!(
                    "start the container with -v NAME:{target}:U, or chown the volume's directory to {}:{}",
                    request.uid, request.gid
                ),
                format!("say chown = true of this volume, or run chown {}:{} {target}", request.uid, request.gid),
            ),
        ));
    }
    Ok(())
}

fn space(volume: &Volume, kernel: &dyn Kernel) -> Result<(), Problem> {
    let target = volume.target.display();
    let space = kernel.space(&volume.target).map_err(|e| {
        Problem::new(
            "volume-unreadable",
            format!("{target} cannot be measured: {e}"),
            "check the volume",
        )
    })?;
    let full = |what: String, wanted: String| {
        Err(Problem::new(
            "volume-full",
            format!("{target} is full: {what} free, {wanted} wanted"),
            format!(
                "remove files below {target} (du -x {target} | sort -n | tail), or enlarge the volume"
            ),
        ))
    };
    if space.free_bytes < volume.min_free.0 {
        return full(Bytes(space.free_bytes).to_string(), volume.min_free.to_string());
    }
    match space.free_inodes {
        Some(free) if free < volume.min_inodes => {
            full(format!("{free} inodes"), format!("{} inodes", volume.min_inodes))
        }
        _ => Ok(()),
    }
}

/// Permission bits don't tell (access lists, squashed roots, quotas): a file is written,
/// one without a name where the filesystem has such (`O_TMPFILE`, open(2)).
fn write_probe(target: &Path) -> io::Result<()> {
    let nameless = File::options().write(true).custom_flags(libc::O_TMPFILE).open(target);
    match nameless {
        Ok(mut file) => file.write_all(&[0; 512]),
        Err(e)
            if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) =>
        {
            let probe = target.join(format!("{PROBE}{:016x}", fastrand::u64(..)));
            let made = File::options().write(true).create_new(true).open(&probe);
            let written = made.and_then(|mut file| file.write_all(&[0; 512]));
            let _ = fs::remove_file(&probe);
            written
        }
        Err(e) => Err(e),
    }
}

fn not_writable(request: &Request, e: &io::Error) -> (OnFailure, Problem) {
    let volume = &request.volume;
    let target = volume.target.display();
    if files::no_room(e) {
        let problem = Problem::new(
            "volume-full",
            format!("{target} takes no more data: {e}"),
            format!("remove files below {target}, or enlarge the volume or its quota"),
        );
        return (volume.on_full, problem);
    }
    let problem = Problem::new(
        "volume-not-writable",
        format!("the sandbox user {} cannot write to {target}: {e}", request.uid),
        request.either(
            format!(
                "start the container with -v NAME:{target}:U, or give the directory to {}",
                request.uid
            ),
            format!("say chown = true of this volume, or run chown {} {target}", request.uid),
        ),
    );
    (volume.on_failure(), problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{Fake, mount};

    fn request() -> Request {
        Request {
            volume: Volume {
                target: "/home/iteron".into(),
                mount: None,
                source: None,
                fstype: vec![],
                writable: true,
                owned: true,
                chown: false,
                min_free: Bytes(1 << 20),
                min_inodes: 10,
                on_full: OnFailure::Degrade,
                required: true,
                directories: vec![],
                skeleton: None,
                efs: None,
                ebs: None,
            },
            uid: 1000,
            gid: 1000,
            machine: false,
        }
    }

    fn fake() -> Fake {
        Fake::with_volume("/home/iteron", (1000, 1000))
    }

    fn code(result: Result<impl Sized, Problem>) -> String {
        result.err().map_or_else(|| "ok".into(), |p| p.code)
    }

    #[test]
    fn a_healthy_volume_passes() {
        assert_eq!(code(mount_point(&request(), &fake())), "ok");
        assert_eq!(code(owner(&request(), &fake())), "ok");
        assert_eq!(code(space(&request().volume, &fake())), "ok");
    }

    #[test]
    fn the_images_directory_is_no_volume() {
        let mut kernel = fake();
        kernel.mounts.pop();
        assert_eq!(code(mount_point(&request(), &kernel)), "volume-not-mounted");
    }

    #[test]
    fn the_wrong_thing_in_the_right_place_is_named() {
        let mut r = request();
        r.volume.source = Some("iteron-data".into());
        assert_eq!(code(mount_point(&r, &fake())), "volume-source");
        let mut kernel = fake();
        let mut named = mount("/home/iteron", "ext4");
        named.root = "/var/lib/containers/storage/volumes/iteron-data/_data".into();
        kernel.mounts.push(named);
        assert_eq!(code(mount_point(&r, &kernel)), "ok");
        r.volume.fstype = vec!["xfs".into()];
        assert_eq!(code(mount_point(&r, &kernel)), "volume-fstype");
    }

    #[test]
    fn read_only_foreign_and_full_are_told_apart() {
        let mut kernel = fake();
        kernel.mounts[1].options = "ro,relatime".into();
        assert_eq!(code(mount_point(&request(), &kernel)), "volume-read-only");
        kernel.owner = (0, 0);
        assert_eq!(code(owner(&request(), &kernel)), "volume-foreign-owner");
        kernel.space.free_bytes = 5;
        assert_eq!(code(space(&request().volume, &kernel)), "volume-full");
        kernel.space.free_bytes = 1 << 30;
        kernel.space.free_inodes = Some(3);
        assert_eq!(code(space(&request().volume, &kernel)), "volume-full");
        kernel.space.free_inodes = None;
        assert_eq!(code(space(&request().volume, &kernel)), "ok");
    }

    /// Who administers a machine has no container to start otherwise.
    #[test]
    fn a_machine_is_not_told_of_containers() {
        let machine = Request { machine: true, ..request() };
        let mut kernel = fake();
        kernel.owner = (0, 0);
        let foreign = owner(&machine, &kernel).unwrap_err();
        let (_, unwritable) = not_writable(&machine, &io::Error::from_raw_os_error(libc::EACCES));
        kernel.mounts.pop();
        let gone = mount_point(&machine, &kernel).unwrap_err();
        let r = Request { volume: Volume { chown: true, ..machine.volume.clone() }, ..machine };
        let unable = give_to_user(&r, &kernel).unwrap_err();
        for p in [foreign, unwritable, gone, unable] {
            let all = format!("{} {}", p.message, p.next);
            assert!(
                !all.contains("container") && !all.contains("--cap") && !all.contains(":U"),
                "{all}"
            );
        }
    }

    #[test]
    fn the_mount_point_alone_is_given_away_and_only_with_the_capability() {
        let mut r = request();
        r.volume.chown = true;
        let mut kernel = fake();
        kernel.owner = (0, 0);
        assert_eq!(code(give_to_user(&r, &kernel)), "volume-chown-no-capability");
        kernel.may.push(Need::Chown);
        assert_eq!(code(give_to_user(&r, &kernel)), "ok");
        assert_eq!(*kernel.changed.borrow(), ["chown 1000:1000 /home/iteron"]);
    }
}
