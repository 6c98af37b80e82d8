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
    pub(super) fn judge(&mut self, standing: Standing) {
        let said = self.report.problems.len();
        for problem in standing.failure.iter().flat_map(problems::of) {
            self.problem(problem);
        }
        let absent = standing.tools.iter().filter(|t| !t.tool.installed);
        // Where nobody could look, that has been said once for all.
        for listed in absent.filter(|t| !standing.unseen && !standing.named(&t.tool.name)) {
            self.problem(problems::absent(&listed.tool, standing.fault(listed)));
        }
        if standing.failure.is_some() && self.report.problems.len() == said {
            self.problem(
                Problem::new(
                    "mise-failed",
                    "mise install failed",
                    "read the log of the tools phase",
                )
                .evidence(self.last_words.clone()),
            );
        }
        let mut all: Vec<Tool> = standing.tools.iter().map(|l| l.tool.clone()).collect();
        // mise leaves some of what it could not install out of its list.
        for (name, _) in standing.failure.iter().flat_map(|f| &f.tools) {
            let (name, version) = name.rsplit_once('@').unwrap_or((name, ""));
            if !all.iter().any(|t| t.name == name) {
                all.push(Tool { name: name.into(), version: version.into(), installed: false });
            }
        }
        let declared = output::declared(&fs::read_to_string(SYSTEM_CONFIG).unwrap_or_default());
        let hidden: Vec<String> =
            declared.into_iter().filter(|name| !all.iter().any(|t| t.name == *name)).collect();
        if !hidden.is_empty() {
            self.report.notes.push(format!(
                "declared in {SYSTEM_CONFIG} and not in force: {} (a user's disable_tools hides a tool so)",
                hidden.join(", ")
            ));
        }
        let installed = all.iter().filter(|t| t.installed).count();
        self.report.notes.push(format!("{installed} of {} tools are installed", all.len()));
        self.report.tools = all;
    }
}
