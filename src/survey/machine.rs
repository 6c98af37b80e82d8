//! What the instance metadata adds to the facts: which instance this is, what its launch
//! said, and the user script.

use crate::config::Config;
use crate::ec2::imds::Metadata;
use crate::journal::Problem;
use crate::journal::event::MachineSeen;
use crate::plan::{Facts, Instance, Machine, Payload, PayloadState};
use crate::stub::Parameters;
use crate::stub::payload::Script;
use crate::stub::user_data::{self, Kind, UserDataError};

/// What the plan calls the place that the script came from.
const SOURCE: &str = "user-data";

/// Adds the metadata and the user-data (`given` in place of the service's own) to the
/// facts. Returns what the journal is told, and the script; or why the user-data cannot be
/// used: it is nothing that the agent understands, or was cut short.
pub fn take_in(
    facts: &mut Facts,
    config: &Config,
    metadata: Metadata,
    given: Option<Vec<u8>>,
) -> (MachineSeen, Result<Option<Script>, Problem>) {
    // The way in does not hang on the user-data.
    facts.told.read = true;
    facts.told.local_hostname = metadata.local_hostname;
    facts.told.public_keys = metadata.public_keys;
    if config.bootstrap.instance.is_none() {
        let id = metadata.instance_id.clone();
        facts.instance = Instance { id, source: "instance metadata".into() };
    }
    let bytes = given.or(metadata.user_data).unwrap_or_default();
    let mut seen = MachineSeen {
        instance: metadata.instance_id,
        region: metadata.region.clone(),
        user_data: "unusable".into(),
        parameters: Parameters::default(),
    };
    let (parsed, undecodable) = match user_data::parse(&bytes) {
        Ok(parsed) => (parsed, None),
        // The rest is set up all the same, and the boot fails where the script would run.
        Err(UserDataError::Payload { error, rest, .. }) => (*rest, Some(error)),
        Err(e) => return (seen, Err(e.problem())),
    };
    seen.user_data = words(&parsed.kind);
    seen.parameters.clone_from(&parsed.parameters);
    facts.machine = Some(Machine {
        region: metadata.region,
        block_devices: metadata.block_devices,
        parameters: parsed.parameters,
    });
    let state = match (&undecodable, &parsed.script) {
        (Some(e), _) => PayloadState::Undecodable(e.to_string()),
        (None, None) => PayloadState::Absent,
        (None, Some(s)) => PayloadState::Script { bytes: s.bytes().len(), sha256: s.sha256() },
    };
    let from_user_data = Payload { source: SOURCE.into(), state };
    let elsewhere = !matches!(facts.payload.state, PayloadState::Unread | PayloadState::Absent);
    match (elsewhere, &from_user_data.state) {
        // What was given elsewhere stands alone.
        (true, PayloadState::Absent) => {}
        (true, _) => facts.payload.state = PayloadState::Ambiguous,
        (false, _) => facts.payload = from_user_data,
    }
    (seen, Ok(parsed.script))
}

fn words(kind: &Kind) -> String {
    match kind {
        Kind::Empty => "none".into(),
        Kind::Stub { protocol, template } => {
            format!("stub, protocol {protocol}, {}", template.word())
        }
        Kind::ParentStub => "stub of the parent system".into(),
        Kind::Script => "script".into(),
    }
}
