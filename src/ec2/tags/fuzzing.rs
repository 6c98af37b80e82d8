//! The way in for `fuzz/`; in no program.

use super::answer;
use super::error::{Action, Failure};
use crate::ec2::credentials::Credentials;
use crate::ec2::http::Answer;

/// Reads the API's answer: was it taken, and everything that may be said or kept of it.
pub fn read(status: u16, body: &str, credentials: &Credentials) -> (bool, Vec<String>) {
    let answer = Answer { status, date: None, request_id: None, body: body.to_owned() };
    match answer::read(Action::DescribeInstanceAttribute, &answer, credentials) {
        Ok(taken) => (true, [taken.request_id, taken.value].into_iter().flatten().collect()),
        Err(Failure::Refused(r)) => {
            (false, [Some(r.code), Some(r.message), r.request_id].into_iter().flatten().collect())
        }
        Err(other) => (false, vec![format!("{other:?}")]),
    }
}
