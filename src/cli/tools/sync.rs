//! `agent tools export`, `import` and `sync-list`.

mod output;

use super::surveyed;
use crate::cli::print;
use crate::config::Config;
use crate::plan::{Facts, Switch};
use crate::tools::sync::bundle::Bundle;
use crate::tools::sync::export::collect;
use crate::tools::sync::ground::{Blocked, Ground};
use crate::tools::sync::table::{check_path, check_workspace};
use crate::tools::sync::undo::Account;
use crate::tools::sync::{import as importing, record, told, ustar};
use clap::Args;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// Exit statuses, as `sysexits.h` has them: what is given is wrong.
const DATA: u8 = 65;
/// A file can't be read.
const NO_INPUT: u8 = 66;
/// A file can't be made or replaced.
const CANT_CREATE: u8 = 73;
/// Another import is running.
const TEMPORARY: u8 = 75;
/// Somebody else must do it.
const NO_PERMISSION: u8 = 77;

#[derive(Debug, Args)]
#[command(after_help = "\
Takes the user's mise config and lock, and mise.toml and mise.lock of each workspace that
tools.workspaces or --workspace names. `agent tools sync-list` tells what goes along and why.
The archive is a plain tar; the same files give the same bytes on every machine.

Exit status: 0 written; 1 the configuration has errors; 64 wrong usage, or FILE lies where
mise or the agent would take it for its own; 65 a file can't go along as it is; 73 the archive can't be written; 75 an import is running; 77 it isn't your
home.

Examples:
  agent tools export --output tools.tar --workspace ~/projects/site
  agent tools export | ssh other agent tools import -")]
pub(crate) struct ExportArgs {
    /// The archive; `-` is standard output, which must not be a terminal
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
#[command(after_help = "\
All of the archive is read and judged before anything is changed. What was there is kept in
~/.local/share/agent/backups. Cut off at any instant, it is finished (or undone, where it had
changed nothing yet) by the next import, export or boot. Nothing is trusted or installed:
`agent boot` installs the tools, `mise trust` is for each workspace.
--undo TIME puts back what that import replaced and removes what it added, in the same way.

Exit status: 0 done, or nothing to do; 1 the configuration has errors; 64 wrong usage; 65 the
archive is refused; 66 it can't be read, or there is no import of that TIME; 73 something here is in the way; 75 another import is
running; 77 it isn't your home. With 65, 66, 75 and 77 nothing has been changed.")]
pub(crate) struct ImportArgs {
    /// The archive; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "undo")]
    archive: Option<PathBuf>,
    /// Take back the import whose backups are called so (`~/.local/share/agent/backups/TIME`)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["archive", "no_new_workspaces"])]
    undo: Option<String>,
    /// With --undo: also where a file is no longer as that import left it
    #[arg(long)]
    force: bool,
    /// Tell what it would do, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave out workspaces whose directory is not here, in place of making it
    #[arg(long)]
    no_new_workspaces: bool,
    /// Print JSON (schema agent.tools-import/1)
    #[arg(long)]
    json: bool,
    /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 printed, 1 the configuration has errors, 64 wrong usage, 65 no such workspace can be."
)]
pub(crate) struct SyncListArgs {
    /// Print JSON (schema agent.tools-sync/1)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    whose: Whose,
}

/// What the files are taken from.
#[derive(Debug, Args)]
struct Whose {
    /// A workspace beside those of tools.workspaces; repeatable
    #[arg(long, value_name = "DIR")]
    workspace: Vec<PathBuf>,
    /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A message and the exit status that goes with it.
struct Refusal(u8, String);

type Done = Result<(), Refusal>;

fn ended(command: &str, done: Done) -> u8 {
    match done {
        Ok(()) => 0,
        // Its errors have been printed.
        Err(Refusal(status, text)) if text.is_empty() => status,
        Err(Refusal(status, text)) => {
            eprintln!("agent: tools {command}: {text}");
            status
        }
    }
}

fn blocked(e: &Blocked) -> Refusal {
    Refusal(CANT_CREATE, e.to_string())
}

pub(super) fn export(args: &ExportArgs) -> u8 {
    ended("export", try_export(args))
}

fn try_export(args: &ExportArgs) -> Done {
    let to_stdout = args.output == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        let text = "an archive is nothing to look at: name a file with --output, or a pipe";
        return Err(Refusal(crate::command_line::USAGE, text.into()));
    }
    let (config, facts) = surveyed(args.whose.config.as_ref()).map_err(quiet)?;
    let mine = |again: &str| is_ours(&facts, again);
    mine(
        match to_stdout {
            true => "agent tools export".to_owned(),
            false => format!("agent tools export >{}", args.output.display()),
        }
        .as_str(),
    )?;
    let ground = ground(&config, facts);
    let workspaces = workspaces(&config, &args.whose.workspace, &ground)?;
    if record::is_pending(&ground.places) {
        let _held = locked(&ground)?;
        finish_earlier(&ground)?;
    }
    let collected = collect(&ground, &workspaces).map_err(|e| Refusal(DATA, e.to_string()))?;
    for warning in &collected.warnings {
        eprintln!("agent: tools export: warning: {warning}");
    }
    if collected.bundle.items.is_empty() {
        let config = ground.shown(".config/mise/config.toml");
        let text =
            format!("there is nothing to export: no {config} is there, and no workspace is named");
        return Err(Refusal(NO_INPUT, text));
    }
    let archive = collected.bundle.to_archive().map_err(|why| Refusal(DATA, why))?;
    let written = if to_stdout {
        let mut out = io::stdout().lock();
        out.write_all(&archive).and_then(|()| out.flush())
    } else {
        output::is_apart(&args.output, &collected.bundle, &ground)
            .map_err(|why| Refusal(crate::command_line::USAGE, why))?;
        output::replace(&args.output, &archive)
    };
    written.map_err(|e| Refusal(CANT_CREATE, format!("{}: {e}", args.output.display())))
}

pub(super) fn import(args: &ImportArgs) -> u8 {
    ended("import", try_import(args))
}

fn try_import(args: &ImportArgs) -> Done {
    // clap lets it pass beside an archive, which excludes --undo.
    if args.force && args.undo.is_none() {
        let text = "--force is for --undo alone";
        return Err(Refusal(crate::command_line::USAGE, text.into()));
    }
    let (config, facts) = surveyed(args.config.as_ref()).map_err(quiet)?;
    let again = match (&args.undo, &args.archive) {
        (Some(time), _) => format!("agent tools import --undo {time}"),
        (None, Some(from)) if from != Path::new("-") => {
            format!("agent tools import - <{}", from.display())
        }
        _ => "agent tools import -".to_owned(),
    };
    is_ours(&facts, &again)?;
    let ground = ground(&config, facts);
    let bundle = args.archive.as_deref().map(bundle).transpose()?.unwrap_or_default();
    // A rehearsal makes nothing, a lock file neither.
    let held = if args.dry_run { None } else { Some(locked(&ground)?) };
    if held.is_some() {
        finish_earlier(&ground)?;
    } else if record::is_pending(&ground.places) {
        eprintln!("agent: tools import: an import that was cut off would be finished first");
    }
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.%3fZ").to_string();
    let account = args.undo.as_deref().map(|time| account(&ground, time)).transpose()?;
    let plan = match &account {
        Some(account) => account.plan(&ground, &now, args.force),
        None => importing::plan(&ground, &bundle, &now, !args.no_new_workspaces),
    };
    let plan = plan.map_err(|e| Refusal(CANT_CREATE, format!("nothing is changed: {e}")))?;
    if held.is_some() && !plan.is_empty() {
        plan.apply(&ground).map_err(|e| match record::is_pending(&ground.places) {
            true => Refusal(
                CANT_CREATE,
                format!("it is not finished: {e}; {}", record::way_out(&ground.places)),
            ),
            false => Refusal(CANT_CREATE, format!("nothing is changed: {e}")),
        })?;
    }
    if let Some(account) = account.as_ref().filter(|_| held.is_some()) {
        account.tidy();
    }
    match args.json {
        true => print(&output::import_json(&plan, args.dry_run)),
        false => print(&output::import_text(&plan, args.dry_run, account.is_some(), &ground)),
    }
    Ok(())
}

fn bundle(archive: &Path) -> Result<Bundle, Refusal> {
    let name = archive.display();
    let bytes = read(archive).map_err(|e| Refusal(NO_INPUT, format!("{name}: {e}")))?;
    let refused = |why| Refusal(DATA, format!("{name} is refused, nothing is changed: {why}"));
    Bundle::from_archive(&bytes).map_err(refused)
}

/// That of the import whose backups are called `time`.
fn account(ground: &Ground, time: &str) -> Result<Account, Refusal> {
    let plain = !time.contains('/') && check_path(time).is_ok();
    let none = || {
        let all = ground.places.agent_data.join(record::BACKUPS);
        let text = format!("there is no account of that import: {}/{time}.json", all.display());
        Refusal(NO_INPUT, text)
    };
    let found = plain.then(|| Account::read(ground, time)).ok_or_else(none)?;
    found.map_err(|e| Refusal(NO_INPUT, e.to_string()))?.ok_or_else(none)
}

pub(super) fn list(args: &SyncListArgs) -> u8 {
    ended("sync-list", try_list(args))
}

fn try_list(args: &SyncListArgs) -> Done {
    let (config, facts) = surveyed(args.whose.config.as_ref()).map_err(quiet)?;
    let ground = ground(&config, facts);
    let workspaces = workspaces(&config, &args.whose.workspace, &ground)?;
    let rows = output::rows(&ground, &workspaces);
    let pending = record::is_pending(&ground.places);
    match args.json {
        true => print(&output::list_json(&rows, pending)),
        false => print(&output::list_text(&rows, pending)),
    }
    Ok(())
}

fn quiet(status: u8) -> Refusal {
    Refusal(status, String::new())
}

/// Root does nothing below the home of another: it would follow what that user lays there.
fn is_ours(facts: &Facts, again: &str) -> Done {
    let user = &facts.user;
    match &facts.switch {
        Switch::Same => Ok(()),
        Switch::Pending => {
            let text = format!("the user {} is not there yet; `agent boot` makes it", user.name);
            Err(Refusal(NO_PERMISSION, text))
        }
        Switch::Unknown(name) => {
            let text = format!("the config names the user {name}, whom this machine doesn't know");
            Err(Refusal(NO_PERMISSION, text))
        }
        Switch::Change | Switch::Missing(_) => Err(Refusal(
            NO_PERMISSION,
            format!(
                "{} is {}'s, so it is done as that user: runuser -u {} -- {again}",
                user.home.display(),
                user.name,
                user.name
            ),
        )),
    }
}

fn ground(config: &Config, facts: Facts) -> Ground {
    Ground { places: facts.places, links: config.home.links.clone() }
}

fn locked(ground: &Ground) -> Result<crate::sys::files::Lock, Refusal> {
    let busy = || Refusal(TEMPORARY, "another import is running; nothing is changed".into());
    record::lock(ground).map_err(|e| blocked(&e))?.ok_or_else(busy)
}

fn finish_earlier(ground: &Ground) -> Done {
    let resumed = record::resume(&ground.places);
    let resumed = resumed.map_err(|e| {
        let out = record::way_out(&ground.places);
        let text = format!("an import that was cut off cannot be finished: {e}; {out}");
        Refusal(CANT_CREATE, text)
    })?;
    if let Some(resumed) = &resumed {
        eprintln!("agent: tools: {}", told(resumed));
    }
    Ok(())
}

/// The workspaces of the configuration and of the command line, from the home.
fn workspaces(config: &Config, named: &[PathBuf], ground: &Ground) -> Result<Vec<String>, Refusal> {
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let mut all = Vec::new();
    for path in config.tools.workspaces.iter().chain(named) {
        let refuse = |why| Refusal(DATA, format!("workspace {}: {why}", path.display()));
        let workspace = ground.workspace(path, &here).map_err(refuse)?;
        check_workspace(&workspace, &ground.places).map_err(refuse)?;
        all.push(workspace);
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// All of the archive, which can't be larger than one is.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path)?),
    };
    let mut bytes = Vec::new();
    source.take(ustar::MAX_ARCHIVE + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > ustar::MAX_ARCHIVE {
        true => Err(io::Error::other(format!("it is larger than {} bytes", ustar::MAX_ARCHIVE))),
        false => Ok(bytes),
    }
}
