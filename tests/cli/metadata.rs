//! The metadata client against a strict stand-in for EC2's service.
//!
//! Deadlines here are short where the test is about reaching one, and long where it must
//! not be reached: machines that run tests are shared and slow.

mod answers;
mod endpoints;
mod faults;
mod stand_in;

use crate::util::metadata::Service;
use agent::config::value::Span;
use agent::ec2::imds::{ImdsError, Settings};
use agent::journal::Problem;
use std::time::Duration;

const ID: &str = "i-0123456789abcdef0";

/// Time enough: a test that gets to this deadline has failed.
fn patient(endpoints: &[&str]) -> Settings {
    settings(endpoints, 5_000, 20_000)
}

/// Just time enough to see that nothing will come.
fn hasty(endpoints: &[&str]) -> Settings {
    settings(endpoints, 1_000, 4_000)
}

fn settings(endpoints: &[&str], request_ms: u64, total_ms: u64) -> Settings {
    Settings {
        endpoints: endpoints.iter().map(|e| (*e).to_owned()).collect(),
        request_deadline: Span(Duration::from_millis(request_ms)),
        deadline: Span(Duration::from_millis(total_ms)),
    }
}

/// An address where nothing listens: stand-ins have their free ports on 127.0.0.1.
const CLOSED: &str = "http://127.0.0.2:1";

/// The problem of a failure, with its code checked and its evidence naming `seen`.
#[track_caller]
fn problem<T: std::fmt::Debug>(result: Result<T, ImdsError>, code: &str, seen: &str) -> Problem {
    let problem = result.unwrap_err().problem();
    assert_eq!(problem.code, code, "{problem:#?}");
    let evidence = problem.evidence.as_deref().unwrap_or_default();
    assert!(evidence.contains(seen), "{seen:?} is not in {problem:#?}");
    assert!(!problem.next.is_empty());
    problem
}

/// No request of the first version: each GET came with a token.
#[track_caller]
fn assert_no_v1(service: &Service) {
    let log = service.log();
    let v1 = log.iter().find(|r| r["method"] != "PUT" && r["token"] == "none");
    assert_eq!(v1, None);
}
