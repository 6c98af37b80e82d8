//! `agent-stub check`: would a machine take this user-data? Everything that it would not is told,
//! with its line, before the launch.

use super::super::budget::LIMIT;
use super::super::shebang;
use super::super::told::Part;
use super::super::user_data::{self, Fault, Kind, Parsed};
use super::{Done, does, json, read_input};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
It reads what the guest reads, as the guest does, and needs no configuration. Also looked at are
the size and each script's first line. No byte of a script or a file's content is shown.

Exit status: 0 it would be taken, 1 it would not, or cannot be read; 64 wrong usage.

Examples:
  agent-stub check cloud-config.yaml
  terraform output -raw user_data | agent-stub check - --json")]
pub(super) struct CheckArgs {
    /// The user-data; - reads standard input
    file: PathBuf,
    /// Print JSON (schema agent.user-data-check/1)
    #[arg(long)]
    json: bool,
}

const SCHEMA: &str = "agent.user-data-check/1";

#[derive(Serialize)]
struct View {
    schema: &'static str,
    /// Would it be taken?
    good: bool,
    bytes: usize,
    /// What it is, where that is known.
    #[serde(flatten)]
    kind: Option<Kind>,
    errors: Vec<Fault>,
    does: Vec<String>,
}

pub(super) fn main(args: &CheckArgs) -> Result<Done, String> {
    let bytes = read_input(&args.file)?;
    let view = view(&bytes);
    let failed = !view.good;
    let text = match args.json {
        true => json(&view)?,
        false => view.text(&args.file.display().to_string()),
    };
    Ok(Done { text: text.into_bytes(), failed, ..Done::default() })
}

fn view(bytes: &[u8]) -> View {
    let mut errors = Vec::new();
    if let Some(over) = bytes.len().checked_sub(LIMIT).filter(|over| *over > 0) {
        errors.push(Fault::new(
            "user-data-too-large",
            format!("it is {} bytes, max is {LIMIT} ({over} bytes over limit)", bytes.len()),
            "send it as gzip, which is taken as it is; or let a script download its larger part",
        ));
    }
    let (kind, does) = match user_data::parse(bytes) {
        Ok(parsed) => {
            errors.extend(first_lines(&parsed));
            (Some(parsed.kind), does::lines(&parsed))
        }
        Err(e) => {
            errors.extend(e.faults());
            (None, Vec::new())
        }
    };
    let good = errors.is_empty();
    let does = if good { does } else { Vec::new() };
    View { schema: SCHEMA, good, bytes: bytes.len(), kind, errors, does }
}

/// What the kernel would say of the programs.
fn first_lines(parsed: &Parsed) -> Vec<Fault> {
    let programs = parsed.scripts.parts().iter().chain(&parsed.duties.boothooks);
    let fault = |part: &Part| {
        let (message, next) = shebang::parse(part.script.bytes()).err()?.words();
        let fault = Fault::new("script-first-line", message, next);
        Some(Fault { part: part.label.clone(), ..fault })
    };
    programs.filter_map(fault).collect()
}

impl View {
    fn text(&self, file: &str) -> String {
        let mut text = String::new();
        if self.good {
            let kind = self.kind.map(|kind| kind.words()).unwrap_or_default();
            let _ = writeln!(text, "{file}: good: {kind}, {} of {LIMIT} bytes", self.bytes);
            for line in &self.does {
                let _ = writeln!(text, "  {line}");
            }
            return text;
        }
        for fault in &self.errors {
            let _ = writeln!(text, "{file}: {fault}\n  next: {}", fault.next);
        }
        let count = match self.errors.len() {
            1 => "1 error".to_owned(),
            n => format!("{n} errors"),
        };
        let _ = writeln!(text, "{file}: {count}; a machine would do nothing of it");
        text
    }
}
