//! The instance stops itself: `StopInstances` in its role's name, and what EC2 makes of an
//! instance that is switched off from inside.
//!
//! The calls are signed, sent and repeated as those of the tags are.

use super::tags::call::{self, Done, Session};
use super::tags::error::Kind;
use super::tags::{Account, Action, Failure, Limits, Note, Renew};
use crate::ec2::http::NoAnswer;
use crate::journal::Problem;
use std::fmt;

/// What became of an instance that is switched off from inside (EC2 user guide, "Change instance
/// initiated shutdown behavior").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownBehaviour {
    /// It is stopped, as by `StopInstances`.
    Stops,
    /// It is terminated, and volumes with it.
    Terminates,
}

/// A call that was not done.
#[derive(Clone, Debug)]
pub struct StopError {
    /// Which call.
    pub action: Action,
    /// Which instance.
    pub instance: String,
    /// How the last attempt failed.
    pub failure: Failure,
    /// How often it was tried.
    pub attempts: u32,
    /// What else was done on the way.
    pub notes: Vec<Note>,
}

/// Asks EC2 to stop `instance`. Its operating system is told by the power button, seconds later.
///
/// # Errors
/// The API does not do it, or does not answer in `limits`.
pub fn stop_instance(
    account: &mut Account,
    instance: &str,
    limits: &Limits,
    renew: Renew<'_>,
) -> Result<(), StopError> {
    let mut form = call::request(Action::StopInstances);
    form.append_pair("InstanceId.1", instance);
    ask(account, instance, (Action::StopInstances, &form.finish()), limits, renew).map(|_| ())
}

/// Asks what switching off from inside makes of `instance`.
///
/// # Errors
/// The API does not tell.
pub fn shutdown_behaviour(
    account: &mut Account,
    instance: &str,
    limits: &Limits,
    renew: Renew<'_>,
) -> Result<ShutdownBehaviour, StopError> {
    let action = Action::DescribeInstanceAttribute;
    let mut form = call::request(action);
    form.append_pair("InstanceId", instance);
    form.append_pair("Attribute", "instanceInitiatedShutdownBehavior");
    match ask(account, instance, (action, &form.finish()), limits, renew)?.as_deref() {
        Some("stop") => Ok(ShutdownBehaviour::Stops),
        // What is not known to stop it may end it.
        _ => Ok(ShutdownBehaviour::Terminates),
    }
}

fn ask(
    account: &mut Account,
    instance: &str,
    (action, form): (Action, &str),
    limits: &Limits,
    renew: Renew<'_>,
) -> Result<Option<String>, StopError> {
    let mut session = Session::new(account, instance, limits, renew);
    let share = session.left();
    let (said, Done { attempts, notes }) = session.ask(action, form, share);
    let failed = |failure| {
        let instance = instance.to_owned();
        StopError { action, instance, failure, attempts, notes }
    };
    said.map(|taken| taken.value).map_err(failed)
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.action.word(), self.instance, self.failure)?;
        if self.attempts > 1 {
            write!(f, " ({} attempts)", self.attempts)?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl std::error::Error for StopError {}

impl StopError {
    /// Did somebody forbid to stop this very instance ("stop protection", EC2 user guide)? Then
    /// it is not switched off in another way either.
    pub fn protected(&self) -> bool {
        matches!(&self.failure, Failure::Refused(refusal) if refusal.code == "OperationNotPermitted")
    }

    /// For the journal of the machine, with the next step.
    pub fn problem(&self) -> Problem {
        let (action, instance) = (self.action.word(), &self.instance);
        let (code, what, next): (_, String, String) = match (&self.failure, self.failure.kind()) {
            _ if self.protected() => (
                "stop-protected",
                "the instance is protected from being stopped".into(),
                "take the stop protection away (disableApiStop), or set idle.enabled = false".into(),
            ),
            (_, Kind::Denied) => (
                "stop-denied",
                format!("the instance's role may not do ec2:{action}"),
                format!(
                    "allow ec2:{action} on instance/{instance} in a policy of the instance's role, or \
                     set idle.stop = \"power-off\" where its shutdown behaviour is stop"
                ),
            ),
            (_, Kind::Expired | Kind::Signature) => (
                "stop-credentials-refused",
                "the role's credentials are not accepted".into(),
                "check that the role of the instance profile still exists, and the instance's clock \
                 (`timedatectl`)"
                    .into(),
            ),
            (Failure::NoAnswer(NoAnswer::Untrusted(_)) | Failure::Strange { .. }, _) => (
                "stop-endpoint-strange",
                "what answers is not the EC2 API".into(),
                "check ec2.api, and that no proxy stands between".into(),
            ),
            (Failure::NoAnswer(_), _) | (_, Kind::Throttled | Kind::Passing) => (
                "stop-endpoint-unreachable",
                "the EC2 API does not answer, or is busy".into(),
                "nothing: it is asked again at the next check; if that goes on, give the subnet a way \
                 to the EC2 API, or set ec2.api"
                    .into(),
            ),
            _ => (
                "stop-refused",
                "the EC2 API does not stop this instance".into(),
                "an instance whose root is an instance store, and most spot instances, cannot be \
                 stopped: set idle.enabled = false"
                    .into(),
            ),
        };
        Problem::new(code, format!("the idle machine was not stopped: {what}"), next)
            .evidence(self.to_string())
    }
}
