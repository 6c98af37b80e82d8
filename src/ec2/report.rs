//! `agent tags`: tells EC2 how the boot ended.
//!
//! The end is read from the journal, so a boot that was killed is told as truthfully as
//! one that failed. Nothing here changes it. Each tag is tried by itself and each attempt
//! recorded, so that `agent status` can say where EC2 was told something else.

use super::credentials::Credentials;
use super::imds::{self, Settings};
use super::tags::{self as api, Account, Limits, Note, TagError, Written};
use crate::boot;
use crate::config::{self, Config};
use crate::journal::file::{self, Appender};
use crate::journal::tags::{Tag, TagAttempt, fold, wanted};
use crate::journal::{Event, Problem, State, Status, place};
use crate::observe;
use crate::phases::metadata;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Every tag says what it should.
    All,
    /// At least one could not be written.
    NotAll,
    /// There is nothing to tell: this is no EC2 instance, or tags are switched off.
    Nothing,
    /// No boot has ended, so there is no end to tell.
    NoEnd(State),
}

/// Tells EC2 how the newest boot of this life ended. One that is running is waited for where
/// it is asked for (`wait`), or where it began while an earlier one's end was told: what was
/// told then is out of date, and whoever began it may have left the tags to this process.
pub fn run(config_file: Option<&PathBuf>, wait: bool) -> Told {
    let config = config::load(&boot::sources(config_file)).unwrap_or_else(|e| *e.usable);
    crate::log::start(config.log.format, config.log.level);
    let path = config_file.map(PathBuf::as_path);
    let ended = || observe::ended(path, observe::boot_takes(&config), &|| false);
    let mut status = if wait { ended() } else { observe::status(path) };
    loop {
        let told = tell(&config, &status, wait);
        let id = |status: &Status| status.boot.as_ref().map(|boot| boot.id.clone());
        if matches!(told, Told::Nothing | Told::NoEnd(_))
            || id(&observe::status(path)) == id(&status)
        {
            return told;
        }
        info!("tags: another boot has begun meanwhile; its end is told too");
        status = ended();
    }
}

/// Tells EC2 of one end.
fn tell(config: &Config, status: &Status, patient: bool) -> Told {
    if !config.ec2.tags || !(config.ec2.enabled || status.machine.is_some()) {
        info!("tags: none are written, since ec2.enabled or ec2.tags is false");
        return Told::Nothing;
    }
    let Some(boot) = &status.boot else { return Told::NoEnd(status.state) };
    let wanted = wanted(status.state, status.failure_phase.as_deref());
    if wanted.is_empty() {
        return Told::NoEnd(status.state);
    }
    let known = |instance: &str| {
        let known = file::read(&place::tags_file(instance)).unwrap_or_default();
        fold(&known.records, &boot.id, &wanted)
    };
    let nothing = |instance: &str, problem: Problem| {
        let mut record = Record { boot: boot.id.clone(), file: open(instance) };
        for tag in known(instance).iter().filter(|tag| tag.wanted.is_some()) {
            record.add(tag, Some(problem.clone()));
        }
        say_not("the tags", &problem);
        Told::NotAll
    };
    let mut settings = metadata::settings(config);
    if patient {
        // The service may be away for as long as the API may.
        settings.deadline = config.ec2.tags_deadline;
    }
    let (instance, region) = match machine(status, &settings) {
        Ok(machine) => machine,
        Err(problem) => match observe::ec2_instance(status) {
            Some(instance) => return nothing(instance, problem),
            None => {
                say_not("the tags", &problem);
                return Told::NotAll;
            }
        },
    };
    let mut teller = match Teller::new(config, settings, instance.clone(), region, patient) {
        Ok(teller) => teller,
        Err(problem) => return nothing(&instance, problem),
    };
    let tags = known(&instance);
    let mut record = Record { boot: boot.id.clone(), file: open(&instance) };
    let mut told = Told::All;
    teller.tell(&tags, &mut |tag, done| {
        let problem = done.as_ref().err().map(TagError::problem);
        match done {
            Ok(written) => say(tag, written),
            Err(_) => told = Told::NotAll,
        }
        if let Some(problem) = &problem {
            say_not(&tag.key, problem);
        }
        record.add(tag, problem);
    });
    told
}

/// The instance and its region, as the boot learnt them; one that could not is asked for again.
fn machine(status: &Status, settings: &Settings) -> Result<(String, String), Problem> {
    match &status.machine {
        Some(seen) => Ok((seen.instance.clone(), seen.region.clone())),
        None => {
            let found = imds::collect(settings).map_err(|e| e.problem())?;
            Ok((found.instance_id, found.region))
        }
    }
}

fn say_not(what: &str, problem: &Problem) {
    warn!(
        code = problem.code,
        "tags: {what} could not be written: {}; next: {}", problem.message, problem.next
    );
}

/// What was tried.
struct Record {
    boot: String,
    file: Option<Appender>,
}

fn open(instance: &str) -> Option<Appender> {
    let told = |e: io::Error| warn!("tags: what is written cannot be recorded: {e}");
    place::open_tags(instance).map_err(told).ok()
}

impl Record {
    fn add(&mut self, tag: &Tag, problem: Option<Problem>) {
        let attempt = TagAttempt {
            boot: self.boot.clone(),
            key: tag.key.clone(),
            value: tag.wanted.clone(),
            problem,
        };
        if let Some(file) = &mut self.file
            && let Err(e) = file.append_durably(Event::TagTried(attempt))
        {
            warn!("tags: what was written cannot be recorded: {e}");
        }
    }
}

fn say(tag: &Tag, written: &Written) {
    let what = tag.wanted.as_ref().map_or("removed".into(), |value| format!("= {value}"));
    let notes: Vec<String> = written.notes.iter().map(Note::to_string).collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    info!(attempts = written.attempts, "tags: {} {what}{notes}", tag.key);
}

/// Speaks to the EC2 API in the role's name.
struct Teller {
    account: Account,
    settings: Settings,
    instance: String,
    request_deadline: Duration,
    until: Instant,
}

/// How often a role that is not there is asked for again: one that was attached a moment ago
/// appears within seconds.
const ROLE_EVERY: Duration = Duration::from_secs(10);

/// The role's credentials. Who is `patient` waits for a role as long as for the service.
fn credentials(settings: &Settings, patient: bool) -> Result<Credentials, Problem> {
    let until = Instant::now() + settings.deadline.0;
    loop {
        let error = match imds::credentials(settings) {
            Ok(credentials) => return Ok(credentials),
            Err(error) => error,
        };
        let pause = ROLE_EVERY.mul_f64(0.5 + fastrand::f64() / 2.0);
        let passing = matches!(error.kind, imds::Kind::NoRole | imds::Kind::RoleRefused);
        if !(patient && passing) || Instant::now() + pause > until {
            return Err(error.problem());
        }
        std::thread::sleep(pause);
    }
}

/// Hears of each tag as soon as it is done.
type Hear<'a> = &'a mut dyn FnMut(&Tag, &Result<Written, TagError>);

impl Teller {
    fn new(
        config: &Config,
        settings: Settings,
        instance: String,
        region: String,
        patient: bool,
    ) -> Result<Self, Problem> {
        let credentials = credentials(&settings, patient)?;
        let until = Instant::now() + config.ec2.tags_deadline.0;
        let account = Account { region, endpoint: config.ec2.api.clone(), credentials };
        let request_deadline = config.ec2.api_deadline.0;
        Ok(Self { account, settings, instance, request_deadline, until })
    }

    /// Removes what must not be there, where it is not known to be gone; then writes the rest.
    fn tell(&mut self, tags: &[Tag], hear: Hear<'_>) {
        let Self { account, settings, instance, request_deadline, until } = self;
        let limits = |share: u32| Limits {
            request_deadline: *request_deadline,
            deadline: until.saturating_duration_since(Instant::now()) / share,
        };
        let mut renew = || -> Option<Credentials> { imds::credentials(settings).ok() };
        for tag in tags.iter().filter(|tag| tag.wanted.is_none() && !tag.agrees) {
            // A share of the time, as each of those that are written has.
            let share = u32::try_from(tags.len()).unwrap_or(1).max(1);
            let done = api::delete(account, instance, &tag.key, &limits(share), &mut renew);
            hear(tag, &done);
        }
        let wanted: Vec<&Tag> = tags.iter().filter(|tag| tag.wanted.is_some()).collect();
        let written = wanted.iter().filter_map(|t| Some(api::Tag::new(&t.key, t.wanted.clone()?)));
        let written: Vec<api::Tag> = written.collect();
        api::write(account, instance, &written, &limits(1), &mut renew, &mut |written, done| {
            if let Some(tag) = wanted.iter().find(|tag| tag.key == written.key) {
                hear(tag, done);
            }
        });
    }
}
