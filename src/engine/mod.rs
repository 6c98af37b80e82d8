//! Runs a plan: phase after phase, each with its deadline, each end recorded.
//!
//! The rules that hold here, whatever a phase does: a required phase that doesn't end
//! well ends the boot; a stop request ends the running command's whole process group
//! and then the boot; nothing waits without a limit; what is recorded is recorded
//! before the next thing begins.

mod cancel;
pub mod command;
mod context;
mod excerpt;
mod helper;
mod progress;
pub mod redact;
pub mod retry;
mod settle;
pub mod together;

pub use cancel::Cancel;
pub use context::{Context, Held};
pub use excerpt::excerpt;
pub use helper::HelperError;
pub use settle::helper as settle_helper;

use crate::config::value::{OnFailure, human, millis};
use crate::journal::event::{BootEnded, Event, Outcome, PhaseEnded, PhaseResult, Tool};
use crate::journal::{Problem, State};
use crate::phases;
use crate::plan::{Phase, PhaseName};
use crate::sys::notify;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time;
use tracing::{error, info, warn};

/// What a phase reports.
#[derive(Debug, Default)]
pub struct Report {
    /// What went wrong, and what that means.
    pub problems: Vec<(OnFailure, Problem)>,
    /// What else a reader should know.
    pub notes: Vec<String>,
    /// The tools as they stand.
    pub tools: Vec<Tool>,
    /// There was nothing to do.
    pub skipped: bool,
}

impl Report {
    /// A phase that had nothing to do.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self { skipped: true, notes: vec![reason.into()], ..Self::default() }
    }

    /// A phase that failed with one problem.
    pub fn failed(problem: Problem) -> Self {
        Self { problems: vec![(OnFailure::Fail, problem)], ..Self::default() }
    }

    /// One more thing that fails the phase.
    pub fn fail(&mut self, problem: Problem) {
        self.problems.push((OnFailure::Fail, problem));
    }

    fn result(&self) -> PhaseResult {
        let has = |what| self.problems.iter().any(|(w, _)| *w == what);
        match () {
            () if has(OnFailure::Fail) => PhaseResult::Failed,
            () if has(OnFailure::Degrade) => PhaseResult::Degraded,
            () if self.skipped => PhaseResult::Skipped,
            () => PhaseResult::Ok,
        }
    }
}

/// Runs every phase of the context's plan and records the boot's end.
///
/// # Errors
/// The end could not be written to the disk, so it has not happened.
pub async fn run(cx: &mut Context<'_>) -> io::Result<BootEnded> {
    let began = Instant::now();
    let limit = began + cx.plan.deadline.0;
    let mut ended =
        BootEnded { outcome: Outcome::Complete, phase: None, interrupted: None, elapsed_ms: 0 };
    // The plan may be made anew on the way: the phases stay, what they do becomes known.
    for n in 0..cx.plan.phases.len() {
        let plan = Rc::clone(&cx.plan);
        let Some(phase) = plan.phases.get(n) else { break };
        if ended.outcome == Outcome::Failed && !phase.name.is_guest_duty() {
            break;
        }
        if !asked_for(phase, cx) {
            not_asked_for(phase, cx);
            continue;
        }
        match run_phase(phase, cx, limit).await {
            PhaseResult::Ok | PhaseResult::Skipped => continue,
            PhaseResult::Degraded => {
                if ended.outcome != Outcome::Failed {
                    ended.outcome = Outcome::Degraded;
                    ended.phase.get_or_insert(phase.name);
                }
                continue;
            }
            PhaseResult::Failed => {}
            PhaseResult::Interrupted => ended.interrupted = cx.cancel.requested(),
        }
        if ended.outcome != Outcome::Failed {
            ended.outcome = Outcome::Failed;
            ended.phase = Some(phase.name);
        }
        // Without the metadata, and where one of the ways into the machine cannot be laid, the
        // others are: somebody has to be able to look at what is wrong.
        if ended.interrupted.is_some() || !leads_to_duties(phase.name) {
            break;
        }
    }
    if ended.outcome != Outcome::Failed && !cx.is_by_hand() {
        phases::health::remember(cx);
    }
    ended.elapsed_ms = millis(began.elapsed());
    cx.place.journal.append_durably(Event::BootEnded(ended.clone()))?;
    Ok(ended)
}

fn leads_to_duties(phase: PhaseName) -> bool {
    phase == PhaseName::Metadata || phase.is_guest_duty()
}

/// What was refused, and which machine this is, concerns every phase.
fn asked_for(phase: &Phase, cx: &Context<'_>) -> bool {
    matches!(phase.name, PhaseName::Config | PhaseName::Metadata) || cx.asks_for(phase.name)
}

fn not_asked_for(phase: &Phase, cx: &Context<'_>) {
    cx.record(Event::PhaseEnded(PhaseEnded {
        phase: phase.name,
        result: PhaseResult::Skipped,
        elapsed_ms: 0,
        problems: Vec::new(),
        notes: vec!["not asked for".into()],
        tools: Vec::new(),
    }));
}

async fn run_phase(phase: &Phase, cx: &mut Context<'_>, boot_limit: Instant) -> PhaseResult {
    let began = Instant::now();
    cx.record(Event::PhaseBegan { phase: phase.name });
    notify::status(&format!("{} …", phase.name.word()));
    cx.limit = boot_limit.min(began + phase.deadline.0);
    cx.phase = phase.name;
    let mut report = {
        // Commands end at cx.limit by themselves; the margin is for what they leave to do.
        let backstop = cx.limit + cx.plan.grace.0 + Duration::from_secs(5);
        let work = time::timeout_at(backstop.into(), phases::run(&phase.work, cx));
        match progress::while_watched(phase.name, work).await {
            Ok(report) => report,
            Err(_) => Report::failed(hung(phase, cx.limit - began)),
        }
    };
    let mut result = report.result();
    if cx.cancel.requested().is_some() && !matches!(result, PhaseResult::Ok | PhaseResult::Skipped)
    {
        result = PhaseResult::Interrupted;
    }
    say(phase.name, result, &report, began.elapsed());
    cx.record(Event::PhaseEnded(PhaseEnded {
        phase: phase.name,
        result,
        elapsed_ms: millis(began.elapsed()),
        problems: report.problems.drain(..).map(|(_, p)| p).collect(),
        notes: std::mem::take(&mut report.notes),
        tools: std::mem::take(&mut report.tools),
    }));
    // A stop that came while the phase ended well still stops the boot.
    if cx.cancel.requested().is_some() { PhaseResult::Interrupted } else { result }
}

fn hung(phase: &Phase, allowed: Duration) -> Problem {
    Problem::new(
        "phase-hung",
        format!("{} did not end within the {} that it had", phase.name.word(), human(allowed)),
        "look for a dead network filesystem or a stopped process",
    )
}

/// Each message names its phase: where only the message is shown, it must stand for itself.
fn say(phase: PhaseName, result: PhaseResult, report: &Report, elapsed: Duration) {
    let phase = phase.word();
    for note in &report.notes {
        info!(phase, "{phase}: {note}");
    }
    for (means, p) in &report.problems {
        let evidence = p
            .evidence
            .as_deref()
            .map(|e| format!(" ({})", e.replace('\n', " | ")))
            .unwrap_or_default();
        match means {
            OnFailure::Fail => {
                error!(phase, code = p.code, "{phase}: {}{evidence}; next: {}", p.message, p.next)
            }
            OnFailure::Degrade => {
                warn!(phase, code = p.code, "{phase}: {}{evidence}; next: {}", p.message, p.next)
            }
        }
    }
    let word = result.word();
    info!(phase, "{phase}: {word} in {}", human(elapsed));
}

/// The state that an end stands for.
pub fn state_of(ended: &BootEnded) -> State {
    match ended.outcome {
        Outcome::Complete => State::Complete,
        Outcome::Degraded => State::Degraded,
        Outcome::Failed => State::Failed,
    }
}
