//! Tools: what the image's and the user's mise configs declare is there, or is named
//! as missing with mise's own reason.
//!
//! The order: look at what lies on the disk; where nothing has changed since everything was
//! in its place, that is all. Else the policy is found out, the image's lock is put out of
//! mise's reach, the lock is checked where it is enforced, the baseline and then the rest are
//! installed, looked at and repaired; and what was found is kept for the next boot.

mod baseline;
mod install;
mod judge;
mod lock;
mod policy;
mod problems;
mod proof;
mod repair;
mod sync;

use crate::engine::command::{self, Log};
use crate::engine::{Context, HelperError, Report, redact};
use crate::journal::Problem;
use crate::plan::{Command, ToolsWork};
use crate::tools::baseline::Linked;
use crate::tools::look::{self, Seen};
use crate::tools::proof::{Settled, What};
use std::collections::BTreeMap;
use std::time::Duration;

/// What looking at the disk may take.
const LOOK_TAKES: Duration = Duration::from_secs(30);

/// The helper `agent internal tools`.
pub use crate::tools::look::helper;
/// The helper `agent internal tools-verify`.
pub use crate::tools::verify::helper as verify_helper;

/// The helper `agent internal tools-links`.
pub use crate::tools::baseline::make::make as links_helper;
/// The helper `agent internal image-config`.
pub use crate::tools::lock::copy::helper as image_config_helper;
/// The helper `agent internal tools-aside`.
pub use crate::tools::verify::aside::helper as aside_helper;

/// Reconciles the tools.
pub async fn run(work: &ToolsWork, cx: &mut Context<'_>) -> Report {
    let (file, path) = match cx.open_log("tools") {
        Ok(log) => log,
        Err(e) => return Report::failed(problems::no_log(&e)),
    };
    let mut phase = Reconcile {
        work,
        cx,
        log: Log::new(file, path),
        last_words: String::new(),
        variables: BTreeMap::new(),
        settled: Settled::default(),
        image_copy: None,
        not_locked: Vec::new(),
        linked: Vec::new(),
        report: Report::default(),
    };
    // What can't go on has been said.
    let _ = phase.run().await;
    phase.drop_image_copy().await;
    let (report, settled) = (phase.report, phase.settled);
    cx.export(settled.variables);
    report
}

/// The phase has said why it can't go on.
pub(super) struct Stopped;

struct Reconcile<'a, 'b> {
    work: &'a ToolsWork,
    cx: &'a Context<'b>,
    log: Log,
    /// The end of the output of the last install that failed.
    last_words: String,
    /// What mise is given beyond the plan's environment.
    variables: BTreeMap<String, String>,
    /// What stays true until something changes.
    settled: Settled,
    /// Where mise reads the image's configuration.
    image_copy: Option<lock::ImageCopy>,
    /// Tools of which it has been said that a lockfile doesn't hold them.
    not_locked: Vec<String>,
    /// What the links to the image's tools lead to.
    linked: Vec<Linked>,
    report: Report,
}

impl Reconcile<'_, '_> {
    async fn run(&mut self) -> Result<(), Stopped> {
        let seen = self.look().await?;
        self.import_cut_off(&seen);
        if self.proved(&seen) {
            return Ok(());
        }
        self.corrupt_locks(&seen);
        self.image_exposed(&seen)?;
        self.names(&seen);
        self.policy(&seen).await?;
        self.keep_image_lock().await?;
        self.check_lock(&seen);
        self.baseline(&seen).await?;
        if let Some(trust) = &self.work.trust {
            let trusted = self.plain(trust).await;
            self.or_stop(trusted)?;
        }
        let standing = self.settle(&seen).await?;
        self.note_locks(&seen, &standing.again);
        self.denied(&seen, &standing.tools);
        for (name, change) in standing.losses() {
            self.problem(problems::tool_damaged(&name, &change));
        }
        self.judge(&seen, &standing);
        self.prove(&seen, standing).await;
        Ok(())
    }

    /// Names that mise's own list can't hold.
    fn names(&mut self, seen: &Seen) {
        for manifest in seen.manifests() {
            let odd = manifest.tools.iter().filter(|t| t.name.contains(char::is_control));
            for tool in odd {
                self.problem(problems::name_unprintable(&manifest.path, &tool.name));
            }
        }
    }

    /// What lies on the disk, seen by a process that is the user.
    async fn look(&mut self) -> Result<Seen, Stopped> {
        let request = self.request(What::Holds);
        match self.cx.helper("tools", &request, true, LOOK_TAKES).await {
            Ok(seen) => Ok(seen),
            Err(e) => {
                self.problem(problems::not_looked(&e));
                // A request to stop ends the phase; whatever else, mise can still be asked.
                match e {
                    HelperError::Cancelled => Err(Stopped),
                    _ => Ok(Seen::default()),
                }
            }
        }
    }

    /// What mise's environment holds of its own settings by the plan.
    fn mise_variables(&self) -> BTreeMap<String, String> {
        look::settings(command::variables(&self.work.install.environment))
    }

    /// A command of the plan with what this boot has found out.
    fn with_variables(&self, command: &Command) -> Command {
        let mut command = command.clone();
        command.environment.set.extend(self.variables.clone());
        command
    }

    fn or_stop<T>(&mut self, done: Result<T, Problem>) -> Result<T, Stopped> {
        done.map_err(|problem| {
            self.problem(problem);
            Stopped
        })
    }

    fn problem(&mut self, problem: Problem) {
        let problem = self.of_image(problem);
        let problem = Problem {
            log: Some(self.log.path.clone()),
            evidence: problem.evidence.map(|e| redact::redact_own(&e)),
            ..problem
        };
        // The baseline's install and the whole one fail for the same reason.
        let same = |p: &Problem| p.code == problem.code && p.message == problem.message;
        if !self.report.problems.iter().any(|(_, p)| same(p)) {
            self.report.problems.push((self.work.on_failure, problem));
        }
    }

    /// A note that every later boot repeats while nothing changes.
    fn standing_note(&mut self, note: String) {
        self.settled.notes.push(note.clone());
        self.report.notes.push(note);
    }
}
