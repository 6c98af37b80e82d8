//! One boot, from the configuration to its end: `agent boot`.
//!
//! Everything that can fail happens here, in a child of PID 1. What PID 1 must know
//! goes to it through the [`handoff`](crate::init::handoff).

mod by_hand;
mod recover;

pub use recover::{Death, recover};

use by_hand::{again, not_planned, stay};

use crate::config::value::LogFormat;
use crate::config::{self, Config, ConfigError, Sources};
use crate::engine::{self, Cancel, Context, Held, state_of};
use crate::init::handoff::{Handoff, Line, Stand};
use crate::journal::event::{BootBegan, BootEnded};
use crate::journal::place::{self, Base};
use crate::journal::{Problem, State, file, status};
use crate::observe;
use crate::phases::scratch;
use crate::plan::{self, Facts, Phase, PhaseName, Plan, Switch, Work};
use crate::stub::payload;
use crate::stub::told::Scripts;
use crate::survey;
use crate::sys::{environ, files, notify, privilege, spawn};
use nix::unistd::geteuid;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// No user-data file is larger than this, in bytes: EC2 takes less, but cloud-init has unpacked
/// what was gzip.
const MAX_USER_DATA: u64 = payload::MAX_SCRIPT;

/// How long one that has the lock may take until its beginning is in the journal.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// How a boot was asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A config file in place of the standard ones.
    pub config: Option<PathBuf>,
    /// Run the user script whatever the ledger says; with `only`, what these phases do once an
    /// instance.
    pub again: bool,
    /// By hand: these phases alone.
    pub only: Vec<PhaseName>,
    /// The tags are left to `agent tags`.
    pub no_tags: bool,
    /// User-data in place of the metadata service's: the stub that runs the agent names itself.
    pub user_data: Option<PathBuf>,
    /// PID 1 is the parent: the payload is on standard input, the handoff on standard output.
    pub from_init: bool,
    /// `text` or `json` in place of what the config says.
    pub log_format: Option<String>,
}

/// What became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The boot ended in this state.
    In(State),
    /// Another boot of this instance is running; nothing was done.
    Busy,
    /// It asks for a phase that this machine's plan does not have; nothing was done.
    NoSuchPhase,
}

/// Where configuration is read from.
pub fn sources(config: Option<&PathBuf>) -> Sources {
    config.map_or_else(Sources::standard, |file| Sources::file(file))
}

/// Boots. Call it while the process has one thread.
pub fn run(request: &Request) -> Ended {
    notify::connect();
    // The stub runs beside the machine's own unit, or instead of it: one boot is enough.
    if request.user_data.is_some()
        && let Some(state) = joined(request, Duration::ZERO)
    {
        return Ended::In(state);
    }
    let payload = take_payload(request);
    let closed = privilege::forbid_dump();
    let machine = request.user_data.is_some();
    let loaded = config::load(&Sources { machine, ..sources(request.config.as_ref()) });
    let (config, mut errors) = match loaded {
        Ok(config) => (config, Vec::new()),
        Err(e) => (*e.usable, e.errors),
    };
    let user_data = request
        .user_data
        .as_deref()
        .and_then(|file| read_user_data(file).map_err(|e| errors.push(e)).ok());
    if request.user_data.is_some() && !config.ec2.enabled {
        errors.push(no_ec2());
    }
    let format = match request.log_format.as_deref() {
        Some("json") => LogFormat::Json,
        Some(_) => LogFormat::Text,
        None => config.log.format,
    };
    crate::log::start(format, config.log.level);
    if let Err(e) = closed {
        warn!("this process cannot be closed to others: {e}");
    }
    let (mut facts, scripts) = survey::survey(&config, payload.as_deref());
    let bases = place::bases(&facts.user.home, (facts.user.uid, facts.user.gid));
    stay(&mut facts, &config, &bases);
    facts.user_data_file = request.user_data.as_ref().map(|file| file.display().to_string());
    let plan = match errors.as_slice() {
        [] => plan::resolve(&config, &facts, again(request)),
        errors => refusal(&config, &facts, errors),
    };
    if errors.is_empty()
        && let Some(missing) = not_planned(&request.only, &plan)
    {
        error!("{missing}");
        return Ended::NoSuchPhase;
    }
    tell_init(request, &Stand::of(&config, &facts).into());
    // No place for a lock is no place for a journal either; that is told where one is sought.
    let lock = place::lock(&bases, &plan.instance.id);
    if matches!(lock, Ok(None)) {
        if request.user_data.is_some() {
            return joined(request, BEGINS_WITHIN).map_or(Ended::Busy, Ended::In);
        }
        let reason =
            "another boot of this instance is running; wait for its end with `agent status --wait`";
        error!("{reason}");
        tell_init(request, &Handoff::Reason(reason.into()));
        return Ended::Busy;
    }
    let given = Given { scripts, user_data };
    let state = locked(request, &config, &facts, &plan, given, &bases);
    drop(lock);
    if config.ec2.enabled && config.ec2.tags && !request.no_tags && !request.from_init {
        tell_ec2(request);
    }
    Ended::In(state)
}

/// The tags, by a process of their own: what it meets with changes nothing here.
fn tell_ec2(request: &Request) {
    let mut tags = std::process::Command::new(spawn::SELF);
    tags.arg("tags").stdin(std::process::Stdio::null());
    if let Some(config) = &request.config {
        tags.arg("--config").arg(config);
    }
    if let Err(e) = tags.status() {
        warn!("tags: they cannot be written: {e}; next: `agent tags`");
    }
}

/// The end of the boot that this machine has had, or is having, since it was started;
/// `None` where none has begun `within` that time.
fn joined(request: &Request, within: Duration) -> Option<State> {
    let began = Instant::now();
    let config = config::load(&sources(request.config.as_ref())).unwrap_or_else(|e| *e.usable);
    let timeout = observe::boot_takes(&config);
    let status = observe::ended(request.config.as_deref(), timeout, &|| began.elapsed() < within);
    if status.state == State::None {
        return None;
    }
    eprintln!("agent: one boot is enough; this machine's own: {}", status.summary);
    Some(status.state)
}

/// What may hold secrets, and so stands in nothing that is printed.
struct Given {
    scripts: Scripts,
    user_data: Option<Vec<u8>>,
}

/// Reads the user-data from a file.
fn read_user_data(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let refuse = |message: String, hint: &str| ConfigError {
        origin: path.display().to_string(),
        place: None,
        message,
        hint: Some(hint.into()),
    };
    let hint = "name the file that holds this instance's user-data";
    let mut bytes = Vec::new();
    let length = files::open_regular(path)
        .and_then(|file| file.take(MAX_USER_DATA + 1).read_to_end(&mut bytes))
        .map_err(|e| refuse(format!("the user-data cannot be read: {e}"), hint))?;
    if length as u64 > MAX_USER_DATA {
        return Err(refuse(format!("it is larger than {MAX_USER_DATA} bytes"), hint));
    }
    Ok(bytes)
}

/// User-data that the configuration says not to look at must not be passed over.
fn no_ec2() -> ConfigError {
    ConfigError {
        origin: "the configuration".into(),
        place: None,
        message: "ec2.enabled is false, but user-data is given".into(),
        hint: Some("leave ec2.enabled out, or say true".into()),
    }
}

fn locked(
    request: &Request,
    config: &Config,
    facts: &Facts,
    plan: &Plan,
    given: Given,
    bases: &[Base],
) -> State {
    let fail = |reason: String| {
        notify::status(&reason);
        if !request.from_init {
            error!(state = "failed", "{reason}");
        }
        tell_init(request, &Handoff::Reason(reason));
        State::Failed
    };
    let began = BootBegan {
        boot: fresh_id(),
        runner: file::runner(init_pid(request)),
        instance: plan.instance.id.clone(),
        agent: env!("CARGO_PKG_VERSION").into(),
        phases: plan.phases.iter().map(|p| p.name).collect(),
        logs: PathBuf::new(),
        only: request.only.clone(),
    };
    if !request.from_init
        && let Some(problem) = refused_by_hand(plan, bases)
    {
        return fail(format!("failed: config: {}; next: {}", problem.message, problem.next));
    }
    if !geteuid().is_root() && booted_by_root(plan, bases) {
        return fail(
            "failed: root has booted this machine, and the status is root's; next: run it as root"
                .into(),
        );
    }
    let place = match place::open_journal(bases, &began) {
        Ok(place) => place,
        Err(why) => {
            return fail(format!(
                "failed: no place takes the journal ({why}); next: give the sandbox a writable /run/agent, volume or /tmp"
            ));
        }
    };
    sweep(&facts.user.home, &place.path);
    for note in &plan.notes {
        info!("{note}");
    }
    let journal = place.path.join(file::NAME);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => {
            return fail(format!(
                "failed: no event loop can be made: {e}; next: raise the limits on open files and processes"
            ));
        }
    };
    let ended = runtime.block_on(async {
        let cancel =
            Cancel::on_signals().map_err(|e| format!("signals cannot be received: {e}"))?;
        let Given { scripts, user_data } = given;
        let line = Line { open: request.from_init };
        let only = request.only.clone();
        let held = Held { place, cancel, scripts, user_data, line, only, repeat: request.again };
        let mut cx = Context::new(config, facts.clone(), plan.clone(), again(request), held);
        let ended = engine::run(&mut cx).await.map_err(|e| {
            let journal = journal.display();
            format!("the boot's end cannot be written to {journal}: {e}; next: make room there")
        });
        Ok::<_, String>((ended, cx.facts.found))
    });
    let (ended, found) = match ended {
        Ok((ended, found)) => (ended, found),
        Err(e) => (Err(e), Default::default()),
    };
    // What the steps have changed of the user's groups, and what the phases have found out,
    // holds for the workload too.
    let regrouped = facts.switch == Switch::Change
        && plan.phases.iter().any(|p| matches!(p.work, Work::Provision { .. }));
    if regrouped || !found.is_empty() {
        let user =
            plan::SandboxUser { groups: survey::groups_of(&facts.user), ..facts.user.clone() };
        tell_init(request, &Stand::of(config, &Facts { user, found, ..facts.clone() }).into());
    }
    match ended {
        Ok(ended) => conclude(request, &ended, &journal),
        Err(e) => fail(format!("failed: {e}")),
    }
}

/// A name that no other boot of the instance has.
fn fresh_id() -> String {
    format!("{:x}-{:04x}", jiff::Timestamp::now().as_millisecond(), fastrand::u16(..))
}

/// The init of the sandbox that this boot belongs to: whoever started it, or the one it
/// was called in.
fn init_pid(request: &Request) -> i32 {
    if request.from_init {
        return nix::unistd::getppid().as_raw();
    }
    observe::supervisor().map_or(1, |supervisor| supervisor.pid)
}

/// A boot by hand that can't begin changes nothing of a sandbox that has booted, so it is
/// told to who asked and not recorded as what the sandbox is.
fn refused_by_hand<'a>(plan: &'a Plan, bases: &[Base]) -> Option<&'a Problem> {
    let Work::Refuse { problem } = &plan.phases.first()?.work else { return None };
    let search = place::find_journal(bases, &plan.instance.id, &file::is_this_life);
    let observer = status::Observer { this_life: &file::is_this_life, lives: &|_| true };
    let booted =
        search.found.is_some_and(|f| status::fold(&f.contents.records, &observer).boot.is_some());
    // Where this user may not look, there may be one.
    (booted || !search.closed.is_empty()).then_some(problem)
}

/// Is the status of this life one that root has written? Then a boot of another user would be
/// told to nobody.
fn booted_by_root(plan: &Plan, bases: &[Base]) -> bool {
    let search = place::find_journal(bases, &plan.instance.id, &file::is_this_life);
    search.found.is_some_and(|found| found.roots)
}

/// Says how it ended, from the journal itself: what is told here and what `agent
/// status` tells is the same fold.
fn conclude(request: &Request, ended: &BootEnded, journal: &Path) -> State {
    let state = state_of(ended);
    let records = file::read(journal).map(|c| c.records).unwrap_or_default();
    let observer = status::Observer { this_life: &|_| true, lives: &|_| true };
    let folded = status::newest(&records, &observer);
    // What nobody can read back has not been recorded, whoever took it away.
    let (state, summary) = if folded.state == state {
        (state, folded.summary)
    } else {
        let journal = journal.display();
        let lost = format!(
            "failed: the journal {journal} was removed or changed while the boot ran; next: look in the user's script for what removes it"
        );
        (State::Failed, lost)
    };
    match state {
        State::Complete | State::Degraded => notify::ready(&summary),
        _ => notify::status(&summary),
    }
    match state {
        State::Complete => info!(state = "complete", "{summary}"),
        State::Degraded => warn!(state = "degraded", "{summary}"),
        // PID 1 says it, behind everything else.
        _ if request.from_init => {}
        _ => error!(state = "failed", "{summary}"),
    }
    if state != State::Complete {
        tell_init(request, &Handoff::Reason(summary));
    }
    state
}

/// The payload goes from the environment (and out of it) or from PID 1's memory file.
fn take_payload(request: &Request) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    if request.from_init {
        let mut bytes = Vec::new();
        let limit = payload::MAX_SCRIPT * 2;
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).ok()?;
        return Some(bytes);
    }
    environ::take(payload::VARIABLE).map(OsStringExt::into_vec)
}

/// A plan whose only phase is the refusal of the configuration.
fn refusal(config: &Config, facts: &Facts, errors: &[ConfigError]) -> Plan {
    let mut plan = plan::resolve(config, facts, false);
    let remedy = "mend the configuration; `agent config check FILE` checks it before the start";
    let problem = match errors {
        [one] => Problem::new("config-invalid", one.to_string(), remedy),
        all => {
            let first = all.first().map(ToString::to_string).unwrap_or_default();
            let rest: Vec<String> = all.iter().skip(1).map(ToString::to_string).collect();
            let message = format!("{first} (and {} more errors)", rest.len());
            Problem::new("config-invalid", message, remedy).evidence(rest.join("\n"))
        }
    };
    plan.phases = vec![Phase {
        name: PhaseName::Config,
        deadline: config::value::Span::seconds(1),
        work: Work::Refuse { problem },
    }];
    plan
}

fn tell_init(request: &Request, handoff: &Handoff) {
    if let Err(e) = (Line { open: request.from_init }).tell(handoff) {
        warn!("PID 1 cannot be told: {e}");
    }
}

impl Stand {
    fn of(config: &Config, facts: &Facts) -> Self {
        let user = &facts.user;
        Self {
            // Nobody is held for: a workload that was meant for another user must not run as root.
            hold: config.boot.on_failure == config::value::OnBootFailure::Hold
                && !matches!(facts.switch, Switch::Unknown(_)),
            deadline: config.boot.deadline.0,
            grace: config.init.grace.0,
            leftover_grace: config.init.leftover_grace.0,
            become_user: (facts.switch == Switch::Change)
                .then(|| (user.uid, user.gid, user.groups.clone())),
            json: config.log.format == LogFormat::Json,
            variables: plan::user_variables(config, facts).into_iter().collect(),
        }
    }
}

/// Removes what is left of a script in this instance's state directories, that of the
/// journal and that on the volume.
fn sweep(home: &Path, state: &Path) {
    let instance = state.file_name().unwrap_or_default();
    let at_home = home.join(".local/state/agent").join(instance);
    scratch::sweep(&[state, &at_home]);
}
