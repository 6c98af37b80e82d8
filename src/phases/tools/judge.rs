//! What the phase says in the end: each tool that is not there, with its reason.

use super::repair::{Standing, claim};
use super::{Reconcile, problems};
use crate::engine::excerpt;
use crate::journal::Problem;
use crate::journal::event::Tool;
use crate::tools::look::Seen;
use crate::tools::output::Failure;
use crate::tools::verify::Verdict;

impl Reconcile<'_, '_> {
    pub(super) fn judge(&mut self, seen: &Seen, standing: &Standing) {
        let failure = standing.failure.as_ref().map(|f| self.untold(f));
        let failure = failure.map(|f| self.but_baseline(f)).filter(|f| *f != Failure::default());
        let plugins = self.report.problems.iter().any(|(_, p)| p.code == problems::PLUGIN_DENIED);
        let failure = failure.map(|f| if plugins { problems::but_plugins(f) } else { f });
        // An error of mise's own that names no tool has kept it from trying any.
        let stopped = standing.failure.as_ref().filter(|f| f.tools.is_empty());
        let stopped = match stopped {
            Some(_) if plugins => Some("mise plugins are declared, and mise stops there"),
            Some(failure) => failure.other.first().map(String::as_str),
            None => None,
        };
        // What works in part is there: what it lacks, and then why it could not be replaced.
        let partly = |name: &str| {
            let usable = |v: &Verdict| matches!(v, Verdict::Broken { usable: true, .. });
            let mut all = standing.tools.iter().filter(|t| claim(t).called() == name);
            all.find_map(|t| Some((&t.tool, standing.fault(t).filter(|v| usable(v))?)))
        };
        let mut kept = Vec::new();
        let failure = failure.map(|mut f| {
            f.tools.retain(|(name, text)| match partly(name) {
                Some((tool, fault)) => {
                    let problem = problems::absent(tool, Some(fault), None);
                    kept.push(problem.evidence(excerpt(text)));
                    false
                }
                None => true,
            });
            f
        });
        let mut reasons: Vec<Problem> = failure.iter().flat_map(problems::of).collect();
        reasons.extend(kept);
        let absent = standing.tools.iter().filter(|t| !t.tool.installed);
        // Where nobody could look, that has been said once for all.
        let unnamed = absent
            .filter(|t| !standing.unseen && !standing.named(&t.tool.name))
            .filter(|t| !self.told_of_baseline(&t.tool.name, &t.tool.version));
        reasons.extend(unnamed.map(|t| problems::absent(&t.tool, standing.fault(t), stopped)));
        if failure.is_some() && !plugins && reasons.is_empty() && self.not_locked.is_empty() {
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
        // The image's own config, which every user's outranks.
        if let Some(system) = &seen.system {
            let mut hidden = system.full_names();
            hidden.retain(|name| !all.iter().any(|t| t.name == *name));
            if !hidden.is_empty() {
                self.standing_note(format!(
                    "declared in {} and not in force: {} (a user's disable_tools hides a tool so)",
                    system.path.display(),
                    hidden.join(", ")
                ));
            }
        }
        let installed = all.iter().filter(|t| t.installed).count();
        self.report.notes.push(format!("{installed} of {} tools are installed", all.len()));
        self.report.tools = all;
    }

    /// Without what mise says of the image's tools, where that has been said or doesn't count.
    fn but_baseline(&self, mut failure: Failure) -> Failure {
        failure.tools.retain(|(name, _)| {
            !name.rsplit_once('@').is_some_and(|(name, v)| self.told_of_baseline(name, v))
        });
        failure
    }
}
