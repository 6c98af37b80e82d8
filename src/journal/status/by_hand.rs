//! Phases that were run by hand (`agent boot --only`), laid over the boot before them.
//!
//! What was run anew shows its newest end. The state stays what the whole boot made it: phases
//! by hand never make a failed boot complete, since what came after the failure has not been run.
//! They can make a boot that ended well worse, by failing, and mend what degraded it.

use super::super::event::PhaseResult;
use super::fold::{failure_phase, summary_of};
use super::{Phase, PhaseState, State, Status};
use crate::plan::PhaseName;

/// Lays what ran by hand (`part`, of which the phases `only` were asked for) over `whole`; `own` is
/// how the whole boot ended by itself.
pub(super) fn over(whole: Status, part: Status, only: &[PhaseName], own: State) -> Status {
    if part.state == State::Running {
        return Status {
            summary: format!("{}, by hand", part.summary),
            ..merged(whole, part, only)
        };
    }
    let interrupted = part.interrupted.clone();
    let mut status = merged(whole, part, only);
    match own {
        State::None => {
            status.summary =
                "no boot has begun since this sandbox was started; phases of one were run by hand"
                    .into();
            return status;
        }
        // Two boots at once there cannot be; if it looks so, nothing has come to its end.
        State::Running => return status,
        State::Failed => {
            status.state = own;
            let decided = status.phases.iter().find(|p| Some(p.name) == status.phase);
            if decided.is_some_and(|p| p.problems.is_empty() && only.contains(&p.name)) {
                status.summary = format!(
                    "failed: {} did not end well in the boot; run again by hand since, it did; `agent boot` runs what comes after it",
                    status.phase.map_or("boot", PhaseName::word)
                );
            }
            return status;
        }
        _ => {}
    }
    let worst = |result| {
        let ended = PhaseState::Ended(result);
        status.phases.iter().find(|p| p.state == ended).map(|p| p.name)
    };
    let failed = worst(PhaseResult::Failed).or_else(|| worst(PhaseResult::Interrupted));
    let degraded = worst(PhaseResult::Degraded);
    (status.state, status.phase) = match (failed, degraded) {
        (Some(phase), _) => (State::Failed, Some(phase)),
        (None, Some(phase)) => (State::Degraded, Some(phase)),
        (None, None) => (State::Complete, None),
    };
    status.interrupted = interrupted.filter(|_| status.state == State::Failed);
    status.summary = summary_of(&status);
    status.failure_phase = failure_phase(&status);
    status
}

fn merged(whole: Status, part: Status, only: &[PhaseName]) -> Status {
    let mut status = whole;
    let running = part.state == State::Running;
    let shown = |p: &Phase| only.contains(&p.name) || status.boot.is_none();
    for phase in part.phases.into_iter().filter(shown).collect::<Vec<_>>() {
        // What was not come to is as it was.
        if matches!(phase.state, PhaseState::NotRun | PhaseState::Pending) {
            continue;
        }
        let mut phase = phase;
        if only.contains(&phase.name) {
            phase.notes.push(by_hand(phase.began));
        }
        match status.phases.iter_mut().find(|p| p.name == phase.name) {
            Some(there) => *there = phase,
            None => status.phases.push(phase),
        }
    }
    if only.contains(&PhaseName::Provision) && !part.steps.is_empty() {
        status.steps = part.steps;
    }
    if !part.tools.is_empty() {
        status.tools = part.tools;
    }
    status.script = part.script.or(status.script);
    status.machine = part.machine.or(status.machine);
    if running {
        (status.state, status.phase, status.summary) = (State::Running, part.phase, part.summary);
    }
    status
}

fn by_hand(at: Option<jiff::Timestamp>) -> String {
    let at = at.map(|t| t.strftime(", at %F %T UTC").to_string()).unwrap_or_default();
    format!("run by hand{at}")
}
