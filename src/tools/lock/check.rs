//! One lockfile and the configs that share it, from the files to what came of it.

use super::judge::{self, Case, Code, Finding, Held};
use super::pairs::Pair;
use super::platform::Platform;
use super::request::{self, Requests, Settings};
use super::{file, sidecar};
use crate::tools::manifest::ManifestError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The variable that chooses another installer for npm tools.
pub const NPM_MANAGER: &str = "MISE_NPM_PACKAGE_MANAGER";

/// The most findings that are kept of one lockfile.
const MOST: usize = 500;

/// How a check ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing is wrong.
    #[default]
    Ok,
    /// Something is.
    Findings,
    /// A file can't be read, so nothing is known.
    Unreadable,
}

/// What came of one lockfile.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Checked {
    /// The lockfile.
    pub lock: PathBuf,
    /// The configs that share it.
    pub configs: Vec<PathBuf>,
    /// Its format; `None` where it is missing or of no known form.
    pub version: Option<i64>,
    /// How it ended.
    pub outcome: Outcome,
    /// What is locked.
    pub tools: Vec<Held>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The line to run where something is.
    pub run: String,
    /// What the configs say about locking.
    #[serde(default)]
    pub settings: Settings,
}

/// Checks `pair` for the platforms `asked` for. `npm_manager` is what [`NPM_MANAGER`] says.
pub fn check(pair: &Pair, asked: Option<&[Platform]>, npm_manager: Option<&str>) -> Checked {
    let mut done = Checked {
        lock: pair.lock.clone(),
        configs: pair.configs.clone(),
        run: pair.line(asked, false),
        ..Checked::default()
    };
    let mut configs: Vec<Requests> = Vec::new();
    for path in &pair.configs {
        match request::read(path) {
            Ok(found) => configs.extend(found),
            Err(e) => done.refuse(&e, Code::Config),
        }
    }
    done.settings = settings(&configs);
    if !done.findings.is_empty() {
        done.run = format!("edit {}", pair.configs.first().unwrap_or(&pair.lock).display());
        return done;
    }
    let lock = match file::read(&pair.lock) {
        Ok(lock) => lock,
        Err(e) => {
            done.refuse(&e, Code::Corrupt);
            done.run = pair.line(asked, true);
            return done;
        }
    };
    done.version = lock.as_ref().map(|l| l.version);
    let manager = npm_manager.or(done.settings.npm_manager.as_deref());
    let case = Case {
        configs: &configs,
        lock: &lock.clone().unwrap_or_else(|| file::Lockfile {
            path: pair.lock.clone(),
            ..file::Lockfile::default()
        }),
        asked,
        other_npm: manager.is_some_and(|m| !matches!(m, "aube" | "auto")),
    };
    // Sidecars lie relative to the file that a link leads to.
    let real = pair.lock.canonicalize().unwrap_or_else(|_| pair.lock.clone());
    let directory = real.parent().unwrap_or(Path::new("/"));
    let judgement = judge::judge(&case, &|entry, tree| sidecar::look(directory, entry, tree));
    (done.tools, done.findings) = (judgement.tools, judgement.findings);
    if lock.is_none() {
        for finding in &mut done.findings {
            finding.code = Code::NoLock;
            finding.message = finding.message.replace("it has no entry", "there is none");
        }
    }
    done.findings.truncate(MOST);
    if !done.findings.is_empty() {
        done.outcome = Outcome::Findings;
    }
    done
}

impl Checked {
    fn refuse(&mut self, e: &ManifestError, code: Code) {
        let what = match code {
            Code::Corrupt => "it is no lockfile, so it answers for nothing: ",
            _ => "",
        };
        // What has no place was refused for its form, or couldn't be read at all.
        let unread = e.place.is_none() && e.message.starts_with("it ");
        let worse = unread && code != Code::Corrupt || e.message.starts_with("it cannot be read");
        self.outcome = match (worse, self.outcome) {
            (true, _) | (_, Outcome::Unreadable) => Outcome::Unreadable,
            _ => Outcome::Findings,
        };
        self.findings.push(Finding {
            code,
            file: e.path.clone(),
            place: e.place,
            tool: None,
            version: None,
            platform: None,
            message: format!("{}{}", if worse { "" } else { what }, e.message),
        });
    }

    /// What a locked install fails on.
    pub fn refused(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.code.is_refused())
    }
}

/// The first config that says something decides.
fn settings(configs: &[Requests]) -> Settings {
    let mut all = configs.iter().map(|c| c.settings.clone());
    let first = all.next().unwrap_or_default();
    all.fold(first, |found, next| Settings {
        locked: found.locked.or(next.locked),
        locked_in: found.locked_in.or(next.locked_in),
        locked_scopes: found.locked_scopes.or(next.locked_scopes),
        npm_manager: found.npm_manager.or(next.npm_manager),
    })
}
