//! Tells EC2 how the boot ended, by tags on the instance.
//!
//! Whoever launched the machine waits for these tags, so each is written for itself, in
//! order, and tried again until its time is over; and none of it changes how the boot
//! ended. The instance's role signs ([`Credentials`]); it is expected to allow `CreateTags`.
//!
//! A tag is tried again after throttling, an error of the server, a broken or missing
//! connection: with pauses that double up to a cap, each anywhere between nothing and the
//! whole of it ("full jitter", so that machines that were launched together don't come
//! back together). Credentials that have run out are renewed once a tag, a clock that
//! is wrong is corrected once by what the server says, and an instance that the API does not
//! know yet is asked for again for half a minute. Everything else is final at once: a missing
//! permission doesn't appear by asking.

mod answer;
pub(super) mod call;
pub(super) mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod sign;

pub use error::{Action, Failure, Refusal, TagError};

use super::credentials::Credentials;
use crate::ec2::http::Endpoint;
use call::Session;
use std::fmt;
use std::time::Duration;

/// Where the tags are written, and in whose name.
#[derive(Clone, Debug)]
pub struct Account {
    /// The instance's region, such as `eu-west-1`.
    pub region: String,
    /// `https://HOST[:PORT]` instead of the region's own endpoint: a VPC endpoint, an
    /// endpoint that has IPv6 (`https://ec2.REGION.api.aws`), a test.
    pub endpoint: Option<String>,
    /// The role's keys. Replaced where they were renewed.
    pub credentials: Credentials,
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// 1 to 128 characters.
    pub key: String,
    /// Up to 256 characters.
    pub value: String,
}

impl Tag {
    /// A tag.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// How long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One request, from the name's address to the answer's last byte.
    pub request_deadline: Duration,
    /// Everything. Shared fairly: a tag has its part of what the ones before it left.
    pub deadline: Duration,
}

/// A tag that was written or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What AWS calls the request.
    pub request_id: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// How long it took.
    pub elapsed: Duration,
    /// What else was done on the way.
    pub notes: Vec<Note>,
}

/// What was done beside the plain request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The instance's clock was wrong: the requests are signed with the server's time, which is
    /// so many seconds ahead of it.
    ClockCorrected(i64),
    /// The credentials had run out and were asked for again.
    CredentialsRenewed,
    /// `DeleteTags` is not allowed: the tag is there, and empty.
    EmptiedInstead,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockCorrected(ahead) if *ahead < 0 => {
                write!(
                    f,
                    "the instance's clock is {} s ahead of the EC2 API's",
                    ahead.unsigned_abs()
                )
            }
            Self::ClockCorrected(ahead) => {
                write!(f, "the instance's clock is {ahead} s behind the EC2 API's")
            }
            Self::CredentialsRenewed => {
                f.write_str("the role's credentials had run out and were renewed")
            }
            Self::EmptiedInstead => {
                f.write_str("the tag was emptied, not removed: the role may not do ec2:DeleteTags")
            }
        }
    }
}

/// Gives fresh credentials when the ones at hand are refused as expired.
pub type Renew<'r> = &'r mut dyn FnMut() -> Option<Credentials>;

/// Writes each tag by itself, in this order; one that cannot be written does not stop the
/// next. `told` hears of each as soon as it is done. Blocks for `limits.deadline` at most,
/// and what `renew` takes.
pub fn write(
    account: &mut Account,
    instance: &str,
    tags: &[Tag],
    limits: &Limits,
    renew: Renew<'_>,
    told: &mut dyn FnMut(&Tag, &Result<Written, TagError>),
) {
    let mut session = Session::new(account, instance, limits, renew);
    for (done, tag) in tags.iter().enumerate() {
        let share = session.left() / u32::try_from(tags.len() - done).unwrap_or(u32::MAX);
        let result = session.call(Action::CreateTags, &tag.key, Some(&tag.value), share);
        told(tag, &result);
    }
}

/// Removes a tag; one that is not there is as good. Where the role may not remove tags, the
/// tag is emptied instead ([`Note::EmptiedInstead`]). That makes it where it wasn't, so this
/// is for a tag that was written before.
pub fn delete(
    account: &mut Account,
    instance: &str,
    key: &str,
    limits: &Limits,
    renew: Renew<'_>,
) -> Result<Written, TagError> {
    let mut session = Session::new(account, instance, limits, renew);
    let share = session.left();
    match session.call(Action::DeleteTags, key, None, share) {
        Err(removal) if removal.denied() => {
            let share = session.left();
            let mut emptied = session.call(Action::CreateTags, key, Some(""), share)?;
            emptied.attempts += removal.attempts;
            emptied.elapsed += removal.elapsed;
            emptied.notes.splice(0..0, removal.notes);
            emptied.notes.push(Note::EmptiedInstead);
            Ok(emptied)
        }
        other => other,
    }
}

impl Account {
    /// Where requests go. The error is a sentence.
    fn endpoint(&self) -> Result<Endpoint, String> {
        if !is_region(&self.region) {
            return Err("the region is no name of a region".into());
        }
        match &self.endpoint {
            Some(own) => Endpoint::parse(own),
            None => {
                Endpoint::parse(&format!("https://ec2.{}.{}", self.region, suffix(&self.region)))
            }
        }
    }
}

/// Names of regions become a part of a host's name, so nothing else may stand there.
fn is_region(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The domain of AWS's public endpoints in the partition of this region (the regions outside the
/// public internet need an endpoint in the configuration).
fn suffix(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "amazonaws.com.cn",
        r if r.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    }
}

/// `i-` and 8 or 17 hexadecimal digits.
fn is_instance(id: &str) -> bool {
    id.strip_prefix("i-").is_some_and(|digits| {
        matches!(digits.len(), 8 | 17)
            && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(region: &str, endpoint: Option<&str>) -> Result<String, String> {
        let credentials = Credentials {
            access_key_id: String::new(),
            secret_access_key: String::new(),
            session_token: String::new(),
            expires_at: jiff::Timestamp::MAX,
        };
        let account =
            Account { region: region.into(), endpoint: endpoint.map(str::to_owned), credentials };
        account.endpoint().map(|e| e.url)
    }

    #[test]
    fn the_endpoint_is_the_regions_own_or_the_given_one() {
        assert_eq!(url("eu-west-1", None).unwrap(), "https://ec2.eu-west-1.amazonaws.com/");
        assert_eq!(url("cn-north-1", None).unwrap(), "https://ec2.cn-north-1.amazonaws.com.cn/");
        assert_eq!(
            url("eusc-de-east-1", None).unwrap(),
            "https://ec2.eusc-de-east-1.amazonaws.eu/"
        );
        assert_eq!(url("x", Some("http://127.0.0.1:5000")).unwrap(), "http://127.0.0.1:5000/");
        for bad in ["", "-a", "a-", "EU", "eu-west-1.evil.example/", "eu west", "a@b"] {
            assert!(url(bad, None).is_err(), "{bad}");
        }
        for bad in [
            "",
            "ec2",
            "ftp://a",
            "https://",
            "https://u:p@a",
            "https://a/b",
            "https://a/?b",
            "https://a b",
        ] {
            let error = url("eu-west-1", Some(bad)).unwrap_err();
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn instances_have_their_form() {
        for good in ["i-0123abcd", "i-0123456789abcdef0"] {
            assert!(is_instance(good));
        }
        for bad in
            ["", "i-", "i-0123456789ABCDEF0", "vol-0123abcd", "i-0123abcd&Tag.1.Key=x", "i-0123abc"]
        {
            assert!(!is_instance(bad), "{bad}");
        }
    }
}
