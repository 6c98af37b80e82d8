//! The machine id (machine-id(5)): a disk that was copied brings the original's along, and then
//! two machines are one to whoever tells them by it (the journal, DHCP).
//!
//! A clean image has an empty file, and systemd makes an id at the first boot; there is nothing
//! to do then. Which instance an id belongs to is recorded beside the ledgers, so that a copy
//! of a running machine's disk is known for what it is. Where nothing is recorded, an id
//! is this instance's own if it was made since the kernel started.

use super::once::{is_known, unknown_instance};
use super::tool::Tools;
use crate::config::value::OnFailure;
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::journal::event::DutyRun;
use crate::journal::ledger::{PastDuty, past_duty};
use crate::survey::guest::cloud_init_served;
use crate::sys::{mounts, replace};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const FILE: &str = "/etc/machine-id";

/// D-Bus has a copy of it where it is no link (dbus-uuidgen(1)).
const DBUS: &str = "/var/lib/dbus/machine-id";

/// `MACHINE-ID INSTANCE`: whose the id is.
const RECORD: &str = "/var/lib/agent/machine-id";

/// A clock that was set meanwhile may be off by this much, in seconds.
const CLOCK_SLACK: i64 = 60;

/// What becomes of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is this instance's.
    Keep,
    /// It came with the disk.
    Replace,
}

/// Sees to it that this instance has an id of its own.
pub(super) async fn run(cx: &Context<'_>) -> Report {
    if !is_known(cx) {
        return unknown_instance();
    }
    if !Path::new(FILE).exists() {
        return Report::skipped(format!("there is no {FILE}: no systemd"));
    }
    let instance = cx.plan.instance.id.as_str();
    let transient = mounts::table().is_ok_and(|t| mounts::at(&t, Path::new(FILE)).is_some());
    let current = read(Path::new(FILE));
    let record = fs::read_to_string(RECORD).unwrap_or_default();
    let verdict = match &current {
        _ if cx.repeats() => Verdict::Replace,
        None => Verdict::Replace,
        Some(id) => judge(id, &record, instance, || is_own(cx) || is_fresh(Path::new(FILE))),
    };
    match (verdict, current) {
        (Verdict::Keep, Some(id)) => keep(&id, &record, instance),
        // systemd has laid one over a file that it cannot write yet, and writes it later.
        _ if transient => Report::skipped("systemd has made one in this boot, and is to write it"),
        (_, old) => match replace_by_new(instance) {
            Ok(()) => {
                // Its files lie in a directory of that name, and its readers look there.
                if let Ok(tools) = Tools::open(cx) {
                    tools.tell_systemd(&["try-restart", "systemd-journald.service"]).await;
                }
                let why = if old.is_some() {
                    "the disk brought another instance's"
                } else {
                    "there was none"
                };
                Report {
                    notes: vec![format!(
                        "made a new one: {why}; services that run already keep the old one until the next boot"
                    )],
                    ..Report::default()
                }
            }
            Err(e) => degraded(&e),
        },
    }
}

fn judge(id: &str, record: &str, instance: &str, own: impl Fn() -> bool) -> Verdict {
    match record.trim().split_once(' ') {
        Some((_, whose)) if whose == instance => Verdict::Keep,
        // Another id than that instance had was made since.
        Some((old, _)) if old != id => Verdict::Keep,
        Some(_) => Verdict::Replace,
        None if own() => Verdict::Keep,
        None => Verdict::Replace,
    }
}

/// Has this instance been booted before, by whom it got the id?
fn is_own(cx: &Context<'_>) -> bool {
    let instance = cx.plan.instance.id.clone();
    if cloud_init_served(Path::new("/")).is_some_and(|served| served == instance) {
        return true;
    }
    let run = DutyRun { instance, duty: cx.phase, subject: String::new() };
    // A ledger that cannot be read may say so.
    cx.recorded_scripts().map_or(true, |records| past_duty(&records, &run) == PastDuty::Older)
}

/// Was the file written since the kernel started (`btime`, proc_stat(5))?
fn is_fresh(file: &Path) -> bool {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let began = stat.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    let written = file.symlink_metadata().map(|m| m.mtime()).ok();
    matches!((began, written), (Some(began), Some(written)) if written >= began - CLOCK_SLACK)
}

/// The id in a file; `None` where there is none yet (`uninitialized`, machine-id(5)).
fn read(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let id = text.trim();
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_owned())
}

fn keep(id: &str, record: &str, instance: &str) -> Report {
    let line = line(id, instance);
    if record == line {
        return Report::skipped("this instance has its own");
    }
    match record_as(&line) {
        Ok(()) => Report {
            notes: vec!["this instance has its own; recorded".into()],
            ..Report::default()
        },
        Err(e) => degraded(&e),
    }
}

fn line(id: &str, instance: &str) -> String {
    format!("{id} {instance}\n")
}

/// A random id is a UUID of version 4 without its hyphens (machine-id(5)); the kernel makes such
/// (random(4)).
fn replace_by_new(instance: &str) -> io::Result<()> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let id: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    replace::file(Path::new(FILE), format!("{id}\n").as_bytes(), 0o444, None)?;
    let dbus = Path::new(DBUS);
    if dbus.symlink_metadata().is_ok_and(|m| m.is_file()) {
        replace::file(dbus, format!("{id}\n").as_bytes(), 0o444, None)?;
    }
    record_as(&line(&id, instance))
}

fn record_as(line: &str) -> io::Result<()> {
    let record = Path::new(RECORD);
    record.parent().map_or(Ok(()), fs::create_dir_all)?;
    replace::file(record, line.as_bytes(), 0o644, None)
}

fn degraded(e: &io::Error) -> Report {
    let problem = Problem::new(
        "machine-id",
        format!("the machine id cannot be seen to: {e}"),
        "make /etc and /var/lib/agent writable for the agent; two machines with one id are one to DHCP and to the journal",
    );
    Report { problems: vec![(OnFailure::Degrade, problem)], ..Report::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn an_id_that_a_copied_disk_brought_is_replaced_and_no_other() {
        const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
        let judged = |id, record: &str, own| judge(id, record, "i-1", || own);
        let (of_this, of_another) = (line(A, "i-1"), line(A, "i-0"));
        assert_eq!(judged(A, &of_this, false), Verdict::Keep);
        assert_eq!(judged(B, &of_this, false), Verdict::Keep, "somebody has changed it here");
        assert_eq!(judged(A, &of_another, true), Verdict::Replace, "a copy of a machine's disk");
        assert_eq!(judged(B, &of_another, false), Verdict::Keep, "systemd has made one");
        assert_eq!(judged(A, "", true), Verdict::Keep);
        assert_eq!(judged(A, "", false), Verdict::Replace, "the image was not cleaned");
    }

    #[test]
    fn an_id_is_32_digits_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("machine-id");
        let of = |text: &str| {
            fs::write(&file, text).unwrap();
            read(&file)
        };
        assert_eq!(of("0123456789abcdef0123456789abcdef\n").unwrap().len(), 32);
        assert_eq!(of("uninitialized\n"), None);
        assert_eq!(of(""), None);
        assert!(is_fresh(&file), "it was written just now");
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        assert!(!is_fresh(&file));
    }
}
