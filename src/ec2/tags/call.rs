//! One call of the API: request after request, until it is taken, is final, or its time is over.

use super::answer::Taken;
use super::error::Kind;
use super::{Account, Action, Failure, Limits, Note, Renew, TagError, Written};
use super::{answer, is_instance, sign};
use crate::ec2::http::{Client, Endpoint, NoAnswer};
use jiff::{SignedDuration, Timestamp};
use std::thread;
use std::time::{Duration, Instant};

/// The version of the API that is spoken.
const VERSION: &str = "2016-11-15";
/// What the body is.
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The first pause is no longer than this.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// And none than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// No tag is tried more often, however much time there is.
const MOST_ATTEMPTS: u32 = 20;
/// So long an instance may be unknown: EC2's answers agree only after a while.
const BECOMES_KNOWN: Duration = Duration::from_secs(30);
/// A clock that is off by less is not why a signature is refused: AWS allows 5 minutes.
const CLOCK_TOLERANCE_S: i64 = 4 * 60;

/// What the calls of one run share: the connection, and what was learned of the clock.
pub(in crate::ec2) struct Session<'s> {
    account: &'s mut Account,
    instance: &'s str,
    limits: &'s Limits,
    renew: Renew<'s>,
    client: Result<(Client, Endpoint), Failure>,
    /// What the server's clock is ahead of this machine's, in seconds.
    ahead: i64,
    began: Instant,
    rng: fastrand::Rng,
}

/// What was already done for one call.
#[derive(Clone, Debug, Default)]
pub(in crate::ec2) struct Done {
    pub(in crate::ec2) attempts: u32,
    pub(in crate::ec2) notes: Vec<Note>,
}

/// What to do after a failure.
enum Next {
    GiveUp,
    Pause,
    AtOnce(Note),
}

impl<'s> Session<'s> {
    pub(in crate::ec2) fn new(
        account: &'s mut Account,
        instance: &'s str,
        limits: &'s Limits,
        renew: Renew<'s>,
    ) -> Self {
        let client = account.endpoint().map_err(Failure::Unsendable).and_then(|endpoint| {
            let client = Client::new(endpoint.clone()).map_err(Failure::NoAnswer)?;
            Ok((client, endpoint))
        });
        let began = Instant::now();
        Self {
            account,
            instance,
            limits,
            renew,
            client,
            ahead: 0,
            began,
            rng: fastrand::Rng::new(),
        }
    }

    /// What is left of the whole time.
    pub(in crate::ec2) fn left(&self) -> Duration {
        self.limits.deadline.saturating_sub(self.began.elapsed())
    }

    /// Writes or removes one tag in `share` of the time.
    pub(super) fn call(
        &mut self,
        action: Action,
        key: &str,
        value: Option<&str>,
        share: Duration,
    ) -> Result<Written, TagError> {
        let began = Instant::now();
        let form = form(action, self.instance, key, value);
        let (said, Done { attempts, notes }) = self.ask(action, &form, share);
        let elapsed = began.elapsed();
        match said {
            Ok(Taken { request_id, .. }) => Ok(Written { request_id, attempts, elapsed, notes }),
            Err(failure) => Err(TagError {
                action,
                instance: self.instance.to_owned(),
                key: key.to_owned(),
                failure,
                attempts,
                elapsed,
                notes,
            }),
        }
    }

    /// Sends `form` until it is taken, for `share` at most.
    pub(in crate::ec2) fn ask(
        &mut self,
        action: Action,
        form: &str,
        share: Duration,
    ) -> (Result<Taken, Failure>, Done) {
        let began = Instant::now();
        let mut done = Done::default();
        let failure = loop {
            let left = share.saturating_sub(began.elapsed());
            if left.is_zero() {
                // Without a single attempt there is no failure to tell of.
                break Failure::NoAnswer(NoAnswer::Slow("the time for all of it was over"));
            }
            let (failure, date) =
                match self.once(action, form, left.min(self.limits.request_deadline), &mut done) {
                    Ok(taken) => return (Ok(taken), done),
                    Err(failed) => failed,
                };
            match self.next(&failure, date, &done) {
                Next::GiveUp => break failure,
                Next::AtOnce(note) => done.notes.push(note),
                Next::Pause => {
                    let left = share.saturating_sub(began.elapsed());
                    if left < FIRST_PAUSE {
                        break failure;
                    }
                    thread::sleep(pause(done.attempts, &mut self.rng).min(left / 2));
                }
            }
        };
        (Err(failure), done)
    }

    /// One request. An answer's time comes with the failure.
    fn once(
        &self,
        action: Action,
        form: &str,
        limit: Duration,
        done: &mut Done,
    ) -> Result<Taken, (Failure, Option<Timestamp>)> {
        let unsendable = |why: &str| (Failure::Unsendable(why.to_owned()), None);
        if !is_instance(self.instance) {
            return Err(unsendable("the instance's id is none"));
        }
        let (client, endpoint) = self.client.as_ref().map_err(|f| (f.clone(), None))?;
        let ahead = SignedDuration::from_secs(self.ahead);
        let at = Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX);
        let signed = [("host", endpoint.host.as_str()), ("content-type", FORM)];
        let Account { region, credentials, .. } = &*self.account;
        let headers = sign::headers(&endpoint.url, &signed, form, credentials, region, at.into())
            .map_err(unsendable)?;
        done.attempts += 1;
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let answer =
            client.post(headers, form, limit).map_err(|why| (Failure::NoAnswer(why), None))?;
        answer::read(action, &answer, credentials).map_err(|failure| (failure, answer.date))
    }

    fn next(&mut self, failure: &Failure, date: Option<Timestamp>, done: &Done) -> Next {
        if done.attempts == 0 || done.attempts >= MOST_ATTEMPTS {
            return Next::GiveUp;
        }
        match failure.kind() {
            Kind::Passing | Kind::Throttled => Next::Pause,
            Kind::UnknownInstance if self.began.elapsed() < BECOMES_KNOWN => Next::Pause,
            kind @ (Kind::Expired | Kind::Signature) => {
                if let Some(ahead) = date.and_then(|d| self.other_clock(d, done)) {
                    self.ahead = ahead;
                    return Next::AtOnce(Note::ClockCorrected(ahead));
                }
                if kind == Kind::Expired && self.renewed(done) {
                    return Next::AtOnce(Note::CredentialsRenewed);
                }
                Next::GiveUp
            }
            Kind::Denied | Kind::UnknownInstance | Kind::Final => Next::GiveUp,
        }
    }

    /// How far ahead the server's clock is, where that is another thing than what the
    /// request was signed with. Once a call.
    fn other_clock(&self, server: Timestamp, done: &Done) -> Option<i64> {
        let ahead = server.duration_since(Timestamp::now()).as_secs();
        let corrected = done.notes.iter().any(|n| matches!(n, Note::ClockCorrected(_)));
        (!corrected && (ahead - self.ahead).abs() >= CLOCK_TOLERANCE_S).then_some(ahead)
    }

    /// Are there other credentials now? Once a call.
    fn renewed(&mut self, done: &Done) -> bool {
        if done.notes.contains(&Note::CredentialsRenewed) {
            return false;
        }
        match (self.renew)() {
            Some(fresh) if fresh != self.account.credentials => {
                self.account.credentials = fresh;
                true
            }
            _ => false,
        }
    }
}

/// The beginning of a request's body, for what comes next.
pub(in crate::ec2) fn request(action: Action) -> form_urlencoded::Serializer<'static, String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action.word()).append_pair("Version", VERSION);
    form
}

/// A tag's request. A space is `+`, as the media type says; not everything that
/// checks signatures takes `%20` for the same.
fn form(action: Action, instance: &str, key: &str, value: Option<&str>) -> String {
    let mut form = request(action);
    form.append_pair("ResourceId.1", instance).append_pair("Tag.1.Key", key);
    if let Some(value) = value {
        form.append_pair("Tag.1.Value", value);
    }
    form.finish()
}

/// The pause after so many attempts: anywhere up to a limit that doubles up to a cap.
fn pause(attempts: u32, rng: &mut fastrand::Rng) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE).mul_f64(rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_become_another_parameter() {
        assert_eq!(
            form(Action::CreateTags, "i-0123abcd", "a:b", Some("x y&Tag.2.Key=z%")),
            "Action=CreateTags&Version=2016-11-15&ResourceId.1=i-0123abcd&Tag.1.Key=a%3Ab\
             &Tag.1.Value=x+y%26Tag.2.Key%3Dz%25"
        );
        // A removal names no value: with one, the tag would stay if it had another.
        assert!(!form(Action::DeleteTags, "i-0123abcd", "a", None).contains("Value"));
        assert!(form(Action::CreateTags, "i-0123abcd", "a", Some("")).ends_with("&Tag.1.Value="));
    }

    #[test]
    fn pauses_lie_anywhere_below_a_limit_that_doubles() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (attempts, limit) in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 20.0), (u32::MAX, 20.0)] {
            let drawn: Vec<f64> =
                (0..200).map(|_| pause(attempts, &mut rng).as_secs_f64()).collect();
            assert!(drawn.iter().all(|p| *p <= limit), "{attempts}");
            assert!(
                drawn.iter().any(|p| *p < limit * 0.1) && drawn.iter().any(|p| *p > limit * 0.9)
            );
        }
    }
}
