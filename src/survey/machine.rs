//! What the instance metadata adds to the facts: which instance this is, what its launch
//! said, and what the user-data asks for.

use crate::config::Config;
use crate::ec2::imds::Metadata;
use crate::journal::event::MachineSeen;
use crate::plan::{self, Asked, Facts, Instance, Machine, Payload, PayloadState, UserDataState};
use crate::stub::Parameters;
use crate::stub::payload::PayloadError;
use crate::stub::told::{CloudConfig, Duties, Scripts};
use crate::stub::user_data::{self, Parsed, UserDataError};

/// What the plan calls the place that the script came from.
const SOURCE: &str = "user-data";

/// What of the user-data stands in nothing that is printed.
#[derive(Debug, Default)]
pub struct Told {
    /// The user's scripts.
    pub scripts: Scripts,
    /// What root is to do.
    pub duties: Duties,
}

/// Adds the metadata and the user-data (`given` in place of the service's own) to the
/// facts. Returns what the journal is told, and what the user-data holds. Where it is nothing that
/// the agent understands, or was cut short, the facts say why, and the phase fails that would do
/// what it says.
pub fn take_in(
    facts: &mut Facts,
    config: &Config,
    metadata: Metadata,
    given: Option<Vec<u8>>,
) -> (MachineSeen, Told) {
    // The way in does not hang on the user-data.
    facts.told.read = true;
    facts.told.local_hostname = metadata.local_hostname;
    facts.told.public_keys = metadata.public_keys;
    let bytes = given.or(metadata.user_data).unwrap_or_default();
    if config.bootstrap.instance.is_none() {
        let id = metadata.instance_id.clone();
        facts.instance = Instance { id, source: "instance metadata".into() };
    }
    let mut seen = MachineSeen {
        instance: metadata.instance_id,
        region: metadata.region.clone(),
        user_data: "unusable".into(),
        parameters: Parameters::default(),
    };
    let mut machine = Machine {
        region: metadata.region,
        block_devices: metadata.block_devices,
        parameters: Parameters::default(),
        cloud: CloudConfig::default(),
    };
    let read = match user_data::parse(&bytes) {
        Ok(parsed) => Ok((parsed, None)),
        // The rest is set up all the same, and the boot fails where the script would run.
        Err(UserDataError::Payload { error, rest, .. }) => Ok((*rest, Some(error))),
        Err(e) => Err(e),
    };
    let (parsed, undecodable) = match read {
        Ok(read) => read,
        Err(e) => {
            facts.machine = Some(machine);
            let problem = e.problem().filed_under("config");
            facts.user_data = UserDataState::Refused(problem.into());
            return (seen, Told::default());
        }
    };
    seen.user_data = parsed.kind.words();
    seen.parameters.clone_from(&parsed.parameters);
    let payload = payload(&parsed, undecodable.as_ref());
    let Parsed { parameters, scripts, cloud, duties, .. } = parsed;
    (machine.parameters, machine.cloud) = (parameters, cloud);
    facts.machine = Some(machine);
    facts.user_data = UserDataState::Asks(Asked::from(&duties).into());
    let elsewhere = !matches!(facts.payload.state, PayloadState::Unread | PayloadState::Absent);
    match (elsewhere, &payload.state) {
        // What was given elsewhere stands alone.
        (true, PayloadState::Absent) => {}
        (true, _) => facts.payload.state = PayloadState::Ambiguous,
        (false, _) => facts.payload = payload,
    }
    (seen, Told { scripts, duties })
}

fn payload(parsed: &Parsed, undecodable: Option<&PayloadError>) -> Payload {
    let scripts = &parsed.scripts;
    let state = match undecodable {
        Some(e) => PayloadState::Undecodable(e.to_string()),
        None => plan::payload_state(scripts),
    };
    Payload { source: SOURCE.into(), state }
}
