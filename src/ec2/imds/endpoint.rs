//! The endpoints of the service: which one gives a token, what each answer means, and
//! what is to be told of those that gave none.

use super::clock::{Allowance, Clock};
use super::error::{ImdsError, Kind};
use super::shape;
use super::wire::{Answer, Failure, Wire};
use crate::config::value::human;

const TOKEN: &str = "/latest/api/token";

/// One address of the service, and how it fared.
pub(super) struct Endpoint {
    base: String,
    attempts: u32,
    /// It has answered something, sometime.
    answered: bool,
    last: Option<Passing>,
}

/// What may be over at the next attempt.
pub(super) enum Passing {
    Unreachable(String),
    Silent(String),
    Broken(String),
    Status(u16),
}

/// How an attempt ended where it gave nothing.
pub(super) enum Missed {
    Passing(Passing),
    Final(ImdsError),
}

/// Asks each endpoint in turn for a token: which gave one, and the token. A refusal is the
/// end only after all have been asked.
pub(super) fn first_token(
    wire: &Wire,
    clock: &mut Clock,
    endpoints: &mut [Endpoint],
) -> Result<(usize, String), ImdsError> {
    endpoints.iter_mut().for_each(Endpoint::begin);
    for round in 1.. {
        let mut refused = None;
        for (at, endpoint) in endpoints.iter_mut().enumerate() {
            let Some(allowed) = clock.allowance() else { break };
            match endpoint.token(wire, allowed) {
                Ok(token) => return Ok((at, token)),
                Err(Missed::Final(e)) => _ = refused.get_or_insert(e),
                Err(Missed::Passing(passing)) => endpoint.remember(passing, allowed),
            }
        }
        if let Some(e) = refused {
            return Err(e);
        }
        if !clock.pause(round + 1) {
            break;
        }
    }
    Err(gave_up("PUT", TOKEN, endpoints, clock))
}

impl Endpoint {
    pub(super) fn new(base: &str) -> Self {
        Self { base: base.to_owned(), attempts: 0, answered: false, last: None }
    }

    /// The URL of `path` there.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// How often this request has been made.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Another request begins.
    pub(super) fn begin(&mut self) {
        self.attempts = 0;
        self.last = None;
    }

    fn token(&mut self, wire: &Wire, allowed: Allowance) -> Result<String, Missed> {
        let url = self.url(TOKEN);
        let answer = wire.put_token(&url, allowed);
        let answer = self.judge("PUT", &url, answer)?;
        match answer.status {
            200 => shape::token(&answer.body).ok_or_else(|| {
                // What came may be a token in a frame: only its length is told.
                let seen = format!("PUT {url}: {} bytes, not a token", answer.body.len());
                Missed::Final(Kind::Garbage.seen(seen))
            }),
            404 | 405 | 501 => {
                Err(Missed::Final(Kind::NoTokens.seen(format!("PUT {url}: {}", answer.status))))
            }
            status => Err(Missed::Final(refusal("PUT", &url, status))),
        }
    }

    /// Tells what passes from what doesn't.
    pub(super) fn judge(
        &mut self,
        method: &str,
        url: &str,
        answer: Result<Answer, Failure>,
    ) -> Result<Answer, Missed> {
        self.attempts += 1;
        let failure = match answer {
            Ok(answer) => {
                self.answered = true;
                return match answer.status {
                    // What has no PUT at all says so with 501, and will say so again.
                    501 if method == "PUT" => Ok(answer),
                    429 | 500..=599 => Err(Missed::Passing(Passing::Status(answer.status))),
                    _ => Ok(answer),
                };
            }
            Err(failure) => failure,
        };
        Err(match failure {
            Failure::Unreachable(why) => Missed::Passing(Passing::Unreachable(why)),
            Failure::Silent(time) => Missed::Passing(Passing::Silent(human(time))),
            Failure::Broken(why) => Missed::Passing(Passing::Broken(why)),
            Failure::NotHttp => {
                Missed::Final(Kind::Garbage.seen(format!("{method} {url}: not HTTP")))
            }
            Failure::TooBig(longest) => {
                let seen = format!("{method} {url}: more than {longest} bytes");
                Missed::Final(Kind::TooBig.seen(seen))
            }
        })
    }

    /// Keeps the newest failure; but one that only the near deadline made does not hide
    /// what was seen with time enough.
    pub(super) fn remember(&mut self, passing: Passing, allowed: Allowance) {
        let timed = matches!(passing, Passing::Silent(_) | Passing::Unreachable(_));
        if self.last.is_none() || !(allowed.cut_short && timed) {
            self.last = Some(passing);
        }
    }

    /// What was seen of it.
    fn seen(&self, method: &str, path: &str) -> String {
        let what = match &self.last {
            Some(Passing::Unreachable(why)) => why.clone(),
            Some(Passing::Silent(time)) => format!("connected, no whole answer within {time}"),
            Some(Passing::Broken(why)) => format!("broke off: {why}"),
            Some(Passing::Status(status)) => status.to_string(),
            None => "no time was left for it".into(),
        };
        format!("{method} {}: {what}, attempt {}", self.url(path), self.attempts)
    }
}

impl Passing {
    /// How far a request came; the endpoint where it came furthest is the one to tell of.
    fn rank(&self) -> u8 {
        match self {
            Self::Unreachable(_) => 0,
            Self::Silent(_) => 1,
            Self::Broken(_) => 2,
            Self::Status(_) => 3,
        }
    }
}

/// The error for an answer that is neither success nor passing.
pub(super) fn refusal(method: &str, url: &str, status: u16) -> ImdsError {
    let kind = match status {
        401 if method == "GET" => Kind::TokenRefused,
        403 => Kind::Off,
        400..=499 => Kind::Refused,
        _ => Kind::Garbage,
    };
    kind.seen(format!("{method} {url}: {status}"))
}

/// The error at the deadline: of the endpoint where a request came furthest, with what was
/// seen at all of them.
pub(super) fn gave_up(
    method: &str,
    path: &str,
    endpoints: &[Endpoint],
    clock: &Clock,
) -> ImdsError {
    let furthest = endpoints.iter().max_by_key(|e| e.last.as_ref().map(Passing::rank));
    let kind = match furthest.map(|e| (&e.last, e.answered)) {
        Some((Some(Passing::Unreachable(_)), false)) => Kind::Absent,
        Some((Some(Passing::Silent(_)), false)) => Kind::HopLimit,
        Some((Some(Passing::Silent(_)) | None, _)) => Kind::Slow,
        _ => Kind::Unavailable,
    };
    let each: Vec<String> = endpoints.iter().map(|e| e.seen(method, path)).collect();
    kind.seen(format!("{}; gave up after {}", each.join("; "), human(clock.elapsed())))
}
