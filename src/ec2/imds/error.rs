//! Why the metadata service could not be asked.

use crate::journal::Problem;
use std::fmt;

/// What went wrong, and what was seen. Neither the session token nor a credential nor a
/// byte of the user-data is ever in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImdsError {
    /// What went wrong.
    pub kind: Kind,
    /// URL, status, attempts.
    pub evidence: String,
}

/// The ways in which it goes wrong. docs/metadata.md tells the cause of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A configured endpoint is none.
    Endpoint,
    /// Nothing listens, until the deadline.
    Absent,
    /// It takes connections, and no answer to a token request ever came.
    HopLimit,
    /// It answers, but not in time.
    Slow,
    /// It answers with errors of its own, or breaks off.
    Unavailable,
    /// It is switched off for this instance (403).
    Off,
    /// It knows no session tokens.
    NoTokens,
    /// It refuses the token that it gave out.
    TokenRefused,
    /// It refuses a request (another 4xx).
    Refused,
    /// What came back isn't what EC2 says.
    Garbage,
    /// An answer is longer than what it can be.
    TooBig,
    /// The instance has no role.
    NoRole,
    /// The role gives no credentials.
    RoleRefused,
}

impl Kind {
    /// A stable name for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Endpoint => "metadata-endpoint",
            Self::Absent => "metadata-absent",
            Self::HopLimit => "metadata-hop-limit",
            Self::Slow => "metadata-slow",
            Self::Unavailable => "metadata-unavailable",
            Self::Off => "metadata-off",
            Self::NoTokens => "metadata-no-tokens",
            Self::TokenRefused => "metadata-token-refused",
            Self::Refused => "metadata-refused",
            Self::Garbage => "metadata-garbage",
            Self::TooBig => "metadata-too-big",
            Self::NoRole => "no-role",
            Self::RoleRefused => "role-refused",
        }
    }

    /// What failed, one line.
    fn message(self) -> &'static str {
        match self {
            Self::Endpoint => "an endpoint of the metadata service is not written as one",
            Self::Absent => "there is no metadata service to be reached",
            Self::HopLimit => {
                "the metadata service takes connections, but its answer to the token request does not arrive; the instance's metadata response hop limit is probably 1, and a container's network lies in between"
            }
            Self::Slow => "the metadata service does not answer in time",
            Self::Unavailable => "the metadata service answers with errors or breaks off",
            Self::Off => "the metadata service is switched off for this instance",
            Self::NoTokens => {
                "the metadata service gives no session tokens (IMDSv2), and the agent does not ask without one"
            }
            Self::TokenRefused => "the metadata service refuses the session token that it gave out",
            Self::Refused => "the metadata service refuses a request",
            Self::Garbage => "what answers at the metadata address is not EC2's metadata service",
            Self::TooBig => "an answer of the metadata service is longer than it can be",
            Self::NoRole => "the instance has no role, so it has no credentials",
            Self::RoleRefused => "the instance's role gives no credentials",
        }
    }

    /// What to do next, one line.
    fn next(self) -> &'static str {
        match self {
            Self::Endpoint => {
                "write http://ADDRESS[:PORT] with an IP address, such as \"http://169.254.169.254\""
            }
            Self::Absent => {
                "on EC2: see whether the network is up and no firewall or route keeps 169.254.169.254 away (`ip route get 169.254.169.254`); elsewhere there is none to ask"
            }
            Self::HopLimit => {
                "from the launching account: `aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2`, then boot again"
            }
            Self::Slow | Self::Unavailable => {
                "boot again; if it persists, see what else on this machine asks the service (it limits the rate), and the instance's status checks"
            }
            Self::Off => {
                "from the launching account: `aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled`, then boot again"
            }
            Self::NoTokens => {
                "on EC2 this is a proxy in between: let 169.254.169.254 be reached directly; another cloud's service is not supported"
            }
            Self::TokenRefused => {
                "boot again; if it persists, look for a proxy that answers for several machines"
            }
            Self::Refused | Self::Garbage | Self::TooBig => {
                "see what answers at the URL of the evidence; on EC2 nothing may stand between the instance and 169.254.169.254"
            }
            Self::NoRole => {
                "launch with an instance profile, or attach one (`aws ec2 associate-iam-instance-profile`); then run `agent tags`"
            }
            Self::RoleRefused => {
                "see the role's trust policy: it must let ec2.amazonaws.com assume it; then run `agent tags`"
            }
        }
    }

    /// The error with what was seen.
    pub(super) fn seen(self, evidence: impl Into<String>) -> ImdsError {
        ImdsError { kind: self, evidence: evidence.into() }
    }
}

impl ImdsError {
    /// The error as it goes into the journal.
    pub fn problem(&self) -> Problem {
        let kind = self.kind;
        Problem::new(kind.code(), kind.message(), kind.next()).evidence(&self.evidence)
    }
}

impl fmt::Display for ImdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind.message(), self.evidence)
    }
}

impl std::error::Error for ImdsError {}
