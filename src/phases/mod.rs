//! The phases, one file or folder each. A phase takes its part of the plan and reports what it
//! found; it decides nothing about the boot.
//!
//! A new phase is a variant of [`Work`] (what is planned), a file here (how it is
//! done), and a line below.

pub mod bootstrap;
pub mod guest;
pub mod health;
pub mod metadata;
mod program;
pub mod provision;
mod roots;
pub mod scratch;
pub mod tools;
pub mod user_data;
pub mod volume;

use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::plan::{Switch, Work};

/// Runs one phase's work.
pub async fn run(work: &Work, cx: &mut Context<'_>) -> Report {
    let for_the_user = !matches!(
        work,
        Work::Skip { .. } | Work::Refuse { .. } | Work::Metadata(_) | Work::Guest(_)
    );
    // Nobody is run for instead.
    if for_the_user && matches!(cx.facts.switch, Switch::Pending) {
        return Report::failed(user_pending(&cx.user().name));
    }
    match work {
        Work::Skip { reason } => Report::skipped(reason.clone()),
        Work::Refuse { problem } => Report::failed(problem.clone()),
        Work::Metadata(metadata) => metadata::run(metadata, cx).await,
        Work::Guest(duty) => guest::run(duty, cx).await,
        Work::UserData(work) => user_data::run(work, cx).await,
        Work::Provision { steps } => provision::run(steps, cx).await,
        Work::Volumes { volumes, home } => volume::run(volumes, home, cx).await,
        Work::Tools(tools) => tools::run(tools, cx).await,
        Work::Health(health) => health::run(health, cx).await,
        Work::Script(script) => bootstrap::run(script, cx).await,
        Work::NoScript { again } => bootstrap::none_given(*again, cx),
    }
}

fn user_pending(name: &str) -> Problem {
    Problem::new(
        "user-pending",
        format!("the user {name} is not there yet, and the phase login has not made it"),
        "run `agent boot`, or `agent boot --only login` first",
    )
}
