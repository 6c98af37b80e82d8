//! Provisioning: the operator's steps, in their order, those of a group side by side.
//!
//! A stage (one step, or the neighbours of a group) is awaited as a whole, then the first
//! failure in the config's order decides: after a required step that failed no later
//! one is run. A step that is run once an instance has its beginning and its end in the
//! ledger: one that succeeded isn't repeated, any other is.

mod problems;
mod step;
mod who;

use crate::config::RunAt;
use crate::config::value::OnFailure;
use crate::engine::{Context, Report, together};
use crate::journal::event::Event;
use crate::plan::{Step, stages};

/// Runs the steps.
pub async fn run(steps: &[Step], cx: &Context<'_>) -> Report {
    cx.record(Event::StepsPlanned { steps: steps.iter().map(|s| s.name.clone()).collect() });
    let mut report = Report::default();
    let ledger = steps.iter().any(|s| s.run == RunAt::Once).then(|| cx.open_ledger());
    if let Some(why) = ledger.as_ref().and_then(|l| l.passing.as_deref()) {
        report.problems.push((OnFailure::Degrade, problems::no_lasting_record(why)));
    }
    for stage in stages(steps) {
        let ends = together::all(stage.iter().map(|s| step::run(s, ledger.as_ref(), cx))).await;
        let failures = stage.iter().zip(ends).filter_map(|(s, p)| Some((s.on_failure(), p?)));
        report.problems.extend(failures);
        let failed = report.problems.iter().any(|(means, _)| *means == OnFailure::Fail);
        if failed || cx.cancel.requested().is_some() {
            break;
        }
    }
    // The gravest first; among equals the config's order stays.
    report.problems.sort_by_key(|(means, _)| *means != OnFailure::Fail);
    report
}
