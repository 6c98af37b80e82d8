//! `agent-stub inspect`: what a user-data is, holds and would do.

use super::super::budget::LIMIT;
use super::super::parameters::{Fetch, Parameters};
use super::super::payload::GZIP;
use super::super::render::{Launch, is_rendered};
use super::super::template::Template;
use super::super::user_data::{self, Kind, Parsed, UserDataError};
use super::{Done, json, read_input};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Understood are this project's stub, the parents' stub, a plain script, and gzip of each. The
script is told by length and hash alone; so is the part of a URL behind its question mark,
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
    does: Vec<String>,
}

#[derive(Serialize)]
struct ScriptView {
    bytes: usize,
    sha256: String,
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
        let script = parsed
            .script
            .ok_or_else(|| format!("{}: it holds no user script", args.file.display()))?;
        return Ok(script.bytes().to_vec().into());
    }
    let view = View {
        schema: SCHEMA,
        bytes: bytes.len(),
        gzip: bytes.starts_with(GZIP),
        kind: parsed.kind,
        unchanged: unchanged(&bytes, &parsed),
        parameters: &parsed.parameters,
        fetch: parsed.fetch.clone().map(without_query),
        script: parsed
            .script
            .as_ref()
            .map(|s| ScriptView { bytes: s.bytes().len(), sha256: s.sha256() }),
        does: does(&parsed),
    };
    if args.json { json(&view).map(Done::from) } else { Ok(view.text().into()) }
}

/// One line for a user-data that cannot be used.
pub(super) fn unusable(path: &Path, e: &UserDataError) -> String {
    format!("{}: {e}; {}", path.display(), e.next())
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

/// What stands behind the question mark of a presigned URL lets anybody read what it names.
fn without_query(fetch: Fetch) -> Fetch {
    match fetch.url.split_once('?') {
        Some((url, _)) => Fetch { url: format!("{url}?…"), ..fetch },
        None => fetch,
    }
}

/// What it would do, a line a step.
fn does(parsed: &Parsed) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    match (parsed.kind, parsed.fetch.clone().map(without_query)) {
        (Kind::Empty, _) => {
            return vec!["nothing: the agent boots without parameters and without a script".into()];
        }
        (Kind::Stub { template: Template::Fetch, .. }, Some(fetch)) => {
            lines.push(format!(
                "run by a shell, it downloads {}, and runs it as `agent boot` if its SHA-256 is {}",
                fetch.url, fetch.sha256
            ));
        }
        (Kind::Stub { .. }, _) => {
            lines.push("run by a shell, it starts `/usr/local/bin/agent boot` of the image".into());
        }
        (Kind::ParentStub, fetch) => {
            if let Some(fetch) = fetch {
                lines.push(format!(
                    "run by a shell, it is about {} with SHA-256 {}",
                    fetch.url, fetch.sha256
                ));
            }
            lines.push(
                "the agent takes the parameters and the script and runs none of its shell".into(),
            );
        }
        (Kind::Script, _) => {
            lines.push("the agent takes the whole of it as the user's script".into());
        }
    }
    lines.push(match &parsed.script {
        Some(_) => "the user's script is run last, once on the instance".into(),
        None => "there is no user's script: the hook is skipped".into(),
    });
    lines
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
            Some(s) => line("script", &format!("{} bytes, sha256 {}", s.bytes, s.sha256)),
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
