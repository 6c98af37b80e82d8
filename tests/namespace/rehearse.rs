//! `agent try` as a way in: a script, a config, a command.

use crate::util::{Ended, Running, file, fresh, reachable, run, start, unprivileged};
use tempfile::TempDir;

/// A rehearsal that can be started.
pub(crate) struct Rehearsal {
    dir: TempDir,
    arguments: Vec<String>,
}

impl Rehearsal {
    /// Of nothing: the defaults, no script.
    pub(crate) fn new() -> Self {
        Self { dir: fresh(), arguments: vec!["try".into()] }
    }

    /// Of this script.
    pub(crate) fn of(script: impl AsRef<[u8]>) -> Self {
        let mut new = Self::new();
        let path = file(new.dir.path(), "bootstrap.sh", script);
        new.arguments.extend(["--bootstrap".into(), path.display().to_string()]);
        new
    }

    /// With this config.
    pub(crate) fn config(mut self, text: &str) -> Self {
        let path = file(self.dir.path(), "agent.toml", text);
        self.arguments.extend(["--config".into(), path.display().to_string()]);
        self
    }

    /// Runs it; `command` is a shell script that is run in the sandbox after the boot.
    #[track_caller]
    pub(crate) fn then(&self, command: &str) -> Ended {
        run(self.command(&["--", "sh", "-c", command]))
    }

    /// Runs it without a command: its status is the boot's.
    #[track_caller]
    pub(crate) fn alone(&self) -> Ended {
        run(self.command(&[]))
    }

    /// Starts it.
    pub(crate) fn start(&self, command: &str) -> Running {
        start(self.command(&["--", "sh", "-c", command]))
    }

    fn command(&self, more: &[&str]) -> std::process::Command {
        let mut command = unprivileged(reachable(self.dir.path()));
        command.args(&self.arguments).args(more);
        command
    }
}
