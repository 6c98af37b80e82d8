//! What the phase says in the end: each tool that is not there, with its reason.

use super::{Reconcile, problems};
use crate::journal::Problem;
use crate::journal::event::Tool;
use crate::tools::output::{self, Failure, Listed};
use std::fs;

/// The image's own mise config, which every user's outranks.
const SYSTEM_CONFIG: &str = "/etc/mise/config.toml";

impl Reconcile<'_, '_> {
    pub(super) fn judge(&mut self, tools: &[Listed], failure: Option<Failure>) {
        let failed = failure.is_some();
        let failure = failure.unwrap_or_default();
        for problem in problems::of(&self.untold(&failure)) {
            self.problem(problem);
        }
        let named = |listed: &Listed| {
            failure.tools.iter().any(|(n, _)| n.starts_with(&format!("{}@", listed.tool.name)))
        };
        for listed in tools.iter().filter(|t| !t.tool.installed) {
            if !named(listed) {
                self.problem(Problem::new(
                    "tool-not-installed",
                    format!("{}@{} is not installed", listed.tool.name, listed.tool.version),
                    "see the log for mise's reason, then run `agent boot`",
                ));
            }
        }
        if failed && self.report.problems.is_empty() {
            self.problem(
                Problem::new(
                    "mise-failed",
                    "mise install failed",
                    "read the log of the tools phase",
                )
                .evidence(self.last_words.clone()),
            );
        }
        let mut all: Vec<Tool> = tools.iter().map(|l| l.tool.clone()).collect();
        // mise leaves some of what it could not install out of its list.
        for (name, _) in &failure.tools {
            let (name, version) = name.rsplit_once('@').unwrap_or((name, ""));
            if !all.iter().any(|t| t.name == name) {
                all.push(Tool { name: name.into(), version: version.into(), installed: false });
            }
        }
        self.with_baseline(&mut all);
        let declared = output::declared(&fs::read_to_string(SYSTEM_CONFIG).unwrap_or_default());
        let hidden: Vec<String> =
            declared.into_iter().filter(|name| !all.iter().any(|t| t.name == *name)).collect();
        if !hidden.is_empty() {
            self.standing_note(format!(
                "declared in {SYSTEM_CONFIG} and not in force: {} (a user's disable_tools hides a tool so)",
                hidden.join(", ")
            ));
        }
        let installed = all.iter().filter(|t| t.installed).count();
        self.report.notes.push(format!("{installed} of {} tools are installed", all.len()));
        self.report.tools = all;
    }
}
