//! Calling mise: trusting, installing with its retries, listing, and every end that such a
//! call can have.

use super::{Reconcile, problems};
use crate::config::value::human;
use crate::engine::command::{self, End, Invocation, Log};
use crate::engine::{excerpt, retry};
use crate::journal::Problem;
use crate::plan::Command;
use crate::sys::signals;
use crate::tools::output::{Failure, Listed, bin_paths as bin_paths_in, parse_list};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::Instant;
use tokio::time;

/// What mise says of the tools.
pub(super) struct Listing {
    /// What is declared.
    pub(super) tools: Vec<Listed>,
    /// Directories of programs.
    pub(super) bin_paths: Vec<PathBuf>,
}

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
                    let what = install.argv.get(1).map_or("", String::as_str);
                    self.log
                        .say(&format!("mise {what} ended with status {status}, attempt {attempt}"));
                    if attempt >= self.work.attempts || !failure.may_pass() {
                        return Ok(Some(failure));
                    }
                }
            }
            let wait = retry::backoff(attempt + 1, &mut rng);
            if Instant::now() + wait >= self.cx.limit {
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

    /// What mise's configs declare, and where the programs of what is there lie, by `limit`.
    /// `list` is the command that lists the tools.
    pub(super) async fn listing(
        &mut self,
        list: &Command,
        failure: Option<&Failure>,
        limit: Instant,
    ) -> Result<Listing, Problem> {
        if let Some(place) = failure.and_then(|f| f.malformed.as_ref()) {
            return Err(problems::malformed(place, &self.last_words));
        }
        let (status, output) = self.ask(list, limit).await?;
        let tools = match (status, list_in(&output)) {
            (0, Some(tools)) => tools,
            _ => {
                return Err(Problem::new(
                    "mise-list",
                    format!("mise cannot list the tools (status {status})"),
                    format!("run {} and mend what it says", list.argv.join(" ")),
                )
                .evidence(excerpt(&output)));
            }
        };
        let mut bin_paths = list.clone();
        bin_paths.argv.truncate(1);
        bin_paths.argv.push("bin-paths".into());
        let (_, output) = self.ask(&bin_paths, limit).await?;
        Ok(Listing { tools, bin_paths: bin_paths_in(&output) })
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

    /// Runs a command for its output, which the log doesn't keep.
    async fn ask(&self, c: &Command, limit: Instant) -> Result<(i32, String), Problem> {
        let mut log = Log::in_memory(self.log.path.clone()).map_err(|e| problems::no_log(&e))?;
        let command = self.with_variables(c);
        let end = command::run_until(limit, &Invocation::from(&command), &mut log, self.cx).await;
        Ok((self.status(end, c)?, log.output()))
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

/// The list in mise's output. Warnings share the output with it, before and behind, and say
/// what they like: the list begins with a line of its own.
fn list_in(output: &str) -> Option<Vec<Listed>> {
    let starts = output.match_indices('{').map(|(at, _)| at);
    let starts =
        starts.filter(|at| *at == 0 || output.get(..*at).is_some_and(|b| b.ends_with('\n')));
    starts.filter_map(|at| output.get(at..)).find_map(|text| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
        parse_list(&values.next()?.ok()?.to_string()).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_found_among_warnings_that_have_braces_too() {
        let list = r#"{
  "npm:a\u001b[31mred": [{"version": "1", "install_path": "/i/a/1", "installed": true}]
}"#;
        let output = format!("mise WARN a {{ b }}\n{list}\nmise WARN c }} d {{\n");
        assert_eq!(list_in(&output).unwrap().len(), 1);
        assert_eq!(list_in("{}\n").unwrap(), []);
        assert!(list_in("mise ERROR {no list}\n").is_none());
    }
}
