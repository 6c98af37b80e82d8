//! What the phase says in the end: each tool that is not there, with its reason.

use super::repair::Standing;
use super::{Reconcile, problems};
use crate::journal::Problem;
use crate::journal::event::Tool;
use crate::tools::output;
use std::fs;

/// The image's own mise config, which every user's outranks.
const SYSTEM_CONFIG: &str = "/etc/mise/config.toml";

impl Reconcile<'_, '_> {
    pub(super) fn judge(&mut self, standing: &Standing) {
        let failure = standing.failure.as_ref().map(|f| self.untold(f));
        let mut reasons: Vec<Problem> = failure.iter().flat_map(problems::of).collect();
        let absent = standing.tools.iter().filter(|t| !t.tool.installed);
        // Where nobody could look, that has been said once for all.
        let unnamed = absent.filter(|t| !standing.unseen && !standing.named(&t.tool.name));
        reasons.extend(unnamed.map(|t| problems::absent(&t.tool, standing.fault(t))));
        if standing.failure.is_some() && reasons.is_empty() && self.not_locked.is_empty() {
            reasons.push(
                Problem::new(
                    "mise-failed",
                    "mise install failed",
                    "read the log of the tools phase",
                )
                .evidence(self.last_words.clone()),
            );
        }
        for problem in reasons {
            self.problem(problem);
        }
        let mut all: Vec<Tool> = standing.tools.iter().map(|l| l.tool.clone()).collect();
        // mise leaves some of what it could not install out of its list.
        for (name, _) in standing.failure.iter().flat_map(|f| &f.tools) {
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
