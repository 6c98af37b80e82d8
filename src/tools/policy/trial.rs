//! The installed mise is asked for its backends, and then tried: does it refuse what is denied?
//!
//! One offline `mise install` names a made-up tool of every denied backend, in a scratch
//! directory that hides every other config, with a config beside it that tries to loosen the
//! policy. What mise says is one evidence; the other is a plugin of two lines whose install
//! leaves a file behind if anybody runs it. The same without the policy (the control) shows
//! that it would have been.
//!
//! A mise that refuses nothing goes on to run `cargo`, `gem` and the like for a package that
//! anybody may have registered by now: the scratch PATH leads nowhere, and it is offline.

use super::{DENIED, PLUGINS, backends};
use crate::tools::output::{Failure, Reason};
use crate::tools::run::{Output, to_end};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// What one call of mise may take; it takes milliseconds.
const CALL_TAKES: Duration = Duration::from_secs(8);

/// A scratch directory older than this was left by a trial that was killed.
const ABANDONED: Duration = Duration::from_secs(600);

/// The made-up tool.
const TOOL: &str = "agent-probe@0.0.0";

/// The plugin of two lines.
const PLUGIN: &str = "agent-control";

/// What its install leaves behind, below the scratch directory.
const LEFT: &str = "data/installs/agent-control/0.0.0/done";

/// A user's config that tries to loosen the policy.
const HOSTILE: &str = "[settings]\ndisable_backends = []\n[env]\nMISE_DISABLE_BACKENDS = \"\"\n";

/// What is asked of the helper `agent internal policy`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The mise program.
    pub mise: PathBuf,
    /// What may resolve.
    pub allowed: Vec<String>,
    /// Names to deny beyond the known backends and this mise's own.
    pub names: Vec<String>,
    /// Directories to make the scratch directory in; the first that serves is taken.
    pub scratch: Vec<PathBuf>,
    /// Show also that without the policy the plugin's install is run.
    pub control: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// mise can't be started at all.
    NoMise(String),
    /// mise doesn't tell its backends, or nothing could be tried.
    Unknown(String),
    /// It was tried.
    Found(Box<Found>),
}

/// What was found out about one mise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its release, such as `2026.9.15`; empty where it doesn't tell.
    pub release: String,
    /// Its backends, sorted.
    pub backends: Vec<String>,
    /// What was denied in the trial.
    pub denied: Vec<String>,
    /// The denied backends of its own by which it refused to install.
    pub refused: Vec<String>,
    /// Those by which it tried to, with what it said.
    pub tried: Vec<(String, String)>,
    /// The plugin's install was run, although it was denied.
    pub installed: bool,
    /// Without the policy it is run; `None` where that wasn't asked.
    pub control: Option<bool>,
}

impl Found {
    /// Does this mise refuse whatever is denied?
    pub fn enforced(&self) -> bool {
        self.tried.is_empty() && !self.installed
    }
}

/// The helper.
pub fn helper(request: &Request) -> Answer {
    let scratch = match Scratch::make(&request.scratch) {
        Ok(scratch) => scratch,
        Err(e) => return Answer::Unknown(format!("there is no place for a trial: {e}")),
    };
    match ask(request, scratch.path()) {
        Ok(answer) => answer,
        Err(e) => Answer::Unknown(format!("mise could not be tried: {e}")),
    }
}

/// Where a trial may have its directory: `/tmp` is most often mounted so that nothing on it
/// may be executed, and the trial's plugin is.
pub fn places(home: &Path) -> Vec<PathBuf> {
    vec![home.join(".cache/agent"), std::env::temp_dir()]
}

fn ask(request: &Request, scratch: &Path) -> io::Result<Answer> {
    let mise = request.mise.as_path();
    let listed = match listed(mise, scratch) {
        Ok(listed) => listed,
        Err(answer) => return Ok(answer),
    };
    let names = request.names.iter().chain(&listed).map(String::as_str);
    let denied = backends::denied(&request.allowed, names);
    let mut found = Found { denied, backends: listed, ..Found::default() };
    lay_out(scratch)?;
    let own: Vec<String> =
        found.backends.iter().filter(|b| found.denied.contains(b)).cloned().collect();
    let plugin = format!("{PLUGIN}@0.0.0");
    let tools: Vec<String> =
        own.iter().map(|b| asked(b)).chain(own.contains(&asdf()).then_some(plugin)).collect();
    if !tools.is_empty() {
        let mut arguments = vec!["install"];
        arguments.extend(tools.iter().map(String::as_str));
        let mut command = mise_in(scratch, mise, &arguments);
        command.env(DENIED, found.denied.join(","));
        let output = to_end(command, CALL_TAKES)?;
        let hidden = output.stderr.replace(&*scratch.to_string_lossy(), "SCRATCH");
        let said = Failure::parse(&hidden);
        found.release = release_in(&output.stderr);
        found.installed = scratch.join(LEFT).exists();
        (found.refused, found.tried) = judge(&own, &said);
    }
    if request.control {
        let _ = fs::remove_dir_all(scratch.join("data"));
        let command = mise_in(scratch, mise, &["install", &format!("{PLUGIN}@0.0.0")]);
        to_end(command, CALL_TAKES)?;
        found.control = Some(scratch.join(LEFT).exists());
    }
    if found.release.is_empty() {
        found.release = release(mise, scratch);
    }
    Ok(Answer::Found(Box::new(found)))
}

fn asdf() -> String {
    "asdf".to_owned()
}

/// Which refused, and which did not. A backend that isn't spoken of has not refused.
fn judge(own: &[String], said: &Failure) -> (Vec<String>, Vec<(String, String)>) {
    let mut refused = Vec::new();
    let mut tried = Vec::new();
    for backend in own {
        let full = asked(backend);
        let short = full.strip_prefix("core:").unwrap_or(&full);
        let reason = said.tools.iter().find(|(name, _)| *name == full || name == short);
        match reason {
            Some((_, text)) if Reason::of(text) == Reason::Denied => refused.push(backend.clone()),
            Some((_, text)) => {
                let line = text.lines().next().unwrap_or_default();
                tried.push((backend.clone(), line.to_owned()));
            }
            None => tried.push((backend.clone(), "mise does not speak of it".to_owned())),
        }
    }
    (refused, tried)
}

/// The tool that is asked for of a backend. The core backend knows its own tools alone.
fn asked(backend: &str) -> String {
    match backend {
        "core" => "core:node@0.0.0".to_owned(),
        other => format!("{other}:{TOOL}"),
    }
}

/// What mise lists. Some releases leave out what is denied, so nothing is.
fn listed(mise: &Path, scratch: &Path) -> Result<Vec<String>, Answer> {
    let mut command = mise_in(scratch, mise, &["backends", "ls"]);
    command.env(DENIED, "");
    let output = to_end(command, CALL_TAKES).map_err(|e| match e.raw_os_error() {
        Some(_) => Answer::NoMise(e.to_string()),
        None => Answer::Unknown(format!("`mise backends ls`: {e}")),
    })?;
    let backends = backends::listed(&output.stdout);
    if output.status.success() && !backends.is_empty() {
        return Ok(backends);
    }
    let last = output.stderr.trim().lines().last().unwrap_or("it says nothing").to_owned();
    Err(Answer::Unknown(format!("`mise backends ls` ended with {}: {last}", output.status)))
}

/// The release, as mise adds it to its errors.
fn release_in(errors: &str) -> String {
    let rest = errors.split_once("mise ERROR Version: ").map(|(_, rest)| rest);
    let word = rest.and_then(|r| r.split_whitespace().next());
    word.filter(|w| backends::is_name(w)).unwrap_or_default().to_owned()
}

/// The release, asked for; offline mise tells it without a look at the network for a newer one.
fn release(mise: &Path, scratch: &Path) -> String {
    let output = to_end(mise_in(scratch, mise, &["version"]), CALL_TAKES);
    let said = output.map(|Output { stdout, .. }| stdout).unwrap_or_default();
    let word = said.lines().last().unwrap_or_default().split_whitespace().next();
    word.filter(|w| backends::is_name(w)).unwrap_or_default().to_owned()
}

/// mise with nothing of this machine but itself.
fn mise_in(scratch: &Path, mise: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(mise);
    command.args(arguments).current_dir("/").env_clear();
    for (name, place) in [
        ("HOME", "home"),
        ("PATH", "nowhere"),
        ("TMPDIR", "tmp"),
        ("MISE_DATA_DIR", "data"),
        ("MISE_CACHE_DIR", "cache"),
        ("MISE_CONFIG_DIR", "config"),
        ("MISE_STATE_DIR", "state"),
        ("MISE_SYSTEM_CONFIG_DIR", "system"),
        ("MISE_SYSTEM_DATA_DIR", "system"),
        (PLUGINS, "plugins"),
    ] {
        command.env(name, scratch.join(place));
    }
    command.env("MISE_OFFLINE", "1").env("MISE_YES", "1");
    command
}

/// The plugin and the hostile config.
fn lay_out(scratch: &Path) -> io::Result<()> {
    for place in ["home", "tmp", "config"] {
        fs::create_dir(scratch.join(place))?;
    }
    fs::write(scratch.join("config/config.toml"), HOSTILE)?;
    let bin = scratch.join("plugins").join(PLUGIN).join("bin");
    fs::create_dir_all(&bin)?;
    for (name, line) in [("list-all", "echo 0.0.0"), ("install", ":>\"$ASDF_INSTALL_PATH/done\"")] {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{line}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// A directory that nobody else can look into, and that is gone afterwards.
struct Scratch {
    path: PathBuf,
    /// Directories above it that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Scratch {
    /// Below the first of `parents` that serves.
    fn make(parents: &[PathBuf]) -> io::Result<Self> {
        let mut refusal = io::Error::from(io::ErrorKind::NotFound);
        for parent in parents {
            match Self::below(parent) {
                Ok(scratch) => return Ok(scratch),
                Err(e) => {
                    let text = format!("{}: {e}", parent.display());
                    refusal = io::Error::new(e.kind(), text);
                }
            }
        }
        Err(refusal)
    }

    fn below(parent: &Path) -> io::Result<Self> {
        let missing = parent.ancestors().take_while(|p| p.symlink_metadata().is_err());
        let made: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        fs::create_dir_all(parent)?;
        sweep(parent);
        let path = parent.join(format!("agent-policy-{:016x}", fastrand::u64(..)));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, made })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        for path in &self.made {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Removes what trials that were killed have left.
fn sweep(parent: &Path) {
    for entry in parent.read_dir().into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|n| n.starts_with("agent-policy-"));
        let age = entry.metadata().and_then(|m| m.modified()).ok();
        let age = age.and_then(|t| SystemTime::now().duration_since(t).ok());
        if ours && age.is_some_and(|a| a > ABANDONED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn only_a_refusal_counts_as_one() {
        let said = "mise ERROR Failed to install tools: cargo:agent-probe@0.0.0, gem:agent-probe@0.0.0, node@0.0.0\n\n\
            cargo:agent-probe@0.0.0: backend cargo is disabled by disable_backends\n\n\
            gem:agent-probe@0.0.0: failed to execute command: gem install\n\n\
            node@0.0.0: node is in the mise tool registry but none of its backends (core:node) are supported in the current configuration\n\
            mise ERROR Version: 2026.9.15\n";
        let own = names(&["cargo", "core", "gem", "s3"]);
        let (refused, tried) = judge(&own, &Failure::parse(said));
        assert_eq!(refused, ["cargo", "core"]);
        let tried: Vec<&str> = tried.iter().map(|(b, _)| b.as_str()).collect();
        assert_eq!(tried, ["gem", "s3"], "silence is no refusal");
    }

    #[test]
    fn the_scratch_directory_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("cache/agent");
        let scratch = Scratch::make(&["/proc/nowhere".into(), deep.clone()]).unwrap();
        let path = scratch.path().to_owned();
        assert!(path.starts_with(&deep));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(scratch);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        fs::create_dir(dir.path().join("kept")).unwrap();
        drop(Scratch::make(&[dir.path().join("kept")]).unwrap());
        assert!(dir.path().join("kept").exists(), "what was there stays");
    }

    #[test]
    fn a_program_that_is_no_mise_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let request = |mise: &str| Request {
            mise: mise.into(),
            allowed: names(&["npm"]),
            names: vec![],
            scratch: vec![dir.path().to_owned()],
            control: false,
        };
        assert!(matches!(helper(&request("/nonexistent/mise")), Answer::NoMise(_)));
        assert!(matches!(helper(&request("/bin/false")), Answer::Unknown(_)));
        assert!(matches!(helper(&request("/bin/true")), Answer::Unknown(_)));
    }
}
