//! One request and its answer.

use super::clock::Allowance;
use crate::config::value::human;
use crate::ec2::http;
use std::io::ErrorKind;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body, Error, Timeout};

/// How long a token is asked for. No session is meant to last longer, so that none needs
/// a second; and one that is stolen is soon worth nothing. EC2 takes 1 to 21600.
const TOKEN_TTL_SECONDS: &str = "300";

/// The HTTP of a session. Nothing of the environment changes it: no proxy, no redirect.
pub(super) struct Wire {
    agent: Agent,
}

/// An answer. Only a 200 has a body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection.
    Unreachable(String),
    /// A connection, and no whole answer in time.
    Silent(Duration),
    /// The connection broke off.
    Broken(String),
    /// It isn't HTTP.
    NotHttp,
    /// The body is longer than this many bytes.
    TooBig(u64),
}

impl Wire {
    pub(super) fn new() -> Self {
        // A metadata request that went to a proxy would be about another machine, or give
        // this one's secrets away.
        Self { agent: http::agent(None) }
    }

    /// `PUT URL` for a session token.
    pub(super) fn put_token(&self, url: &str, allowed: Allowance) -> Result<Answer, Failure> {
        let (whole, connect) = limits(allowed);
        let request = self.agent.put(url).config();
        let request = request.timeout_global(Some(whole)).timeout_connect(Some(connect)).build();
        let request = request.header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL_SECONDS);
        answer(request.send_empty(), SMALL, allowed)
    }

    /// `GET URL` with a session token. There is no request without one.
    pub(super) fn get(
        &self,
        url: &str,
        token: &str,
        longest: u64,
        allowed: Allowance,
    ) -> Result<Answer, Failure> {
        let (whole, connect) = limits(allowed);
        let request = self.agent.get(url).config();
        let request = request.timeout_global(Some(whole)).timeout_connect(Some(connect)).build();
        let request = request.header("X-aws-ec2-metadata-token", token);
        answer(request.call(), longest, allowed)
    }
}

/// Bytes of an answer that is a name, a listing or a role's credentials.
pub(super) const SMALL: u64 = 16 * 1024;

/// The limits of the whole request and of its connection. The neighbour's connection
/// takes less than a millisecond; half the time is left for telling one that took no
/// connection from one that gave no answer.
fn limits(allowed: Allowance) -> (Duration, Duration) {
    (allowed.time, allowed.time / 2)
}

fn answer(
    result: Result<Response<Body>, Error>,
    longest: u64,
    allowed: Allowance,
) -> Result<Answer, Failure> {
    let read = || {
        let mut response = result?;
        let status = response.status().as_u16();
        let body = match status {
            // ureq's limit is the first length that it refuses.
            200 => response.body_mut().with_config().limit(longest + 1).read_to_vec()?,
            _ => Vec::new(),
        };
        Ok(Answer { status, body })
    };
    read().map_err(|e| failure(e, longest, allowed))
}

/// Only the kind of an error is told: the library's words may quote what was sent.
fn failure(e: Error, longest: u64, allowed: Allowance) -> Failure {
    match e {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            Failure::Unreachable(format!("no connection within {}", human(limits(allowed).1)))
        }
        Error::Timeout(_) => Failure::Silent(allowed.time),
        Error::Io(e) => match e.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable
            | ErrorKind::PermissionDenied => Failure::Unreachable(e.kind().to_string()),
            kind => Failure::Broken(kind.to_string()),
        },
        Error::BodyExceedsLimit(_) => Failure::TooBig(longest),
        Error::Protocol(_) | Error::Http(_) | Error::LargeResponseHeader(..) => Failure::NotHttp,
        _ => Failure::Broken("another error".into()),
    }
}
