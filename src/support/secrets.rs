//! What is known to be secret on this machine, and whether all of it is known: the script and
//! where it came from, the environment, what the configuration gives to programs, the role's keys.

use super::redact::{Redactor, names_secret};
use super::sources::ConfigFile;
use crate::config::Config;
use crate::config::value::Span;
use crate::ec2::imds::{self, Kind, Settings};
use crate::journal::Status;
use crate::phases::metadata;
use crate::plan::{Facts, PayloadState};
use crate::stub::payload::Script;
use crate::stub::told;
use crate::stub::user_data::{self, UserDataError};

/// How long the metadata service may take, which is asked for what must not be in the archive.
const METADATA: Span = Span::seconds(5);

/// What is known, and why it is not all.
pub(super) struct Known {
    pub(super) redactor: Redactor,
    /// A sentence for each thing that could not be known.
    pub(super) unknown: Vec<String>,
}

/// Looks for all of it.
pub(super) fn of(
    config: &Config,
    files: &[ConfigFile],
    (facts, given_here): (&Facts, &told::Scripts),
    status: &Status,
) -> Known {
    let mut known = Known { redactor: Redactor::default(), unknown: Vec::new() };
    let own = std::env::vars_os();
    let own = own.filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    known.redactor.know_environment(own);
    // What is given to programs may be secret whatever it is called.
    let given = config.steps.iter().flat_map(|step| step.environment.values());
    let written = files.iter().filter_map(|file| file.written.as_ref().ok());
    let given = given.chain(config.bootstrap.environment.values());
    for value in given.chain(written.flat_map(|written| &written.values)) {
        known.redactor.know(value, "configuration");
    }
    for file in files {
        if let Err(why) = &file.written {
            known.unknown.push(format!("{}: {why}", file.path.display()));
        }
    }
    let mut scripts: Vec<Script> = bytes_of(given_here.parts());
    let mut hashes = vec![given_here.sha256()];
    if let PayloadState::Unreadable(why) = &facts.payload.state {
        known.unknown.push(format!("the user's script ({}): {why}", facts.payload.source));
    }
    match crate::stub::user_script(&facts.user.home) {
        Ok(script) => scripts.extend(script),
        Err(e) => known.unknown.push(format!("the user's script: {e}")),
    }
    if config.ec2.enabled {
        role_and_user_data(config, &mut known, &mut scripts, &mut hashes);
    }
    hashes.extend(scripts.iter().map(Script::sha256));
    if known.unknown.is_empty()
        && let Some(script) = &status.script
        && !hashes.contains(&script.run.payload)
    {
        known.unknown.push(
            "the user's script that this boot ran is not the one that is given here, or none is"
                .into(),
        );
    }
    for script in scripts {
        known.redactor.know_script(script.bytes());
    }
    known
}

/// Asks the metadata service once for each.
fn role_and_user_data(
    config: &Config,
    known: &mut Known,
    scripts: &mut Vec<Script>,
    hashes: &mut Vec<String>,
) {
    let redactor = &mut known.redactor;
    let settings = Settings { deadline: METADATA, ..metadata::settings(config) };
    let found = match imds::collect(&settings) {
        Ok(found) => found,
        Err(e) => {
            let why = format!("the user-data, with the user's script, and the role's keys: {e}");
            return known.unknown.push(why);
        }
    };
    match imds::credentials(&settings) {
        Ok(keys) => {
            for key in [&keys.secret_access_key, &keys.session_token, &keys.access_key_id] {
                redactor.know(key, "role-keys");
            }
        }
        Err(e) if matches!(e.kind, Kind::NoRole | Kind::RoleRefused) => {}
        Err(e) => known.unknown.push(format!("the role's keys: {e}")),
    }
    let Some(bytes) = found.user_data else { return };
    let parsed = match user_data::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(UserDataError::Payload { rest, .. }) => *rest,
        // What the agent doesn't understand may be anything.
        Err(_) => return redactor.know_script(&bytes),
    };
    for (name, value) in parsed.parameters.variables() {
        if names_secret(&name) {
            redactor.know(&value, "user-data");
        }
    }
    let duties = parsed.duties;
    hashes.push(parsed.scripts.sha256());
    scripts.extend(bytes_of(parsed.scripts.parts()));
    scripts.extend(bytes_of(&duties.boothooks));
    scripts.extend(duties.files.into_iter().map(|file| file.content));
    scripts.extend(duties.commands.into_iter().map(|command| command.shell));
}

fn bytes_of(parts: &[told::Part]) -> Vec<Script> {
    parts.iter().map(|part| part.script.clone()).collect()
}
