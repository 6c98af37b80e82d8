//! The root partition and its file system, grown to what the disk has: a volume is launched larger
//! than its image, and can be made larger later. At every boot; where there is nothing to
//! grow, nothing is run.
//!
//! `sfdisk` writes the partition table: it knows both kinds, keeps everything else of them, and moves
//! the second copy of a GPT to the disk's new end.

use super::partition::{self, Partition, Place};
use super::superblock::{self, Kind};
use super::tool::Tools;
use crate::config::value::{Bytes, OnFailure};
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::sys::privilege::Need;
use crate::sys::{Kernel, Linux, mounts};
use std::path::Path;

/// What a file system may be smaller than its device: its size is a number of whole blocks, and
/// groups of blocks that are too short are left out.
const SLACK: u64 = 8 << 20;

/// Grows what can be grown.
pub(super) async fn run(cx: &Context<'_>) -> Report {
    let sys = Path::new("/sys");
    let mut place = match find(sys) {
        Ok(place) => place,
        Err(reason) => return Report::skipped(reason),
    };
    let tools = match Tools::open(cx) {
        Ok(tools) => tools,
        Err(problem) => return degraded(Report::default(), problem),
    };
    let mut report = Report::default();
    if let Some(partition) = place.partition.clone().filter(Partition::has_room) {
        let before = place.size;
        match grow_partition(&partition, &tools)
            .await
            .and_then(|()| find(sys).map_err(|e| stale(&place, &e)))
        {
            Ok(now) if now.size > before => {
                report.notes.push(format!(
                    "{} grew from {} to {}",
                    now.node.display(),
                    Bytes(before),
                    Bytes(now.size)
                ));
                place = now;
            }
            Ok(_) => return degraded(report, stale(&place, "it is told the same size as before")),
            Err(problem) => return degraded(report, problem),
        }
    }
    match grow_filesystem(&place, &tools).await {
        Ok(Some(note)) => report.notes.push(note),
        Ok(None) if report.notes.is_empty() => report = Report::skipped(full(&place)),
        Ok(None) => {}
        Err(problem) => return degraded(report, problem),
    }
    report
}

fn find(sys: &Path) -> Result<Place, String> {
    let table = Linux.mounts().map_err(|e| format!("the mount table cannot be read: {e}"))?;
    let root = mounts::at(&table, Path::new("/")).ok_or("nothing is mounted at /")?;
    if root.read_only() {
        return Err("the root is mounted read-only".into());
    }
    partition::of(root, sys)
}

/// Why there is nothing to do.
fn full(place: &Place) -> String {
    match &place.partition {
        Some(p) if p.followed => {
            format!("{} is not the last partition of {}", place.node.display(), p.disk.display())
        }
        _ => format!("{} and its file system have all of the disk", place.node.display()),
    }
}

/// Its start stays; its end becomes the disk's.
async fn grow_partition(partition: &Partition, tools: &Tools<'_, '_>) -> Result<(), Problem> {
    let (disk, number) = (partition.disk.to_string_lossy(), partition.number.to_string());
    let next = format!(
        "run `printf ',+\\n' | sfdisk --no-reread -N {number} {disk}` and see what it says"
    );
    // It reads what is wanted from its standard input, and has no other way.
    let script = "printf ',+\\n' | sfdisk --no-reread --no-tell-kernel --quiet -N \"$1\" \"$2\"";
    if !crate::phases::roots::there("sfdisk") {
        return Err(crate::phases::roots::absent("guest-program-absent", "sfdisk"));
    }
    let argv = ["sh", "-c", script, "sh", &number, &disk];
    let what = format!("partition {number} of {disk} cannot be grown");
    tools.must(&argv, "root-disk-partition", &what, &next).await?;
    let argv = ["partx", "--update", "--nr", &number, &disk];
    let what = format!("the kernel does not take the new size of partition {number} of {disk}");
    tools
        .must(
            &argv,
            "root-disk-partition",
            &what,
            "restart the machine: the table on the disk is right, and is read then",
        )
        .await
}

async fn grow_filesystem(place: &Place, tools: &Tools<'_, '_>) -> Result<Option<String>, Problem> {
    let node = place.node.to_string_lossy();
    let failed = |why: String| {
        let next = "see the log; grow it by hand (resize2fs, xfs_growfs, btrfs filesystem resize)";
        Problem::new(
            "root-disk-filesystem",
            format!("the file system on {node} cannot be grown: {why}"),
            next,
        )
    };
    let (kind, size) = match superblock::read(&place.node) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(e) => return Err(failed(e.to_string())),
    };
    if size + SLACK >= place.size {
        return Ok(None);
    }
    let need = Need::SysResource;
    if kind == Kind::Ext && !Linux.may(need) {
        return Err(failed(format!("the agent lacks {}", need.name())));
    }
    let argv: &[&str] = match kind {
        Kind::Ext => &["resize2fs", &node],
        Kind::Xfs => &["xfs_growfs", "/"],
        Kind::Btrfs => &["btrfs", "filesystem", "resize", "max", "/"],
    };
    let ran = tools.run(argv).await?;
    if ran.status != 0 {
        let name = argv.first().copied().unwrap_or_default();
        return Err(
            tools.quoting(failed(format!("{name} ended with status {}", ran.status)), &ran.output)
        );
    }
    Ok(Some(format!("its file system grew from {} towards {}", Bytes(size), Bytes(place.size))))
}

fn stale(place: &Place, why: &str) -> Problem {
    Problem::new(
        "root-disk-partition",
        format!("{} was grown, and the kernel does not know it: {why}", place.name),
        "restart the machine: the table on the disk is read then",
    )
}

fn degraded(mut report: Report, problem: Problem) -> Report {
    report.problems.push((OnFailure::Degrade, problem));
    report
}
