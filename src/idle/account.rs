//! How long the machine has been idle: what was known, and what a look adds. Pure.
//!
//! Only time that was watched counts: between two looks that both saw nobody. So the first look
//! that sees nobody begins at zero, a timer that stood still for an hour adds ten minutes at most,
//! a clock that is set adds nothing, and neither does hibernation.

use super::clock::Now;
use super::criteria::{Kind, Use};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// No gap between two looks counts for more: twice the timer's interval.
const LONGEST_GAP: Duration = Duration::from_secs(10 * 60);

/// Away for longer than this, the machine was hibernated; shorter is the clocks' noise.
const HIBERNATED: Duration = Duration::from_secs(60);

/// What is remembered from look to look. All times are of [`Now::up_ms`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Which start of the machine it belongs to.
    pub start: String,
    /// When it was last looked.
    pub looked_ms: u64,
    /// [`Now::away_ms`] at that time.
    pub away_ms: u64,
    /// Did that look see nobody?
    pub nobody: bool,
    /// How long nobody has been seen.
    pub idle_ms: u64,
    /// Until when the machine counts as just started.
    pub grace_until_ms: u64,
    /// Until when somebody asked for; 0 where nobody did.
    #[serde(default)]
    pub extended_until_ms: u64,
    /// Who did.
    #[serde(default)]
    pub extended_by: u32,
    /// The newest boot of the agent that is known of.
    #[serde(default)]
    pub boot: Option<String>,
    /// When this machine was last asked to stop; 0 where it wasn't.
    #[serde(default)]
    pub stopping_ms: u64,
    /// Why it could not be stopped the last time.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// What a look saw of the agent's boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The newest one.
    pub id: Option<String>,
    /// Does it run?
    pub running: bool,
}

impl Account {
    /// The account as it stands at `now`, before a look: of another start nothing holds, and
    /// what hibernation or a boot have given of grace is added.
    #[must_use]
    pub fn at(self, now: &Now, boot: &Boot, grace: Duration) -> Self {
        let grace = ms(grace);
        let same = self.start == now.start && self.looked_ms <= now.up_ms;
        let mut account = match same {
            true => self,
            false => Self {
                start: now.start.clone(),
                looked_ms: now.up_ms,
                away_ms: now.away_ms,
                grace_until_ms: grace,
                boot: boot.id.clone(),
                ..Self::default()
            },
        };
        let resumed = now.away_ms.saturating_sub(account.away_ms) > ms(HIBERNATED);
        let booted = boot.running || (boot.id.is_some() && account.boot != boot.id);
        if resumed || booted {
            account.grace_until_ms = account.grace_until_ms.max(now.up_ms.saturating_add(grace));
        }
        if boot.id.is_some() {
            account.boot.clone_from(&boot.id);
        }
        account
    }

    /// What else counts as use at `now`, beside what was seen among the processes.
    pub fn uses(&self, now: &Now, boot: &Boot) -> Vec<Use> {
        let left = |until: u64| minutes(until.saturating_sub(now.up_ms));
        let plain = |kind, what| Use { kind, what, pid: None };
        let mut uses = Vec::new();
        if boot.running {
            uses.push(plain(Kind::Boot, "the agent boots".to_owned()));
        }
        // A boot that runs pushes its grace before it.
        if now.up_ms < self.grace_until_ms && !boot.running {
            let left = left(self.grace_until_ms);
            uses.push(plain(Kind::Grace, format!("just started, for {left} more")));
        }
        if now.up_ms < self.extended_until_ms {
            let (left, by) = (left(self.extended_until_ms), self.extended_by);
            uses.push(plain(Kind::Extension, format!("extended by user {by}, for {left} more")));
        }
        uses
    }

    /// The account after a look that saw somebody, nobody, or not everything (`None`): what was
    /// not seen is not counted, and nothing is forgotten.
    #[must_use]
    pub fn after(mut self, now: &Now, somebody: Option<bool>) -> Self {
        let gap = now.up_ms.saturating_sub(self.looked_ms).min(ms(LONGEST_GAP));
        match somebody {
            Some(true) => self.idle_ms = 0,
            Some(false) if self.nobody => self.idle_ms = self.idle_ms.saturating_add(gap),
            Some(false) | None => {}
        }
        self.nobody = somebody == Some(false);
        self.looked_ms = now.up_ms;
        self.away_ms = now.away_ms;
        self
    }

    /// Extends until `for_` after `asked`, but no longer than `most` from now.
    #[must_use]
    pub fn extended(
        mut self,
        now: &Now,
        by: u32,
        asked: u64,
        for_: Duration,
        most: Duration,
    ) -> Self {
        let asked = asked.min(now.up_ms);
        let until = asked.saturating_add(ms(for_)).min(now.up_ms.saturating_add(ms(most)));
        (self.extended_until_ms, self.extended_by) = (until, by);
        self
    }
}

/// Whole milliseconds.
pub(super) fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/// `7 min`, or `40 s` where it is less than two minutes.
pub fn minutes(ms: u64) -> String {
    let s = ms.div_ceil(1000);
    match s {
        0..120 => format!("{s} s"),
        _ if s < 2 * 3600 => format!("{} min", s.div_ceil(60)),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const GRACE: Duration = Duration::from_secs(15 * 60);

    fn now(minutes: u64) -> Now {
        Now { start: "this".into(), up_ms: minutes * MINUTE, away_ms: 0 }
    }

    fn ended() -> Boot {
        Boot { id: Some("b1".into()), running: false }
    }

    /// Looks at these minutes, each of which sees somebody or nobody; the idle minutes after.
    fn idle(looks: &[(u64, Option<bool>)]) -> u64 {
        let looked = looks.iter().fold(Account::default(), |account, (minute, somebody)| {
            account.at(&now(*minute), &ended(), GRACE).after(&now(*minute), *somebody)
        });
        looked.idle_ms / MINUTE
    }

    #[test]
    fn idle_time_is_what_lies_between_looks_that_saw_nobody() {
        let (some, none) = (Some(true), Some(false));
        assert_eq!(idle(&[(20, some), (25, none)]), 0, "somebody may have left just now");
        assert_eq!(idle(&[(20, some), (25, none), (30, none), (35, none)]), 10);
        assert_eq!(idle(&[(20, none), (25, none), (30, some)]), 0);
    }

    #[test]
    fn what_nobody_watched_is_not_idle_time() {
        let none = Some(false);
        assert_eq!(idle(&[(20, none), (25, none), (325, none)]), 15, "the timer stood still");
        assert_eq!(idle(&[(20, none), (25, none), (30, None), (35, none)]), 5, "nothing was seen");
        assert_eq!(idle(&[(20, none), (25, none), (30, None), (35, none), (40, none)]), 10);
    }

    #[test]
    fn another_start_begins_anew_with_its_grace() {
        let before = Account {
            start: "other".into(),
            idle_ms: 59 * MINUTE,
            nobody: true,
            extended_until_ms: 900 * MINUTE,
            ..Account::default()
        };
        let account = before.at(&now(2), &ended(), GRACE).after(&now(2), Some(false));
        assert_eq!((account.idle_ms, account.extended_until_ms), (0, 0));
        assert_eq!(account.grace_until_ms, 15 * MINUTE);
        assert_eq!(account.uses(&now(14), &ended())[0].kind, Kind::Grace);
        assert_eq!(account.uses(&now(15), &ended()), []);
    }

    #[test]
    fn a_boot_of_the_agent_is_use_and_gives_its_grace_again_at_its_end() {
        let account = Account::default().at(&now(100), &ended(), GRACE);
        assert_eq!(account.uses(&now(100), &ended()), []);
        let running = Boot { id: Some("b2".into()), running: true };
        let account = account.at(&now(105), &running, GRACE);
        let kinds: Vec<Kind> = account.uses(&now(105), &running).iter().map(|u| u.kind).collect();
        assert_eq!(kinds, [Kind::Boot]);
        assert_eq!(account.grace_until_ms, 120 * MINUTE);
        // One that began and ended between two looks.
        let account = account.after(&now(105), Some(true));
        let third = Boot { id: Some("b3".into()), running: false };
        let account = account.at(&now(130), &third, GRACE);
        assert_eq!(account.grace_until_ms, 145 * MINUTE);
    }

    #[test]
    fn hibernation_is_not_idle_time_and_gives_grace() {
        let account =
            Account::default().at(&now(100), &ended(), GRACE).after(&now(100), Some(false));
        let woken = Now { away_ms: 600 * MINUTE, ..now(101) };
        let account = account.at(&woken, &ended(), GRACE);
        assert_eq!(account.grace_until_ms, 116 * MINUTE);
        let account = account.after(&woken, Some(true));
        let later = Now { away_ms: 600 * MINUTE, ..now(120) };
        assert_eq!(account.at(&later, &ended(), GRACE).uses(&later, &ended()), [], "only once");
    }

    #[test]
    fn an_extension_has_a_bound_from_now_whatever_is_asked() {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        let extended = |asked: u64, for_: Duration| {
            Account::default().extended(&now(100), 1000, asked, for_, hours(24)).extended_until_ms
                / MINUTE
        };
        assert_eq!(extended(100 * MINUTE, hours(2)), 220);
        assert_eq!(extended(40 * MINUTE, hours(2)), 160, "from when it was asked");
        assert_eq!(extended(u64::MAX, hours(2)), 220, "not from the future");
        assert_eq!(extended(100 * MINUTE, Duration::MAX), 100 + 24 * 60);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(minutes(0), "0 s");
        assert_eq!(minutes(119_000), "119 s");
        assert_eq!(minutes(120_001), "3 min");
        assert_eq!(minutes(2 * 3_600_000 + 300_000), "2 h 5 min");
    }
}
