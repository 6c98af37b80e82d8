//! Tools: what the image's and the user's mise configs declare is there, or is named
//! as missing with mise's own reason.

use super::mise::{Failure, Listed, is_network, is_no_space, parse_list};
use crate::engine::command::{self, End, Invocation, Log};
use crate::engine::{Context, Report, redact, retry};
use crate::journal::Problem;
use crate::plan::{Command, ToolsWork};
use crate::sys::signals;
use std::path::Path;
use tokio::time;

/// The most of an error that is quoted, in characters.
const EXCERPT: usize = 400;

/// Reconciles the tools.
pub async fn run(work: &ToolsWork, cx: &Context<'_>) -> Report {
    let (file, path) = match cx.open_log("tools") {
        Ok(log) => log,
        Err(e) => return Report::failed(no_log(&e)),
    };
    let mut phase = Reconcile {
        work,
        cx,
        log: Log::new(file, path),
        last_words: String::new(),
        report: Report::default(),
    };
    phase.run().await;
    phase.report
}

fn no_log(e: &std::io::Error) -> Problem {
    Problem::new(
        "log-unwritable",
        format!("the log of the tools phase cannot be opened: {e}"),
        "make room in the state directory",
    )
}

struct Reconcile<'a, 'b> {
    work: &'a ToolsWork,
    cx: &'a Context<'b>,
    log: Log,
    /// The end of the output of the last install that failed.
    last_words: String,
    report: Report,
}

impl Reconcile<'_, '_> {
    async fn run(&mut self) {
        if let Some(trust) = &self.work.trust
            && let Err(problem) = self.plain(trust).await
        {
            return self.problem(problem);
        }
        let failure = match self.install(&self.work.install).await {
            Ok(failure) => failure,
            Err(problem) => return self.problem(problem),
        };
        let mut tools = match self.list(failure.as_ref()).await {
            Ok(tools) => tools,
            Err(problem) => return self.problem(problem),
        };
        let emptied: Vec<String> = tools
            .iter()
            .filter(|t| t.tool.installed && !has_content(&t.path))
            .map(|t| format!("{}@{}", t.tool.name, t.tool.version))
            .collect();
        if !emptied.is_empty() {
            tools = match self.repair(&emptied).await {
                Ok(tools) => tools,
                Err(problem) => return self.problem(problem),
            };
        }
        self.judge(&tools, failure);
    }

    fn problem(&mut self, problem: Problem) {
        let problem = Problem {
            log: Some(self.log.path.clone()),
            evidence: problem.evidence.map(|e| redact::redact_own(&e)),
            ..problem
        };
        self.report.problems.push((self.work.on_failure, problem));
    }

    /// Runs `mise install`, again where only the network failed. `Ok(None)` is its success.
    async fn install(&mut self, install: &Command) -> Result<Option<Failure>, Problem> {
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
                    if attempt >= self.work.attempts || !failure.looks_like_network() {
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

    async fn list(&mut self, failure: Option<&Failure>) -> Result<Vec<Listed>, Problem> {
        if let Some(place) = failure.and_then(|f| f.malformed.as_ref()) {
            return Err(malformed(place));
        }
        self.log.mark();
        let status = self.exec(&self.work.list).await?;
        let output = self.log.output();
        // Warnings share the log with the list; the list is what is between the braces.
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
    async fn repair(&mut self, emptied: &[String]) -> Result<Vec<Listed>, Problem> {
        self.report
            .notes
            .push(format!("installed again, the directory was empty: {}", emptied.join(", ")));
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

    fn judge(&mut self, tools: &[Listed], failure: Option<Failure>) {
        let failed = failure.is_some();
        let failure = failure.unwrap_or_default();
        for (name, reason) in &failure.tools {
            self.problem(not_installed(name, reason));
        }
        for error in &failure.other {
            self.problem(other_error(error));
        }
        let named = |listed: &Listed| {
            failure.tools.iter().any(|(n, _)| n.starts_with(&format!("{}@", listed.tool.name)))
        };
        for listed in tools.iter().filter(|t| !t.tool.installed) {
            if !named(listed) {
                self.problem(Problem::new(
                    "tool-not-installed",
                    format!("{}@{} is not installed", listed.tool.name, listed.tool.version),
                    "see the log for mise's reason, then run `agent boot`",
                ));
            }
        }
        if failed && self.report.problems.is_empty() {
            self.problem(
                Problem::new(
                    "mise-failed",
                    "mise install failed",
                    "read the log of the tools phase",
                )
                .evidence(self.last_words.clone()),
            );
        }
        self.report.tools = tools.iter().map(|l| l.tool.clone()).collect();
        let installed = tools.iter().filter(|t| t.tool.installed).count();
        self.report.notes.push(format!("{installed} of {} tools are installed", tools.len()));
    }

    async fn plain(&mut self, command: &Command) -> Result<(), Problem> {
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
    async fn exec(&mut self, c: &Command) -> Result<i32, Problem> {
        match command::run(&Invocation::from(c), &mut self.log, self.cx).await {
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
            .evidence("SIGKILL without an operator is most often the memory limit"),
            End::Deadline => Problem::new(
                "tools-deadline",
                format!("mise {what} did not end within the phase's deadline"),
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

/// A tool that mise named, with the next step that its reason calls for.
fn not_installed(name: &str, reason: &str) -> Problem {
    let (code, next) = if is_no_space(reason) {
        ("tool-no-space", "make room on the volume, then run `agent boot`".to_owned())
    } else if is_network(reason) {
        (
            "tool-network",
            "check network, DNS and proxy of the sandbox, then run `agent boot`".to_owned(),
        )
    } else if reason.contains("disabled by disable_backends") {
        (
            "tool-backend-denied",
            format!("remove {name} from the mise config: its backend is not allowed here"),
        )
    } else if reason.contains("not in the lockfile") {
        (
            "tool-not-locked",
            "update the lockfile beside the config (`mise lock`), or unset MISE_LOCKED".to_owned(),
        )
    } else {
        (
            "tool-not-installed",
            "correct its entry in the mise config, then run `agent boot`".to_owned(),
        )
    };
    Problem::new(code, format!("{name} is not installed"), next).evidence(excerpt(reason))
}

/// An error that mise attributes to no tool.
fn other_error(error: &str) -> Problem {
    let (code, next) = if error.contains("failed to update lockfiles") {
        ("lock-stale", "update the image's lockfile when the image is built (`mise lock`)")
    } else if is_no_space(error) {
        ("tool-no-space", "make room on the volume, then run `agent boot`")
    } else {
        ("mise-error", "correct the mise config, then run `agent boot`")
    };
    Problem::new(code, "mise reports an error", next).evidence(excerpt(error))
}

fn malformed(place: &str) -> Problem {
    Problem::new(
        "mise-config-malformed",
        format!(
            "{place} is not valid TOML; until it is mended every mise tool refuses to start, the image's too"
        ),
        format!("edit {}", place.split(':').next().unwrap_or(place)),
    )
}

fn has_content(path: &Path) -> bool {
    path.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

/// The end of a text, where the reason stands, within bounds.
fn excerpt(text: &str) -> String {
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(EXCERPT);
    let tail: String = text.chars().skip(skip).filter(|c| !c.is_control() || *c == '\n').collect();
    if skip > 0 { format!("…{tail}") } else { tail }
}
