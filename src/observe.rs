//! The status of this sandbox, as it is seen from inside by any of its users.

use crate::boot;
use crate::config::{self, Config};
use crate::init;
use crate::journal::place::Base;
use crate::journal::status::{Observer, PhaseState, fold};
use crate::journal::tags::Tag;
use crate::journal::{State, Status, file, place, tags};
use crate::plan::PhaseName;
use crate::survey;
use crate::sys::instance::is_ec2_id;
use crate::sys::process;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Finds the journal of this life of the sandbox and folds it. A configuration that
/// cannot be read doesn't keep the state from being found: the defaults lead there too.
///
/// `config` is the file that the boot was started with; without it, the one that PID 1
/// was started with, else the standard ones.
pub fn status(config: Option<&Path>) -> Status {
    let named = config.map(Path::to_owned).or_else(|| supervisor()?.config);
    let config = config::load(&boot::sources(named.as_ref())).unwrap_or_else(|e| *e.usable);
    let user = survey::sandbox_user(&config).user;
    let bases = place::bases(&user.home, (user.uid, user.gid));
    let instance = survey::instance(&config).id;
    let look = || place::find_journal(&bases, &instance, &file::is_this_life);
    let search = look();
    let closed = list(&search.closed);
    let Some(found) = search.found else {
        return Status::none(if search.closed.is_empty() {
            let places = list(&bases.iter().map(Base::path).collect::<Vec<_>>());
            format!("no boot has begun here, or it found no place for its journal ({places})")
        } else {
            format!(
                "the status cannot be read: {closed}: Permission denied; ask as user {}",
                user.name
            )
        });
    };
    let observer = Observer {
        this_life: &file::is_this_life,
        lives: &|r| process::lives(r.pid, r.start_ticks),
    };
    let mut found = found;
    let mut status = fold(&found.contents.records, &observer);
    if status.interrupted.is_some() {
        // A runner that is gone without an end may have written it since the journal was read.
        // It writes no more: what is read now is its last word.
        found = look().found.unwrap_or(found);
        status = fold(&found.contents.records, &observer);
    }
    status.journal = Some(found.path);
    status.unreadable_lines = found.contents.unreadable;
    status.tags = tags_of(&status, &config);
    if status.state == State::None && !search.closed.is_empty() {
        status.summary =
            format!("{}, as far as can be read ({closed}: Permission denied)", status.summary);
    }
    status
}

/// How often one that waits looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The status once the running boot has ended. A boot whose runner is gone has ended too,
/// so only a boot that lives, or one that `may_begin`, is waited for, and neither beyond
/// `timeout`.
pub fn ended(config: Option<&Path>, timeout: Duration, may_begin: &dyn Fn() -> bool) -> Status {
    awaited(config, timeout, may_begin, &|_| false)
}

/// The status once this phase has ended, or the boot without it.
pub fn phase_ended(
    config: Option<&Path>,
    phase: PhaseName,
    timeout: Duration,
    may_begin: &dyn Fn() -> bool,
) -> Status {
    let ended = |status: &Status| {
        matches!(status.phase_state(phase), Some(PhaseState::Ended(_) | PhaseState::NotRun))
            || (status.state == State::Running && status.phase_state(phase).is_none())
    };
    awaited(config, timeout, may_begin, &ended)
}

fn awaited(
    config: Option<&Path>,
    timeout: Duration,
    may_begin: &dyn Fn() -> bool,
    enough: &dyn Fn(&Status) -> bool,
) -> Status {
    let limit = Instant::now() + timeout;
    loop {
        let status = status(config);
        let left = limit.saturating_duration_since(Instant::now());
        let may_change = match status.state {
            State::Running => true,
            State::None => may_begin(),
            _ => false,
        };
        if !may_change || left.is_zero() || enough(&status) {
            return status;
        }
        thread::sleep(LOOK_EVERY.min(left));
    }
}

/// The most that a boot takes: its deadline, and then the end of what it runs.
pub fn boot_takes(config: &Config) -> Duration {
    config.boot.deadline.0 + config.boot.grace.0 + Duration::from_secs(60)
}

/// The EC2 instance that booted: as the metadata told it, else as the firmware does.
pub fn ec2_instance(status: &Status) -> Option<&str> {
    let told = status.machine.as_ref().map(|machine| machine.instance.as_str());
    let firmware = || status.boot.as_ref().map(|boot| boot.instance.as_str());
    told.or_else(|| firmware().filter(|id| is_ec2_id(id)))
}

/// What EC2 was told of this boot, also of one that failed before it knew its machine.
fn tags_of(status: &Status, config: &Config) -> Vec<Tag> {
    let (Some(boot), Some(instance)) = (&status.boot, ec2_instance(status)) else {
        return Vec::new();
    };
    if !config.ec2.tags || !(config.ec2.enabled || status.machine.is_some()) {
        return Vec::new();
    }
    let told = file::read(&place::tags_file(instance)).unwrap_or_default();
    let wanted = tags::wanted(status.state, status.failure_phase.as_deref());
    tags::fold(&told.records, &boot.id, &wanted)
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// How long after its start an `agent init` may take to have its boot under way.
const BOOT_BEGINS_WITHIN: Duration = Duration::from_secs(15);

/// May a boot still begin here? Not where the `agent init` of this sandbox was told not to
/// boot, or has had the time to.
pub fn boot_may_begin() -> bool {
    supervisor().is_none_or(|s| {
        !s.no_boot && process::age(s.pid).is_none_or(|age| age < BOOT_BEGINS_WITHIN)
    })
}

/// The `agent init` that this sandbox runs under.
pub struct Supervisor {
    /// Its process id.
    pub pid: i32,
    no_boot: bool,
    config: Option<PathBuf>,
}

/// Finds it: the first `agent init` among the processes of this mount namespace, by its
/// command line (`proc_pid_cmdline(5)`), under whichever init's name. It need not be PID 1: an engine's own init, or
/// one that several containers share, may be above it.
pub fn supervisor() -> Option<Supervisor> {
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let here = namespace("self");
    pids.into_iter().find_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = line.split(|&b| b == 0).map(|w| OsString::from_vec(w.to_vec()));
        let mut arguments: Vec<OsString> = words.collect();
        // The last word is ended by a zero too.
        arguments.pop();
        let program = arguments.first()?;
        let (no_boot, config) = match init::Name::of(program) {
            init::Name::Agent => {
                let agent = Path::new(program).file_name()? == "agent";
                let is_init = agent && arguments.get(1).is_some_and(|word| word == "init");
                is_init.then(|| init::asked_in(arguments.split_off(2)))??
            }
            // This program by another init's name boots nothing; that init itself says nothing of
            // what may run below it.
            _ => is_this_program(pid).then_some((true, None))?,
        };
        // One that may not be looked into is another user's; below PID 1 it is ours.
        let theirs = namespace(&pid.to_string());
        if theirs.is_some() && theirs != here {
            return None;
        }
        // A relative name is relative to where that process is; an absolute one wins.
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_else(|_| "/".into());
        Some(Supervisor { pid, no_boot, config: config.map(|file| cwd.join(file)) })
    })
}

/// Does process `pid` run the file that this process runs, as far as may be seen?
fn is_this_program(pid: i32) -> bool {
    let file = |pid: &str| {
        let file = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        Some((file.dev(), file.ino()))
    };
    file("self").is_some_and(|own| file(&pid.to_string()) == Some(own))
}
