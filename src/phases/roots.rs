//! Programs that root runs for a phase: mount, mkfs, useradd, ssh-keygen.
//!
//! They are root's own, found in [`PLACES`] alone, and get an environment of two variables. What they
//! say is kept in memory: a file that the user can write would let the user answer in its place.

use crate::engine::Context;
use crate::engine::command::{self, End, Identity, Invocation, Log};
use crate::journal::Problem;
use crate::plan::Environment;
use crate::sys::signals;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where programs are looked for; nobody but root can write there.
pub(super) const PLACES: &[&str] = &["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The program's file.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}

/// Is the program there?
pub(super) fn there(name: &str) -> bool {
    program(name).is_some()
}

/// A program's end by itself.
pub(super) struct Ran {
    pub(super) status: i32,
    pub(super) output: String,
}

/// Runs `program` with the arguments behind the first of `argv` until its end or `limit`; the `log`
/// with this name is told of it.
///
/// # Errors
/// There is no memory for what it says.
pub(super) async fn execute(
    program: PathBuf,
    argv: &[String],
    (mut log, name): (&File, &Path),
    limit: Instant,
    cx: &Context<'_>,
) -> io::Result<(End, String)> {
    let variables = [("PATH", PLACES.join(":")), ("LC_ALL", "C".into())];
    let environment = Environment {
        set: variables.map(|(n, v)| (n.to_owned(), v)).into(),
        ..Environment::default()
    };
    let what = Invocation {
        argv: std::iter::once(program.into_os_string())
            .chain(argv.iter().skip(1).map(Into::into))
            .collect(),
        cwd: "/".into(),
        environment: &environment,
        identity: Identity::Agent,
    };
    let mut said = Log::in_memory(name.to_owned())?;
    let end = command::run_until(limit, &what, &mut said, cx).await;
    let output = said.output();
    let _ = writeln!(log, "agent: {}: {}\n{}", argv.join(" "), word(&end), output.trim_end());
    Ok((end, output))
}

/// An end in words, for the log.
pub(super) fn word(end: &End) -> String {
    match end {
        End::Exited(status) => format!("status {status}"),
        End::Signaled(signal) => signals::name(*signal),
        End::Deadline => "ended at its deadline".into(),
        End::Cancelled => "cut off by a request to stop".into(),
        End::NotStarted(e) => format!("not started: {e}"),
    }
}

/// The program is missing; `code` is the problem's name.
pub(super) fn absent(code: &str, name: &str) -> Problem {
    let package = match name {
        "mount.nfs4" => "nfs-common (nfs-utils on Fedora and Amazon Linux)",
        "e2fsck" | "mkfs.ext4" | "resize2fs" => "e2fsprogs",
        "xfs_growfs" => "xfsprogs",
        "btrfs" => "btrfs-progs",
        "mount" => "mount",
        "sfdisk" => "fdisk (util-linux on Fedora and Amazon Linux)",
        "ssh-keygen" => "openssh-client (openssh on Fedora and Amazon Linux)",
        "useradd" => "passwd (shadow-utils on Fedora and Amazon Linux)",
        "visudo" => "sudo",
        _ => "util-linux",
    };
    Problem::new(
        code,
        format!("{name} is not on this machine (looked for in {})", PLACES.join(", ")),
        format!("install {package} in the machine's image"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_roots_places_alone() {
        assert!(there("mount"));
        assert!(!there("no-such-program"));
        assert!(absent("x", "mount.nfs4").next.contains("nfs-common"));
    }
}
