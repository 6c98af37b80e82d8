//! The user's script: last, once an instance and payload, and for its user's eyes only.
//!
//! Before it starts, its beginning is in the ledger and on the disk; after it has
//! ended, its end is. So a run that succeeded is never repeated, one that was cut off
//! is, and one that ended badly is not, unless somebody asks.

mod scratch;
mod shebang;

pub use scratch::sweep;

use crate::config::value::{OnFailure, Retry, human, millis};
use crate::engine::command::{self, End, Identity, Invocation, Log};
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::journal::event::{Event, ScriptEnd, ScriptRun};
use crate::journal::file::Appender;
use crate::journal::ledger::{self, History};
use crate::journal::place::Ledger;
use crate::plan::ScriptWork;
use crate::stub::payload::VARIABLE;
use crate::sys::signals;
use scratch::Scratch;
use shebang::{Fault, Shebang};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What to do about a script that ended badly.
const AGAIN: &str = "read its log, mend the script and recreate the sandbox; or run it again here with `agent boot --again`";

/// Runs the script, or says why it is not run.
pub async fn run(work: &ScriptWork, cx: &mut Context<'_>) -> Report {
    let Some(script) = cx.script.take() else {
        return Report::failed(Problem::new(
            "script-lost",
            "the user script is planned but was not handed over",
            "start the sandbox again",
        ));
    };
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

    let ready = prepare(script.bytes(), cx);
    drop(script);
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
        Ok(mut ready) => {
            let end = ready.run(work, cx).await;
            (recorded(&end, cx), judge(&end, work, &run, cx))
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
        End::NotStarted(e) => match e.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => None,
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

/// A script that can be started.
struct Ready {
    log: Log,
    shebang: Option<Shebang>,
    scratch: Scratch,
}

/// Why a script can't be started.
enum Unready {
    /// Its first line is at fault: it will not do better at the next boot.
    Script(Problem),
    /// The sandbox has no place for it.
    Sandbox(Problem),
}

fn prepare(bytes: &[u8], cx: &Context<'_>) -> Result<Ready, Unready> {
    let no_file = |what: &str, e: std::io::Error| {
        Unready::Sandbox(Problem::new(
            "script-unwritable",
            format!("{what} cannot be made: {e}"),
            "make room in /tmp, /dev/shm or on the volume; the next boot runs the script",
        ))
    };
    let (file, path) = cx.open_log("user-script").map_err(|e| no_file("the script's log", e))?;
    let log = Log::new(file, path);
    let shebang =
        shebang::parse(bytes).map_err(|fault| Unready::Script(unusable(fault).log(&log.path)))?;
    if let Some(s) = &shebang
        && !s.interpreter.is_file()
    {
        // Its name is a part of the script: it is told in the private log alone.
        log.say(&format!("the interpreter {} does not exist", s.interpreter.display()));
        let problem = Problem::new(
            "script-interpreter",
            "the program that the script's first line names is not in this image",
            "correct the first line, or add the program to the image; the log names it",
        );
        return Err(Unready::Script(problem.log(&log.path)));
    }
    let scratch = Scratch::write(bytes, shebang.is_none(), cx).map_err(|e| match e.kind() {
        std::io::ErrorKind::Unsupported => Unready::Sandbox(Problem::new(
            "script-noexec",
            "the user script is a program, and every place for it is mounted noexec",
            "mount one of /tmp, /dev/shm or the volume without noexec",
        )),
        _ => no_file("the script's private file", e),
    })?;
    Ok(Ready { log, shebang, scratch })
}

impl Ready {
    async fn run(&mut self, work: &ScriptWork, cx: &Context<'_>) -> End {
        let home = &cx.user().home;
        let what = Invocation {
            argv: argv(self.shebang.take(), &self.scratch),
            cwd: if home.is_dir() { home.clone() } else { "/".into() },
            environment: &work.environment,
            identity: Identity::SandboxUser,
        };
        command::run(&what, &mut self.log, cx).await
    }
}

/// The script itself where its filesystem allows that; on a noexec one, what the
/// kernel would have run: the interpreter, its argument, the script.
fn argv(shebang: Option<Shebang>, scratch: &Scratch) -> Vec<OsString> {
    let path = scratch.script().into_os_string();
    match shebang {
        Some(s) if scratch.noexec() => {
            [Some(s.interpreter.into_os_string()), s.argument, Some(path)]
                .into_iter()
                .flatten()
                .collect()
        }
        _ => vec![path],
    }
}

fn unusable(fault: Fault) -> Problem {
    let (message, next) = match fault {
        Fault::Absent => (
            "the user script has no #! line",
            "begin it with #!/bin/bash or another interpreter, and recreate the sandbox",
        ),
        Fault::CarriageReturn => (
            "the user script has Windows line ends, so its interpreter is not found",
            "convert it (dos2unix), and recreate the sandbox",
        ),
        Fault::Unusable => (
            "the user script's first line names no interpreter that the kernel can run",
            "begin it with an absolute path, such as #!/bin/bash, and recreate the sandbox",
        ),
    };
    Problem::new("script-first-line", message, next)
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

fn judge(end: &End, work: &ScriptWork, run: &ScriptRun, cx: &Context<'_>) -> Option<Problem> {
    let log = log_path(cx);
    let attempt = run.attempt;
    let problem = match end {
        End::Exited(0) => return None,
        End::Exited(status) => Problem::new(
            "script-failed",
            format!("the user script ended with status {status} (attempt {attempt})"),
            match work.retry {
                Retry::Never => AGAIN,
                Retry::NextBoot => "mend the script; the next boot runs it again (bootstrap.retry)",
            },
        ),
        End::Signaled(signal) => Problem::new(
            "script-killed",
            format!("the user script was killed by {} (attempt {attempt})", signals::name(*signal)),
            "it is repeated at the next boot; SIGKILL without an operator is most often the memory limit",
        ),
        End::Deadline => Problem::new(
            "script-deadline",
            format!(
                "the user script did not end within {} (attempt {attempt})",
                human(cx.phase_deadline())
            ),
            "raise bootstrap.deadline, or make the script shorter; then recreate the sandbox, or run `agent boot --again`",
        ),
        End::Cancelled => Problem::new(
            "script-interrupted",
            format!("the user script was cut off by a request to stop (attempt {attempt})"),
            "it is repeated at the next boot",
        ),
        End::NotStarted(e) => Problem::new(
            "script-not-started",
            format!("the user script cannot be started: {e}"),
            "check that its interpreter can be executed by the sandbox user",
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
