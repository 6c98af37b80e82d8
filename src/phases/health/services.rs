//! Which services are not active, as systemd says it (`systemctl(1)`, is-active).

use super::{interrupted, unchecked};
use crate::config::value::human;
use crate::engine::command::{self, End, Identity, Invocation, Log};
use crate::engine::{Context, excerpt};
use crate::journal::Problem;
use crate::plan::{Environment, HealthWork};
use crate::sys::signals;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time;

/// This directory is there exactly where systemd is the init (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";

/// How often a service that is on its way is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The services that are not active, each with its state. One that is being started is
/// waited for, within the phase's deadline: a machine that boots starts much at once.
pub(super) async fn inactive(work: &HealthWork, cx: &Context<'_>) -> Result<Vec<String>, Problem> {
    let units = &work.wanted.services;
    if units.is_empty() {
        return Ok(Vec::new());
    }
    if !Path::new(BOOTED).is_dir() {
        return Err(Problem::new(
            "health-no-systemd",
            format!("{} cannot be looked for: no systemd runs here", units.join(", ")),
            "take health.services out of the configuration of this machine",
        ));
    }
    let environment = environment(&work.image_path);
    loop {
        let states = ask(units, &environment, cx).await?;
        let starting = states.iter().any(|state| state == "activating");
        // The next answer takes some time too.
        if !starting || Instant::now() + 2 * EVERY >= cx.limit {
            let named = units.iter().zip(&states).filter(|(_, state)| !is_active(state));
            return Ok(named.map(|(unit, state)| format!("{unit} ({state})")).collect());
        }
        tokio::select! {
            () = time::sleep(EVERY) => {}
            () = cx.cancel.wait() => return Err(interrupted()),
        }
    }
}

fn environment(path: &str) -> Environment {
    let set = [("PATH", path), ("LC_ALL", "C")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    Environment { set: set.into(), ..Environment::default() }
}

/// What systemctl itself calls active.
fn is_active(state: &str) -> bool {
    matches!(state, "active" | "reloading" | "refreshing")
}

/// One question for all units; the answer has a word for each, in their order.
async fn ask(
    units: &[String],
    environment: &Environment,
    cx: &Context<'_>,
) -> Result<Vec<String>, Problem> {
    let fault = |why: &str| Err(unchecked("services", why));
    let mut log = match Log::in_memory("systemctl".into()) {
        Ok(log) => log,
        Err(e) => return fault(&e.to_string()),
    };
    let words = ["systemctl", "is-active", "--"].into_iter();
    let what = Invocation {
        argv: words.chain(units.iter().map(String::as_str)).map(OsString::from).collect(),
        cwd: "/".into(),
        environment,
        identity: Identity::Agent,
    };
    let status = match command::run(&what, &mut log, cx).await {
        End::Exited(status) => status,
        End::Cancelled => return Err(interrupted()),
        End::Deadline => {
            return fault(&format!("systemctl: no answer within {}", human(cx.phase_deadline())));
        }
        End::Signaled(signal) => {
            return fault(&format!("systemctl was killed by {}", signals::name(signal)));
        }
        End::NotStarted(e) => return fault(&format!("systemctl cannot be started: {e}")),
    };
    let output = log.output();
    match states(&output, units.len()) {
        Some(states) => Ok(states),
        None => fault(&format!("systemctl ended with status {status}: {}", excerpt(&output))),
    }
}

/// As many lines as units, each one word; anything else is an error message.
fn states(output: &str, units: usize) -> Option<Vec<String>> {
    let lines: Vec<&str> = output.lines().filter(|l| !l.trim().is_empty()).collect();
    let word = |l: &&str| l.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    (lines.len() == units && lines.iter().all(word))
        .then(|| lines.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_one_word_for_each_unit() {
        assert_eq!(states("active\ninactive\n", 2).unwrap(), ["active", "inactive"]);
        assert!(states("active\n", 2).is_none());
        assert!(states("Failed to connect to bus: No such file\n", 1).is_none());
    }
}
