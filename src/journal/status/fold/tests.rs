//! Journals by hand, and what they come to.

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
fn phases_by_hand_never_end_a_boot_that_has_not_ended() {
    let mut all = vec![began(), Event::PhaseBegan { phase: PhaseName::Volume }];
    all.extend(by_hand(PhaseName::Tools, PhaseResult::Ok, Outcome::Complete));
    assert_eq!(fold_events(all.clone(), true, 1).state, State::Running);
    assert_eq!(fold_events(all, false, 1).state, State::Failed);
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
    let run =
        |step: &str| StepRun { instance: "i".into(), step: step.into(), definition: "d".into() };
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
    assert_eq!((&lost[1]["state"], &lost[2]["state"]), (&"interrupted".into(), &"not-run".into()));
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
