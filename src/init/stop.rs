//! The end: TERM to all that is left, a grace, KILL.

use super::Init;
use super::boot::asks_to_stop;
use super::handoff::Stand;
use super::supervise::HURRY;
use crate::sys::{process, signals};
use std::time::{Duration, Instant};

/// How long killed processes may take to disappear.
const KILL_TAKES: Duration = Duration::from_secs(1);

/// How long until they are looked for again.
const KILL_AGAIN: Duration = Duration::from_millis(10);

impl Init {
    /// Ends every process that is left: as PID 1 all of the namespace, as a subreaper all
    /// descendants. What had to be killed is named in one line.
    pub(super) fn stop_leftovers(&mut self, stand: &Stand) {
        if self.none_left() {
            return;
        }
        if !self.first && !process::proc_is_ours() {
            self.report.warn(
                "what is left can't be asked to end: /proc is not this namespace's; next: mount it",
            );
            return;
        }
        self.to_all(libc::SIGTERM);
        // A stopped process takes no TERM before it goes on (signal(7)).
        self.to_all(libc::SIGCONT);
        if self.wait_until_none(stand.leftover_grace) {
            return;
        }
        let names: Vec<String> = self
            .leftovers()
            .into_iter()
            .map(|pid| format!("{} ({pid})", process::name(pid)))
            .collect();
        let gone = self.kill_all();
        let word = if gone { "killed" } else { "still there after SIGKILL" };
        let names = if names.is_empty() { "no names can be seen".into() } else { names.join(", ") };
        self.report.warn(&format!("{word}: {names}"));
    }

    /// Kills until nobody is left: whoever forks and ends all the time is somebody else by the time
    /// that a list of processes has been read.
    fn kill_all(&mut self) -> bool {
        let limit = Instant::now() + KILL_TAKES;
        while Instant::now() < limit {
            self.to_all(libc::SIGKILL);
            if self.wait_until_none(KILL_AGAIN) {
                return true;
            }
        }
        false
    }

    /// Of a /proc that is another namespace's nothing can be told: its numbers are others'.
    fn leftovers(&self) -> Vec<i32> {
        if !process::proc_is_ours() {
            return Vec::new();
        }
        let me = i32::try_from(std::process::id()).unwrap_or(1);
        process::descendants(me)
    }

    fn to_all(&self, signal: i32) {
        if self.first {
            // Every process of the namespace but this one (kill(2)).
            signals::send(-1, signal);
            return;
        }
        for pid in self.leftovers() {
            signals::send(pid, signal);
        }
    }

    fn none_left(&mut self) -> bool {
        self.reaper.reap();
        // Whoever entered the namespace from outside is nobody's child in it.
        if self.first { signals::nobody_else() } else { self.reaper.childless }
    }

    fn wait_until_none(&mut self, grace: Duration) -> bool {
        let mut limit = Instant::now() + grace;
        loop {
            if self.none_left() {
                return true;
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            if signals::next(Some(left)).is_some_and(asks_to_stop) {
                self.asked.get_or_insert_with(Instant::now);
                limit = limit.min(Instant::now() + HURRY);
            }
        }
    }
}
