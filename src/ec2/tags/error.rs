//! Why a tag could not be written: typed where the retries decide on it, and in words.

use super::Note;
use crate::config::value::human;
use crate::ec2::http::NoAnswer;
use crate::journal::Problem;
use std::fmt;
use std::time::Duration;

/// A tag that could not be written or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagError {
    /// What was called.
    pub action: Action,
    /// Which instance.
    pub instance: String,
    /// Which tag.
    pub key: String,
    /// How the last attempt failed.
    pub failure: Failure,
    /// How often it was tried; 0 where it could not be sent at all.
    pub attempts: u32,
    /// How long all of it took.
    pub elapsed: Duration,
    /// What else was done on the way.
    pub notes: Vec<Note>,
}

/// The calls that the agent makes of the EC2 API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes a tag, or overwrites it.
    CreateTags,
    /// Removes a tag.
    DeleteTags,
    /// Stops instances.
    StopInstances,
    /// Tells one attribute of an instance.
    DescribeInstanceAttribute,
}

impl Action {
    /// As the API names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::CreateTags => "CreateTags",
            Self::DeleteTags => "DeleteTags",
            Self::StopInstances => "StopInstances",
            Self::DescribeInstanceAttribute => "DescribeInstanceAttribute",
        }
    }
}

/// How one attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The API said no.
    Refused(Refusal),
    /// Something answered that is not the EC2 API, or is out of order.
    Strange {
        /// The HTTP status.
        status: u16,
        /// What is odd about it.
        what: String,
    },
    /// Nothing answered.
    NoAnswer(NoAnswer),
    /// It could not be sent: what was given is not valid.
    Unsendable(String),
}

/// What the API said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error code, such as `UnauthorizedOperation`.
    pub code: String,
    /// The text for people: one line, bounded, without credentials.
    pub message: String,
    /// What AWS calls the request.
    pub request_id: Option<String>,
}

/// What a failure means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ec2) enum Kind {
    /// The role lacks the permission.
    Denied,
    /// The credentials have run out, or the clock is wrong.
    Expired,
    /// The signature is not accepted: the key, or the clock.
    Signature,
    /// No such instance, which right after the launch may be news.
    UnknownInstance,
    /// Too many requests in this account.
    Throttled,
    /// The API or the way to it is out of order.
    Passing,
    /// It will not be otherwise the next time.
    Final,
}

impl Failure {
    pub(in crate::ec2) fn kind(&self) -> Kind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            // 2xx without the API's answer: half an answer, or a gateway's page.
            Self::Strange { status: 200..300 | 408 | 500.., .. } => Kind::Passing,
            Self::Strange { status: 429, .. } => Kind::Throttled,
            Self::Strange { .. } | Self::Unsendable(_) => Kind::Final,
            Self::NoAnswer(NoAnswer::Untrusted(_)) => Kind::Final,
            Self::NoAnswer(_) => Kind::Passing,
        }
    }
}

impl Refusal {
    /// The codes are those of the EC2 API's error reference, and the ones that AWS's own
    /// clients take for throttling and for a wrong clock.
    fn kind(&self) -> Kind {
        match self.code.as_str() {
            "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => Kind::Denied,
            "RequestExpired"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "TokenRefreshRequired" => Kind::Expired,
            "AuthFailure"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "RequestTimeTooSkewed"
            | "RequestInTheFuture" => Kind::Signature,
            "InvalidInstanceID.NotFound" => Kind::UnknownInstance,
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "EC2ThrottledException"
            | "BandwidthLimitExceeded"
            | "SlowDown" => Kind::Throttled,
            _ if self.status == 429 => Kind::Throttled,
            _ if self.status >= 500 || self.status == 408 => Kind::Passing,
            _ => Kind::Final,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Refusal { status, code, message, request_id }) => {
                write!(f, "{code} (HTTP {status}): {message}")?;
                request_id.as_ref().map_or(Ok(()), |id| write!(f, " [request {id}]"))
            }
            Self::Strange { status, what } => write!(f, "HTTP {status}: {what}"),
            Self::NoAnswer(why) => why.fmt(f),
            Self::Unsendable(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.action == Action::DeleteTags { "removed" } else { "written" };
        write!(f, "the tag {} could not be {verb}", self.key)?;
        if self.attempts > 1 {
            write!(f, " in {} attempts and {}", self.attempts, human(self.elapsed))?;
        }
        write!(f, ": {}", self.failure)?;
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl std::error::Error for TagError {}

impl TagError {
    /// Does the role lack the permission?
    pub fn denied(&self) -> bool {
        self.failure.kind() == Kind::Denied
    }

    /// The same for the journal, with the next step.
    pub fn problem(&self) -> Problem {
        let (key, instance, action) = (&self.key, &self.instance, self.action.word());
        let (code, what, next): (_, String, String) = match (&self.failure, self.failure.kind()) {
            (_, Kind::Denied) => (
                "tag-denied",
                format!("the instance's role may not do ec2:{action}"),
                format!(
                    "allow ec2:{action} on instance/{instance} in a policy of the instance's role, \
                     and the key {key} where a condition limits the keys (aws:TagKeys)"
                ),
            ),
            (_, Kind::Expired) => (
                "tag-credentials-expired",
                "the role's credentials are refused as expired".into(),
                "compare the instance's clock with the real time (`timedatectl`); if it is right, the \
                 metadata service hands out old credentials"
                    .into(),
            ),
            (_, Kind::Signature) => (
                "tag-credentials-refused",
                "the role's credentials are not accepted".into(),
                "check that the role of the instance profile still exists, that the endpoint is of the \
                 instance's own region, and the instance's clock (`timedatectl`)"
                    .into(),
            ),
            (_, Kind::UnknownInstance) => (
                "tag-instance-unknown",
                format!("the API does not know {instance}"),
                "check that the endpoint and the region are the instance's own".into(),
            ),
            (_, Kind::Throttled) => (
                "tag-throttled",
                "the API refuses for too many requests in this account".into(),
                "find what calls the EC2 API so often in this account and region, then write the tags \
                 again (`agent tags`)"
                    .into(),
            ),
            (Failure::NoAnswer(NoAnswer::Untrusted(_)), _) => (
                "tag-endpoint-untrusted",
                "the endpoint has no certificate of a known authority".into(),
                "set the endpoint to an address that the certificate names; behind a proxy that opens \
                 TLS, exempt the endpoint by no_proxy"
                    .into(),
            ),
            (Failure::NoAnswer(_), _) => (
                "tag-endpoint-unreachable",
                "the EC2 API does not answer".into(),
                "give the subnet a way to the EC2 API (a NAT or internet gateway, or a VPC endpoint for \
                 ec2 whose security group lets the instance in), or set the endpoint or https_proxy"
                    .into(),
            ),
            (Failure::Strange { .. }, _) => (
                "tag-endpoint-strange",
                "what answers is not the EC2 API".into(),
                "check the endpoint, and that no proxy stands between".into(),
            ),
            (Failure::Refused(_), Kind::Passing) => (
                "tag-endpoint-failing",
                "the EC2 API fails".into(),
                "write the tags again (`agent tags`) when EC2 is well in this region".into(),
            ),
            (Failure::Refused(_) | Failure::Unsendable(_), _) => (
                "tag-refused",
                "the request is not accepted".into(),
                "check the instance's id, region and endpoint, and its number of tags (50 at most)".into(),
            ),
        };
        Problem::new(code, format!("the tag {key}: {what}"), next).evidence(self.to_string())
    }
}
