//! `agent tools baseline`.

use super::super::print;
use super::surveyed;
use crate::plan::{self, Facts};
use crate::tools::baseline::make::{Wanted, make};
use crate::tools::baseline::{self, Links, beside, programs, without_users_config};
use crate::tools::look::{self, Request};
use crate::tools::manifest::{self, Manifest};
use crate::tools::output::{Listed, bin_paths, parse_list};
use crate::tools::run;
use clap::Subcommand;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What mise may take to list what is there; it asks no network for it.
const LIST_TAKES: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Make the links; for image builds, as root, after `mise install --system`.
    ///
    /// What the image's mise config declares and mise has installed below its system directory
    /// gets a link for each program. Links of an older baseline are removed.
    #[command(after_help = "\
Exit status: 0 the links are made, and what could not be linked is told; 1 nothing of the
baseline is installed, or the links cannot be made; 64 wrong usage.")]
    Link {
        /// The mise program (default: tools.mise, else the one on PATH)
        #[arg(long, value_name = "PATH")]
        mise: Option<PathBuf>,
        /// Where links and record go
        #[arg(long, value_name = "DIR", default_value = "/usr/local/share/agent/baseline")]
        into: PathBuf,
        /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check that every tool of the image's config is linked, at its version, to a program.
    #[command(after_help = "Exit status: 0 all are, 1 not all, 64 wrong usage.")]
    Check {
        /// Where links and record are (default: the image's, then the volume's)
        #[arg(long, value_name = "DIR")]
        at: Option<PathBuf>,
        /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub(super) fn main(command: Option<&BaselineCommand>) -> u8 {
    let done = match command {
        None => list(),
        Some(BaselineCommand::Link { mise, into, config }) => {
            link(mise.as_ref(), into, config.as_ref())
        }
        Some(BaselineCommand::Check { at, config }) => check(at.as_deref(), config.as_ref()),
    };
    done.unwrap_or_else(|status| status)
}

/// Says why not; returns the exit status.
fn refuse(why: impl std::fmt::Display) -> u8 {
    eprintln!("agent: tools baseline: {why}");
    1
}

/// The image's config, and what of it is for this machine.
fn system(facts: &Facts) -> Result<Manifest, u8> {
    let path = facts.places.system_manifest();
    match manifest::read(&path) {
        Ok(Some(manifest)) => Ok(manifest),
        Ok(None) => {
            Err(refuse(format_args!("there is no {}: no baseline is declared", path.display())))
        }
        Err(e) => Err(refuse(e)),
    }
}

fn link(mise: Option<&PathBuf>, into: &Path, config: Option<&PathBuf>) -> Result<u8, u8> {
    let (_, facts) = surveyed(config)?;
    let Some(mise) = mise.or(facts.mise.as_ref()) else {
        return Err(refuse("no mise is found on PATH: name it with --mise"));
    };
    let system = system(&facts)?;
    let declared = baseline::declared(&system, &look::settings(std::env::vars_os()));
    let answers = ask(mise).map_err(refuse)?;
    let below = &facts.places.system_data;
    let mine = |l: &&Listed| declared.iter().any(|d| d.name == l.tool.name);
    let good = |l: &&Listed| l.tool.installed && l.path.starts_with(below);
    let (there, not): (Vec<&Listed>, Vec<&Listed>) =
        answers.listed.iter().filter(mine).partition(good);
    if there.is_empty() {
        return Err(refuse(format_args!(
            "nothing that {} declares is installed below {}: run `mise install --system` first",
            system.path.display(),
            below.display()
        )));
    }
    let whole = |name: &str| !not.iter().any(|l| l.tool.name == name);
    let made = make(&Wanted {
        dir: into.into(),
        asked: declared
            .iter()
            .filter(|d| whole(&d.name))
            .map(|d| (d.name.clone(), d.versions.clone()))
            .collect(),
        tools: there
            .iter()
            .map(|l| (l.tool.name.clone(), l.tool.version.clone(), l.path.clone()))
            .collect(),
        directories: answers.directories,
        interpreters: interpreters(&facts),
        ..Wanted::default()
    });
    if let Some(why) = made.error {
        return Err(refuse(format_args!("the links cannot be made: {why}")));
    }
    for (tool, program) in programs(&made.record) {
        print(&format_args!("{}  {} {}\n", program.name, tool.name, tool.version));
    }
    for note in made.notes {
        eprintln!("agent: tools baseline: {note}");
    }
    for declared in declared {
        if !made.record.asked.contains_key(&declared.name) {
            eprintln!(
                "agent: tools baseline: {} is declared and not installed below {}; a boot will install it on the volume",
                declared.name,
                below.display()
            );
        }
    }
    Ok(0)
}

/// What mise says of the image's config alone.
struct Answers {
    listed: Vec<Listed>,
    directories: Vec<PathBuf>,
}

/// Asks it, with a home and a directory for temporary files that are gone afterwards: an image
/// keeps nothing of this.
fn ask(mise: &Path) -> Result<Answers, String> {
    let scratch = std::env::temp_dir().join(format!("agent-baseline-{}", std::process::id()));
    fs::create_dir(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
    let answers = ask_from(mise, &scratch);
    let _ = fs::remove_dir_all(&scratch);
    answers
}

fn ask_from(mise: &Path, scratch: &Path) -> Result<Answers, String> {
    let mut variables = without_users_config();
    for name in ["HOME", "TMPDIR", "MISE_DATA_DIR", "MISE_CACHE_DIR", "MISE_STATE_DIR"] {
        variables.insert(name.to_owned(), scratch.to_string_lossy().into_owned());
    }
    let ask = |arguments: &[&str]| {
        let said = run::mise(mise, arguments, &variables, LIST_TAKES);
        let said = said.map_err(|e| format!("{}: {e}", mise.display()))?;
        let line = || said.stderr.lines().find(|l| l.contains("ERROR")).unwrap_or("").to_owned();
        match said.status.success() {
            true => Ok(said.stdout),
            false => Err(format!("mise {} failed: {}", arguments.join(" "), line())),
        }
    };
    let listed = parse_list(&ask(&["ls", "--current", "--json"])?)
        .map_err(|e| format!("mise's list cannot be read: {e}"))?;
    Ok(Answers { listed, directories: bin_paths(&ask(&["bin-paths"])?) })
}

fn check(at: Option<&Path>, config: Option<&PathBuf>) -> Result<u8, u8> {
    let (_, facts) = surveyed(config)?;
    let system = system(&facts)?;
    let places = &facts.places;
    let (image, volume) = match at {
        Some(dir) => (Links::at(dir), Links::default()),
        None => {
            (Links::at(&beside(&places.image_links)), Links::at(&beside(&places.volume_links())))
        }
    };
    let mut wrong = Vec::new();
    for declared in baseline::declared(&system, &look::settings(std::env::vars_os())) {
        let name = &declared.name;
        match image.refusal(declared) {
            None => print(&format_args!("ok: {name} {}\n", versions(&image, name))),
            Some(_) if volume.serve(declared) => {
                print(&format_args!("ok: {name} {} (on the volume)\n", versions(&volume, name)));
            }
            Some(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    let own = |(tool, why): &(String, String)| tool.is_empty().then(|| why.clone());
    if image.record.is_some() {
        wrong.extend(image.faults.iter().filter_map(own));
    }
    let gone = image.tools().iter().filter(|t| !system.tools.iter().any(|d| d.name == t.name));
    wrong.extend(gone.map(|t| format!("{}: it is linked and no longer declared", t.name)));
    for line in &wrong {
        refuse(line);
    }
    if wrong.is_empty() {
        return Ok(0);
    }
    eprintln!(
        "run `mise install --system` and `agent tools baseline link` as root when the image is built"
    );
    Ok(1)
}

fn versions(links: &Links, name: &str) -> String {
    let of = links.tools().iter().filter(|t| t.name == *name);
    of.map(|t| t.version.as_str()).collect::<Vec<_>>().join(", ")
}

/// Where the image's own programs are.
fn interpreters(facts: &Facts) -> Vec<PathBuf> {
    let own = plan::image_path(&facts.image_path, &facts.user.home, &facts.places);
    own.split(':').map(PathBuf::from).collect()
}

/// What answers to each program's name, and what of the user's it answers instead of.
fn list() -> Result<u8, u8> {
    let (config, facts) = surveyed(None)?;
    let places = facts.places.clone();
    let seen = look::helper(&Request {
        places: places.clone(),
        mise: facts.mise.clone().unwrap_or_default(),
        variables: look::settings(std::env::vars_os()),
        ..Request::default()
    });
    let path = crate::plan::user_variables(&config, &facts).remove("PATH").unwrap_or_default();
    let mut empty = true;
    for (links, bin, whose) in [
        (&seen.baseline.volume, places.volume_links(), "volume"),
        (&seen.baseline.image, places.image_links.clone(), "image"),
    ] {
        for (tool, program) in links.record.iter().flat_map(programs) {
            empty = false;
            let own = seen.user.iter().flat_map(|u| &u.tools).find(|d| d.name == tool.name);
            let own =
                own.map(|d| format!(", the user's config asks for {}", d.versions.join(", ")));
            let link = bin.join(&program.name);
            let first = path.split(':').map(|d| Path::new(d).join(&program.name));
            let first = first.into_iter().find(|p| p.exists());
            let before = first.filter(|p| *p != link).map(|p| format!(", behind {}", p.display()));
            print(&format_args!(
                "{}  {} {}  {whose}{}{}\n",
                program.name,
                tool.name,
                tool.version,
                own.unwrap_or_default(),
                before.unwrap_or_default()
            ));
        }
    }
    if empty {
        print(&"no program of the image's tools is linked\n");
    }
    Ok(0)
}
