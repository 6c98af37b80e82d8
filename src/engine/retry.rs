//! How long to wait before trying again.

use std::time::Duration;

/// How waits grow.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first wait.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

/// For what is far away, and asked by many.
const REMOTE: Pace = Pace { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// The wait of a remote request before attempt `next`.
pub fn backoff(next: u32, rng: &mut fastrand::Rng) -> Duration {
    REMOTE.wait(next, rng)
}

impl Pace {
    /// The wait before attempt `next` (2 is the first repetition): doubling, capped, and
    /// anywhere between half and the whole of it, so that many sandboxes that lost the
    /// network together don't come back together.
    pub fn wait(self, next: u32, rng: &mut fastrand::Rng) -> Duration {
        let doublings = next.saturating_sub(2).min(16);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(0.5 + rng.f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap_and_differ() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (next, whole) in [(2, 1.0), (3, 2.0), (4, 4.0), (9, 30.0), (u32::MAX, 30.0)] {
            let seconds = backoff(next, &mut rng).as_secs_f64();
            assert!(seconds >= whole / 2.0 && seconds <= whole, "{next}: {seconds}");
        }
        assert_ne!(backoff(4, &mut rng), backoff(4, &mut rng));
    }
}
