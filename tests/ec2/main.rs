//! The tags, against a mock of the EC2 API that checks signatures and permissions, and
//! against faults that no mock has. Needs moto (`tests/util/moto-env` makes it).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic; its helpers are no production code"
)]

#[path = "../util/mod.rs"]
mod util;

mod front;

mod faults;
mod limits;
mod stop;
mod ways;
mod written;

use crate::util::moto::{Keys, REGION};
use agent::ec2::credentials::Credentials;
use agent::ec2::tags::{self, Account, Limits, Note, Tag, TagError, Written};
use jiff::Timestamp;
use std::time::Duration;

/// An instance that no mock has to know.
const INSTANCE: &str = "i-0123456789abcdef0";

/// Time enough: a test that gets to this deadline has failed.
const PATIENT: Limits =
    Limits { request_deadline: Duration::from_secs(10), deadline: Duration::from_secs(90) };

/// Keys that nothing but a fake takes.
fn made_up() -> Credentials {
    Credentials {
        access_key_id: "ASIAMADEUPMADEUP".into(),
        secret_access_key: "made-up-secret-key/0123456789".into(),
        session_token: "made-up-session-token+/==".into(),
        expires_at: Timestamp::MAX,
    }
}

fn credentials(keys: &Keys) -> Credentials {
    Credentials {
        access_key_id: keys.id.clone(),
        secret_access_key: keys.secret.clone(),
        session_token: keys.token.clone(),
        expires_at: Timestamp::MAX,
    }
}

fn account(endpoint: &str, credentials: Credentials) -> Account {
    Account { region: REGION.into(), endpoint: Some(endpoint.to_owned()), credentials }
}

type Outcome = Result<Written, TagError>;

/// Writes tags and says what became of each. No credentials are given anew.
fn write(
    account: &mut Account,
    instance: &str,
    wanted: &[(&str, &str)],
    limits: &Limits,
) -> Vec<Outcome> {
    write_renewing(account, instance, wanted, limits, &mut || None)
}

fn write_renewing(
    account: &mut Account,
    instance: &str,
    wanted: &[(&str, &str)],
    limits: &Limits,
    renew: &mut dyn FnMut() -> Option<Credentials>,
) -> Vec<Outcome> {
    let wanted: Vec<Tag> = wanted.iter().map(|(key, value)| Tag::new(*key, *value)).collect();
    let mut outcomes = Vec::new();
    let mut told = Vec::new();
    tags::write(account, instance, &wanted, limits, renew, &mut |tag, outcome| {
        told.push(tag.clone());
        outcomes.push(outcome.clone());
    });
    assert_eq!(told, wanted, "each is told of, in order");
    outcomes
}

/// Writes one made-up tag through a fake.
fn write_one(endpoint: &str, limits: &Limits) -> Outcome {
    let mut account = account(endpoint, made_up());
    write(&mut account, INSTANCE, &[("k", "v")], limits).remove(0)
}

/// Everything that can be printed of an error.
fn printed(error: &TagError) -> String {
    format!("{error} {error:?} {:?}", error.problem())
}

/// The error's problem, with its code checked.
#[track_caller]
fn problem(outcome: &Outcome, code: &str) -> agent::journal::Problem {
    let error = outcome.as_ref().unwrap_err();
    let problem = error.problem();
    assert_eq!(problem.code, code, "{error:#?}");
    assert!(!problem.next.is_empty() && problem.evidence.is_some(), "{problem:#?}");
    problem
}

fn has_note(outcome: &Outcome, wanted: fn(&Note) -> bool) -> bool {
    outcome.as_ref().map_or_else(|e| &e.notes, |w| &w.notes).iter().any(wanted)
}
