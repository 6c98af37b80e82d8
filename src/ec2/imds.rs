//! The instance metadata service: which instance this is, what it was launched with, and
//! the credentials of its role (EC2 user guide, "Use instance metadata").
//!
//! Only its second version is spoken: a session token is asked for by PUT and goes with
//! every request. There is no way back to the first, which answers anybody who can make
//! this machine send a GET. What answers at the address need not be EC2 (a captive
//! network, a proxy, another cloud's service), so nothing that comes back is taken
//! unless it has the shape that EC2 documents.
//!
//! Everything blocks, up to [`Settings::deadline`].

mod clock;
mod endpoint;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod session;
mod shape;
mod wire;

pub use super::credentials::Credentials;
pub use error::{ImdsError, Kind};
pub use session::Session;

use crate::config::value::{self, Span};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;

/// How the service is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Where it may listen, `http://ADDRESS[:PORT]`; the first that answers is kept.
    pub endpoints: Vec<String>,
    /// How long one request may take, in milliseconds where it is written as JSON.
    #[serde(deserialize_with = "value::span_from_millis")]
    pub request_deadline: Span,
    /// How long all of it may take, repetitions and waits too; written likewise.
    #[serde(deserialize_with = "value::span_from_millis")]
    pub deadline: Span,
}

impl Default for Settings {
    /// The two addresses of EC2. A request takes milliseconds there, and the network of a
    /// booting machine is up within seconds: what isn't there after a minute won't come.
    fn default() -> Self {
        Self {
            endpoints: vec!["http://169.254.169.254".into(), "http://[fd00:ec2::254]".into()],
            request_deadline: Span::seconds(2),
            deadline: Span::seconds(60),
        }
    }
}

/// What an instance is told of itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Such as `i-0123456789abcdef0`.
    pub instance_id: String,
    /// Such as `eu-central-1`.
    pub region: String,
    /// The bytes given at the launch, as they were given; `None` where there are none.
    /// They hold the user's script: no Debug shows them, and JSON has them in base64.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub user_data: Option<Vec<u8>>,
    /// The volumes of the launch: virtual name (`ami`, `root`, `ebs1`) to device name as
    /// it was given then (`/dev/sda1`, `sdf`).
    pub block_devices: BTreeMap<String, String>,
    /// The name of its first address, with its domain.
    #[serde(default)]
    pub local_hostname: Option<String>,
    /// The public keys of the launch, lines of `authorized_keys`.
    #[serde(default)]
    pub public_keys: Vec<String>,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("instance_id", &self.instance_id)
            .field("region", &self.region)
            .field("user_data_bytes", &self.user_data.as_ref().map(Vec::len))
            .field("block_devices", &self.block_devices)
            .field("local_hostname", &self.local_hostname)
            .field("public_keys", &self.public_keys.len())
            .finish()
    }
}

/// Asks for all that a boot needs.
///
/// # Errors
/// The service is not there, does not give a token, or what it says is not what EC2 says.
pub fn collect(settings: &Settings) -> Result<Metadata, ImdsError> {
    let mut session = Session::open(settings)?;
    Ok(Metadata {
        instance_id: session.instance_id()?,
        region: session.region()?,
        user_data: session.user_data()?,
        block_devices: session.block_devices()?,
        local_hostname: session.local_hostname()?,
        public_keys: session.public_keys()?,
    })
}

/// Asks for the credentials of the instance's role.
///
/// # Errors
/// As [`collect`]; the instance has no role, or the role gives none.
pub fn credentials(settings: &Settings) -> Result<Credentials, ImdsError> {
    Session::open(settings)?.credentials()
}

fn to_base64<S: Serializer>(bytes: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(|b| BASE64.encode(b)).serialize(s)
}

fn from_base64<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(d)?;
    // The error of the library quotes what it could not decode.
    text.map(|t| BASE64.decode(t).map_err(|_| de::Error::custom("user_data is not base64")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_metadata_survive_the_pipe_to_a_helper() {
        let settings = Settings::default();
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);

        for user_data in [None, Some(vec![]), Some((0..=255).collect())] {
            let metadata = Metadata {
                instance_id: "i-0123456789abcdef0".into(),
                region: "eu-central-1".into(),
                user_data,
                block_devices: [("ebs1".into(), "sdf".into())].into(),
                local_hostname: Some("ip-10-0-0-5.internal".into()),
                public_keys: vec!["ssh-ed25519 AAAA box".into()],
            };
            let json = serde_json::to_string(&metadata).unwrap();
            assert_eq!(serde_json::from_str::<Metadata>(&json).unwrap(), metadata);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let metadata = Metadata {
            instance_id: "i-0123456789abcdef0".into(),
            region: "eu-central-1".into(),
            user_data: Some(b"secret".to_vec()),
            block_devices: BTreeMap::new(),
            local_hostname: None,
            public_keys: Vec::new(),
        };
        let text = format!("{metadata:?}");
        assert!(text.contains("Some(6)") && !text.contains("115"), "{text}");
    }
}
