//! `agent tools lock`.

use super::super::print;
use crate::tools::lock::check::NPM_MANAGER;
use crate::tools::lock::judge::{Held, Holds};
use crate::tools::lock::pairs::{self, Kind};
use crate::tools::lock::platform::Platform;
use crate::tools::lock::{Checked, Outcome, check};
use crate::tools::places::Places;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The form of `--json`.
const SCHEMA: &str = "agent.lock-check/1";

/// Nothing that could be checked (`sysexits.h`, EX_NOINPUT).
const NO_INPUT: u8 = 66;

#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Compare each mise config with the lockfile beside it. Nothing is run, fetched or written.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 every lockfile answers for what is declared, 1 something is wrong (the last
line of each lockfile's report is the line to run), 64 wrong usage, 66 nothing to check, or
a file that cannot be read.

Examples:
  agent tools lock check                                   the project here
  agent tools lock check --platform linux-x64,linux-arm64  for these platforms
  agent tools lock check --global                          the user's and the image's")]
pub(crate) struct CheckArgs {
    /// Projects, directories of mise configuration, config files or lockfiles (default: the
    /// current directory)
    #[arg(value_name = "DIR")]
    targets: Vec<PathBuf>,
    /// Platforms that must be locked, with commas (default: those that the lockfile names,
    /// else this machine's)
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = platform)]
    platform: Vec<Platform>,
    /// Also the user's own config and the image's; without DIR only these
    #[arg(long)]
    global: bool,
    /// Print JSON (schema agent.lock-check/1)
    #[arg(long)]
    json: bool,
    /// Print nothing; the exit status tells
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

pub(super) fn main(command: &LockCommand) -> u8 {
    let LockCommand::Check(args) = command;
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = variable("HOME").unwrap_or_else(|| "/".into());
    let places = Places::of(&home, |name| variable(name).filter(|path| path.is_absolute()));
    let mut missing = Vec::new();
    let mut found = Vec::new();
    let here = [PathBuf::from(".")];
    let targets = match (args.targets.as_slice(), args.global) {
        ([], false) => here.as_slice(),
        (named, _) => named,
    };
    for target in targets {
        match std::path::absolute(target).and_then(|path| path.metadata().map(|_| path)) {
            Ok(path) => match pairs::of(&tidy(&path), &places) {
                none if none.is_empty() => {
                    missing.push(format!("{}: no mise config is here", target.display()));
                }
                some => found.extend(some),
            },
            Err(e) => missing.push(format!("{}: {e}", target.display())),
        }
    }
    if args.global {
        found.extend(pairs::directory(&places.config, Kind::Global));
        found.extend(pairs::directory(&places.system_config, Kind::System));
        if found.is_empty() && missing.is_empty() {
            missing.push("neither the user nor the image has a mise config".to_owned());
        }
    }
    found.dedup();
    let asked = (!args.platform.is_empty()).then_some(args.platform.as_slice());
    let manager = std::env::var(NPM_MANAGER).ok();
    let all: Vec<Checked> =
        found.iter().map(|pair| check(pair, asked, manager.as_deref())).collect();
    for line in &missing {
        eprintln!("agent: {}", shown(line));
    }
    if args.json {
        print_json(&all, asked);
    } else if !args.quiet {
        all.iter().for_each(print_text);
    }
    let has = |outcome| all.iter().any(|c| c.outcome == outcome);
    match () {
        () if !missing.is_empty() || has(Outcome::Unreadable) => NO_INPUT,
        () if has(Outcome::Findings) => 1,
        () => 0,
    }
}

/// One of a list, which may be written with blanks.
fn platform(name: &str) -> Result<Platform, String> {
    Platform::parse(name.trim())
}

/// What a repository's files say may not end a line or move the cursor: a log's reader, a person
/// or a program, would take the rest for the check's own words.
fn shown(text: impl std::fmt::Display) -> String {
    let mut shown = String::new();
    for c in text.to_string().chars() {
        // Besides control characters: those that separate lines or turn the direction of writing.
        match c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            true => shown.extend(c.escape_debug()),
            false => shown.push(c),
        }
    }
    shown
}

/// Without `.` components, which would stand in every line.
fn tidy(path: &Path) -> PathBuf {
    path.components().filter(|c| !matches!(c, std::path::Component::CurDir)).collect()
}

fn print_json(all: &[Checked], asked: Option<&[Platform]>) {
    #[derive(Serialize)]
    struct Report<'a> {
        schema: &'a str,
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        platforms: Option<&'a [Platform]>,
        checked: Vec<One<'a>>,
    }
    #[derive(Serialize)]
    struct One<'a> {
        lock: &'a Path,
        configs: &'a [PathBuf],
        version: Option<i64>,
        outcome: Outcome,
        tools: &'a [Held],
        findings: &'a [crate::tools::lock::Finding],
        #[serde(skip_serializing_if = "Option::is_none")]
        run: Option<&'a str>,
    }
    let one = |c: &'_ Checked| c.outcome == Outcome::Ok;
    let checked = all.iter().map(|c| One {
        lock: &c.lock,
        configs: &c.configs,
        version: c.version,
        outcome: c.outcome,
        tools: &c.tools,
        findings: &c.findings,
        run: (!one(c)).then_some(c.run.as_str()),
    });
    let report = Report {
        schema: SCHEMA,
        ok: all.iter().all(one) && !all.is_empty(),
        platforms: asked,
        checked: checked.collect(),
    };
    crate::cli::print_json(&report, "the report");
}

fn print_text(checked: &Checked) {
    let lock = shown(checked.lock.display());
    for finding in &checked.findings {
        print(&format_args!("{}\n", shown(finding)));
    }
    if checked.outcome != Outcome::Ok {
        print(&format_args!("run: {}\n", shown(&checked.run)));
        return;
    }
    if checked.tools.is_empty() {
        print(&format_args!("{lock}: no tool is declared, so nothing has to be locked\n"));
        return;
    }
    print(&format_args!("{lock}: ok\n"));
    for (holds, words) in [
        (Holds::Artifact, "URL and checksum of what is downloaded"),
        (Holds::Tree, "every package of the dependency tree, with its integrity"),
        (
            Holds::TreeVersions,
            "every version of the dependency tree; its hashes were not looked at",
        ),
        (Holds::Version, "the version only, not what is in it"),
    ] {
        let of: Vec<String> = checked
            .tools
            .iter()
            .filter(|t| t.holds == holds)
            .map(|t| format!("{}@{}", t.tool, t.locked))
            .collect();
        if !of.is_empty() {
            print(&format_args!("  locked is {words}: {}\n", shown(of.join(", "))));
        }
    }
}
