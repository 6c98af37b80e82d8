//! How an init stands to its child, whoever's command line said so.

use super::signal;
use nix::sys::signal::Signal;

/// The duties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::init) struct Duties {
    /// Who gets a signal.
    pub(in crate::init) target: Target,
    /// Signals that become another one (0: none) on their way: (received, sent).
    pub(in crate::init) rewrite: Vec<(i32, i32)>,
    /// What the kernel sends this process when its parent ends (`PR_SET_PDEATHSIG`).
    pub(in crate::init) parent_death: Option<Signal>,
    /// Adopt orphans also where this isn't PID 1, and say nothing of it.
    pub(in crate::init) subreaper: bool,
    /// Exit statuses of the child that count as 0.
    pub(in crate::init) success: Vec<u8>,
    /// Say which processes are reaped that aren't the child.
    pub(in crate::init) tell_reaped: bool,
    /// How much is said.
    pub(in crate::init) verbosity: Verbosity,
    /// The child leads a session of its own, with the terminal as its controlling one.
    pub(in crate::init) session: bool,
    /// The child stays in the process group of this process.
    pub(in crate::init) same_group: bool,
    /// Whoever stops this process from a terminal stops it itself, and not only the child
    /// (SIGTSTP, SIGTTIN, SIGTTOU); a stop of the child alone is then the child's business.
    pub(in crate::init) suspends: bool,
    /// Called by another init's name, and as patient as that one: the child may take as long as it
    /// wants to end (whoever stops this process kills it), and where this isn't PID 1, what the
    /// child leaves behind goes on.
    pub(in crate::init) drop_in: bool,
    /// Run nothing: reap until a signal asks to end.
    pub(in crate::init) pause: bool,
    /// Exit status where the child can't be executed; `None`: 126 and 127, as shells say.
    pub(in crate::init) cannot_execute: Option<u8>,
}

/// Who gets a signal that this process received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::init) enum Target {
    /// The child's whole process group.
    #[default]
    Group,
    /// The child alone.
    Child,
}

/// How much is said, beyond what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::init) struct Verbosity(pub(in crate::init) u8);

impl Verbosity {
    /// Only what ends it.
    pub(in crate::init) const ERRORS: Self = Self(0);
    /// And warnings.
    pub(in crate::init) const WARNINGS: Self = Self(1);
    /// And what it does.
    pub(in crate::init) const INFO: Self = Self(2);
    /// And each signal and each child.
    pub(in crate::init) const EACH: Self = Self(3);
}

impl Default for Verbosity {
    fn default() -> Self {
        Self::INFO
    }
}

impl Duties {
    /// What is sent for the received signal; `None` where it is dropped.
    pub(in crate::init) fn rewritten(&self, received: i32) -> Option<i32> {
        let found = self.rewrite.iter().rev().find(|(from, _)| *from == received);
        let sent = found.map_or(received, |(_, to)| *to);
        (sent != 0).then_some(sent)
    }

    /// Did somebody say what becomes of this signal?
    pub(in crate::init) fn has_rule(&self, received: i32) -> bool {
        self.rewrite.iter().any(|(from, _)| *from == received)
    }

    /// The status that is told for the child's.
    pub(in crate::init) fn status(&self, of_child: u8) -> u8 {
        if self.success.contains(&of_child) { 0 } else { of_child }
    }

    /// Adds a rewriting rule `FROM:TO`, numbers or names; TO 0 drops the signal.
    pub(super) fn add_rewrite(&mut self, rule: &str) -> Result<(), String> {
        let wrong = || {
            format!(
                "{rule:?} is no rule FROM:TO of two signals, such as 15:3 or TERM:QUIT; TO 0 drops FROM"
            )
        };
        let (from, to) = rule.split_once(':').ok_or_else(wrong)?;
        let from = signal::number(from).ok_or_else(wrong)?;
        let to = if to == "0" { 0 } else { signal::number(to).ok_or_else(wrong)? };
        self.rewrite.push((from, to));
        Ok(())
    }

    /// Sets the signal at the parent's death by its name or number.
    pub(super) fn set_parent_death(&mut self, text: &str) -> Result<(), String> {
        let found = signal::number(text).and_then(|n| Signal::try_from(n).ok());
        self.parent_death = Some(found.ok_or_else(|| signal::unknown(text))?);
        Ok(())
    }

    /// Counts one more exit status as success.
    pub(super) fn add_success(&mut self, text: &str) -> Result<(), String> {
        let status: u8 = text
            .trim_start()
            .parse()
            .map_err(|_| format!("{text:?} is no exit status, 0 to 255"))?;
        self.success.push(status);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_for_a_signal_holds_and_rules_do_not_chain() {
        let mut duties = Duties::default();
        for rule in ["15:3", "TERM:2", "2:10", "SIGHUP:0"] {
            duties.add_rewrite(rule).unwrap();
        }
        assert_eq!(duties.rewritten(15), Some(2));
        assert_eq!(duties.rewritten(2), Some(10));
        assert_eq!(duties.rewritten(1), None);
        assert_eq!(duties.rewritten(10), Some(10));
        for rule in ["15", "15:", ":3", "0:3", "99:1", "15:3:1", "TERM:NONSENSE"] {
            assert!(duties.add_rewrite(rule).is_err(), "{rule}");
        }
    }

    #[test]
    fn a_status_that_counts_as_success_is_0() {
        let mut duties = Duties::default();
        duties.add_success("143").unwrap();
        assert_eq!((duties.status(143), duties.status(1), duties.status(0)), (0, 1, 0));
        for text in ["256", "-1", "x", ""] {
            assert!(duties.add_success(text).is_err(), "{text}");
        }
    }
}
