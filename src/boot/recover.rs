//! The end of a boot that could not write it.

use super::{sources, sweep};
use crate::config;
use crate::journal::event::{
    BootBegan, BootEnded, Event, Outcome, PhaseEnded, PhaseResult, Record,
};
use crate::journal::{Problem, State, file, place, status};
use crate::phases::scratch;
use crate::plan::PhaseName;
use crate::survey;
use crate::sys::process;
use nix::unistd::getppid;
use std::path::PathBuf;
use tracing::error;

/// What PID 1 has seen of a boot that could not end itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// This ended it, such as `SIGKILL`.
    By(String),
    /// It could not be started, for this reason.
    NotStarted(String),
}

impl Death {
    /// What cut it off, in a word or two.
    fn word(&self) -> &str {
        match self {
            Self::By(what) => what,
            Self::NotStarted(_) => "not started",
        }
    }

    fn problem(&self) -> Problem {
        match self {
            Self::By(what) => Problem::new(
                "boot-died",
                format!("the boot process was ended by {what}"),
                "start the sandbox again; SIGKILL without an operator is most often the memory limit",
            ),
            Self::NotStarted(why) => Problem::new(
                "boot-not-started",
                format!("the boot process could not be started: {why}"),
                "mount /proc in the sandbox, look at its limits on processes and memory, and start it again",
            ),
        }
    }
}

/// After PID 1 has seen the boot die: writes the end that the boot could not write, and
/// removes what it left of the script.
pub fn recover(config: Option<&PathBuf>, death: &Death) {
    let config = config::load(&sources(config)).unwrap_or_else(|e| *e.usable);
    crate::log::start(config.log.format, config.log.level);
    let user = survey::sandbox_user(&config).user;
    let bases = place::bases(&user.home, (user.uid, user.gid));
    let instance = survey::instance(&config).id;
    let found = place::find_journal(&bases, &instance, &file::is_this_life).found;
    let observer = status::Observer {
        this_life: &file::is_this_life,
        lives: &|r| process::lives(r.pid, r.start_ticks),
    };
    let seen = found.map(|found| (status::fold(&found.contents.records, &observer), found));
    let Some((folded, found)) = seen.filter(|(folded, _)| folded.state != State::None) else {
        scratch::sweep(&[]);
        return never_began(&bases, &instance, death);
    };
    sweep(&user.home, found.path.parent().unwrap_or(&found.path));
    if folded.state != State::Failed || folded.boot.is_none_or(|b| b.ended.is_some()) {
        return;
    }
    let elapsed_ms = since(&found.contents.records, |e| matches!(e, Event::BootBegan(_)));
    let phase = folded.phase.unwrap_or(PhaseName::Config);
    let events = [
        Event::PhaseEnded(PhaseEnded {
            phase,
            result: PhaseResult::Interrupted,
            elapsed_ms: since(
                &found.contents.records,
                |e| matches!(e, Event::PhaseBegan { phase: p } if *p == phase),
            ),
            problems: vec![death.problem()],
            notes: Vec::new(),
            tools: Vec::new(),
        }),
        Event::BootEnded(BootEnded {
            outcome: Outcome::Failed,
            phase: Some(phase),
            interrupted: Some(death.word().to_owned()),
            elapsed_ms,
        }),
    ];
    for event in events {
        if let Err(e) = place::append_to(&bases, &found, event) {
            return error!("the boot's end cannot be recorded: {e}");
        }
    }
}

/// The boot died before it could say that it has begun: it is recorded as one that failed there.
fn never_began(bases: &[place::Base], instance: &str, death: &Death) {
    let began = BootBegan {
        boot: super::fresh_id(),
        runner: file::runner(getppid().as_raw()),
        instance: instance.to_owned(),
        agent: env!("CARGO_PKG_VERSION").into(),
        phases: vec![PhaseName::Config],
        logs: PathBuf::new(),
        only: Vec::new(),
    };
    let place = match place::open_journal(bases, &began) {
        Ok(place) => place,
        Err(why) => return error!("the boot's end cannot be recorded: {why}"),
    };
    let phase = PhaseName::Config;
    let events = [
        Event::PhaseEnded(PhaseEnded {
            phase,
            result: PhaseResult::Interrupted,
            elapsed_ms: 0,
            problems: vec![death.problem()],
            notes: Vec::new(),
            tools: Vec::new(),
        }),
        Event::BootEnded(BootEnded {
            outcome: Outcome::Failed,
            phase: Some(phase),
            interrupted: Some(death.word().to_owned()),
            elapsed_ms: 0,
        }),
    ];
    for event in events {
        if let Err(e) = place.journal.append_durably(event) {
            return error!("the boot's end cannot be recorded: {e}");
        }
    }
}

/// Milliseconds since the last event of a kind.
fn since(records: &[Record], kind: impl Fn(&Event) -> bool) -> u64 {
    let last = records.iter().rev().find(|r| kind(&r.event));
    last.map_or(0, |r| {
        u64::try_from(jiff::Timestamp::now().duration_since(r.at).as_millis()).unwrap_or(0)
    })
}
