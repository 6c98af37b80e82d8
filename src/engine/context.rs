//! What a phase works with.

use super::cancel::Cancel;
use crate::config::Config;
use crate::config::value::Bytes;
use crate::ec2::imds::Metadata;
use crate::init::handoff::Line;
use crate::journal::event::{Event, MachineSeen, Record};
use crate::journal::place::{self, Ledger, Place};
use crate::plan::{self, Facts, PhaseName, Plan, SandboxUser, Switch};
use crate::stub::told::{Duties, Scripts};
use crate::survey;
use crate::sys::beneath::Owner;
use crate::sys::users::Credentials;
use nix::unistd::Gid;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tracing::error;

/// What a boot holds open, or in memory alone.
pub struct Held {
    /// Journal and logs.
    pub place: Place,
    /// A stop request.
    pub cancel: Cancel,
    /// The user's scripts.
    pub scripts: Scripts,
    /// User-data that was given.
    pub user_data: Option<Vec<u8>>,
    /// The way to PID 1.
    pub line: Line,
    /// The phases that were asked for by hand; empty where all are.
    pub only: Vec<PhaseName>,
    /// These repeat what they do once an instance.
    pub repeat: bool,
}

/// The running boot.
pub struct Context<'a> {
    /// What is to be done, as far as it is known; reading the instance metadata makes it anew.
    pub plan: Rc<Plan>,
    /// What the operator decided.
    config: &'a Config,
    /// What is known of the machine.
    pub facts: Facts,
    /// The user script is to run whatever the ledger says.
    again: bool,
    /// The phases that were asked for by hand; empty where all are.
    only: Vec<PhaseName>,
    /// They repeat what they do once an instance.
    repeat: bool,
    /// Journal and logs.
    pub place: Place,
    /// A stop request.
    pub cancel: Cancel,
    /// The user's scripts; they stand nowhere else.
    pub scripts: Scripts,
    /// What the user-data asks of root; it stands nowhere else.
    pub duties: Duties,
    /// User-data that was given, in place of the metadata service's.
    pub user_data: Option<Vec<u8>>,
    /// The way to PID 1.
    pub line: Line,
    /// Size at which a command's log is cut off.
    pub max_log: Bytes,
    /// When the running phase must have ended.
    pub limit: Instant,
    /// The running phase.
    pub phase: PhaseName,
}

impl<'a> Context<'a> {
    /// A context at the start of a boot.
    pub fn new(config: &'a Config, facts: Facts, plan: Plan, again: bool, held: Held) -> Self {
        Self {
            plan: Rc::new(plan),
            config,
            facts,
            again,
            only: held.only,
            repeat: held.repeat,
            place: held.place,
            cancel: held.cancel,
            scripts: held.scripts,
            duties: Duties::default(),
            user_data: held.user_data,
            line: held.line,
            max_log: config.log.max_size,
            limit: Instant::now(),
            phase: PhaseName::Config,
        }
    }

    /// Takes the instance metadata in, records which machine this is, and makes the plan anew
    /// with it. The phases stay the same ones.
    /// A user-data that cannot be used fails the phase that would do what it says.
    pub fn take_in(&mut self, metadata: Metadata) -> MachineSeen {
        let given = self.user_data.take();
        let (seen, told) = survey::take_in(&mut self.facts, self.config, metadata, given);
        self.record(Event::MachineSeen(seen.clone()));
        if self.scripts.is_empty() {
            self.scripts = told.scripts;
        }
        self.duties = told.duties;
        self.plan_anew();
        seen
    }

    /// Looks again whose sandbox it is, and makes the plan anew with it: the user was not there
    /// before.
    pub fn settle_user(&mut self) {
        survey::settle_user(&mut self.facts, self.config);
        self.plan_anew();
    }

    fn plan_anew(&mut self) {
        self.plan = Rc::new(plan::resolve(self.config, &self.facts, self.again));
    }

    /// Is this phase to be run?
    pub fn asks_for(&self, phase: PhaseName) -> bool {
        self.only.is_empty() || self.only.contains(&phase)
    }

    /// Are only some phases run, by hand?
    pub fn is_by_hand(&self) -> bool {
        !self.only.is_empty()
    }

    /// Is the running phase to repeat what is done once an instance? `--again` alone is for the
    /// user's script; with `--only` it is for the phases that this names.
    pub fn repeats(&self) -> bool {
        self.repeat && self.only.contains(&self.phase)
    }

    /// Gives `variables` to every later command and to the workload. The phases stay the same
    /// ones.
    pub fn export(&mut self, variables: BTreeMap<String, String>) {
        if !variables.is_empty() {
            self.facts.found.extend(variables);
            self.plan_anew();
        }
    }

    /// Appends an event. A failure is told and does not stop the boot: only the end
    /// decides, and it is not believed unless it was written.
    pub fn record(&self, event: Event) {
        if let Err(e) = self.place.journal.append(event) {
            error!("the journal in {} cannot be written: {e}", self.place.path.display());
        }
    }

    /// The deadline of the running phase.
    pub fn phase_deadline(&self) -> Duration {
        let mut phases = self.plan.phases.iter();
        phases.find(|p| p.name == self.phase).map(|p| p.deadline.0).unwrap_or_default()
    }

    /// The sandbox user.
    pub fn user(&self) -> &SandboxUser {
        &self.facts.user
    }

    /// Whom a command becomes; `None` where the agent is that user already. The groups are
    /// read anew: a provisioning step may have put the user into one.
    pub fn credentials(&self) -> Option<Credentials> {
        let user = self.user();
        (self.facts.switch == Switch::Change).then(|| Credentials {
            uid: user.uid,
            gid: user.gid,
            groups: survey::groups_of(user).into_iter().map(Gid::from_raw).collect(),
        })
    }

    /// The owner for files that belong to the user.
    pub fn owner(&self) -> Owner {
        (self.user().uid, self.user().gid)
    }

    /// Opens the log `NAME.log`, which only the user and root can read.
    ///
    /// # Errors
    /// What `openat(2)` says.
    pub fn open_log(&self, name: &str) -> io::Result<(File, PathBuf)> {
        self.open_log_of(name, self.credentials().map(|_| self.owner()))
    }

    /// Opens the log `NAME.log`, which `owner` (else the agent) and root alone can read.
    ///
    /// # Errors
    /// What `openat(2)` and `fchown(2)` say.
    pub fn open_log_of(&self, name: &str, owner: Option<Owner>) -> io::Result<(File, PathBuf)> {
        place::open_log(&self.place, name, owner)
    }

    /// Opens the ledger of this instance.
    pub fn open_ledger(&self) -> Ledger {
        place::open_ledger(&self.user().home, &self.plan.instance.id, self.owner(), &self.place)
    }

    /// What the ledger holds, where nothing is to be added.
    ///
    /// # Errors
    /// It is damaged.
    pub fn recorded_scripts(&self) -> io::Result<Vec<Record>> {
        let user = self.user();
        place::recorded_scripts(&user.home, &self.plan.instance.id, self.owner(), &self.place)
    }

    /// This instance's state directory on the volume, made where it is missing.
    pub fn state_at_home(&self) -> Option<PathBuf> {
        place::state_at_home(&self.user().home, &self.plan.instance.id, self.owner()).ok()
    }
}
