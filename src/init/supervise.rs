//! While the workload runs: its signals, its stops, and the time that is left to it.
//!
//! What needs no decision is done in the [`quiet`](crate::sys::quiet); this is what wakes it.

use super::Init;
use super::handoff::Stand;
use super::memory_watch::MemoryWatch;
use super::options::Target;
use crate::config::value::human;
use crate::sys::quiet::{Quiet, Route, Woken};
use crate::sys::signals;
use std::time::{Duration, Instant};

/// Exit status of a workload that SIGKILL ended, or should have.
const KILLED: u8 = 128 + 9;

/// How long a killed workload may take to disappear, and how often it is killed.
const KILL_TAKES: Duration = Duration::from_secs(1);
const MAX_KILLS: u32 = 3;

/// What is left of the grace at the second request to stop.
pub(super) const HURRY: Duration = Duration::from_secs(1);

impl Init {
    /// Forwards every signal to the workload until it has ended. TERM also sets the time at
    /// which it will be killed, a second one brings that near; one that doesn't end even then
    /// hangs in the kernel and is given up.
    pub(super) fn supervise(&mut self, pid: i32, stand: &Stand) -> u8 {
        let mut stop = Stopping::default();
        let begun = self.begun.take();
        let mut watch = MemoryWatch::new(begun.and_then(|b| b.kills));
        let mut woken = begun.map(|b| b.woken);
        let quiet = self.quiet(pid, watch.sees());
        loop {
            let wait = stop.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
            let next = match woken.take() {
                Some(woken) => Some(self.answer(woken)),
                // Whoever sends signals without end doesn't put the end off: they are looked at
                // once more, for a workload that has ended meanwhile.
                None if wait.is_some_and(|w| w.is_zero()) => self.last_look(),
                None => self.next(wait, Some(&quiet)),
            };
            match next {
                Some(libc::SIGCHLD) => {
                    if let Some(killed) = self.reaper.take_killed() {
                        watch.tell(killed, pid, self.report);
                    }
                    if let Some(ended) = self.reaper.ended() {
                        if ended.status != 0 {
                            watch.tell_others(self.report);
                        }
                        return ended.status;
                    }
                    if let Some(signal) = self.reaper.take_stopped() {
                        self.follow_stop(pid, signal);
                    }
                }
                Some(signal) if self.route(signal) == Route::Drop => {}
                Some(signal) => self.forward(signal, pid, &mut stop, stand),
                // Disturbed, not over: whoever was stopped or traced and goes on finds its wait
                // interrupted (signal(7)).
                None if stop.kill_at.is_none_or(|at| Instant::now() < at) => {}
                None if stop.kills == MAX_KILLS => return KILLED,
                None => {
                    if stop.kills == 0 {
                        self.report.warn(&format!(
                            "the workload did not end within {} of SIGTERM; killing it",
                            human(stop.asked_for())
                        ));
                    }
                    watch.ours = true;
                    signals::send(-pid, libc::SIGKILL);
                    stop.kills += 1;
                    stop.kill_at = Some(Instant::now() + KILL_TAKES);
                }
            }
        }
    }

    /// The next signal; where children have ended, they are reaped. What `quiet` can do alone it
    /// does, unless a time is set.
    pub(super) fn next(&mut self, wait: Option<Duration>, quiet: Option<&Quiet>) -> Option<i32> {
        let woken = match quiet {
            Some(quiet) if wait.is_none() => Some(quiet.keep()),
            _ => signals::next(wait).map(Woken::Signal),
        };
        woken.map(|woken| self.answer(woken))
    }

    /// What has ended by now, when there is no time left to wait.
    fn last_look(&mut self) -> Option<i32> {
        self.reaper.reap();
        self.reaper.ended().map(|_| libc::SIGCHLD)
    }

    /// The signal that this stands for; where children have ended, they are reaped.
    fn answer(&mut self, woken: Woken) -> i32 {
        match woken {
            Woken::Signal(libc::SIGCHLD) => self.reaper.reap(),
            Woken::Signal(signal) => return signal,
            Woken::Child(child) => {
                self.reaper.take(child);
                self.reaper.reap();
            }
        }
        libc::SIGCHLD
    }

    /// What is done for the workload `pid` without thinking.
    fn quiet(&self, pid: i32, kills: bool) -> Quiet {
        let wakes = self.reaper.wakes(kills);
        Quiet::new(self.receiver(pid), pid, wakes, |signal| match self.route(signal) {
            Route::Send(_) if self.report.names_each() => Route::Wake,
            route => route,
        })
    }

    /// The process, or the group `-pid`, that gets the signals.
    fn receiver(&self, pid: i32) -> i32 {
        if self.options.duties.target == Target::Group { -pid } else { pid }
    }

    /// What becomes of a signal, without regard to the moment.
    fn route(&self, signal: i32) -> Route {
        let duties = &self.options.duties;
        let wakes = self.asks_to_stop(signal) || (signal == libc::SIGCONT && !self.first);
        let suspends = duties.suspends && from_job_control(signal);
        let neighbours = of_the_terminal(signal) && !duties.suspends && !duties.has_rule(signal);
        match duties.rewritten(signal) {
            _ if suspends => Route::Wake,
            Some(_) if wakes => Route::Wake,
            Some(other) if !neighbours => Route::Send(other),
            _ => Route::Drop,
        }
    }

    /// Does this signal begin the grace? TERM does, and what is rewritten to it; not under another
    /// init's name.
    fn asks_to_stop(&self, signal: i32) -> bool {
        let duties = &self.options.duties;
        let term = signal == libc::SIGTERM || duties.rewritten(signal) == Some(libc::SIGTERM);
        term && !duties.drop_in
    }

    fn forward(&mut self, received: i32, pid: i32, stop: &mut Stopping, stand: &Stand) {
        let continued = received == libc::SIGCONT && self.continued(pid);
        let duties = &self.options.duties;
        let sent = duties.rewritten(received);
        if self.report.names_each() {
            let what =
                sent.map_or("dropped".into(), |s| format!("sent on as {}", signals::name(s)));
            self.report.info(&format!("received {}: {what}", signals::name(received)));
        }
        // The terminal stops a whole job, so a whole job goes on.
        let to = if continued && !duties.same_group { -pid } else { self.receiver(pid) };
        if let Some(signal) = sent {
            signals::send(to, signal);
        }
        if self.asks_to_stop(received) {
            self.asked.get_or_insert_with(Instant::now);
            stop.asked(stand.grace);
            // A stopped process takes no TERM before it goes on (signal(7)).
            signals::send(to, libc::SIGCONT);
        }
        // Whoever stopped this process from its terminal waits for it to stop.
        if duties.suspends && from_job_control(received) {
            suspend();
        }
    }
}

/// A stop of the workload that is under way.
#[derive(Default)]
struct Stopping {
    /// When the first request came.
    first: Option<Instant>,
    kill_at: Option<Instant>,
    kills: u32,
}

impl Stopping {
    /// The first request gives the whole grace; another one means that somebody is waiting.
    fn asked(&mut self, grace: Duration) {
        let now = Instant::now();
        match self.kill_at {
            None => {
                self.first = Some(now);
                self.kill_at = Some(now + grace);
            }
            Some(at) => self.kill_at = Some(at.min(now + HURRY)),
        }
    }

    /// How long ago it was asked for, to a tenth of a second.
    fn asked_for(&self) -> Duration {
        let passed = self.first.map_or(Duration::ZERO, |at| at.elapsed()).as_millis();
        Duration::from_millis(u64::try_from(passed / 100 * 100).unwrap_or(u64::MAX))
    }
}

/// Stops this process until somebody sends CONT. The kernel spares PID 1.
fn suspend() {
    if let Ok(me) = i32::try_from(std::process::id()) {
        signals::send(me, libc::SIGSTOP);
    }
}

/// Signals by which a terminal, or a shell for it, stops a job.
fn from_job_control(signal: i32) -> bool {
    signal == libc::SIGTSTP || of_the_terminal(signal)
}

/// Signals that the kernel sends to a whole process group for what one of it did: touching the
/// terminal from the background. They are no more the workload's than the terminal is.
fn of_the_terminal(signal: i32) -> bool {
    matches!(signal, libc::SIGTTIN | libc::SIGTTOU)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::options::{Name, Parsed, parse};
    use crate::init::reap::Reaper;
    use crate::init::report::Report;
    use crate::sys::quiet::Plain;
    use crate::sys::signals::Ignored;
    use nix::sys::signal::SigSet;

    #[test]
    fn what_begins_before_anybody_reads_the_command_line_does_what_that_asks_for() {
        let own = Plain { group: true, stops: true };
        let others = Plain { group: false, stops: false };
        for (name, arguments, duties) in [
            (Name::Agent, ["--no-boot", "--", "true"], own),
            (Name::Tini, ["--", "true", ""], others),
            (Name::Catatonit, ["--", "true", ""], others),
        ] {
            let Parsed::Run(options) = parse(name, arguments.map(Into::into).into()) else {
                panic!("{name:?}")
            };
            let init = Init {
                report: Report::new(false, options.duties.verbosity),
                options,
                mask: SigSet::empty(),
                reaper: Reaper::default(),
                first: true,
                mounts: Vec::new(),
                asked: None,
                ignored: Ignored::default(),
                lent: false,
                begun: None,
            };
            for kills in [false, true] {
                assert_eq!(Quiet::of_early(7, duties, kills), init.quiet(7, kills), "{name:?}");
            }
        }
    }
}
