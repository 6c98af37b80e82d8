//! `packages`, by the distribution's own package manager.

use super::ends;
use super::sections::{Sections, done};
use crate::config::value::OnFailure;
use crate::engine::command::{self, End, Identity, Invocation, Log};
use crate::engine::{Context, Report, excerpt, retry};
use crate::journal::Problem;
use crate::journal::event::ScriptEnd;
use crate::journal::ledger::PastStep;
use crate::plan::UserDataWork;
use crate::stub::payload::sha256;
use crate::stub::told::{Package, Packages};
use crate::sys::files;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time;

/// The name that a failure is filed under: a tag that the parent system had.
const FILED_UNDER: &str = "packages";

/// What to do about a failure.
const NEXT: &str =
    "read its log; correct the names, or the image's package sources; the next boot tries again";

/// Attempts at each command: a mirror may fail, and another package manager may hold the lock.
const ATTEMPTS: u32 = 3;

/// How long another program may hold the package manager's lock; `DPkg::Lock::Timeout` below.
const LOCKED: Duration = Duration::from_secs(300);

/// How often the lock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A package manager.
struct Manager {
    program: &'static str,
    /// Before every command.
    options: &'static [&'static str],
    update: &'static [&'static str],
    upgrade: &'static str,
    install: &'static str,
    /// A lock that `update` doesn't wait for (a record lock, fcntl(2)).
    lock: Option<&'static str>,
    /// What stands between a name and its version.
    version: char,
    /// Statuses that tell more than 0 and are no failures.
    good: &'static [i32],
}

const DNF: Manager = Manager {
    program: "dnf",
    options: &["-q", "-y"],
    update: &["makecache"],
    upgrade: "upgrade",
    install: "install",
    lock: None,
    version: '-',
    good: &[],
};

/// The managers, looked for in this order; the options are those that make them ask nobody.
const MANAGERS: &[Manager] = &[
    Manager {
        program: "apt-get",
        // A file that was changed stays; and apt's own timers may be at work (apt 1.9.11).
        options: &[
            "-q",
            "-y",
            "-o",
            "Dpkg::Options::=--force-confold",
            "-o",
            "DPkg::Lock::Timeout=300",
        ],
        // An index that cannot be fetched is an error; otherwise `update` ends well without it,
        // and what is missing is a package "that cannot be located" (apt-get(8), --error-on).
        update: &["-o", "APT::Update::Error-Mode=any", "update"],
        upgrade: "dist-upgrade",
        install: "install",
        // DPkg::Lock::Timeout is not for this one.
        lock: Some("/var/lib/apt/lists/lock"),
        version: '=',
        good: &[],
    },
    DNF,
    // The one before it, called the same way.
    Manager { program: "yum", ..DNF },
    Manager {
        program: "zypper",
        options: &["--non-interactive"],
        update: &["refresh"],
        upgrade: "update",
        install: "install",
        lock: None,
        version: '=',
        // A reboot, or a restart of the manager itself, is recommended (zypper(8)).
        good: &[102, 103],
    },
    Manager {
        program: "apk",
        options: &["-q"],
        update: &["update"],
        upgrade: "upgrade",
        install: "add",
        lock: None,
        version: '=',
        good: &[],
    },
];

/// Does what the user-data says of packages.
pub(super) async fn install(
    packages: &Packages,
    work: &UserDataWork,
    sections: &Sections,
    report: &mut Report,
    cx: &Context<'_>,
) -> Result<(), Problem> {
    if packages.is_empty() || cx.cancel.requested().is_some() {
        return Ok(());
    }
    let definition = sha256(serde_json::to_vec(packages).unwrap_or_default());
    let section = sections.section("packages", definition);
    if let PastStep::Ended(end, at) = section.past()
        && end.good()
    {
        report.notes.push(done("packages", at));
        return Ok(());
    }
    let path = work.environment.default.get("PATH").map_or("", String::as_str);
    let manager = find(path).ok_or_else(none)?;
    let (file, path) =
        cx.open_log_of("packages", None).map_err(|e| ends::no_log("the package manager", &e))?;
    let mut log = Log::new(file, path);
    section.begin()?;
    if let Some(lock) = manager.lock {
        released(Path::new(lock), &log, cx).await;
    }
    // Indexes that are missing or old may be enough; where they are not, they are the reason.
    let mut stale: Option<Problem> = None;
    let commands = manager.commands(packages);
    for (left, (verb, argv)) in (0..commands.len()).rev().zip(&commands) {
        let end = repeat(manager, argv, work, &mut log, cx).await;
        let what = format!("{} {verb}", manager.program);
        let Some(problem) = ends::problem(&end, &what, "packages", NEXT, &log, cx) else {
            continue;
        };
        // What a package manager says holds nothing of the user-data but names.
        let said = excerpt(&log.output());
        if matches!(end, End::Exited(_)) && left > 0 && stale.is_none() {
            stale = Some(Problem { code: "packages-indexes".into(), ..problem.evidence(said) });
            continue;
        }
        let before = stale.and_then(|p| p.evidence).map_or(String::new(), |e| e + "\n");
        return Err(problem.evidence(before + &said).filed_under(FILED_UNDER));
    }
    report.problems.extend(stale.map(|p| (OnFailure::Degrade, p.filed_under(FILED_UNDER))));
    section.end(Some(ScriptEnd::Exit(0)))?;
    report.notes.push(match packages.names.len() {
        0 => format!("packages: brought up to date by {}", manager.program),
        count => format!("packages: {count} installed by {}", manager.program),
    });
    Ok(())
}

/// Waits until nobody holds a lock: apt's own timers read the indexes too, soon after a start.
async fn released(lock: &Path, log: &Log, cx: &Context<'_>) {
    let limit = cx.limit.min(Instant::now() + LOCKED);
    let mut told = false;
    while files::is_record_locked(lock) && Instant::now() < limit {
        if !std::mem::replace(&mut told, true) {
            log.say(&format!("another program holds {}; waiting for it", lock.display()));
        }
        tokio::select! {
            () = time::sleep(LOOK_EVERY) => {}
            () = cx.cancel.wait() => return,
        }
    }
}

fn find(path: &str) -> Option<&'static Manager> {
    let there = |program: &str| {
        path.split(':').filter(|d| d.starts_with('/')).any(|d| Path::new(d).join(program).is_file())
    };
    MANAGERS.iter().find(|manager| there(manager.program))
}

fn none() -> Problem {
    let names: Vec<&str> = MANAGERS.iter().map(|m| m.program).collect();
    Problem::new(
        "packages-no-manager",
        format!("none of {} is on the image's PATH", names.join(", ")),
        "install the packages in a script, or put them into the image",
    )
    .filed_under(FILED_UNDER)
}

impl Manager {
    /// The commands, in order, each with its verb. Names that are new need indexes that are.
    fn commands(&self, packages: &Packages) -> Vec<(&'static str, Vec<String>)> {
        let Packages { update, upgrade, names } = packages;
        let command = |verbs: &[&'static str], names: &[Package]| {
            let words = std::iter::once(&self.program).chain(self.options).chain(verbs);
            let words = words.map(|word| (*word).to_owned());
            let argv = words.chain(names.iter().map(|p| self.named(p))).collect();
            (verbs.last().copied().unwrap_or_default(), argv)
        };
        let mut all = Vec::new();
        if *update || *upgrade || !names.is_empty() {
            all.push(command(self.update, &[]));
        }
        if *upgrade {
            all.push(command(&[self.upgrade], &[]));
        }
        if !names.is_empty() {
            all.push(command(&[self.install], names));
        }
        all
    }

    fn named(&self, package: &Package) -> String {
        match &package.version {
            Some(version) => format!("{}{}{version}", package.name, self.version),
            None => package.name.clone(),
        }
    }
}

/// Runs a command until it succeeds, or may not be tried again.
async fn repeat(
    manager: &Manager,
    argv: &[String],
    work: &UserDataWork,
    log: &mut Log,
    cx: &Context<'_>,
) -> End {
    let what = Invocation {
        argv: argv.iter().map(OsString::from).collect(),
        cwd: "/".into(),
        environment: &work.environment,
        identity: Identity::Agent,
    };
    let mut rng = fastrand::Rng::new();
    for attempt in 1.. {
        log.mark();
        let end = command::run(&what, log, cx).await;
        let end = match end {
            End::Exited(status) if manager.good.contains(&status) => End::Exited(0),
            other => other,
        };
        let wait = retry::backoff(attempt + 1, &mut rng);
        let again = matches!(end, End::Exited(1..)) && attempt < ATTEMPTS;
        if !again || Instant::now() + wait >= cx.limit {
            return end;
        }
        log.say(&format!("attempt {attempt} of {ATTEMPTS} ended badly; the next follows"));
        tokio::select! {
            () = time::sleep(wait) => {}
            () = cx.cancel.wait() => return End::Cancelled,
        }
    }
    End::Cancelled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Packages {
        let package = |name: &str, version: Option<&str>| Package {
            name: name.into(),
            version: version.map(str::to_owned),
        };
        Packages {
            update: false,
            upgrade: true,
            names: vec![package("git", None), package("jq", Some("1.7"))],
        }
    }

    fn lines(program: &str) -> Vec<String> {
        let manager = MANAGERS.iter().find(|m| m.program == program).unwrap();
        manager.commands(&packages()).iter().map(|(_, argv)| argv.join(" ")).collect()
    }

    #[test]
    fn each_manager_is_called_as_it_wants_to_be() {
        let apt = lines("apt-get");
        assert!(apt[0].ends_with(" update") && apt[1].ends_with(" dist-upgrade"), "{apt:?}");
        assert!(apt[2].ends_with(" install git jq=1.7"), "{apt:?}");
        let dnf = ["dnf -q -y makecache", "dnf -q -y upgrade", "dnf -q -y install git jq-1.7"];
        assert_eq!(lines("dnf"), dnf);
        assert_eq!(lines("zypper")[2], "zypper --non-interactive install git jq=1.7");
        assert_eq!(lines("apk")[2], "apk -q add git jq=1.7");
    }

    #[test]
    fn the_first_manager_on_the_path_is_taken() {
        let tmp = tempfile::tempdir().unwrap();
        for name in ["apk", "yum"] {
            std::fs::write(tmp.path().join(name), "").unwrap();
        }
        let path = format!("relative:/nonexistent:{}", tmp.path().display());
        assert_eq!(find(&path).unwrap().program, "yum");
        assert!(find("/nonexistent").is_none());
    }
}
