//! Phases by hand: what is asked for, and staying where the boot before has its state.

use super::Request;
use crate::config::Config;
use crate::journal::event::{Event, Record};
use crate::journal::file;
use crate::journal::place::{self, Base};
use crate::plan::{Facts, PhaseName, Plan};

/// A machine that is known by its machine id alone may have got a new one in this life. Its state
/// stays in one place until the next: the lock, and what is run by hand, belong to the boot before.
pub(super) fn stay(facts: &mut Facts, config: &Config, bases: &[Base]) {
    if !config.ec2.enabled || facts.instance.source != "machine id" {
        return;
    }
    let search = place::find_journal(bases, &facts.instance.id, &file::is_this_life);
    let of_this_life = |record: &Record| match &record.event {
        Event::BootBegan(began) => file::is_this_life(&began.runner.epoch),
        _ => false,
    };
    let found = search.found.filter(|f| f.contents.records.iter().any(of_this_life));
    let directory = found.as_ref().and_then(|f| f.path.parent()?.file_name()?.to_str());
    if let Some(name) = directory {
        name.clone_into(&mut facts.instance.id);
    }
}

/// Is the user's script to run whatever the ledger says?
pub(super) fn again(request: &Request) -> bool {
    let asked = request.only.is_empty() || request.only.contains(&PhaseName::UserScript);
    request.again && asked
}

/// A phase that is asked for by hand and is not in the plan, in words.
pub(super) fn not_planned(only: &[PhaseName], plan: &Plan) -> Option<String> {
    let missing = only.iter().find(|name| plan.phases.iter().all(|p| p.name != **name))?;
    let all: Vec<&str> = plan.phases.iter().map(|p| p.name.word()).collect();
    Some(format!(
        "the plan of this machine has no phase {}; it has {}",
        missing.word(),
        all.join(", ")
    ))
}
