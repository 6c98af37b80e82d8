//! `agent tools policy`: what may resolve, who says otherwise, and whether mise keeps to it.

use super::surveyed;
use crate::cli::print;
use crate::plan::{Facts, Switch};
use crate::survey;
use crate::sys::users::Credentials;
use crate::tools::look::{self, Seen};
use crate::tools::policy::claims::{self, Policy, Source};
use crate::tools::policy::compare::compare;
use crate::tools::policy::report::{COMPARED, Compared, Listed, Report, SCHEMA};
use crate::tools::policy::trial::{self, Answer, Found};
use crate::tools::policy::{DENIED, backends};
use crate::tools::run;
use clap::Args;
use nix::unistd::{Gid, geteuid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Exit status where mise is missing or can't be asked (`sysexits.h`, EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;

/// What one helper may take.
const HELPER_TAKES: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
#[command(after_help = "\
The policy is declared once, by tools.backends. The rest is computed from it and from the
installed mise's own list; what mise does with it is tried now, in a scratch directory and
without the network.

Exit status: 0 told; with --check 1 where this mise has a backend that is neither allowed nor
denied, where the image's config or this environment disagrees with the policy, or where mise
doesn't keep to it (with --compare: the same of the other mise's backends and of what it does);
1 the configuration has errors, 64 wrong usage, 69 no mise, or one that
cannot be asked.

Examples:
  RUN agent tools policy --check                     a step that ends an image's Containerfile
  agent tools policy --compare ./mise                what another release brings, and the line
                                                     to commit before it is installed
  agent tools policy --json | jq .claims")]
pub(crate) struct PolicyArgs {
    /// Print JSON (schema agent.tools.policy/1)
    #[arg(long)]
    json: bool,
    /// Exit with 1 where the policy doesn't hold; for image builds and CI
    #[arg(long)]
    check: bool,
    /// List the backends that another mise has more or fewer
    #[arg(long, value_name = "OTHER_MISE")]
    compare: Option<PathBuf>,
    /// The mise program (default: tools.mise, or found on PATH)
    #[arg(long, value_name = "PATH")]
    mise: Option<PathBuf>,
    /// Read this file in place of /etc/agent/agent.toml and /etc/agent/conf.d
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn main(args: &PolicyArgs) -> u8 {
    done(args).unwrap_or_else(|status| status)
}

/// `Err` is the exit status of what could not be done, and has been told.
fn done(args: &PolicyArgs) -> Result<u8, u8> {
    let (config, facts) = surveyed(args.config.as_ref())?;
    let Some(allowed) = config.tools.backends else {
        print(&"no policy: tools.backends is not set, so mise's own settings decide\n");
        return Ok(0);
    };
    let mise = args.mise.clone().or_else(|| facts.mise.clone());
    let mise = mise.ok_or_else(|| unavailable(&"there is no mise here; name one with --mise"))?;
    let desk = Desk { user: user(&facts)?, facts, allowed };
    match &args.compare {
        Some(other) => desk.compare(&mise, other, args),
        None => desk.tell(mise, args),
    }
}

fn unavailable(why: &dyn Display) -> u8 {
    eprintln!("agent: {why}");
    UNAVAILABLE
}

/// Whom root becomes to look at a user's files; `None` where we are nobody else.
fn user(facts: &Facts) -> Result<Option<Credentials>, u8> {
    match &facts.switch {
        Switch::Change => Ok(Some(Credentials {
            uid: facts.user.uid,
            gid: facts.user.gid,
            groups: survey::groups_of(&facts.user).into_iter().map(Gid::from_raw).collect(),
        })),
        Switch::Missing(missing) if geteuid().is_root() => Err(unavailable(&format_args!(
            "root without {} cannot act as user {}; run this as that user",
            missing.join(" and "),
            facts.user.name
        ))),
        Switch::Pending => Err(unavailable(&format_args!(
            "the user {} is not there yet; `agent boot` makes it",
            facts.user.name
        ))),
        Switch::Unknown(who) => Err(unavailable(&format_args!(
            "the sandbox user {who} is not known here; correct [user]"
        ))),
        Switch::Same | Switch::Missing(_) => Ok(None),
    }
}

struct Desk {
    facts: Facts,
    user: Option<Credentials>,
    allowed: Vec<String>,
}

impl Desk {
    fn tell(&self, mise: PathBuf, args: &PolicyArgs) -> Result<u8, u8> {
        let variables = look::settings(std::env::vars_os());
        let request = look::Request {
            places: self.facts.places.clone(),
            mise: mise.clone(),
            variables: variables.clone(),
            ..look::Request::default()
        };
        let seen: Seen = self.ask("tools", &request, look::helper)?;
        let image = seen.system.iter().chain(&seen.more_of_system).map(|m| (Source::Image, m));
        let user = seen.user.iter().chain(&seen.more_of_user).map(|m| (Source::User, m));
        let manifests: Vec<_> = image.chain(user).collect();
        let mut plugins = seen.policy.plugins.clone();
        plugins.extend(manifests.iter().flat_map(|(_, m)| backends::foreign(m)));
        plugins.sort();
        plugins.dedup();
        let given = given(&variables);
        let names = plugins.iter().chain(given.iter().flatten()).cloned().collect();
        let found = self.found(&mise, names, true)?;
        let own = backends::undecided(&found.backends, &self.allowed, &[]);
        let policy = Policy { allowed: &self.allowed, denied: &own };
        let mut said: Vec<_> = manifests
            .iter()
            .flat_map(|(source, m)| claims::of_config(*source, m, policy))
            .collect();
        said.extend(claims::of_environment(&variables, policy));
        let commit = backends::denied(&self.allowed, found.denied.iter().map(String::as_str));
        let mut report = Report {
            schema: SCHEMA,
            mise,
            drift: self.undecided(&found.backends, given),
            allowed: self.allowed.clone(),
            unknown: backends::unknown(&self.allowed, &found.backends, &plugins),
            found,
            plugins,
            claims: said,
            unusable: seen.unusable.iter().map(ToString::to_string).collect(),
            faults: Vec::new(),
            config_line: backends::config_line(&commit),
            variable_lines: std::iter::once(backends::variable_line(&commit))
                .chain(backends::plugins_line(&self.allowed))
                .collect(),
        };
        report.judge();
        show(&report, args.json);
        Ok(u8::from(args.check && !report.faults.is_empty()))
    }

    fn compare(&self, mise: &Path, other: &Path, args: &PolicyArgs) -> Result<u8, u8> {
        let listed = |path: &Path| -> Result<Listed, u8> {
            let found = self.found(path, Vec::new(), false)?;
            let enforced = found.enforced();
            let Found { release, backends, .. } = found;
            Ok(Listed { path: path.to_owned(), release, backends, enforced })
        };
        let mise = [listed(mise)?, listed(&absolute(other))?];
        let [this, that] = &mise;
        let undecided = self.undecided(&that.backends, given(&look::settings(std::env::vars_os())));
        let comparison = compare(&this.backends, &that.backends, &self.allowed);
        let content = undecided.is_empty() && that.enforced;
        let status = u8::from(args.check && !content);
        show(&Compared { schema: COMPARED, comparison, undecided, mise }, args.json);
        Ok(status)
    }

    /// What is neither allowed nor denied by the environment, or by what is known where the
    /// environment says nothing.
    fn undecided(&self, listed: &[String], given: Option<Vec<String>>) -> Vec<String> {
        let known = || backends::KNOWN.iter().map(|n| (*n).to_owned()).collect();
        backends::undecided(listed, &self.allowed, &given.unwrap_or_else(known))
    }

    fn found(&self, mise: &Path, names: Vec<String>, control: bool) -> Result<Found, u8> {
        let request = trial::Request {
            mise: absolute(mise),
            allowed: self.allowed.clone(),
            names,
            scratch: trial::places(&self.facts.user.home),
            control,
        };
        let told = |why: &str| unavailable(&format_args!("{}: {why}", mise.display()));
        match self.ask("policy", &request, trial::helper)? {
            Answer::Found(found) => Ok(*found),
            Answer::NoMise(why) => Err(told(&format!("it cannot be started: {why}"))),
            Answer::Unknown(why) => Err(told(&why)),
        }
    }

    /// As the sandbox user: here, or by a helper where we are root.
    fn ask<I, O>(&self, name: &str, request: &I, here: impl Fn(&I) -> O) -> Result<O, u8>
    where
        I: Serialize,
        O: DeserializeOwned,
    {
        match &self.user {
            None => Ok(here(request)),
            Some(user) => run::helper(name, request, user.clone(), HELPER_TAKES)
                .map_err(|e| unavailable(&format_args!("the sandbox user cannot be asked: {e}"))),
        }
    }
}

fn given(variables: &BTreeMap<String, String>) -> Option<Vec<String>> {
    variables.get(DENIED).map(|value| backends::list(value))
}

/// mise is run in the root directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn show<T: Serialize + Display>(what: &T, json: bool) {
    match serde_json::to_string_pretty(what) {
        Ok(text) if json => print(&format_args!("{text}\n")),
        _ => print(&format_args!("{what}")),
    }
}
