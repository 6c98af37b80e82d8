//! One step: who, where, how often, and what came of it.

use super::problems::{self, Attempts};
use super::who::Who;
use crate::config::RunAt;
use crate::config::value::{OnFailure, human, millis};
use crate::engine::command::{self, End, Invocation, Log};
use crate::engine::{Context, retry};
use crate::journal::Problem;
use crate::journal::event::{Event, PhaseResult, ScriptEnd, StepEnded, StepRun};
use crate::journal::ledger::{PastStep, past_step};
use crate::journal::place::Ledger;
use crate::plan::Step;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;
use tokio::time;
use tracing::info;

/// Runs the step, or finds it done; the problem, if any.
pub(super) async fn run(step: &Step, ledger: Option<&Ledger>, cx: &Context<'_>) -> Option<Problem> {
    let began = Instant::now();
    let run = StepRun {
        instance: cx.plan.instance.id.clone(),
        step: step.name.clone(),
        definition: step.definition.clone(),
    };
    let ledger = ledger.filter(|_| step.run == RunAt::Once);
    let mut notes = Vec::new();
    if let Some(ledger) = ledger {
        match past_step(&ledger.records, &run) {
            PastStep::Ended(end, _) if end.good() && cx.repeats() => {
                notes.push("repeating because it was asked for".into());
            }
            PastStep::Ended(end, at) if end.good() => {
                let at = at.strftime("%F %T UTC");
                notes.push(format!("already ran on this instance, at {at}; not repeated"));
                end_of(cx, run, PhaseResult::Skipped, Some(end), began, notes);
                return None;
            }
            PastStep::Ended(..) => notes.push("its last run here ended badly; repeating".into()),
            PastStep::CutOff => notes.push("its last run here was cut off; repeating".into()),
            PastStep::None => {}
        }
    }
    let (end, mut problem) = match attempt(step, ledger, &run, cx, &mut notes).await {
        Ok((end, problem)) => (end, problem),
        Err(problem) => (None, Some(problem)),
    };
    let result = match (&problem, step.on_failure()) {
        (None, _) => PhaseResult::Ok,
        (Some(_), _) if cx.cancel.requested().is_some() => PhaseResult::Interrupted,
        (Some(_), OnFailure::Fail) => PhaseResult::Failed,
        (Some(_), OnFailure::Degrade) => PhaseResult::Degraded,
    };
    // Only what is never run again must be on the disk.
    if ledger.is_some() && step.run == RunAt::Once && problem.is_none() {
        let unsettled = cx.settle(&format!("step {}", step.name)).await;
        notes.extend(unsettled.map(|(_, p)| p.message));
    }
    let ended = end_of(cx, run, result, end, began, notes);
    // Where no end is known it was cut off, or never begun: the next boot runs it.
    if let Some(Ok(appender)) = ledger.map(|l| l.appender.as_ref())
        && end.is_some()
        && let Err(e) = appender.append_durably(ended)
    {
        problem = problem.or_else(|| Some(problems::no_record(step, &e)));
    }
    problem
}

/// Records how it ended.
fn end_of(
    cx: &Context<'_>,
    run: StepRun,
    result: PhaseResult,
    end: Option<ScriptEnd>,
    began: Instant,
    notes: Vec<String>,
) -> Event {
    let (phase, step) = (cx.phase.word(), run.step.as_str());
    let took = human(began.elapsed());
    match result {
        PhaseResult::Skipped => info!(phase, step, "{phase}: step {step}: {}", notes.join("; ")),
        _ => info!(phase, step, "{phase}: step {step}: {} in {took}", result.word()),
    }
    let elapsed_ms = millis(began.elapsed());
    let event = Event::StepEnded(StepEnded { run, result, end, elapsed_ms, notes });
    cx.record(event.clone());
    event
}

/// Runs it until it succeeds, or may not be tried again. An error is a step that was not
/// begun.
async fn attempt(
    step: &Step,
    ledger: Option<&Ledger>,
    run: &StepRun,
    cx: &Context<'_>,
    notes: &mut Vec<String>,
) -> Result<(Option<ScriptEnd>, Option<Problem>), Problem> {
    let who = Who::of(step, cx)?;
    let cwd = directory(step, &who)?;
    let (file, path) = cx
        .open_log_of(&format!("step-{}", step.name), who.log_owner)
        .map_err(|e| problems::no_log(step, &e))?;
    let mut log = Log::new(file, path);
    let begin = Event::StepBegan(run.clone());
    if let Some(ledger) = ledger {
        let written = match &ledger.appender {
            Ok(appender) => appender.append_durably(begin.clone()),
            Err(e) => Err(std::io::Error::new(e.kind(), e.to_string())),
        };
        written.map_err(|e| problems::no_record(step, &e))?;
    }
    cx.record(begin);
    let mut environment = step.environment.clone();
    environment.default.extend(who.variables());
    let what = Invocation {
        argv: step.argv.iter().map(OsString::from).collect(),
        cwd,
        environment: &environment,
        identity: who.identity,
    };
    let attempts = repeat(step, &what, &mut log, cx).await;
    if attempts.made > 1 {
        notes.push(format!("attempt {} of {}", attempts.made, step.attempts));
    }
    let problem = problems::of(&attempts, step, &log);
    Ok((attempts.end.record(attempts.allowed), problem))
}

/// Tries again what ended by itself and badly, while there is time.
async fn repeat(step: &Step, what: &Invocation<'_>, log: &mut Log, cx: &Context<'_>) -> Attempts {
    let began = Instant::now();
    let limit = cx.limit.min(began + step.deadline.0);
    let allowed = limit.saturating_duration_since(began);
    let mut rng = fastrand::Rng::new();
    let mut made = 0;
    loop {
        made += 1;
        log.mark();
        let end = command::run_until(limit, what, log, cx).await;
        let done = |end| Attempts { end, made, allowed };
        let again = matches!(end, End::Exited(1..) | End::Signaled(_)) && made < step.attempts;
        let wait = retry::backoff(made + 1, &mut rng);
        if !again || Instant::now() + wait >= limit {
            return done(end);
        }
        log.say(&format!("attempt {made} of {} ended badly; the next follows", step.attempts));
        tokio::select! {
            () = time::sleep(wait) => {}
            () = cx.cancel.wait() => return done(End::Cancelled),
        }
    }
}

/// Where it starts. One that was written must be there; a home may not be made yet.
fn directory(step: &Step, who: &Who) -> Result<PathBuf, Problem> {
    match &step.directory {
        Some(path) if path.is_dir() => Ok(path.clone()),
        Some(path) => Err(problems::not_started(
            step,
            &format!("its directory {} is not there", path.display()),
            "correct the step's `directory`, or let an earlier step make it",
        )),
        None if who.home.is_dir() => Ok(who.home.clone()),
        None => Ok("/".into()),
    }
}
