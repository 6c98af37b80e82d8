//! One HTTP request to the API, with nothing that the agent doesn't know of: names go
//! through [`Names`], proxies through [`proxy_for`], no redirect is followed, and every
//! wait and every size has a limit.

use super::names::{NameError, Names};
use super::proxy::proxy_for;
use jiff::Timestamp;
use std::fmt;
use std::time::Duration;
use ureq::http::Uri;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy, ProxyProtocol};

/// The longest answer that is read, in bytes. Those of the API have some hundred.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://HOST[:PORT]/`.
    pub url: String,
    /// As the header `Host` has it.
    pub host: String,
    scheme: String,
    name: String,
}

impl Endpoint {
    /// An address as a person writes it: `https://HOST[:PORT]`, `http://` for tests and
    /// where the network is trusted. The error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the endpoint is no https://HOST[:PORT]: {what}");
        let uri: Uri = text.parse().map_err(|_| wrong("it is no address"))?;
        let scheme = match uri.scheme_str() {
            Some(s @ ("https" | "http")) => s,
            _ => return Err(wrong("it begins with neither https:// nor http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("there is no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user's name"));
        }
        if authority.host().is_empty() {
            return Err(wrong("there is no host"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it goes on after the host"));
        }
        Ok(Self {
            url: format!("{scheme}://{authority}/"),
            host: authority.as_str().to_owned(),
            scheme: scheme.to_owned(),
            name: authority.host().to_owned(),
        })
    }
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What the server takes the time to be.
    pub date: Option<Timestamp>,
    /// How AWS calls this request.
    pub request_id: Option<String>,
    /// The text; what is no UTF-8 is replaced.
    pub body: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The name of the host has no address, or nobody to ask for it.
    Name(String),
    /// Nobody there, or the connection broke.
    Connection(String),
    /// It took too long; which part.
    Slow(&'static str),
    /// The server could not prove to be the one that was asked for.
    Untrusted(String),
    /// The proxy of the environment cannot be used, or does not let through.
    Proxy(String),
    /// What came is no HTTP, or too long.
    Garbled(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "no address: {why}"),
            Self::Connection(why) => write!(f, "no connection: {why}"),
            Self::Slow(part) => write!(f, "no answer in time ({part})"),
            Self::Untrusted(why) => write!(f, "the server is not trusted: {why}"),
            Self::Proxy(why) => write!(f, "the proxy of the environment: {why}"),
            Self::Garbled(why) => write!(f, "no proper answer: {why}"),
        }
    }
}

/// What speaks HTTP to either service: any status is an answer, no redirect is followed, and
/// names are resolved without the C library. Only the proxy that is given is used; ureq would
/// read the environment.
pub(super) fn agent(proxy: Option<Proxy>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(concat!("agent/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(config, DefaultConnector::new(), Names::of_this_system())
}

/// Connections to one endpoint, kept open between requests.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    endpoint: Endpoint,
    proxied: bool,
}

impl Client {
    /// A client for this endpoint, through the proxy of this process's environment where
    /// it names one.
    pub fn new(endpoint: Endpoint) -> Result<Self, NoAnswer> {
        let proxy = proxy_for(&endpoint.scheme, &endpoint.name, |name| std::env::var(name).ok())
            .map(|url| usable(&url))
            .transpose()?;
        let proxied = proxy.is_some();
        Ok(Self { agent: agent(proxy), endpoint, proxied })
    }

    /// Sends `body` with these headers (`Host` among them). Half of `limit` at most goes to
    /// the name and half to the connection, so that an error can tell which it was.
    pub fn post<'h>(
        &self,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
        body: &str,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        let mut request = self.agent.post(&self.endpoint.url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .config()
            .timeout_resolve(Some(limit / 2))
            .timeout_connect(Some(limit / 2))
            .timeout_global(Some(limit))
            .build();
        let mut answer = request.send(body).map_err(|e| self.no_answer(e))?;
        let header = |name| answer.headers().get(name).and_then(|v| v.to_str().ok());
        let date = header("date").and_then(http_date);
        let request_id = header("x-amzn-requestid").map(str::to_owned);
        let body = answer
            .body_mut()
            .with_config()
            .limit(LONGEST_ANSWER)
            .read_to_vec()
            .map_err(|e| self.no_answer(e))?;
        Ok(Answer {
            status: answer.status().as_u16(),
            date,
            request_id,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn no_answer(&self, error: ureq::Error) -> NoAnswer {
        use ureq::{Error, Timeout};
        match error {
            Error::HostNotFound => NoAnswer::Name(self.endpoint.name.clone()),
            Error::Other(e) if e.is::<NameError>() => NoAnswer::Name(e.to_string()),
            Error::Timeout(Timeout::Resolve) => NoAnswer::Slow("the name's address"),
            Error::Timeout(Timeout::Connect) => NoAnswer::Slow("the connection"),
            Error::Timeout(_) => NoAnswer::Slow("the request"),
            Error::ConnectProxyFailed(why) => NoAnswer::Proxy(why),
            // TLS reports a refused certificate as an error of the connection.
            Error::Io(e) if e.to_string().contains(CERTIFICATE) => {
                NoAnswer::Untrusted(e.to_string())
            }
            Error::Io(e) if self.proxied => NoAnswer::Proxy(e.to_string()),
            Error::Io(e) => NoAnswer::Connection(e.to_string()),
            Error::ConnectionFailed => NoAnswer::Connection("it failed".into()),
            other => match other.to_string() {
                text if text.contains(CERTIFICATE) => NoAnswer::Untrusted(text),
                text => NoAnswer::Garbled(text),
            },
        }
    }
}

/// How rustls begins what it says of a certificate that it refuses.
const CERTIFICATE: &str = "invalid peer certificate";

/// A proxy that this program can speak to. The address is not repeated: it may hold a
/// password.
fn usable(url: &str) -> Result<Proxy, NoAnswer> {
    let proxy = Proxy::new(url).map_err(|_| NoAnswer::Proxy("it is no address".into()))?;
    // ureq would panic.
    if !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Err(NoAnswer::Proxy("it is a SOCKS proxy; http:// and https:// are known".into()));
    }
    Ok(proxy)
}

/// A date as HTTP writes it (RFC 9110, 5.6.7, the preferred form).
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}
