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
mod tests {
    use super::*;
    use crate::journal::event::{ScriptEnd, StepRun};

    fn epoch(init_start: u64) -> Epoch {
        Epoch { kernel_boot: "k".into(), pid_namespace: 1, init_pid: 1, init_start }
    }

    fn began() -> Event {
        Event::BootBegan(BootBegan {
            boot: "b".into(),
            runner: Runner { pid: 9, start_ticks: 5, epoch: epoch(1) },
            instance: "i".into(),
            agent: "0".into(),
            phases: vec![PhaseName::Volume, PhaseName::Tools],
            logs: "/logs".into(),
            only: vec![],
        })
    }

    fn by_hand(phase: PhaseName, result: PhaseResult, outcome: Outcome) -> Vec<Event> {
        let Event::BootBegan(began) = began() else { unreachable!() };
        let problem = (result == PhaseResult::Failed).then(|| Problem::new("p", "it is bad", "x"));
        let end = PhaseEnded {
            phase,
            result,
            elapsed_ms: 1,
            problems: problem.into_iter().collect(),
            notes: vec![],
            tools: vec![],
        };
        let decided = (outcome != Outcome::Complete).then_some(phase);
        vec![
            Event::BootBegan(BootBegan { boot: "hand".into(), only: vec![phase], ..began }),
            Event::PhaseBegan { phase },
            Event::PhaseEnded(end),
            ended(outcome, decided),
        ]
    }

    fn ended(outcome: Outcome, phase: Option<PhaseName>) -> Event {
        Event::BootEnded(BootEnded { outcome, phase, interrupted: None, elapsed_ms: 5 })
    }

    fn fold_events(events: Vec<Event>, lives: bool, init_start: u64) -> Status {
        let records: Vec<Record> =
            events.into_iter().map(|event| Record { at: Timestamp::UNIX_EPOCH, event }).collect();
        let this_life = |e: &Epoch| *e == epoch(init_start);
        fold(&records, &Observer { this_life: &this_life, lives: &|_| lives })
    }

    #[test]
    fn no_event_no_boot() {
        assert_eq!(fold_events(vec![], true, 1).state, State::None);
    }

    #[test]
    fn only_its_own_event_makes_a_boot_complete() {
        let end = || ended(Outcome::Complete, None);
        assert_eq!(fold_events(vec![began(), end()], false, 1).state, State::Complete);
        assert_eq!(fold_events(vec![end()], true, 1).state, State::None);
        let cut = fold_events(vec![began(), end(), began()], false, 1);
        assert_eq!(cut.state, State::Failed, "the newest boot counts");
    }

    #[test]
    fn phases_by_hand_change_what_they_are_and_never_make_a_failed_boot_complete() {
        let whole = |outcome, phase| vec![began(), ended(outcome, phase)];
        let good = || by_hand(PhaseName::Volume, PhaseResult::Ok, Outcome::Complete);
        let bad = || by_hand(PhaseName::Volume, PhaseResult::Failed, Outcome::Failed);
        let fold_all = |parts: Vec<Vec<Event>>| fold_events(parts.concat(), false, 1);
        let complete = fold_all(vec![whole(Outcome::Complete, None), good()]);
        assert_eq!((complete.state, complete.boot.unwrap().id.as_str()), (State::Complete, "b"));
        assert!(complete.phases[0].notes[0].starts_with("run by hand"), "{:?}", complete.phases);
        let failed = fold_all(vec![whole(Outcome::Complete, None), bad()]);
        assert_eq!(failed.summary, "failed: volume: it is bad");
        assert_eq!(failed.failure_phase.as_deref(), Some("volume"));
        let mended = fold_all(vec![whole(Outcome::Complete, None), bad(), good()]);
        assert_eq!(mended.state, State::Complete);
        let still = fold_all(vec![whole(Outcome::Failed, Some(PhaseName::Volume)), good()]);
        assert_eq!((still.state, still.phase), (State::Failed, Some(PhaseName::Volume)));
        assert!(still.summary.contains("by hand since"), "{}", still.summary);
        assert_eq!(fold_all(vec![good()]).state, State::None, "that was no boot");
        assert_eq!(fold_all(vec![good(), whole(Outcome::Complete, None)]).state, State::Complete);
    }

    #[test]
    fn a_phase_by_hand_that_runs_is_running_and_one_that_was_lost_is_a_failure() {
        let events = || {
            let mut hand = by_hand(PhaseName::Volume, PhaseResult::Ok, Outcome::Complete);
            hand.truncate(2);
            [vec![began(), ended(Outcome::Complete, None)], hand].concat()
        };
        let running = fold_events(events(), true, 1);
        assert_eq!(
            (running.state, running.summary.as_str()),
            (State::Running, "running: volume, by hand")
        );
        let lost = fold_events(events(), false, 1);
        assert_eq!((lost.state, lost.phase), (State::Failed, Some(PhaseName::Volume)));
    }

    #[test]
    fn a_boot_of_another_life_in_between_changes_nothing() {
        let other = Event::BootBegan(BootBegan {
            runner: Runner { pid: 12, start_ticks: 6, epoch: epoch(2) },
            ..match began() {
                Event::BootBegan(b) => b,
                _ => unreachable!(),
            }
        });
        let end = || ended(Outcome::Complete, None);
        let events = || vec![began(), end(), other.clone(), ended(Outcome::Failed, None)];
        assert_eq!(fold_events(events(), false, 1).state, State::Complete);
        assert_eq!(fold_events(events(), false, 2).state, State::Failed);
        assert_eq!(fold_events(events(), false, 3).state, State::None);
    }

    #[test]
    fn a_boot_of_another_life_says_nothing() {
        let status = fold_events(vec![began(), ended(Outcome::Complete, None)], false, 2);
        assert_eq!(status.state, State::None);
    }

    #[test]
    fn a_lost_runner_is_a_failure_that_names_the_phase() {
        let events = || vec![began(), Event::PhaseBegan { phase: PhaseName::Tools }];
        assert_eq!(fold_events(events(), true, 1).state, State::Running);
        let lost = fold_events(events(), false, 1);
        assert_eq!((lost.state, lost.phase), (State::Failed, Some(PhaseName::Tools)));
        assert!(lost.summary.starts_with("failed: interrupted in tools"), "{}", lost.summary);
    }

    #[test]
    fn steps_are_followed_while_they_run_and_after_they_were_cut_off() {
        let run = |step: &str| StepRun {
            instance: "i".into(),
            step: step.into(),
            definition: "d".into(),
        };
        let ended = Event::StepEnded(StepEnded {
            run: run("a"),
            result: PhaseResult::Ok,
            end: Some(ScriptEnd::Exit(0)),
            elapsed_ms: 7,
            notes: vec![],
        });
        let events = || {
            vec![
                began(),
                Event::PhaseBegan { phase: PhaseName::Provision },
                Event::StepsPlanned { steps: vec!["a".into(), "b".into(), "c".into()] },
                Event::StepBegan(run("a")),
                Event::StepBegan(run("b")),
                ended.clone(),
            ]
        };
        let states = |s: &Status| serde_json::to_value(&s.steps).unwrap();
        let running = fold_events(events(), true, 1);
        assert_eq!(running.summary, "running: provision (b)");
        let json = states(&running);
        assert_eq!((&json[0]["state"], &json[0]["elapsed_ms"]), (&"ok".into(), &7.into()));
        assert_eq!((&json[1]["state"], &json[2]["state"]), (&"running".into(), &"pending".into()));
        let lost = states(&fold_events(events(), false, 1));
        assert_eq!(
            (&lost[1]["state"], &lost[2]["state"]),
            (&"interrupted".into(), &"not-run".into())
        );
    }

    #[test]
    fn a_failure_tells_its_deciding_problem() {
        let problem = Problem::new("volume-full", "the volume is full", "make room");
        let phase = Event::PhaseEnded(PhaseEnded {
            phase: PhaseName::Volume,
            result: PhaseResult::Failed,
            elapsed_ms: 1,
            problems: vec![problem],
            notes: vec![],
            tools: vec![],
        });
        let status = fold_events(
            vec![
                began(),
                Event::PhaseBegan { phase: PhaseName::Volume },
                phase,
                ended(Outcome::Failed, Some(PhaseName::Volume)),
            ],
            false,
            1,
        );
        assert_eq!(status.summary, "failed: volume: the volume is full");
        assert_eq!(status.phases[1].state, PhaseState::NotRun);
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["phases"][0]["state"], "failed");
        assert_eq!(json["phases"][1]["state"], "not-run");
    }
}
