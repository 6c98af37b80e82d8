//! What the user-data asks of root: boothooks at every boot; files, packages, deferred files
//! and commands once an instance, in this order. The first that fails ends it.
//!
//! Before a section begins, its beginning is in the ledger and on the disk, and its end before
//! the next one begins. What succeeded on this instance with the same content is not repeated.
//! Files and packages that did not succeed are done again at the next boot; commands that ended
//! badly are not, as the user's script isn't: they may not bear it.

mod commands;
mod ends;
mod files;
mod packages;
mod sections;

use super::program::{self, RunAs};
use crate::config::value::OnFailure;
use crate::engine::command::Log;
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::plan::UserDataWork;
use crate::stub::told::{Duties, Part};
use sections::Sections;

/// Does it.
pub async fn run(work: &UserDataWork, cx: &mut Context<'_>) -> Report {
    let duties = std::mem::take(&mut cx.duties);
    let mut report = Report::default();
    if let Err(problem) = all(work, &duties, &mut report, cx).await {
        report.fail(problem);
    }
    // The gravest first.
    report.problems.sort_by_key(|(means, _)| *means != OnFailure::Fail);
    report
}

async fn all(
    work: &UserDataWork,
    duties: &Duties,
    report: &mut Report,
    cx: &Context<'_>,
) -> Result<(), Problem> {
    for (number, part) in (1..).zip(&duties.boothooks) {
        boothook(number, part, work, report, cx).await?;
    }
    let Duties { boothooks: _, files, packages, commands } = duties;
    if files.is_empty() && packages.is_empty() && commands.is_empty() {
        return Ok(());
    }
    let sections = Sections::open(cx);
    report.problems.extend(sections.passing().map(|problem| (OnFailure::Degrade, problem)));
    files::write(duties, false, &sections, report, cx)?;
    packages::install(packages, work, &sections, report, cx).await?;
    files::write(duties, true, &sections, report, cx)?;
    commands::run(commands, work, &sections, report, cx).await
}

async fn boothook(
    number: usize,
    part: &Part,
    work: &UserDataWork,
    report: &mut Report,
    cx: &Context<'_>,
) -> Result<(), Problem> {
    let what = match &part.label {
        Some(label) => format!("the boothook in {label}"),
        None => "the boothook".to_owned(),
    };
    let (file, path) =
        cx.open_log_of(&format!("boothook-{number}"), None).map_err(|e| ends::no_log(&what, &e))?;
    let mut log = Log::new(file, path);
    let ready = program::ready(part.script.bytes(), RunAs::Root, &log, cx);
    let ready = ready.map_err(|unready| {
        let p = unready.problem();
        let message = format!("{what}: {}", p.message.replace("the user script", "it"));
        Problem { message, ..p }
    })?;
    let end = ready.run(&work.environment, &mut log, cx).await;
    let next = "read its log and mend it; the next boot runs it again, as every boot does";
    match ends::problem(&end, &what, "boothook", next, &log, cx) {
        Some(problem) => Err(problem),
        None => {
            report.notes.push(format!("{what} ended well"));
            Ok(())
        }
    }
}
