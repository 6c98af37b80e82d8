//! `agent-stub inspect`: what a user-data is, holds and would do.

use super::super::budget::LIMIT;
use super::super::parameters::{Fetch, Parameters};
use super::super::payload::GZIP;
use super::super::render::{Launch, is_rendered};
use super::super::told::{CloudConfig, Scripts};
use super::super::user_data::{self, Fault, Kind, Parsed, UserDataError};
use super::{Done, does, json, read_input};
use crate::plan::{self, Asked, PartWork, PayloadState};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Understood are this project's stub, the parents' stub, a plain script, cloud-config (a subset),
a boothook, a MIME message of these, and gzip of each. `agent-stub check` tells more of what is
wrong. Scripts are told by length and hash alone; so is the part of a URL behind its question mark,
which may be a signature.

Exit status: 0 understood, 1 not, 64 wrong usage.

Examples:
  agent-stub inspect user-data
  agent-stub inspect user-data --show-script | less
  agent-stub render --vm-name default | agent-stub inspect - --json")]
pub(super) struct InspectArgs {
    /// The user-data; - reads standard input
    file: PathBuf,
    /// Print the user's script itself, and nothing else
    #[arg(long, conflicts_with = "json")]
    show_script: bool,
    /// Print JSON (schema agent.user-data/1)
    #[arg(long)]
    json: bool,
}

const SCHEMA: &str = "agent.user-data/1";

#[derive(Serialize)]
struct View<'a> {
    schema: &'static str,
    bytes: usize,
    gzip: bool,
    #[serde(flatten)]
    kind: Kind,
    /// It is what this version of agent-stub writes; absent where it isn't ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<bool>,
    parameters: &'a Parameters,
    fetch: Option<Fetch>,
    script: Option<ScriptView>,
    cloud: &'a CloudConfig,
    asks: Asked,
    does: Vec<String>,
}

#[derive(Serialize)]
struct ScriptView {
    bytes: usize,
    sha256: String,
    /// Each of several, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartWork>,
}

pub(super) fn main(args: &InspectArgs) -> Result<Done, String> {
    let bytes = read_input(&args.file)?;
    let parsed = match user_data::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(e) if args.json => {
            let problem = serde_json::json!({ "schema": SCHEMA, "problem": e.problem() });
            return Ok(Done { text: json(&problem)?.into(), failed: true, ..Done::default() });
        }
        Err(e) => return Err(unusable(&args.file, &e)),
    };
    if args.show_script {
        let script = parsed.scripts.only().ok_or_else(|| {
            let why =
                if parsed.scripts.is_empty() { "no user script" } else { "several user scripts" };
            format!("{}: it holds {why}", args.file.display())
        })?;
        return Ok(script.bytes().to_vec().into());
    }
    let view = View {
        schema: SCHEMA,
        bytes: bytes.len(),
        gzip: bytes.starts_with(GZIP),
        kind: parsed.kind,
        unchanged: unchanged(&bytes, &parsed),
        parameters: &parsed.parameters,
        fetch: parsed.fetch.clone().map(does::without_query),
        script: script(&parsed.scripts),
        cloud: &parsed.cloud,
        asks: Asked::from(&parsed.duties),
        does: does::lines(&parsed),
    };
    if args.json { json(&view).map(Done::from) } else { Ok(view.text().into()) }
}

/// A line for each reason why a user-data cannot be used.
pub(super) fn unusable(path: &Path, e: &UserDataError) -> String {
    let line = |fault: &Fault| format!("{}: {fault}; {}", path.display(), fault.next);
    e.faults().iter().map(line).collect::<Vec<_>>().join("\nagent-stub: ")
}

fn script(scripts: &Scripts) -> Option<ScriptView> {
    match plan::payload_state(scripts) {
        PayloadState::Script { bytes, sha256, parts } => Some(ScriptView { bytes, sha256, parts }),
        _ => None,
    }
}

/// Is it what this version would have written?
fn unchanged(bytes: &[u8], parsed: &Parsed) -> Option<bool> {
    if !matches!(parsed.kind, Kind::Stub { .. }) {
        return None;
    }
    let launch =
        Launch { parameters: parsed.parameters.clone(), script: None, fetch: parsed.fetch.clone() };
    Some(is_rendered(&user_data::unpack(bytes).ok()?, &launch))
}

impl View<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, value: &str| {
            let _ = writeln!(text, "{}", format!("{what:<11} {value}").trim_end());
        };
        line(
            "kind",
            &match self.kind {
                Kind::Empty => "empty".into(),
                Kind::Stub { protocol, template } => {
                    format!("stub, protocol {protocol}, template {template}")
                }
                Kind::ParentStub => "stub of the parents' template".into(),
                Kind::Script => "plain script".into(),
                other => other.words(),
            },
        );
        let room = match LIMIT.checked_sub(self.bytes) {
            Some(left) => format!("{left} left of {LIMIT}"),
            None => format!("more than the {LIMIT} that EC2 takes"),
        };
        let packed = if self.gzip { ", gzip" } else { "" };
        line("size", &format!("{} bytes{packed}; {room}", self.bytes));
        if self.unchanged == Some(false) {
            line(
                "note",
                "it is not what this agent-stub writes: another version's, or changed by hand",
            );
        }
        let mut what = "parameters";
        for (name, value) in self.parameters.variables() {
            line(what, &format!("{name}={value}"));
            what = "";
        }
        if what == "parameters" {
            line(what, "none");
        }
        if let Some(fetch) = &self.fetch {
            line("download", &fetch.url);
            line("", &format!("sha256 {}", fetch.sha256));
        }
        match &self.script {
            Some(s) if s.parts.is_empty() => {
                line("script", &format!("{} bytes, sha256 {}", s.bytes, s.sha256));
            }
            Some(s) => {
                let mut what = "scripts";
                for part in &s.parts {
                    let label = part.label.as_ref().map(ToString::to_string).unwrap_or_default();
                    line(what, &format!("{label}: {} bytes, sha256 {}", part.bytes, part.sha256));
                    what = "";
                }
            }
            None => line("script", "none"),
        }
        let mut what = "does";
        for step in &self.does {
            line(what, step);
            what = "";
        }
        text
    }
}
