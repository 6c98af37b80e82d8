//! Values with a unit or a closed set of words. Each parses itself, so that the
//! error points at the value's own line and column.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A length of time, written `"90s"`, `"10m"`, `"1h 30m"`. Zero and negative ones are
/// refused: every wait has a deadline, and none is over before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// Reads a span as it is written in the config.
    ///
    /// # Errors
    /// The form is another, or the span is not between 1 ms and 7 days.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "{text:?} is not a length of time; write a number with a unit, such as \"90s\", \"10m\" or \"1h 30m\""
            )
        };
        let span: jiff::SignedDuration = text.parse().map_err(|_| refuse())?;
        let span = Duration::try_from(span).map_err(|_| refuse())?;
        if span < Duration::from_millis(1) || span > Duration::from_secs(7 * 86_400) {
            return Err(format!(
                "{text:?} is out of range; a deadline lies between \"1ms\" and \"168h\""
            ));
        }
        Ok(Self(span))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&human(self.0))
    }
}

/// A duration in whole milliseconds, as the journal and the JSON forms hold it.
pub fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// A duration as people read it: `7 ms`, `1.8 s`, `90 s`, `10 min`.
pub fn human(d: Duration) -> String {
    let ms = d.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{:.1} s", d.as_secs_f64()),
        10_000..120_000 => format!("{} s", d.as_secs()),
        _ if d.as_secs().is_multiple_of(60) => format!("{} min", d.as_secs() / 60),
        _ => format!("{} min {} s", d.as_secs() / 60, d.as_secs() % 60),
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Span::parse(&String::deserialize(d)?).map_err(de::Error::custom)
    }
}

/// In JSON a span is a number of milliseconds.
impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(millis(self.0))
    }
}

/// Reads a span back from its JSON form, for what goes to a helper
/// (`#[serde(deserialize_with = …)]`); in the config it is written with a unit.
///
/// # Errors
/// It is not a number.
pub fn span_from_millis<'de, D: Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
    u64::deserialize(d).map(|ms| Span(Duration::from_millis(ms)))
}

/// The base of the URLs of a metadata endpoint, without a slash at the end; `None` where
/// `text` is not `http://ADDRESS[:PORT]`. A name is refused: it would be resolved by whoever
/// answers for the network, and by loadable parts of the C library that a static program
/// must not load.
pub fn endpoint(text: &str) -> Option<&str> {
    let base = text.strip_suffix('/').unwrap_or(text);
    let authority = base.strip_prefix("http://")?;
    let with_port = authority.parse::<SocketAddr>().is_ok_and(|a| a.port() != 0);
    let v4 = authority.parse::<Ipv4Addr>().is_ok();
    let bracketed = authority.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
    let v6 = bracketed.is_some_and(|a| a.parse::<Ipv6Addr>().is_ok());
    (with_port || v4 || v6).then_some(base)
}

/// A number of bytes, written `"64MiB"`, `"1GB"` or as a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bytesize::ByteSize(self.0).display().iec())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a size such as \"64MiB\" or a number of bytes")]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(d)? {
            Written::Number(n) => Ok(Self(n)),
            Written::Text(t) => {
                t.parse::<bytesize::ByteSize>().map(|b| Self(b.as_u64())).map_err(|_| {
                    de::Error::custom(format!("{t:?} is not a size; write one such as \"64MiB\""))
                })
            }
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0)
    }
}

/// What a failed boot means for the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBootFailure {
    /// PID 1 ends with a non-zero status; the workload is not started.
    Exit,
    /// The workload is started all the same, so that the evidence can be read from inside.
    Hold,
}

/// What a problem means for the boot's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The boot has failed; later phases are not run.
    Fail,
    /// The boot goes on and ends `degraded` at best.
    Degrade,
}

/// Whether the tools phase runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolsMode {
    /// It runs; a missing mise is a problem.
    On,
    /// It runs where mise is found, else it is skipped.
    Auto,
    /// It is skipped.
    Off,
}

/// Whether a user's mise config may replace a tool that the image's config declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineMode {
    /// No: the image's tools answer at the image's versions, whatever the user's config says.
    Pinned,
    /// Yes: a version that the user declares and has installed comes first.
    Overridable,
}

/// Whether a user script that ended badly is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// Not on this instance; the boot stays `failed`.
    Never,
    /// Once at each boot until it succeeds.
    NextBoot,
}

/// Who runs the user's script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptUser {
    /// The sandbox user.
    Sandbox,
    /// Root, as cloud-init runs it.
    Root,
}

/// The form of log lines on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// The least severe events that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Only what stops the boot.
    Error,
    /// And what degrades it.
    Warn,
    /// And what it does, a line a step.
    Info,
    /// And how it does it.
    Debug,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units_and_limits() {
        assert_eq!(Span::parse("1h 30m").unwrap().0, Duration::from_secs(5400));
        assert_eq!(Span::parse("250ms").unwrap().0, Duration::from_millis(250));
        for bad in ["", "10", "ten", "0s", "-5s", "9000h"] {
            assert!(Span::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn endpoints_are_addresses_over_plain_http() {
        for good in ["http://169.254.169.254", "http://[fd00:ec2::254]", "http://127.0.0.1:8080/"] {
            assert_eq!(endpoint(good), Some(good.trim_end_matches('/')), "{good}");
        }
        for bad in [
            "169.254.169.254",
            "https://169.254.169.254",
            "http://instance-data",
            "http://169.254.169.254/latest",
            "http://me:pw@169.254.169.254",
            "http://169.254.169.254:0",
            "http://fd00:ec2::254",
            "http://[169.254.169.254]",
            "http://",
            "",
        ] {
            assert_eq!(endpoint(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_read_well() {
        let cases = [
            (7, "7 ms"),
            (1_800, "1.8 s"),
            (90_000, "90 s"),
            (600_000, "10 min"),
            (125_000, "2 min 5 s"),
        ];
        for (ms, text) in cases {
            assert_eq!(human(Duration::from_millis(ms)), text);
        }
    }
}
