//! Programs that a duty runs as root, and what is said of them.

use crate::engine::command::End;
use crate::engine::{Context, excerpt};
use crate::journal::Problem;
use crate::phases::roots::{self, Ran};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Runs programs for one duty, and keeps a log of them.
pub(super) struct Tools<'a, 'b> {
    cx: &'a Context<'b>,
    log: File,
    path: PathBuf,
}

impl<'a, 'b> Tools<'a, 'b> {
    /// Opens the log of the running phase, root's alone.
    pub(super) fn open(cx: &'a Context<'b>) -> Result<Self, Problem> {
        let opened = cx.open_log_of(cx.phase.word(), None);
        let (log, path) = opened.map_err(|e| {
            Problem::new(
                "log-unwritable",
                format!("the log of the phase {} cannot be opened: {e}", cx.phase.word()),
                "make room in the state directory",
            )
        })?;
        Ok(Self { cx, log, path })
    }

    /// Runs a program to its end by itself; any other end is a problem.
    pub(super) async fn run(&self, argv: &[&str]) -> Result<Ran, Problem> {
        let name = argv.first().copied().unwrap_or_default();
        let Some(program) = roots::program(name) else {
            return Err(roots::absent("guest-program-absent", name));
        };
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let log = (&self.log, self.path.as_path());
        let ran = roots::execute(program, &argv, log, self.cx.limit, self.cx).await;
        let (end, output) =
            ran.map_err(|e| self.no_end(name, &format!("cannot be run: {e}"), ""))?;
        match end {
            End::Exited(status) => Ok(Ran { status, output }),
            other => Err(self.no_end(name, &roots::word(&other), &output)),
        }
    }

    /// The same where only success will do.
    pub(super) async fn must(
        &self,
        argv: &[&str],
        code: &str,
        what: &str,
        next: &str,
    ) -> Result<(), Problem> {
        let ran = self.run(argv).await?;
        if ran.status == 0 {
            return Ok(());
        }
        let name = argv.first().copied().unwrap_or_default();
        let message = format!("{what}: {name} ended with status {}", ran.status);
        Err(self.quoting(Problem::new(code, message, next), &ran.output))
    }

    /// With the program's last words, and where the rest is.
    pub(super) fn quoting(&self, problem: Problem, output: &str) -> Problem {
        problem.evidence(excerpt(output)).log(self.path.clone())
    }

    fn no_end(&self, name: &str, how: &str, output: &str) -> Problem {
        let problem = Problem::new(
            "guest-program",
            format!("{name} for the phase {}: {how}", self.cx.phase.word()),
            "see the log, and the kernel's (journalctl -k); then run `agent boot`",
        );
        self.quoting(problem, output)
    }

    /// Tells systemd something that nothing hangs on, without waiting for it: a job may be
    /// waiting for this very boot.
    pub(super) async fn tell_systemd(&self, arguments: &[&str]) {
        if Path::new("/run/systemd/system").is_dir() && roots::there("systemctl") {
            let argv = [&["systemctl", "--no-block"], arguments].concat();
            let _ = self.run(&argv).await;
        }
    }
}
