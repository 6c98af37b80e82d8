//! Calling mise: trusting, installing with its retries, listing, and every end that such a
//! call can have.

use super::{Reconcile, has_content, problems};
use crate::config::value::human;
use crate::engine::command::{self, End, Invocation, Log};
use crate::engine::{excerpt, retry};
use crate::journal::Problem;
use crate::plan::Command;
use crate::sys::signals;
use crate::tools::output::{Failure, Listed, parse_list};
use nix::sys::signal::Signal;
use tokio::time;

impl Reconcile<'_, '_> {
    /// Runs `mise install`, again where only the network failed. `Ok(None)` is its success.
    pub(super) async fn install(&mut self, install: &Command) -> Result<Option<Failure>, Problem> {
        let mut rng = fastrand::Rng::new();
        for attempt in 1.. {
            self.log.mark();
            match self.exec(install).await? {
                0 => return Ok(None),
                status => {
                    let output = self.log.output();
                    let failure = Failure::parse(&output);
                    self.last_words = excerpt(&output);
                    self.log.say(&format!(
                        "mise install ended with status {status}, attempt {attempt}"
                    ));
                    if attempt >= self.work.attempts || !failure.may_pass() {
                        return Ok(Some(failure));
                    }
                }
            }
            let wait = retry::backoff(attempt + 1, &mut rng);
            if std::time::Instant::now() + wait >= self.cx.limit {
                return Err(self.ended(&End::Deadline, install));
            }
            self.report.notes.push(format!("the network failed; attempt {} follows", attempt + 1));
            tokio::select! {
                () = time::sleep(wait) => {}
                () = self.cx.cancel.wait() => return Err(self.ended(&End::Cancelled, install)),
            }
        }
        Ok(None)
    }

    pub(super) async fn list(&mut self, failure: Option<&Failure>) -> Result<Vec<Listed>, Problem> {
        if let Some(place) = failure.and_then(|f| f.malformed.as_ref()) {
            return Err(problems::malformed(place, &self.last_words));
        }
        let mut log = Log::in_memory(self.log.path.clone()).map_err(|e| problems::no_log(&e))?;
        let status = self.exec_into(&self.work.list, &mut log).await?;
        let output = log.output();
        // Warnings share the output with the list; the list is what is between the braces.
        let json = output.find('{').zip(output.rfind('}')).and_then(|(a, b)| output.get(a..=b));
        match (status, json.map(parse_list)) {
            (0, Some(Ok(tools))) => Ok(tools),
            _ => Err(Problem::new(
                "mise-list",
                format!("mise cannot list the tools (status {status})"),
                format!("run {} and mend what it says", self.work.list.argv.join(" ")),
            )
            .evidence(excerpt(&output))),
        }
    }

    /// mise takes an emptied install directory for an installed tool; forced, it installs again.
    pub(super) async fn repair(&mut self, emptied: &[String]) -> Result<Vec<Listed>, Problem> {
        self.report
            .notes
            .push(format!("installed again, for they were damaged: {}", emptied.join(", ")));
        let mut force = self.work.install.clone();
        force.argv.push("--force".into());
        force.argv.extend(emptied.iter().cloned());
        let failure = self.install(&force).await?;
        let mut tools = self.list(failure.as_ref()).await?;
        for listed in &mut tools {
            listed.tool.installed &= has_content(&listed.path);
        }
        Ok(tools)
    }

    pub(super) async fn plain(&mut self, command: &Command) -> Result<(), Problem> {
        self.log.mark();
        match self.exec(command).await? {
            0 => Ok(()),
            status => Err(Problem::new(
                "mise-trust",
                format!("mise cannot trust the user's config (status {status})"),
                format!("run {} and mend what it says", command.argv.join(" ")),
            )
            .evidence(excerpt(&self.log.output()))),
        }
    }

    /// Runs a command to its end and returns its exit status; every other end is a problem.
    pub(super) async fn exec(&mut self, c: &Command) -> Result<i32, Problem> {
        let end =
            command::run(&Invocation::from(&self.with_variables(c)), &mut self.log, self.cx).await;
        self.status(end, c)
    }

    pub(super) async fn exec_into(&self, c: &Command, log: &mut Log) -> Result<i32, Problem> {
        let end = command::run(&Invocation::from(&self.with_variables(c)), log, self.cx).await;
        self.status(end, c)
    }

    fn status(&self, end: End, c: &Command) -> Result<i32, Problem> {
        match end {
            End::Exited(status) => Ok(status),
            other => Err(self.ended(&other, c)),
        }
    }

    fn ended(&self, end: &End, c: &Command) -> Problem {
        let mise = c.argv.first().map_or("mise", String::as_str);
        let what = c.argv.iter().skip(1).take(1).cloned().collect::<String>();
        let again = "run `agent boot`: it takes up where this was cut off";
        match end {
            End::NotStarted(e) if e.kind() == std::io::ErrorKind::NotFound => Problem::new(
                "mise-absent",
                format!("mise is not in this image ({mise})"),
                "add mise to the image, name it in tools.mise, or say tools.enabled = \"off\"",
            ),
            End::NotStarted(e) => Problem::new(
                "mise-not-started",
                format!("{mise} cannot be started: {e}"),
                "check the program's permissions and that it is built for this machine",
            ),
            End::Signaled(signal) => Problem::new(
                "mise-killed",
                format!("mise {what} was killed by {}", signals::name(*signal)),
                again,
            )
            .evidence(match Signal::try_from(*signal) {
                Ok(Signal::SIGKILL) => problems::MEMORY_LIMIT.to_owned(),
                _ => excerpt(&self.log.output()),
            }),
            End::Deadline => Problem::new(
                "tools-deadline",
                format!("mise {what} did not end within the phase's {}", human(self.cx.phase_deadline())),
                "look at the log for what it waits for; raise tools.deadline where the network is slow",
            )
            .evidence(excerpt(&self.log.output())),
            End::Cancelled | End::Exited(_) => Problem::new(
                "tools-interrupted",
                format!("mise {what} was cut off by a request to stop"),
                again,
            ),
        }
    }
}
