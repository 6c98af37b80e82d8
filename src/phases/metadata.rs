//! The instance metadata: which machine this is, and what its launch wants of it.
//!
//! The service is asked by a child with a deadline. What it says completes the facts, and
//! from them the plan is made anew: the phases that follow are the same ones, now with
//! their parameters and the user script.

use crate::config::{Config, Ec2};
use crate::ec2::imds::{self, ImdsError, Metadata, Settings};
use crate::engine::{Context, HelperError, Report};
use crate::journal::Problem;
use crate::plan::MetadataWork;
use std::time::Duration;

/// What the child may take beyond its own deadline.
const MARGIN: Duration = Duration::from_secs(3);

/// The child's side.
pub fn helper(settings: &Settings) -> Result<Metadata, Problem> {
    imds::collect(settings).map_err(|e: ImdsError| e.problem())
}

/// How the service is asked, by the configuration.
pub fn settings(config: &Config) -> Settings {
    let Ec2 { endpoints, request_deadline, deadline, .. } = config.ec2.clone();
    Settings { endpoints, request_deadline, deadline }
}

/// Reads the metadata and completes the plan.
pub async fn run(work: &MetadataWork, cx: &mut Context<'_>) -> Report {
    let settings = Settings {
        endpoints: work.endpoints.clone(),
        request_deadline: work.request_deadline,
        deadline: work.deadline,
    };
    let asked = cx.helper("metadata", &settings, false, work.deadline.0 + MARGIN).await;
    let metadata = match asked {
        Ok(Ok(metadata)) => metadata,
        Ok(Err(problem)) => return Report::failed(problem),
        Err(e) => return Report::failed(no_answer(&e)),
    };
    let seen = cx.take_in(metadata);
    let notes = vec![format!("instance {} in {}", seen.instance, seen.region)];
    Report { notes, ..Report::default() }
}

fn no_answer(e: &HelperError) -> Problem {
    let why = match e {
        HelperError::Hung => "it did not end in time".to_owned(),
        HelperError::Broken(why) => why.clone(),
        HelperError::Cancelled => "the boot was asked to stop".to_owned(),
    };
    Problem::new(
        "metadata-helper",
        format!("the process that reads the instance metadata gave no answer: {why}"),
        "look for lack of memory (dmesg); then run `agent boot`",
    )
}
