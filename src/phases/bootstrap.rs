//! The user's script: last, once an instance and payload, and for its user's eyes only.
//!
//! Before it starts, its beginning is in the ledger and on the disk; after it has
//! ended, its end is. So a run that succeeded is never repeated, one that was cut off
//! is, and one that ended badly is not, unless somebody asks.

use super::program::{self, Ready, RunAs, Unready};
use crate::config::value::ScriptUser;
use crate::config::value::{OnFailure, Retry, human, millis};
use crate::engine::command::{End, Log};
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::journal::event::{Event, ScriptEnd, ScriptRun};
use crate::journal::file::Appender;
use crate::journal::ledger::{self, History};
use crate::journal::place::Ledger;
use crate::plan::ScriptWork;
use crate::stub::payload::VARIABLE;
use crate::stub::told::{Part, Scripts};
use crate::sys::signals;
use std::path::PathBuf;
use std::time::Duration;

/// What to do about a script that ended badly.
const AGAIN: &str = "read its log, mend the script and recreate the sandbox; or run it again here with `agent boot --again`";

/// Runs the script, or says why it is not run.
pub async fn run(work: &ScriptWork, cx: &mut Context<'_>) -> Report {
    let scripts = std::mem::take(&mut cx.scripts);
    if scripts.is_empty() {
        return Report::failed(Problem::new(
            "script-lost",
            "the user script is planned but was not handed over",
            "start the sandbox again",
        ));
    }
    let Ledger { records, appender, passing } = cx.open_ledger();
    let history = ledger::history(&records, &cx.plan.instance.id, &work.sha256);
    let run = ScriptRun {
        instance: cx.plan.instance.id.clone(),
        payload: work.sha256.clone(),
        attempt: history.attempts + 1,
    };
    if let Some(end) = history.last
        && !runs_again(work, end)
    {
        return settled(end, &history, &run, cx);
    }
    let mut ledger = match appender {
        Ok(ledger) => ledger,
        Err(e) => return Report::failed(no_ledger(&e)),
    };
    let mut report = Report::default();
    report.notes.extend(why_again(work, &history));
    report.problems.extend(passing.map(|why| (OnFailure::Degrade, no_lasting_record(&why))));

    let ready = prepare(&scripts, work, cx);
    if let Err(Unready::Sandbox(problem)) = ready {
        // The script had no part in it: nothing is recorded, and the next boot tries again.
        report.fail(problem);
        return report;
    }
    let begin = Event::ScriptBegan(run.clone());
    if let Err(e) = ledger.append_durably(begin.clone()) {
        return Report::failed(no_ledger(&e));
    }
    cx.record(begin);
    report.notes.push(format!("attempt {}", run.attempt));
    let (recorded, problem) = match ready {
        Ok((first, mut log)) => {
            let (end, part) = run_all(first, scripts, work, &mut log, cx).await;
            match end {
                Ok(end) => (recorded(&end, cx), judge(&end, part.as_deref(), work, &run, cx)),
                Err(problem) => (Some(ScriptEnd::NotStarted(libc::ENOEXEC)), Some(problem)),
            }
        }
        Err(Unready::Script(problem) | Unready::Sandbox(problem)) => {
            (Some(ScriptEnd::NotStarted(libc::ENOEXEC)), Some(problem))
        }
    };
    if let Some(end) = recorded
        && let Err(e) = record_end(&mut ledger, &run, end, cx)
    {
        return Report::failed(no_ledger(&e));
    }
    if let Some(problem) = problem {
        report.fail(problem);
    }
    report
}

/// What is recorded of an end. `None` is a script that was cut off, or that the system
/// had no room for: the next boot repeats it.
fn recorded(end: &End, cx: &Context<'_>) -> Option<ScriptEnd> {
    match end {
        End::Exited(status) => Some(ScriptEnd::Exit(*status)),
        End::Deadline => Some(ScriptEnd::Deadline(millis(cx.phase_deadline()))),
        // What the machine had no room for, or its disk did not give, says nothing of the script.
        End::NotStarted(e) => match e.raw_os_error() {
            Some(
                libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ENOSPC
                | libc::EIO | libc::EROFS | libc::EINTR,
            ) => None,
            code => Some(ScriptEnd::NotStarted(code.unwrap_or(0))),
        },
        End::Signaled(_) | End::Cancelled => None,
    }
}

/// No script is given to this boot. What became of an earlier one of this instance still
/// counts: a payload that has left the environment doesn't undo a failure.
pub fn none_given(again: bool, cx: &mut Context<'_>) -> Report {
    let records = match cx.recorded_scripts() {
        Ok(records) => records,
        Err(e) => return Report::failed(no_ledger(&e)),
    };
    let instance = &cx.plan.instance.id;
    let Some(run) = ledger::latest(&records, instance).cloned() else {
        return if again { not_at_hand() } else { Report::skipped("no user script is given") };
    };
    if again {
        return not_at_hand();
    }
    let history = ledger::history(&records, instance, &run.payload);
    match history.last {
        Some(end) => settled(end, &history, &run, cx),
        None => Report::failed(Problem::new(
            "script-not-at-hand",
            format!(
                "attempt {} of the user script was cut off, and this boot was not given the script to repeat it",
                history.attempts
            ),
            "restart the sandbox; its start gives the script again",
        )),
    }
}

fn not_at_hand() -> Report {
    let next =
        format!("recreate the sandbox, or give the script: `{VARIABLE}=… agent boot --again`");
    Report::failed(Problem::new(
        "script-not-at-hand",
        "the user script cannot run again: this boot was not given it",
        next,
    ))
}

/// Is a script run again that came to its end before?
fn runs_again(work: &ScriptWork, end: ScriptEnd) -> bool {
    work.again || (!end.good() && work.retry == Retry::NextBoot)
}

/// What a script that came to its end before, and is not run again, means for this boot.
fn settled(end: ScriptEnd, history: &History, run: &ScriptRun, cx: &mut Context<'_>) -> Report {
    let last = ScriptRun { attempt: history.attempts, ..run.clone() };
    cx.record(Event::ScriptEnded { run: last, end });
    let at = history.at.map(|t| t.strftime("%F %T UTC").to_string()).unwrap_or_default();
    if end.good() {
        return Report {
            notes: vec![format!(
                "already ran on this instance, at {at} (attempt {}); not repeated",
                history.attempts
            )],
            ..Report::default()
        };
    }
    let how = match end {
        ScriptEnd::Exit(status) => format!("ended with status {status}"),
        ScriptEnd::Deadline(ms) => {
            format!("did not end within {}", human(Duration::from_millis(ms)))
        }
        ScriptEnd::NotStarted(_) => "could not be started".into(),
    };
    let message = format!(
        "the user script {how} on this instance, at {at} (attempt {}); it is not repeated",
        history.attempts
    );
    let problem = Problem::new("script-failed-before", message, AGAIN);
    Report::failed(problem.log(log_path(cx)))
}

fn why_again(work: &ScriptWork, history: &History) -> Option<String> {
    let attempts = history.attempts;
    match (attempts, history.last) {
        (0, _) => None,
        (_, None) => Some(format!("attempt {attempts} was cut off before its end; repeating")),
        (_, Some(_)) if work.again => Some("running again because it was asked for".into()),
        (_, Some(_)) => {
            Some(format!("attempt {attempts} ended badly; trying again (bootstrap.retry)"))
        }
    }
}

/// Opens the log, looks at the first line of every script, and gets the first one ready: of
/// several none is run where one cannot be.
fn prepare(
    scripts: &Scripts,
    work: &ScriptWork,
    cx: &Context<'_>,
) -> Result<(Ready, Log), Unready> {
    let log = match work.user {
        ScriptUser::Sandbox => cx.open_log("user-script"),
        ScriptUser::Root => cx.open_log_of("user-script", None),
    };
    let (file, path) = log.map_err(|e| program::no_file("the script's log", &e))?;
    let log = Log::new(file, path);
    for part in scripts.parts() {
        program::first_line(part.script.bytes())
            .map_err(|problem| Unready::Script(named(problem, part).log(&log.path)))?;
    }
    let Some(first) = scripts.parts().first() else {
        return Err(program::no_file("the script", &std::io::ErrorKind::NotFound.into()));
    };
    let ready = ready(first, work, &log, cx)?;
    Ok((ready, log))
}

fn ready(part: &Part, work: &ScriptWork, log: &Log, cx: &Context<'_>) -> Result<Ready, Unready> {
    let run_as = match work.user {
        ScriptUser::Sandbox => RunAs::SandboxUser,
        ScriptUser::Root => RunAs::Root,
    };
    program::ready(part.script.bytes(), run_as, log, cx).map_err(|unready| match unready {
        Unready::Script(problem) => Unready::Script(named(problem, part)),
        Unready::Sandbox(problem) => Unready::Sandbox(problem),
    })
}

/// Runs the scripts one after the other, as long as they end well. Returns the end of the last
/// that was run, and which it was where there are several.
async fn run_all(
    first: Ready,
    scripts: Scripts,
    work: &ScriptWork,
    log: &mut Log,
    cx: &Context<'_>,
) -> (Result<End, Problem>, Option<String>) {
    let mut first = Some(first);
    let mut last = (Ok(End::Exited(0)), None);
    for part in scripts.parts() {
        let label = part.label.as_ref().map(ToString::to_string);
        if let Some(label) = label.as_ref().filter(|_| scripts.parts().len() > 1) {
            log.say(label);
        }
        let ready = match first.take() {
            Some(ready) => Ok(ready),
            None => ready(part, work, log, cx),
        };
        let end = match ready {
            Ok(ready) => Ok(ready.run(&work.environment, log, cx).await),
            Err(unready) => Err(unready.problem()),
        };
        let good = matches!(end, Ok(End::Exited(0)));
        last = (end, label);
        if !good {
            break;
        }
    }
    last
}

/// The problem of a script, with the part that it stands in.
fn named(problem: Problem, part: &Part) -> Problem {
    let Some(label) = &part.label else { return problem };
    Problem { message: format!("{label}: {}", problem.message), ..problem }
}

fn record_end(
    ledger: &mut Appender,
    run: &ScriptRun,
    end: ScriptEnd,
    cx: &mut Context<'_>,
) -> std::io::Result<()> {
    let event = Event::ScriptEnded { run: run.clone(), end };
    let written = ledger.append_durably(event.clone());
    cx.record(event);
    written
}

fn judge(
    end: &End,
    part: Option<&str>,
    work: &ScriptWork,
    run: &ScriptRun,
    cx: &Context<'_>,
) -> Option<Problem> {
    let log = log_path(cx);
    let script = match part {
        Some(part) => format!("{part} of the user script"),
        None => "the user script".to_owned(),
    };
    let attempt = run.attempt;
    let problem = match end {
        End::Exited(0) => return None,
        End::Exited(status) => Problem::new(
            "script-failed",
            format!("{script} ended with status {status} (attempt {attempt})"),
            match work.retry {
                Retry::Never => AGAIN,
                Retry::NextBoot => "mend the script; the next boot runs it again (bootstrap.retry)",
            },
        ),
        End::Signaled(signal) => Problem::new(
            "script-killed",
            format!("{script} was killed by {} (attempt {attempt})", signals::name(*signal)),
            "it is repeated at the next boot; SIGKILL without an operator is most often the memory limit",
        ),
        End::Deadline => Problem::new(
            "script-deadline",
            format!(
                "{script} did not end within {} (attempt {attempt})",
                human(cx.phase_deadline())
            ),
            "raise bootstrap.deadline, or make the script shorter; then recreate the sandbox, or run `agent boot --again`",
        ),
        End::Cancelled => Problem::new(
            "script-interrupted",
            format!("{script} was cut off by a request to stop (attempt {attempt})"),
            "it is repeated at the next boot",
        ),
        End::NotStarted(e) => Problem::new(
            "script-not-started",
            format!("{script} cannot be started: {e}"),
            "check that its interpreter can be executed by whoever runs it",
        ),
    };
    Some(problem.log(log))
}

fn log_path(cx: &Context<'_>) -> PathBuf {
    cx.place.path.join("logs/user-script.log")
}

fn no_lasting_record(why: &str) -> Problem {
    Problem::new(
        "script-record-passing",
        "that the user script has run is recorded in memory alone: a restart will run it again",
        "make ~/.local/state/agent a directory on the volume, without a link on its way",
    )
    .evidence(why)
}

fn no_ledger(e: &std::io::Error) -> Problem {
    let next = if crate::sys::files::no_room(e) {
        "make room on the volume, then run `agent boot`"
    } else {
        "mend the record, or remove it to let the script run; without it the script might run twice"
    };
    Problem::new(
        "ledger-unwritable",
        format!("the record of the user script cannot be used: {e}"),
        next,
    )
}
