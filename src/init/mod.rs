//! PID 1: starts the boot, then the workload; reaps, forwards, and stops in order.
//!
//! It is one thread that blocks on nothing but a signal. Everything that can fail for
//! an outside reason (configuration, mounts, network, tools, the user's script) is in
//! the boot, a child; a crash of the boot is an outcome here, not an end.
//!
//! ```text
//!            ┌────────── cancelled ─────────┐
//! start ── boot ── complete/degraded ── workload ── stop ── unmount ── exit
//!            └── failed ── hold ────────────┘         │
//!                      └── exit ──────────────────────┘
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod boot;
pub mod handoff;
mod helper;
mod job;
mod memory_watch;
mod options;
mod program;
pub mod reap;
mod report;
mod stop;
mod supervise;
mod unmount;
mod workload;

use crate::sys::early::{self, Begun};
use crate::sys::signals::Ignored;
use crate::sys::{environ, privilege, signals};
use boot::Booted;
use handoff::Stand;
use nix::sys::signal::SigSet;
pub use options::Name;
#[cfg(fuzzing)]
pub use options::fuzzing;
use options::{Options, Parsed};
use reap::Reaper;
use report::Report;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Exit status of a sandbox whose boot failed.
const BOOT_FAILED: u8 = 1;

/// Exit status where the system refuses what an init cannot do without (EX_OSERR).
const OS_ERROR: u8 = 71;

/// PID 1, or a subreaper: what every part of it needs.
struct Init {
    options: Options,
    report: Report,
    /// The signal mask that children get back.
    mask: SigSet,
    /// What this process was started with ignored, and so is the workload.
    ignored: Ignored,
    reaper: Reaper,
    /// Is this process PID 1 of its namespace?
    first: bool,
    /// Where the boot has mounted something, in that order.
    mounts: Vec<PathBuf>,
    /// When a stop was asked for.
    asked: Option<Instant>,
    /// The terminal's foreground is lent to the workload.
    lent: bool,
    /// The workload, where it runs already.
    begun: Option<Begun>,
}

/// An init, called by `name`: `arguments` are those behind it (and behind the word `init`).
/// Returns the exit status.
pub fn main(name: Name, arguments: Vec<OsString>) -> u8 {
    let options = match options::parse(name, arguments) {
        Parsed::Run(options) => options,
        Parsed::Say(text) => {
            let _ = writeln!(std::io::stdout(), "{text}");
            return 0;
        }
        Parsed::SayAside(text) => {
            let _ = writeln!(std::io::stderr(), "{text}");
            return 0;
        }
        Parsed::Wrong(text, status) => {
            let _ = writeln!(std::io::stderr(), "agent: init: {text}");
            return status;
        }
    };
    let report = Report::new(options.json, options.duties.verbosity);
    let begun = early::begun();
    let signals = begun
        .map_or_else(signals::block_all, |b| Ok(b.mask))
        .and_then(|mask| Ok((mask, signals::hear_of_children()?)));
    match signals {
        Ok((mask, ignored)) => {
            let first = std::process::id() == 1;
            let reaper = Reaper::default();
            let mounts = Vec::new();
            Init {
                options,
                report,
                mask,
                ignored,
                reaper,
                first,
                mounts,
                asked: None,
                lent: false,
                begun,
            }
            .run()
        }
        Err(e) => {
            report.error(&format!("signals cannot be blocked: {e}"));
            OS_ERROR
        }
    }
}

/// What a command line of `agent init` asks for: no boot, and which config file.
/// `arguments` are those behind the word `init`; `None` where they are not understood.
pub fn asked_in(arguments: Vec<OsString>) -> Option<(bool, Option<PathBuf>)> {
    match options::parse(Name::Agent, arguments) {
        Parsed::Run(options) => Some((options.no_boot, options.config)),
        Parsed::Say(_) | Parsed::SayAside(_) | Parsed::Wrong(..) => None,
    }
}

impl Init {
    fn run(mut self) -> u8 {
        let status = self.lead();
        self.unmount();
        status
    }

    /// From the start to the end of all that was started; returns the exit status.
    fn lead(&mut self) -> u8 {
        if let Some(signal) = self.options.duties.parent_death
            && let Err(e) = privilege::at_parent_death(signal)
        {
            self.report.warn(&format!("the parent's end will not be seen: {e}"));
        }
        if !self.first {
            self.become_subreaper();
        }
        if self.options.no_boot {
            let stand = self.options.amend(Stand::default());
            return self.workload(&stand);
        }
        // The user's script leaves this process at once, and for good.
        let payload = environ::take(crate::stub::payload::VARIABLE);
        let (booted, stand) = self.boot(payload);
        let stand = self.options.amend(stand);
        self.report = Report::new(self.options.json || stand.json, self.options.duties.verbosity);
        match booted {
            Booted::Usable => self.workload(&stand),
            Booted::Cancelled(signal) => {
                self.stop_leftovers(&stand);
                reap::of_signal(signal)
            }
            Booted::Failed(reason) if stand.hold && self.asked.is_none() => {
                self.report.error(&reason);
                self.report.info("the workload starts all the same (boot.on_failure = \"hold\"); `agent status` tells more");
                self.workload(&stand)
            }
            Booted::Failed(reason) => {
                self.report.error(&reason);
                report::terminate(&reason);
                self.stop_leftovers(&stand);
                BOOT_FAILED
            }
        }
    }

    fn become_subreaper(&self) {
        match privilege::become_subreaper() {
            Ok(()) if self.options.duties.subreaper => {}
            Ok(()) => self.report.info(&format!(
                "not PID 1 but {}: adopting orphans as a subreaper",
                std::process::id()
            )),
            Err(e) => self.report.warn(&format!(
                "not PID 1, and no subreaper either ({e}): orphans go to the real PID 1"
            )),
        }
    }
}
