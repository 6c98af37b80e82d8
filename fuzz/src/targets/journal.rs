//! The journal's replay: whatever lies there gives a status, and `complete` only where a boot
//! of this life wrote its end.

use agent::journal::event::{
    BootBegan, BootEnded, DutyRun, Epoch, Event, MachineSeen, Outcome, PhaseEnded, PhaseResult,
    Problem, Record, Runner, ScriptEnd, ScriptRun, StepEnded, StepRun,
};
use agent::journal::status::{Observer, fold, newest};
use agent::journal::{State, Status, file, ledger, tags};
use agent::plan::PhaseName;
use agent::stub::Parameters;
use agent::views::status::Text;
use agent::views::timeline::Timeline;
use jiff::Timestamp;

/// This life's kernel boot, and the process that lives, in every seed.
const NOW: &str = "now";
const ALIVE: i32 = 7;

fn observer(alive: bool) -> Observer<'static> {
    let lives: &'static dyn Fn(&Runner) -> bool =
        if alive { &|r: &Runner| r.pid == ALIVE } else { &|_: &Runner| false };
    Observer { this_life: &|e: &Epoch| e.kernel_boot == NOW, lives }
}

/// Arbitrary bytes.
pub fn bytes(data: &[u8]) {
    let contents = file::parse(data);
    let lines = data.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
    assert_eq!(contents.records.len() + contents.unreadable, lines, "a line is lost");
    assert!(contents.damaged <= contents.unreadable);
    judged(&contents.records);
    folded(&contents.records);
    // What was read is written as what it is.
    let again: Vec<u8> = contents.records.iter().flat_map(line).collect();
    assert_eq!(file::parse(&again).records, contents.records, "written anew it is another");
    // Wherever a power cut tore it, the next boot's events are read.
    let mut torn = data[..data.len() / 2].to_vec();
    if torn.last().is_some_and(|b| *b != b'\n') {
        torn.push(b'\n');
    }
    let next =
        Record { at: Timestamp::UNIX_EPOCH, event: Event::BootBegan(began(ALIVE, NOW, vec![])) };
    torn.extend(line(&next));
    let torn = file::parse(&torn);
    assert_eq!(torn.records.last(), Some(&next), "the next boot is lost");
    let status = fold(&torn.records, &observer(true));
    assert_eq!(status.state, State::Running, "a boot that has only begun");
}

/// A sequence of true events in any order, an event a byte; the last byte says where a power
/// cut tears it.
pub fn events(data: &[u8]) {
    let Some((tear, codes)) = data.split_last() else { return };
    let all: Vec<Record> = codes.iter().take(200).enumerate().map(|(n, c)| record(n, *c)).collect();
    judged(&all);
    let text: Vec<u8> = all.iter().flat_map(line).collect();
    let contents = file::parse(&text);
    assert_eq!((&contents.records, contents.unreadable), (&all, 0));
    let cut = text.len() * usize::from(*tear) / 255;
    let torn = file::parse(&text[..cut]);
    assert!(torn.records.len() <= all.len() && torn.records == all[..torn.records.len()]);
    assert_eq!(torn.damaged, 0, "torn, not damaged");
    judged(&torn.records);
    folded(&all);
}

fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("a record is JSON");
    line.push(b'\n');
    line
}

/// Holds what must hold of every status.
fn judged(records: &[Record]) {
    for alive in [true, false] {
        let status = fold(records, &observer(alive));
        let well = ended_well(records);
        match status.state {
            State::Complete | State::Degraded => {
                assert!(well, "{:?} without a record of it", status.state);
            }
            State::Running => assert!(alive, "running for ever"),
            State::None => assert!(!begun(records), "a boot is lost"),
            State::Failed => {}
        }
        shown(&status);
        shown(&newest(records, &observer(alive)));
    }
}

/// Where the newest whole boot of this life begins.
fn whole(records: &[Record]) -> Option<usize> {
    records.iter().rposition(|r| {
        matches!(&r.event, Event::BootBegan(b) if b.only.is_empty() && b.runner.epoch.kernel_boot == NOW)
    })
}

fn begun(records: &[Record]) -> bool {
    whole(records).is_some()
}

/// Does its own end, before any other boot's beginning, say that it was well?
fn ended_well(records: &[Record]) -> bool {
    let Some(from) = whole(records) else { return false };
    let own = records[from + 1..].iter().take_while(|r| !matches!(r.event, Event::BootBegan(_)));
    let last = own.filter_map(|r| match &r.event {
        Event::BootEnded(ended) => Some(ended.outcome),
        _ => None,
    });
    last.last().is_some_and(|outcome| outcome != Outcome::Failed)
}

/// Every view of it can be made, and is text for a terminal.
fn shown(status: &Status) {
    assert!(!status.summary.is_empty(), "a status without words");
    let json = serde_json::to_vec(status).expect("a status is JSON");
    let read: Status = serde_json::from_slice(&json).expect("which is read as one");
    assert_eq!(&read, status, "written and read it is another");
    for text in [Text(status).to_string(), Timeline(status).to_string()] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "it obeys: {text:?}");
    }
    for (_, tag) in tags::wanted(status.state, status.failure_phase.as_deref()) {
        assert!(tag.is_none_or(|t| t.len() <= 256 && !t.contains(char::is_control)));
    }
}

/// The other folds.
fn folded(records: &[Record]) {
    let history = ledger::history(records, "i", "p");
    assert!(history.last.is_none() || history.at.is_some());
    let run = StepRun { instance: "i".into(), step: "s".into(), definition: "d".into() };
    let _ = ledger::past_step(records, &run);
    let duty = DutyRun { instance: "i".into(), duty: PhaseName::Hostname, subject: "s".into() };
    let _ = ledger::past_duty(records, &duty);
    let completed =
        |r: &Record| matches!(&r.event, Event::InstanceCompleted { instance } if instance == "i");
    assert_eq!(ledger::was_complete(records, "i"), records.iter().any(completed));
    let _ = ledger::latest(records, "i");
    let wanted = tags::wanted(State::Failed, Some("tools"));
    assert_eq!(tags::fold(records, "b", &wanted).len(), wanted.len());
}

fn began(pid: i32, life: &str, only: Vec<PhaseName>) -> BootBegan {
    let epoch = Epoch { kernel_boot: life.into(), pid_namespace: 1, init_pid: 1, init_start: 1 };
    BootBegan {
        boot: "b".into(),
        runner: Runner { pid, start_ticks: 1, epoch },
        instance: "i".into(),
        agent: "0.1.0".into(),
        phases: PhaseName::ALL.to_vec(),
        logs: "/run/agent/logs".into(),
        only,
    }
}

fn record(n: usize, code: u8) -> Record {
    let phase = PhaseName::ALL[usize::from(code >> 4) % PhaseName::ALL.len()];
    let odd = code & 16 != 0;
    let ended = |result| {
        let problems = match result {
            PhaseResult::Ok | PhaseResult::Skipped => vec![],
            _ => vec![Problem::new("code", "what", "next").evidence("seen")],
        };
        let (notes, tools) = (vec![], vec![]);
        Event::PhaseEnded(PhaseEnded { phase, result, elapsed_ms: 5, problems, notes, tools })
    };
    let end = |outcome, interrupted| {
        let phase = Some(phase).filter(|_| outcome == Outcome::Failed);
        Event::BootEnded(BootEnded { outcome, phase, interrupted, elapsed_ms: 9 })
    };
    let step = StepRun { instance: "i".into(), step: "s".into(), definition: "d".into() };
    let script = ScriptRun { instance: "i".into(), payload: "p".into(), attempt: 1 };
    let event = match code & 15 {
        0 => Event::BootBegan(began(if odd { ALIVE } else { 8 }, NOW, vec![])),
        1 => Event::BootBegan(began(if odd { ALIVE } else { 8 }, NOW, vec![phase])),
        2 => Event::BootBegan(began(ALIVE, "before", vec![])),
        3 => Event::PhaseBegan { phase },
        4 => ended(PhaseResult::Ok),
        5 => ended(PhaseResult::Skipped),
        6 => ended(PhaseResult::Degraded),
        7 => ended(PhaseResult::Failed),
        8 => ended(PhaseResult::Interrupted),
        9 => end(Outcome::Complete, None),
        10 => end(Outcome::Degraded, None),
        11 => end(Outcome::Failed, odd.then(|| "SIGTERM".into())),
        12 if odd => Event::StepsPlanned { steps: vec!["s".into(), "t".into()] },
        12 => Event::StepBegan(step),
        13 => Event::StepEnded(StepEnded {
            run: step,
            result: if odd { PhaseResult::Ok } else { PhaseResult::Failed },
            end: Some(ScriptEnd::Exit(i32::from(!odd))),
            elapsed_ms: 3,
            notes: vec![],
        }),
        14 if odd => Event::ScriptBegan(script),
        14 => Event::ScriptEnded { run: script, end: ScriptEnd::Exit(i32::from(code >> 5)) },
        _ if odd => Event::InstanceCompleted { instance: "i".into() },
        _ => Event::MachineSeen(MachineSeen {
            instance: "i-0123456789abcdef0".into(),
            region: "eu-central-1".into(),
            user_data: "script".into(),
            parameters: Parameters::default(),
        }),
    };
    let at = Timestamp::from_millisecond(1_700_000_000_000 + n as i64).expect("a time");
    Record { at, event }
}
