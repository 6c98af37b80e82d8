//! What is true now: the state, and all that a person or a program can be told of the newest
//! boot. It is made by [`fold()`] and by nothing else.

mod by_hand;
mod fold;

pub use fold::{Observer, fold, newest};

use super::event::{MachineSeen, PhaseResult, Problem, ScriptEnd, ScriptRun, Tool};
use super::tags::Tag;
use crate::plan::PhaseName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of the JSON form. Fields may be added under it; none is removed or
/// changes its meaning.
pub const SCHEMA: &str = "agent.status/1";

/// The state in one word; also the exit status of `agent status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Everything is there.
    Complete,
    /// A required phase did not end well, or the boot was cut off.
    Failed,
    /// Usable; something that may be missing is.
    Degraded,
    /// A boot is under way.
    Running,
    /// No boot has begun in this life of the sandbox.
    None,
}

impl State {
    /// The exit status that tells it: 0 complete, 1 failed, 2 degraded, 3 running, 4 none.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Failed => 1,
            Self::Degraded => 2,
            Self::Running => 3,
            Self::None => 4,
        }
    }

    /// The word itself.
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Degraded => "degraded",
            Self::Running => "running",
            Self::None => "none",
        }
    }
}

/// What is true of the newest boot, with what was run by hand since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of this form, [`SCHEMA`].
    pub schema: String,
    /// The state in one word.
    pub state: State,
    /// The state in one line.
    pub summary: String,
    /// The phase that is running, or that decided a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
    /// What cut the boot off: a signal, or `runner gone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
    /// The boot; absent where none has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<Boot>,
    /// The EC2 instance, once its metadata has been read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineSeen>,
    /// What a failure is filed under; the tag `mint:bootstrap-failure-phase`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_phase: Option<String>,
    /// Its phases in the order of the plan.
    pub phases: Vec<Phase>,
    /// The provisioning steps in the order of the plan; empty before their phase.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The tools as they stood after the tools phase.
    pub tools: Vec<Tool>,
    /// The user script; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// What EC2 was told; empty where it is told nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// The journal that this was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<PathBuf>,
    /// Lines of the journal that are no event (torn by a power cut, or damaged).
    pub unreadable_lines: usize,
}

/// Which boot, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// Its name.
    pub id: String,
    /// The container's or machine's name.
    pub instance: String,
    /// Version of the agent that ran it.
    pub agent: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// The process that runs it, or did.
    pub pid: i32,
    /// Where the commands' output is kept.
    pub logs: PathBuf,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: PhaseName,
    /// `pending`, `running`, `ok`, `skipped`, `degraded`, `failed`, `interrupted` or `not-run`.
    pub state: PhaseState,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// What went wrong in it.
    pub problems: Vec<Problem>,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

/// The state of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseState {
    /// It comes later.
    Pending,
    /// It runs now.
    Running,
    /// The boot ended before it.
    NotRun,
    /// It ended so.
    #[serde(untagged)]
    Ended(PhaseResult),
}

/// One provisioning step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The words of a phase's state.
    pub state: PhaseState,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

/// The user script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Which run this boot made, or last knew of.
    #[serde(flatten)]
    pub run: ScriptRun,
    /// How it ended; absent while it runs and where it was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<ScriptEnd>,
}

impl Status {
    /// The status where no boot has begun.
    pub fn none(summary: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA.into(),
            state: State::None,
            summary: summary.into(),
            phase: None,
            interrupted: None,
            boot: None,
            machine: None,
            failure_phase: None,
            phases: Vec::new(),
            steps: Vec::new(),
            tools: Vec::new(),
            script: None,
            tags: Vec::new(),
            journal: None,
            unreadable_lines: 0,
        }
    }

    /// The state of a phase; `None` where the boot has no such phase.
    pub fn phase_state(&self, name: PhaseName) -> Option<PhaseState> {
        self.phases.iter().find(|p| p.name == name).map(|p| p.state)
    }

    /// All problems with their phases, in order.
    pub fn problems(&self) -> impl Iterator<Item = (PhaseName, &Problem)> {
        self.phases.iter().flat_map(|p| p.problems.iter().map(move |problem| (p.name, problem)))
    }
}
