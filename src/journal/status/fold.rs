//! The fold: events → [`Status`].

use super::super::event::{
    BootBegan, BootEnded, Epoch, Event, Outcome, PhaseEnded, PhaseResult, Problem, Record, Runner,
    StepEnded,
};
use super::{Boot, Phase, PhaseState, Script, State, Status, Step, by_hand};
use crate::plan::PhaseName;
use jiff::Timestamp;

/// What the reader knows that the journal does not.
pub struct Observer<'a> {
    /// Is this the life of the sandbox that is going on now?
    pub this_life: &'a dyn Fn(&Epoch) -> bool,
    /// Is the boot's runner still there?
    pub lives: &'a dyn Fn(&Runner) -> bool,
}

/// Folds the records of a journal, oldest first, to the status of the newest whole boot, with
/// what was run by hand since.
pub fn fold(records: &[Record], observer: &Observer<'_>) -> Status {
    let beginnings = beginnings(records, observer);
    let whole = beginnings.iter().rposition(|(_, began)| began.only.is_empty());
    let mut status = match whole.and_then(|n| beginnings.get(n)) {
        Some((from, _)) => section(records, *from, observer),
        None if records.iter().any(|r| matches!(r.event, Event::BootBegan(_))) => {
            Status::none("no boot has begun since this sandbox was started")
        }
        None => Status::none("no boot has begun here"),
    };
    let own = status.state;
    for (from, began) in beginnings.iter().skip(whole.map_or(0, |n| n + 1)) {
        let part = section(records, *from, observer);
        status = by_hand::over(status, part, &began.only, own);
    }
    status
}

/// The status of the newest boot by itself: of what was run by hand, where that is the newest.
pub fn newest(records: &[Record], observer: &Observer<'_>) -> Status {
    match beginnings(records, observer).last() {
        Some((from, _)) => section(records, *from, observer),
        None => fold(records, observer),
    }
}

/// Where boots of this life begin, oldest first.
fn beginnings<'a>(records: &'a [Record], observer: &Observer<'_>) -> Vec<(usize, &'a BootBegan)> {
    let ours = |(n, record): (usize, &'a Record)| match &record.event {
        Event::BootBegan(began) if (observer.this_life)(&began.runner.epoch) => Some((n, began)),
        _ => None,
    };
    records.iter().enumerate().filter_map(ours).collect()
}

/// The status of the boot that begins at `from`, by its own records.
fn section(records: &[Record], from: usize, observer: &Observer<'_>) -> Status {
    let Some((head, rest)) = records.get(from..).and_then(<[Record]>::split_first) else {
        return Status::none("no boot has begun here");
    };
    let Event::BootBegan(began) = &head.event else {
        return Status::none("no boot has begun here");
    };
    let begun = |r: &Record| matches!(r.event, Event::BootBegan(_));
    // What follows another beginning belongs to another life's boot.
    let rest = rest.iter().take_while(|r| !begun(r));
    let mut status = begin(began, head.at);
    let mut end = None;
    for record in rest {
        match &record.event {
            Event::BootBegan(_) | Event::TagTried(_) => {}
            Event::MachineSeen(seen) => {
                if let Some(boot) = &mut status.boot {
                    boot.instance.clone_from(&seen.instance);
                }
                status.machine = Some(seen.clone());
            }
            Event::PhaseBegan { phase } => enter(&mut status, *phase, record.at),
            Event::PhaseEnded(ended) => leave(&mut status, ended),
            Event::StepsPlanned { steps } => {
                status.steps = steps.iter().map(|name| planned(name)).collect()
            }
            Event::StepBegan(run) => {
                if let Some(step) = status.steps.iter_mut().find(|s| s.name == run.step) {
                    step.state = PhaseState::Running;
                    step.began = Some(record.at);
                }
            }
            Event::StepEnded(ended) => leave_step(&mut status, ended),
            Event::InstanceCompleted { .. } | Event::DutyBegan(_) | Event::DutyEnded(_) => {}
            Event::ScriptBegan(run) => status.script = Some(Script { run: run.clone(), end: None }),
            Event::ScriptEnded { run, end } => {
                status.script = Some(Script { run: run.clone(), end: Some(*end) });
            }
            Event::BootEnded(ended) => end = Some((ended, record.at)),
        }
    }
    match end {
        Some((ended, at)) => finish(&mut status, ended, at),
        None if (observer.lives)(&began.runner) => under_way(&mut status),
        None => cut_off(&mut status),
    }
    status.failure_phase = failure_phase(&status);
    status
}

fn begin(began: &BootBegan, at: Timestamp) -> Status {
    let phase = |name: &PhaseName| Phase {
        name: *name,
        state: PhaseState::Pending,
        began: None,
        elapsed_ms: None,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    Status {
        state: State::Running,
        boot: Some(Boot {
            id: began.boot.clone(),
            instance: began.instance.clone(),
            agent: began.agent.clone(),
            began: at,
            ended: None,
            elapsed_ms: None,
            pid: began.runner.pid,
            logs: began.logs.clone(),
        }),
        phases: began.phases.iter().map(phase).collect(),
        ..Status::none("")
    }
}

fn enter(status: &mut Status, name: PhaseName, at: Timestamp) {
    status.phase = Some(name);
    if let Some(phase) = status.phases.iter_mut().find(|p| p.name == name) {
        phase.state = PhaseState::Running;
        phase.began = Some(at);
    }
}

fn planned(name: &str) -> Step {
    Step {
        name: name.to_owned(),
        state: PhaseState::Pending,
        began: None,
        elapsed_ms: None,
        notes: Vec::new(),
    }
}

fn leave_step(status: &mut Status, ended: &StepEnded) {
    if let Some(step) = status.steps.iter_mut().find(|s| s.name == ended.run.step) {
        step.state = PhaseState::Ended(ended.result);
        step.elapsed_ms = Some(ended.elapsed_ms);
        step.notes.clone_from(&ended.notes);
    }
}

/// Nothing of it goes on: what ran was cut off, what was to come doesn't come.
fn close(state: &mut PhaseState) {
    match state {
        PhaseState::Pending => *state = PhaseState::NotRun,
        PhaseState::Running => *state = PhaseState::Ended(PhaseResult::Interrupted),
        PhaseState::NotRun | PhaseState::Ended(_) => {}
    }
}

fn leave(status: &mut Status, ended: &PhaseEnded) {
    if ended.phase == PhaseName::Provision {
        status.steps.iter_mut().for_each(|s| close(&mut s.state));
    }
    if let Some(phase) = status.phases.iter_mut().find(|p| p.name == ended.phase) {
        phase.state = PhaseState::Ended(ended.result);
        phase.elapsed_ms = Some(ended.elapsed_ms);
        phase.problems.clone_from(&ended.problems);
        phase.notes.clone_from(&ended.notes);
    }
    if !ended.tools.is_empty() {
        status.tools.clone_from(&ended.tools);
    }
}

fn close_all(status: &mut Status) {
    status.phases.iter_mut().for_each(|p| close(&mut p.state));
    status.steps.iter_mut().for_each(|s| close(&mut s.state));
}

fn finish(status: &mut Status, ended: &BootEnded, at: Timestamp) {
    if let Some(boot) = &mut status.boot {
        boot.ended = Some(at);
        boot.elapsed_ms = Some(ended.elapsed_ms);
    }
    close_all(status);
    status.phase = ended.phase;
    status.interrupted.clone_from(&ended.interrupted);
    status.state = match ended.outcome {
        Outcome::Complete => State::Complete,
        Outcome::Degraded => State::Degraded,
        Outcome::Failed => State::Failed,
    };
    status.summary = summary_of(status);
}

/// The summary of a boot that has ended.
pub(super) fn summary_of(status: &Status) -> String {
    match status.state {
        State::Degraded => format!("degraded: {}", first_problem(status)),
        State::Failed => failure(status),
        _ => "complete".to_owned(),
    }
}

fn failure(status: &Status) -> String {
    let phase = status.phase.map_or("boot", PhaseName::word);
    match &status.interrupted {
        Some(by) => format!("failed: interrupted in {phase} by {by}"),
        None => format!("failed: {}", first_problem(status)),
    }
}

/// The name that a failure is filed under: what its deciding problem says, else the phase's own.
pub(super) fn failure_phase(status: &Status) -> Option<String> {
    if status.state != State::Failed {
        return None;
    }
    let filed = deciding(status).filter(|(phase, _)| status.phase.is_none_or(|p| p == *phase));
    let filed = filed.and_then(|(_, problem)| problem.filed_under.clone());
    Some(filed.unwrap_or_else(|| status.phase.map_or("config", PhaseName::failure_name).to_owned()))
}

/// The problem that decided: of the deciding phase, else the first of all.
fn deciding(status: &Status) -> Option<(PhaseName, &Problem)> {
    let decided = status.phase;
    status
        .problems()
        .find(|(phase, _)| decided.is_none_or(|d| d == *phase))
        .or_else(|| status.problems().next())
}

fn first_problem(status: &Status) -> String {
    deciding(status).map_or_else(
        || format!("in {}", status.phase.map_or("boot", PhaseName::word)),
        |(phase, problem)| format!("{}: {}{}", phase.word(), problem.message, reason(problem)),
    )
}

/// The evidence's first line, so that one line tells the reason too.
fn reason(problem: &Problem) -> String {
    const MAX: usize = 200;
    let line = problem.evidence.as_deref().and_then(|e| e.lines().next()).unwrap_or_default();
    match line.get(..line.floor_char_boundary(MAX)).unwrap_or_default() {
        "" => String::new(),
        start if start.len() < line.len() => format!(" ({start}…)"),
        whole => format!(" ({whole})"),
    }
}

fn under_way(status: &mut Status) {
    status.state = State::Running;
    let running = status.steps.iter().filter(|s| s.state == PhaseState::Running);
    let steps: Vec<&str> = running.map(|s| s.name.as_str()).collect();
    status.summary = match status.phase {
        Some(phase) if steps.is_empty() => format!("running: {}", phase.word()),
        Some(phase) => format!("running: {} ({})", phase.word(), steps.join(", ")),
        None => "running".into(),
    };
}

fn cut_off(status: &mut Status) {
    let running = status.phases.iter().find(|p| p.state == PhaseState::Running).map(|p| p.name);
    let phase = running.or(status.phase);
    close_all(status);
    status.state = State::Failed;
    status.phase = phase;
    status.interrupted = Some("runner gone".into());
    status.summary = format!(
        "failed: interrupted in {} (the boot process is gone and left no end)",
        phase.map_or("boot", PhaseName::word)
    );
}

#[cfg(test)]
mod tests;
