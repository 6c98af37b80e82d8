//! A container: PID 1, its boot, a step and the user's script that are to run once, and the
//! workload. It is cut off, or a call of it fails, at each point; then it is started again.

use crate::calls::Point;
use crate::sandbox::Sandbox;
use crate::table::Table;
use crate::tracer::{Act, Traced, trace};
use crate::trials::each;
use crate::util::run;
use agent::journal::event::Record;
use agent::journal::ledger::{self, PastStep};
use agent::journal::{Event, file};
use nix::errno::Errno;
use serde_json::Value;
use std::fs;
use std::process::Command;

const SCRIPT: &str = "#!/bin/sh\necho run >>~/runs\necho made >~/made\n";

/// The workload: it tells how the boot ended.
const WORKLOAD: &str =
    "agent status --json >/mnt/out/status 2>/mnt/out/complaint; agent status >/mnt/out/text; true";

const CONFIG: &str = "[[volume]]\ntarget = \"/mnt/home\"\nmin_free = 0\nmin_inodes = 0\n\
                      [[step]]\nname = \"step\"\nrun = \"once\"\ncommand = \"echo run >>/mnt/home/steps\"\n";

/// What may lie in the directory of the state.
const KNOWN: &[&str] = &["journal", "scripts", "lock", "logs"];

/// The journal is in memory, the record of what ran is on the volume.
fn with_memory() -> Sandbox {
    Sandbox::new().script_file(SCRIPT).config("agent.toml", CONFIG)
}

/// As in a container with a read-only root: all is on the volume.
fn without_memory() -> Sandbox {
    with_memory().no_run()
}

fn life(sandbox: &Sandbox) -> Command {
    sandbox.pid1(&["agent", "init", "--on-boot-failure", "hold", "--", "sh", "-c", WORKLOAD])
}

/// What was done, and what is recorded as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done {
    scripts: usize,
    script_recorded: bool,
    steps: usize,
    step_recorded: bool,
}

impl Done {
    fn of(sandbox: &Sandbox) -> Self {
        let count =
            |name: &str| fs::read_to_string(sandbox.path(name)).unwrap_or_default().lines().count();
        let ledger = sandbox.path("home/.local/state/agent/test").join(ledger::NAME);
        let records: Vec<Record> = file::read(&ledger).map(|c| c.records).unwrap_or_default();
        let script_recorded = records
            .iter()
            .any(|r| matches!(&r.event, Event::ScriptEnded { end, .. } if end.good()));
        let step_recorded = records.iter().any(|r| match &r.event {
            Event::StepEnded(ended) => {
                matches!(ledger::past_step(&records, &ended.run), PastStep::Ended(end, _) if end.good())
            }
            _ => false,
        });
        let (scripts, steps) = (count("home/runs"), count("home/steps"));
        Self { scripts, script_recorded, steps, step_recorded }
    }

    /// After a life in which nothing goes wrong.
    fn after(self) -> Self {
        Self {
            scripts: self.scripts + usize::from(!self.script_recorded),
            script_recorded: true,
            steps: self.steps + usize::from(!self.step_recorded),
            step_recorded: true,
        }
    }
}

/// The status that the workload saw; none where there was no workload.
#[track_caller]
fn seen(sandbox: &Sandbox, what: &str) -> Option<Value> {
    let text = fs::read_to_string(sandbox.path("out/status")).ok()?;
    let _ = fs::remove_file(sandbox.path("out/status"));
    // Cut off while it was written.
    if text.is_empty() {
        return None;
    }
    Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{what}: no status ({e}): {text}")))
}

/// What a first life that did not go well may look like, in a word.
#[track_caller]
fn judge_first(sandbox: &Sandbox, traced: &Traced, what: &str) -> String {
    assert!(!traced.hung, "{what}: it hangs: {traced:#?}");
    assert!(!traced.stderr.contains("panicked"), "{what}: {traced:#?}");
    let Some(status) = seen(sandbox, what) else { return "no workload".into() };
    let state = status["state"].as_str().unwrap().to_owned();
    assert!(
        ["complete", "degraded", "failed"].contains(&state.as_str()),
        "{what}: {status:#}\n{traced:#?}"
    );
    if state != "failed" {
        let done = Done::of(sandbox);
        assert!(
            done.script_recorded && done.step_recorded,
            "{what}: a false {state}: {done:?}\n{status:#}"
        );
    } else {
        let text = fs::read_to_string(sandbox.path("out/text")).unwrap_or_default();
        assert!(text.contains("next"), "{what}: what is to be done? {text}");
    }
    state
}

/// The life after it: it completes, nothing that is recorded is repeated, and nothing is left of
/// the one before.
#[track_caller]
fn judge_second(sandbox: &Sandbox, what: &str) -> &'static str {
    let before = Done::of(sandbox);
    let ended = run(life(sandbox));
    let status =
        seen(sandbox, what).unwrap_or_else(|| panic!("{what}: no second life: {ended:#?}"));
    assert_eq!(status["state"], "complete", "{what}: {status:#}\n{ended:#?}");
    assert_eq!(Done::of(sandbox), before.after(), "{what}: {before:?} before\n{status:#}");
    assert_eq!(fs::read_to_string(sandbox.path("home/made")).unwrap(), "made\n", "{what}");
    for entry in fs::read_dir(sandbox.path("home/.local/state/agent/test")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(KNOWN.contains(&name.as_str()), "{what}: left behind: {name}");
    }
    match (before.script_recorded, before.scripts) {
        (true, _) => "not repeated",
        (false, 0) => "run",
        (false, _) => "repeated",
    }
}

#[track_caller]
fn points(make: fn() -> Sandbox) -> Vec<Point> {
    let sandbox = make();
    let traced = trace(&life(&sandbox), |_| Act::Go);
    assert_eq!(judge_first(&sandbox, &traced, "without an accident"), "complete");
    traced.points
}

/// Kills at every point, in turn.
fn killed(name: &str, make: fn() -> Sandbox, act: Act) {
    let points = points(make);
    let table = each(points.len(), |n| {
        let sandbox = make();
        let traced = trace(&life(&sandbox), |p| if p.number == n { act } else { Act::Go });
        let point = traced.points.get(n)?.clone();
        let what = format!("killed before {n}: {point}");
        let first = judge_first(&sandbox, &traced, &what);
        let second = judge_second(&sandbox, &what);
        Some((point, format!("{first}, then {second}")))
    });
    Table::of(table).keep(name);
}

#[test]
fn the_boot_is_killed_before_any_call() {
    killed("container-boot-killed", with_memory, Act::KillBoot);
}

#[test]
fn the_sandbox_is_killed_before_any_call() {
    killed("container-killed", with_memory, Act::KillAll);
}

#[test]
fn the_boot_is_killed_with_all_its_state_on_the_volume() {
    killed("container-volume-boot-killed", without_memory, Act::KillBoot);
}

#[test]
fn the_sandbox_is_killed_with_all_its_state_on_the_volume() {
    killed("container-volume-killed", without_memory, Act::KillAll);
}

const ERRORS: [Errno; 6] =
    [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EMFILE, Errno::ENOMEM, Errno::EINTR];

/// Each call with one error, by turns; with all of them where AGENT_CRASH_ALL is set.
#[test]
fn any_call_that_changes_something_fails() {
    let points = points(without_memory);
    let errors = if std::env::var_os("AGENT_CRASH_ALL").is_some() { ERRORS.len() } else { 1 };
    let table = each(points.len() * errors, |n| {
        let (at, error) = (n / errors, ERRORS[(n / errors + n % errors) % ERRORS.len()]);
        let sandbox = without_memory();
        let fail = |p: &Point| p.number == at && p.call.name != "exit_group";
        let traced = trace(&life(&sandbox), |p| if fail(p) { Act::Fail(error) } else { Act::Go });
        let point = traced.points.get(at)?.clone();
        let what = format!("{error} at {at}: {point}");
        let first = judge_first(&sandbox, &traced, &what);
        let second = judge_second(&sandbox, &what);
        Some((point, format!("{error}: {first}, then {second}")))
    });
    Table::of(table).keep("container-calls-failing");
}
