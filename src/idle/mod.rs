//! The idle stop: a machine that nobody uses stops itself, so that it doesn't cost while it
//! doesn't serve.
//!
//! A timer runs `agent idle check` every five minutes. Each check looks at the processes
//! ([`processes`], [`criteria`]), adds to the account of idle time ([`account`]), which lives in
//! memory ([`store`]), and past the timeout stops the machine ([`stop`]). What is not sure never
//! stops anything: a look that did not see everybody, a configuration with errors, time that
//! nobody watched.
//!
//! `agent idle` makes the same look and changes nothing.

pub mod account;
pub mod clock;
pub mod criteria;
mod extend;
pub mod processes;
pub mod stop;
pub mod store;

pub use extend::{Extended, extend};

use crate::boot;
use crate::config::value::Span;
use crate::config::{self, Config, StopBy};
use crate::journal::event::PhaseResult;
use crate::journal::status::PhaseState;
use crate::journal::{Problem, State, Status};
use crate::observe;
use crate::plan::PhaseName;
use crate::survey;
use crate::sys::process::proc_is_ours;
use account::{Account, Boot, minutes, ms};
use clock::Now;
use criteria::Use;
use extend::taken;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Request, Store};
use tracing::{error, info, warn};

/// The version of the JSON form. Fields may be added under it; none is removed or
/// changes its meaning.
pub const SCHEMA: &str = "agent.idle/1";

/// The contract's timeout where neither configuration nor launch says one, in minutes.
const DEFAULT_MINUTES: u32 = 60;

/// How the machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stand {
    /// It is used.
    Active,
    /// Nobody uses it, and it waits for the timeout.
    Idle,
    /// It is past the timeout: the next check stops it.
    Due,
    /// It never stops itself.
    Never,
    /// It cannot be told; then it is not stopped.
    Unknown,
}

impl Stand {
    /// The word itself.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Due => "due",
            Self::Never => "never",
            Self::Unknown => "unknown",
        }
    }
}

/// All that can be told of it. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this form, [`SCHEMA`].
    pub schema: &'static str,
    /// The state in one word.
    pub state: Stand,
    /// Why it counts as used.
    pub uses: Vec<Use>,
    /// Why it cannot be told, or never stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// How long nobody has been seen.
    pub idle_ms: u64,
    /// After how long it stops itself; absent where it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Who said that: a key, a variable, or `default`.
    pub timeout_from: &'static str,
    /// In how long it stops itself if nobody comes; later checks may delay it by minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// How it is stopped.
    pub stop: StopBy,
    /// How long ago the last check was; absent where there was none in this start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_ago_ms: Option<u64>,
    /// An extension that waits for the next check, as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Request>,
    /// Why it could not be stopped the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// All is as it should be.
    Well,
    /// It could not be told whether the machine is idle, or it could not be stopped.
    Trouble,
}

/// Everything that a look is made of, beside the account.
struct Sight {
    file: Option<PathBuf>,
    config: Config,
    errors: usize,
    status: Status,
    now: Now,
}

impl Sight {
    fn of(file: Option<&PathBuf>) -> Result<Self, String> {
        let (config, errors) = match config::load(&boot::sources(file)) {
            Ok(config) => (config, 0),
            Err(e) => (*e.usable, e.errors.len()),
        };
        let status = observe::status(file.map(PathBuf::as_path));
        let now = Now::read().map_err(|e| format!("the machine's clock: {e}"))?;
        Ok(Self { file: file.cloned(), config, errors, status, now })
    }

    fn boot(&self) -> Boot {
        let id = self.status.boot.as_ref().map(|boot| boot.id.clone());
        Boot { id, running: self.status.state == State::Running }
    }

    /// The account as it stands now.
    fn account(&self, kept: Account) -> Account {
        kept.at(&self.now, &self.boot(), self.config.idle.grace.0)
    }

    /// Who uses the machine now; an error where that cannot be told.
    fn uses(&self, account: &Account) -> Result<Vec<Use>, String> {
        let mut uses = account.uses(&self.now, &self.boot());
        uses.extend(criteria::found(&processes()?, &self.config.idle.processes));
        Ok(uses)
    }

    fn report(&self, account: &Account, uses: Result<Vec<Use>, String>) -> Report {
        let (timeout, timeout_from) = timeout(&self.config, launch(&self.status));
        let unsure = (self.errors > 0).then(|| {
            format!("the configuration has {} errors (`agent config check`)", self.errors)
        });
        let unlaunched = unlaunched(&self.config, &self.status);
        let (uses, unseen) = match uses {
            Ok(uses) => (uses, None),
            Err(why) => (Vec::new(), Some(format!("not everybody is to be seen: {why}"))),
        };
        let limit = timeout.map(ms);
        let remaining = limit.map(|limit| limit.saturating_sub(account.idle_ms));
        let state = match (limit, unsure.is_some() || unseen.is_some()) {
            (_, true) => Stand::Unknown,
            (None, _) => Stand::Never,
            _ if !uses.is_empty() => Stand::Active,
            _ if unlaunched.is_some() => Stand::Unknown,
            (Some(limit), _) if account.idle_ms >= limit => Stand::Due,
            _ => Stand::Idle,
        };
        let never = (state == Stand::Never).then(|| format!("{timeout_from} says so"));
        let checked = account.looked_ms < self.now.up_ms;
        Report {
            schema: SCHEMA,
            state,
            because: unsure.or(unseen).or(never).or(unlaunched.filter(|_| state == Stand::Unknown)),
            idle_ms: if uses.is_empty() { account.idle_ms } else { 0 },
            timeout_ms: limit,
            timeout_from,
            remaining_ms: remaining.filter(|_| matches!(state, Stand::Idle | Stand::Due)),
            stop: self.config.idle.stop,
            checked_ago_ms: checked.then(|| self.now.up_ms - account.looked_ms),
            asked: None,
            trouble: account.trouble.clone(),
            uses,
        }
    }
}

/// This machine's processes.
fn processes() -> Result<Vec<processes::Process>, String> {
    if !proc_is_ours() {
        return Err("/proc shows another namespace's processes".into());
    }
    processes::table(Path::new("/proc"))
}

/// What the launch said, as the boot learnt it; else this process's environment.
fn launch(status: &Status) -> Option<u32> {
    let variable = || std::env::var("MINT_IDLE_TIMEOUT").ok()?.parse().ok();
    status.machine.as_ref().and_then(|m| m.parameters.idle_timeout).or_else(variable)
}

/// Why it isn't known what the launch said, where that decides: a launch may have said that the
/// machine is never to stop.
fn unlaunched(config: &Config, status: &Status) -> Option<String> {
    if !config.ec2.enabled || config.idle.timeout.is_some() || launch(status).is_some() {
        return None;
    }
    // What the user-data asks for may fail too; refused is what is filed so.
    let failed = PhaseState::Ended(PhaseResult::Failed);
    let refused = status.failure_phase.as_deref() == Some(PhaseName::Config.word())
        && status.phases.iter().any(|p| p.name == PhaseName::UserData && p.state == failed);
    let why = match &status.machine {
        None => "this boot has not read the metadata",
        Some(_) if refused => "the user-data is refused",
        Some(_) => return None,
    };
    Some(format!(
        "the launch's timeout is not known, for {why}; next: mend what `agent status` tells and run \
         `agent boot`, or write idle.timeout in the configuration"
    ))
}

/// After how long the machine stops itself, and who says so. The launch fills what the
/// configuration leaves open.
fn timeout(config: &Config, launch: Option<u32>) -> (Option<Duration>, &'static str) {
    let minutes = |n: u32| Duration::from_secs(u64::from(n) * 60);
    match (config.idle.enabled, config.idle.timeout, launch) {
        (false, ..) => (None, "idle.enabled"),
        (true, Some(Span(timeout)), _) => (Some(timeout), "idle.timeout"),
        (true, None, Some(0)) => (None, "MINT_IDLE_TIMEOUT"),
        (true, None, Some(n)) => (Some(minutes(n)), "MINT_IDLE_TIMEOUT"),
        (true, None, None) => (Some(minutes(DEFAULT_MINUTES)), "default"),
    }
}

/// `agent idle`: looks, and changes nothing.
///
/// # Errors
/// The clock cannot be read.
pub fn look(file: Option<&PathBuf>) -> Result<Report, String> {
    let sight = Sight::of(file)?;
    let kept = store::look();
    let checked = kept.start == sight.now.start;
    let account = sight.account(kept);
    let uses = sight.uses(&account);
    let mut report = sight.report(&account, uses);
    report.checked_ago_ms = report.checked_ago_ms.filter(|_| checked);
    report.asked = store::waiting();
    Ok(report)
}

/// `agent idle check`: looks, counts, says it in one line, and stops the machine where it is
/// time.
pub fn check(file: Option<&PathBuf>) -> Checked {
    let sight = match Sight::of(file) {
        Ok(sight) => sight,
        Err(why) => {
            error!("idle: {why}; the machine is not stopped");
            return Checked::Trouble;
        }
    };
    crate::log::start(sight.config.log.format, sight.config.log.level);
    if !sight.config.idle.enabled {
        info!(state = "never", "idle: never: idle.enabled is false");
        return Checked::Well;
    }
    let user = survey::sandbox_user(&sight.config).user;
    let store = match Store::open((user.uid, user.gid)) {
        Ok(store) => store,
        Err(e) => {
            error!("idle: /run/agent/idle: {e}; the machine is not stopped; next: run it as root");
            return Checked::Trouble;
        }
    };
    // Waiting for the lock took time.
    let sight = Sight { now: Now::read().unwrap_or(sight.now), ..sight };
    let request = store.take_request((user.uid, user.gid));
    let account = taken(sight.account(store.account()), request, &sight, user.uid);
    let uses = sight.uses(&account);
    let somebody = uses.as_ref().ok().map(|uses| !uses.is_empty());
    let mut account = account.after(&sight.now, somebody);
    let report = sight.report(&account, uses);
    if report.state != Stand::Due {
        account.trouble = None;
    }
    let mut kept = keep(&store, &account);
    say(&report);
    if report.state == Stand::Due {
        account.trouble = stopped(&sight, &store);
        account.stopping_ms = sight.now.up_ms;
        kept = keep(&store, &account) && kept;
    }
    let well = kept && report.state != Stand::Unknown && account.trouble.is_none();
    if well { Checked::Well } else { Checked::Trouble }
}

fn keep(store: &Store, account: &Account) -> bool {
    let kept = store.keep(account);
    if let Err(e) = &kept {
        error!("idle: /run/agent/idle/account: {e}; next: make room in /run");
    }
    kept.is_ok()
}

/// Stops the machine; why it could not be done.
fn stopped(sight: &Sight, store: &Store) -> Option<String> {
    let unused = || {
        let Ok(sight) = Sight::of(sight.file.as_ref()) else { return false };
        let account = sight.account(store.account());
        sight.errors == 0 && sight.uses(&account).is_ok_and(|uses| uses.is_empty())
    };
    match stop::stop(&sight.config, &sight.status, &unused) {
        Ok(Some(how)) => {
            warn!(state = "stopping", "idle: {how}");
            None
        }
        Ok(None) => {
            info!(state = "active", "idle: somebody has come; the machine is not stopped");
            None
        }
        Err(problem) => {
            complain(&problem);
            Some(format!("{}; next: {}", problem.message, problem.next))
        }
    }
}

fn complain(problem: &Problem) {
    let evidence = problem.evidence.as_deref().unwrap_or_default();
    let (code, message, next) = (&problem.code, &problem.message, &problem.next);
    error!(code, evidence, "idle: {message} ({evidence}); next: {next}");
}

/// The one line of a check.
fn say(report: &Report) {
    let state = report.state.word();
    let whole = |ms: u64| ms / 60_000;
    let idle_minutes = whole(report.idle_ms);
    let remaining = report.remaining_ms.map_or_else(|| "-".into(), |ms| whole(ms).to_string());
    let reason = reason(report);
    let line = format!("idle: {state}: {reason}");
    match report.state {
        Stand::Unknown => {
            error!(state, reason, idle_minutes, remaining_minutes = remaining, "{line}");
        }
        _ => info!(state, reason, idle_minutes, remaining_minutes = remaining, "{line}"),
    }
}

/// Why it stands as it does, in one line.
pub fn reason(report: &Report) -> String {
    let because = || report.because.clone().unwrap_or_default();
    match report.state {
        Stand::Active => {
            let named = report.uses.iter().map(|u| match u.pid {
                Some(pid) => format!("{} (pid {pid})", u.what),
                None => u.what.clone(),
            });
            named.collect::<Vec<_>>().join(", ")
        }
        Stand::Idle | Stand::Due => {
            let limit = minutes(report.timeout_ms.unwrap_or_default());
            let left = minutes(report.remaining_ms.unwrap_or_default());
            format!("nobody for {} of {limit}; {left} left", minutes(report.idle_ms))
        }
        Stand::Never => because(),
        Stand::Unknown => format!("{}; the machine is not stopped", because()),
    }
}
