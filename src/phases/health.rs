//! Health: is everything there that the machine must have before the user's script runs?
//!
//! Everything that is missing is named in one report. On an instance that has not been
//! complete yet that fails the boot. Later the same finding is drift: somebody changed
//! the machine since; it is reported, never repaired, and degrades the boot.

mod services;

use crate::config::value::{OnFailure, human};
use crate::engine::{Context, HelperError, Report};
use crate::journal::Problem;
use crate::journal::event::Event;
use crate::journal::ledger;
use crate::plan::{HealthWork, Work};
use crate::sys::{Kernel, Linux, mounts};
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::warn;

/// What a helper is told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// Where programs are looked for.
    path: String,
    /// Names of programs, or absolute paths of such.
    commands: Vec<String>,
    /// Paths that must be there.
    files: Vec<PathBuf>,
}

/// What a helper answers: what is missing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    commands: Vec<String>,
    files: Vec<PathBuf>,
}

/// What was found out.
#[derive(Debug, Default)]
struct Findings {
    commands: Vec<String>,
    services: Vec<String>,
    files: Vec<PathBuf>,
    mounts: Vec<PathBuf>,
    /// What could not be looked for.
    unchecked: Vec<Problem>,
}

/// Looks for everything that is wanted.
pub async fn run(work: &HealthWork, cx: &Context<'_>) -> Report {
    let mut found = Findings::default();
    look(work, cx, &mut found).await;
    found.mounts = unmounted(&work.wanted.mounts, &mut found.unchecked);
    match services::inactive(work, cx).await {
        Ok(services) => found.services = services,
        Err(problem) => found.unchecked.push(problem),
    }
    let instance = &cx.plan.instance.id;
    let complete = cx.recorded_scripts().is_ok_and(|r| ledger::was_complete(&r, instance));
    let means = match work.wanted.required && !complete {
        true => OnFailure::Fail,
        false => OnFailure::Degrade,
    };
    let missing = missing(&found, complete);
    let problems = missing.into_iter().chain(found.unchecked);
    Report { problems: problems.map(|p| (means, p)).collect(), ..Report::default() }
}

/// Programs and what lies in the home are looked for as the user, whom they are for; other
/// paths as the agent, for whom no directory is closed.
async fn look(work: &HealthWork, cx: &Context<'_>, found: &mut Findings) {
    let home = &cx.user().home;
    let (at_home, elsewhere): (Vec<_>, Vec<_>) =
        work.wanted.files.iter().cloned().partition(|p| p.starts_with(home));
    let as_user =
        Request { path: work.path.clone(), commands: work.wanted.commands.clone(), files: at_home };
    let as_agent = Request { files: elsewhere, ..Request::default() };
    for (request, user) in [(as_user, true), (as_agent, false)] {
        if request.commands.is_empty() && request.files.is_empty() {
            continue;
        }
        let time = cx.limit.saturating_duration_since(Instant::now());
        match cx.helper::<_, Answer>("health", &request, user, time).await {
            Ok(answer) => {
                found.commands.extend(answer.commands);
                found.files.extend(answer.files);
            }
            Err(e) => found.unchecked.push(no_answer(e, cx)),
        }
    }
}

/// The helper `agent internal health`: looks for programs and paths as whoever it is.
pub fn helper(request: &Request) -> Answer {
    let directories: Vec<&str> = request.path.split(':').filter(|d| d.starts_with('/')).collect();
    let executable = |p: &Path| p.is_file() && access(p, AccessFlags::X_OK).is_ok();
    let is_there = |command: &&String| match command.starts_with('/') {
        true => executable(Path::new(command)),
        false => directories.iter().any(|d| executable(&Path::new(d).join(command))),
    };
    let commands = request.commands.iter().filter(|c| !is_there(c)).cloned().collect();
    let files = request.files.iter().filter(|p| !p.exists()).cloned().collect();
    Answer { commands, files }
}

fn unmounted(wanted: &[PathBuf], unchecked: &mut Vec<Problem>) -> Vec<PathBuf> {
    if wanted.is_empty() {
        return Vec::new();
    }
    match Linux.mounts() {
        Ok(table) => wanted.iter().filter(|p| mounts::at(&table, p).is_none()).cloned().collect(),
        Err(e) => {
            unchecked.push(no_table(&e));
            Vec::new()
        }
    }
}

/// One problem that names all that is missing, so that the summary's one line does too.
fn missing(found: &Findings, complete: bool) -> Option<Problem> {
    let paths = |all: &[PathBuf]| all.iter().map(|p| p.display().to_string()).collect();
    let all: Vec<String> = [
        ("command", found.commands.clone()),
        ("service", found.services.clone()),
        ("file", paths(&found.files)),
        ("mount", paths(&found.mounts)),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| {
        let plural = if names.len() > 1 { "s" } else { "" };
        format!("{what}{plural} {}", names.join(", "))
    })
    .collect();
    let list = all.join("; ");
    match (list.is_empty(), complete) {
        (true, _) => None,
        (false, false) => Some(Problem::new(
            "health-missing",
            format!("missing: {list}"),
            "put it into the image, or let a [[step]] install or start it, then run `agent boot`",
        )),
        (false, true) => Some(Problem::new(
            "health-drift",
            format!("drift, missing since this instance was complete: {list}"),
            "mend it by hand, or recreate the machine; drift is reported, never repaired",
        )),
    }
}

fn no_answer(e: HelperError, cx: &Context<'_>) -> Problem {
    match e {
        HelperError::Hung => unchecked(
            "commands and files",
            &format!("no answer within {}", human(cx.phase_deadline())),
        ),
        HelperError::Broken(why) => unchecked("commands and files", &why),
        HelperError::Cancelled => interrupted(),
    }
}

fn no_table(e: &io::Error) -> Problem {
    unchecked("mounts", &format!("the mount table cannot be read: {e}"))
}

fn unchecked(what: &str, why: &str) -> Problem {
    Problem::new(
        "health-unchecked",
        format!("the {what} of [health] cannot be looked for"),
        "mend what the evidence names, then run `agent boot`; raise health.deadline where time was short",
    )
    .evidence(why)
}

fn interrupted() -> Problem {
    Problem::new(
        "health-interrupted",
        "the health check was cut off by a request to stop",
        "start the machine again",
    )
}

/// A boot is about to end well. From here on what is missing on this instance is drift.
pub fn remember(cx: &Context<'_>) {
    let planned = cx.plan.phases.iter().any(|p| matches!(p.work, Work::Health(_)));
    if !planned {
        return;
    }
    let instance = cx.plan.instance.id.clone();
    let ledger = cx.open_ledger();
    if ledger::was_complete(&ledger.records, &instance) {
        return;
    }
    let event = Event::InstanceCompleted { instance };
    if let Err(e) = ledger.appender.and_then(|appender| appender.append_durably(event)) {
        // The next boot is then as strict as this one.
        warn!("that this instance was complete cannot be recorded: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_are_executable_files_on_the_path_or_at_their_own() {
        let tmp = tempfile::tempdir().unwrap();
        let make = |name: &str, mode| {
            let path = tmp.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let good = make("good", 0o755);
        make("plain", 0o644);
        fs::create_dir(tmp.path().join("directory")).unwrap();
        let request = Request {
            path: format!("/nonexistent:{}:relative", tmp.path().display()),
            commands: ["good", &good, "plain", "directory", "absent", "/absent"]
                .map(str::to_owned)
                .into(),
            files: vec![tmp.path().join("plain"), tmp.path().join("absent")],
        };
        let answer = helper(&request);
        assert_eq!(answer.commands, ["plain", "directory", "absent", "/absent"]);
        assert_eq!(answer.files, [tmp.path().join("absent")]);
    }

    #[test]
    fn all_that_is_missing_stands_in_one_line() {
        let found = Findings {
            commands: vec!["gh".into(), "mosh-server".into()],
            services: vec!["docker.service (failed)".into()],
            mounts: vec!["/mint".into()],
            ..Findings::default()
        };
        let problem = missing(&found, false).unwrap();
        assert_eq!(
            problem.message,
            "missing: commands gh, mosh-server; service docker.service (failed); mount /mint"
        );
        assert_eq!(missing(&found, true).unwrap().code, "health-drift");
        assert!(missing(&Findings::default(), true).is_none());
    }
}
