//! Whom a step becomes.

use crate::config::StepUser;
use crate::engine::Context;
use crate::engine::command::Identity;
use crate::journal::Problem;
use crate::plan::Step;
use crate::sys::beneath::Owner;
use crate::sys::privilege::{self, Need};
use crate::sys::users::{Account, Credentials, Database};
use nix::unistd::{Gid, geteuid};
use std::path::{Path, PathBuf};

/// What it takes to be another user, to give it its log, and to end it.
const NEEDED: [Need; 4] = [Need::SetUid, Need::SetGid, Need::Chown, Need::Kill];

/// Who runs a step.
pub(super) struct Who {
    /// For the command.
    pub(super) identity: Identity,
    /// Who shall own its log; `None` where only the agent can.
    pub(super) log_owner: Option<Owner>,
    /// Where it starts unless the step says otherwise.
    pub(super) home: PathBuf,
    name: String,
    shell: PathBuf,
}

impl Who {
    /// Looks up who shall run the step.
    ///
    /// # Errors
    /// Nobody of that name is known, or the agent cannot be that user.
    pub(super) fn of(step: &Step, cx: &Context<'_>) -> Result<Self, Problem> {
        let database = || Database::read(Path::new("/"));
        match &step.user {
            StepUser::Sandbox => {
                let user = cx.user();
                let account = Account {
                    name: user.name.clone(),
                    uid: user.uid,
                    gid: user.gid,
                    home: user.home.clone(),
                    shell: user.shell.clone(),
                };
                Ok(Self::new(account, Identity::SandboxUser))
            }
            StepUser::Root => {
                let root = database().by_uid(0).unwrap_or_else(|| Account {
                    name: "root".into(),
                    uid: 0,
                    gid: 0,
                    home: "/root".into(),
                    shell: "/bin/sh".into(),
                });
                become_account(step, root, &database(), cx)
            }
            StepUser::Account(name) => {
                let database = database();
                let account = database.by_name(name).ok_or_else(|| unknown(step, name))?;
                become_account(step, account, &database, cx)
            }
        }
    }

    fn new(account: Account, identity: Identity) -> Self {
        Self {
            identity,
            log_owner: geteuid().is_root().then_some((account.uid, account.gid)),
            home: account.home,
            name: account.name,
            shell: account.shell,
        }
    }

    /// What a login of that user would set.
    pub(super) fn variables(&self) -> [(String, String); 4] {
        let text = |p: &Path| p.to_string_lossy().into_owned();
        [
            ("HOME".into(), text(&self.home)),
            ("USER".into(), self.name.clone()),
            ("LOGNAME".into(), self.name.clone()),
            ("SHELL".into(), text(&self.shell)),
        ]
    }
}

fn become_account(
    step: &Step,
    account: Account,
    database: &Database,
    cx: &Context<'_>,
) -> Result<Who, Problem> {
    let own = geteuid();
    if account.uid == own.as_raw() {
        return Ok(Who::new(account, Identity::Agent));
    }
    if !own.is_root() {
        return Err(not_root(step, cx));
    }
    let missing: Vec<&str> =
        NEEDED.into_iter().filter(|need| !privilege::has(*need)).map(Need::name).collect();
    if !missing.is_empty() {
        return Err(no_capability(step, &missing.join(" and ")));
    }
    let groups = database.groups_of(&account.name, account.gid);
    let credentials = Credentials {
        uid: account.uid,
        gid: account.gid,
        groups: groups.into_iter().map(Gid::from_raw).collect(),
    };
    Ok(Who::new(account, Identity::Other(credentials)))
}

fn unknown(step: &Step, name: &str) -> Problem {
    super::problems::not_started(
        step,
        &format!("there is no user {name} in /etc/passwd"),
        "correct the step's `user`, or let an earlier step make the account",
    )
}

fn not_root(step: &Step, cx: &Context<'_>) -> Problem {
    let (name, agent) = (&step.user, &cx.user().name);
    super::problems::not_started(
        step,
        &format!("it is to run as {name}, and the agent runs as {agent}, not as root"),
        "start the agent as root, or say user = \"sandbox\" in the step",
    )
}

fn no_capability(step: &Step, missing: &str) -> Problem {
    super::problems::not_started(
        step,
        &format!("it is to run as {}, and the agent lacks {missing}", step.user),
        "add the capability to the container or the unit, or give the step another `user`",
    )
}
