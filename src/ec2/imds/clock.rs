//! The time that a session has.

use super::Settings;
use crate::engine::retry::Pace;
use std::thread;
use std::time::{Duration, Instant};

/// The service is a neighbour, and usually what is missing is the machine's own network,
/// which may be there any moment: short waits cost nobody anything.
const PACE: Pace = Pace { first: Duration::from_millis(100), longest: Duration::from_secs(2) };

/// A request with less time than this says more of the deadline than of the service.
const TOO_SHORT: Duration = Duration::from_millis(200);

/// The deadline of a session, and the limit of each request.
pub(super) struct Clock {
    began: Instant,
    total: Duration,
    each: Duration,
    rng: fastrand::Rng,
}

/// The time of one request.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    /// How long it may take.
    pub(super) time: Duration,
    /// It is less than others had, because the deadline is near.
    pub(super) cut_short: bool,
}

impl Clock {
    pub(super) fn start(settings: &Settings) -> Self {
        Self {
            began: Instant::now(),
            total: settings.deadline.0,
            each: settings.request_deadline.0.min(settings.deadline.0),
            rng: fastrand::Rng::new(),
        }
    }

    /// How long it has been running.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn left(&self) -> Duration {
        self.total.saturating_sub(self.began.elapsed())
    }

    /// What the next request has; `None` where it isn't worth its while.
    pub(super) fn allowance(&self) -> Option<Allowance> {
        let left = self.left();
        let least = TOO_SHORT.min(self.each / 2);
        (left >= least)
            .then(|| Allowance { time: self.each.min(left), cut_short: left < self.each })
    }

    /// Waits before attempt `next`. False where no time would be left: then it doesn't wait.
    pub(super) fn pause(&mut self, next: u32) -> bool {
        let wait = PACE.wait(next, &mut self.rng);
        let worth_it = wait + TOO_SHORT.min(self.each / 2) <= self.left();
        if worth_it {
            thread::sleep(wait);
        }
        worth_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Span;

    fn clock(each: u64, total: u64) -> Clock {
        Clock::start(&Settings {
            endpoints: vec![],
            request_deadline: Span(Duration::from_millis(each)),
            deadline: Span(Duration::from_millis(total)),
        })
    }

    #[test]
    fn a_request_never_has_more_than_the_session() {
        let whole = clock(2_000, 60_000).allowance().unwrap();
        assert!(!whole.cut_short && whole.time == Duration::from_secs(2));
        // A deadline shorter than a request's is the limit of the request.
        let short = clock(2_000, 500).allowance().unwrap();
        assert!(short.cut_short && short.time <= Duration::from_millis(500));
    }

    #[test]
    fn nothing_is_begun_that_has_no_time() {
        let mut clock = clock(2_000, 60_000);
        clock.total = Duration::from_millis(150);
        assert!(clock.allowance().is_none());
        assert!(!clock.pause(5), "it waited for nothing");
    }
}
