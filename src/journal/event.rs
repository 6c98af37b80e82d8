//! The events of a boot, one JSON object a line.

use super::tags::TagAttempt;
use crate::plan::PhaseName;
use crate::stub::Parameters;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Wall-clock time (UTC) of the append.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen in a boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A boot has begun.
    BootBegan(BootBegan),
    /// The instance metadata has told which machine this is.
    MachineSeen(MachineSeen),
    /// A phase has begun.
    PhaseBegan {
        /// Which.
        phase: PhaseName,
    },
    /// A phase has ended.
    PhaseEnded(PhaseEnded),
    /// The provisioning steps of this boot, before the first of them.
    StepsPlanned {
        /// Their names, in order.
        steps: Vec<String>,
    },
    /// A provisioning step is about to be run. Where it is run once an instance, it is in the
    /// ledger too, synced before.
    StepBegan(StepRun),
    /// A provisioning step has ended, or is not run for a reason that its notes tell.
    StepEnded(StepEnded),
    /// A guest duty that is done once an instance is about to be done. In the ledger alone.
    DutyBegan(DutyRun),
    /// It is done. In the ledger alone.
    DutyEnded(DutyRun),
    /// A boot of this instance has come to its end and was well. In the ledger alone.
    InstanceCompleted {
        /// Which instance.
        instance: String,
    },
    /// The user script is about to be started. Synced before it is.
    ScriptBegan(ScriptRun),
    /// The user script has ended by itself or at its deadline. One that was cut off leaves none.
    ScriptEnded {
        /// Which run.
        #[serde(flatten)]
        run: ScriptRun,
        /// How.
        end: ScriptEnd,
    },
    /// EC2 was told, or could not be told, how the boot ended. It stands in a file of its own.
    TagTried(TagAttempt),
    /// The boot has ended. Synced; the only event that can make a boot complete.
    BootEnded(BootEnded),
}

/// The head of a boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootBegan {
    /// This boot's name, unique on the instance.
    pub boot: String,
    /// Who runs it.
    pub runner: Runner,
    /// The container's or machine's name.
    pub instance: String,
    /// Version of the agent.
    pub agent: String,
    /// The phases of the plan, in order.
    pub phases: Vec<PhaseName>,
    /// Where the commands' output is kept.
    pub logs: PathBuf,
    /// The phases that were asked for by hand; empty where all are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<PhaseName>,
}

/// The EC2 instance, and what its launch said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSeen {
    /// The instance id.
    pub instance: String,
    /// The region.
    pub region: String,
    /// What kind of user-data was found, in words; never what is in it.
    pub user_data: String,
    /// The launch's parameters.
    #[serde(default)]
    pub parameters: Parameters,
}

/// One process for all time, and the sandbox it runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    /// Process id in its own pid namespace.
    pub pid: i32,
    /// Its start, in clock ticks since the kernel booted (`proc_pid_stat(5)`).
    pub start_ticks: u64,
    /// The sandbox it belongs to.
    #[serde(flatten)]
    pub epoch: Epoch,
}

/// One life of a sandbox: from the start of its init to its end. A status from another
/// life says nothing about this one. The init is the `agent init` that boots, else PID 1:
/// containers may share their pid namespace, and then PID 1 is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The kernel's boot id (`random(4)`).
    pub kernel_boot: String,
    /// Inode of the pid namespace; 0 where unknown.
    pub pid_namespace: u64,
    /// The init's process id.
    pub init_pid: i32,
    /// Its start in ticks; 0 where it cannot be seen.
    pub init_start: u64,
}

/// How a phase ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseEnded {
    /// Which phase.
    pub phase: PhaseName,
    /// How.
    pub result: PhaseResult,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// What went wrong, the gravest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What else a reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The tools as they stand after the tools phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
}

/// The end of a phase in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseResult {
    /// All is as the plan wants it.
    Ok,
    /// There was nothing to do, or the plan says not to; a note says why.
    Skipped,
    /// Something is missing that the config lets pass.
    Degraded,
    /// Something is missing that the config requires.
    Failed,
    /// A stop request cut it off.
    Interrupted,
}

impl PhaseResult {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One thing that went wrong: what, the evidence, and the next step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable name for programs, such as `volume-not-mounted`.
    pub code: String,
    /// What failed, one line.
    pub message: String,
    /// What was seen, a bounded excerpt; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What to do next, one line.
    pub next: String,
    /// Where the rest can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// The name that the failure is filed under (the tag `mint:bootstrap-failure-phase`)
    /// where it is not the phase's own: `packages`, `efs-mount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed_under: Option<String>,
}

impl Problem {
    /// A problem with its next step.
    pub fn new(code: &str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            evidence: None,
            next: next.into(),
            log: None,
            filed_under: None,
        }
    }

    /// Filed under another name than its phase's.
    #[must_use]
    pub fn filed_under(mut self, name: impl Into<String>) -> Self {
        self.filed_under = Some(name.into());
        self
    }

    /// With what was seen.
    #[must_use]
    pub fn evidence(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        self.evidence = (!text.is_empty()).then_some(text);
        self
    }

    /// With the log that holds the rest.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }
}

/// A tool after reconciling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name in the config, such as `npm:cowsay`.
    pub name: String,
    /// The version that is resolved.
    pub version: String,
    /// Is it there?
    pub installed: bool,
}

/// One run of a provisioning step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRun {
    /// On which instance.
    pub instance: String,
    /// The step's name.
    pub step: String,
    /// SHA-256 over what it does.
    pub definition: String,
}

/// How a provisioning step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEnded {
    /// Which run.
    #[serde(flatten)]
    pub run: StepRun,
    /// What that means for the boot; `skipped` where it was not run.
    pub result: PhaseResult,
    /// How its last attempt ended; absent where there was none, and where it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<ScriptEnd>,
    /// How long it took, in milliseconds, all attempts together.
    pub elapsed_ms: u64,
    /// What else a reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One guest duty on one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DutyRun {
    /// On which instance.
    pub instance: String,
    /// Which duty.
    pub duty: PhaseName,
    /// What it is done for (a name, a user); for another it is done again.
    pub subject: String,
}

/// One run of the user script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRun {
    /// On which instance.
    pub instance: String,
    /// SHA-256 of the script.
    pub payload: String,
    /// Which attempt on this instance, from 1.
    pub attempt: u32,
}

/// How the user script ended, or a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how", content = "value")]
pub enum ScriptEnd {
    /// It exited with this status.
    Exit(i32),
    /// It was ended by the agent at its deadline (milliseconds).
    Deadline(u64),
    /// It could not be started; the number is the system's error.
    NotStarted(i32),
}

impl ScriptEnd {
    /// Did it succeed?
    pub fn good(self) -> bool {
        self == Self::Exit(0)
    }
}

/// The end of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootEnded {
    /// How.
    pub outcome: Outcome,
    /// The phase that decided a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
    /// What cut it off, such as `SIGTERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
    /// How long the boot took, in milliseconds.
    pub elapsed_ms: u64,
}

/// A boot's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every required phase ended well and nothing is missing.
    Complete,
    /// Every required phase ended well; something that may be missing is.
    Degraded,
    /// A required phase did not end well.
    Failed,
}
