//! `agent idle` as people read it.

use super::plain::Plain;
use crate::idle::account::minutes;
use crate::idle::{Report, Stand, reason};
use std::fmt::{self, Display, Formatter};

/// Prints a report.
pub struct Text<'a>(pub &'a Report);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        match report.state {
            Stand::Active => writeln!(f, "active")?,
            state => writeln!(f, "{}: {}", state.word(), Plain(&reason(report)))?,
        }
        for used in &report.uses {
            let pid = used.pid.map(|pid| format!("  pid {pid}")).unwrap_or_default();
            writeln!(f, "  {}{pid}", Plain(&used.what))?;
        }
        if let (Some(limit), Stand::Active) = (report.timeout_ms, report.state) {
            let limit = minutes(limit);
            writeln!(
                f,
                "  stops itself once nobody has been here for {limit} ({})",
                report.timeout_from
            )?;
        }
        if let Some(asked) = &report.asked {
            match asked.for_ms {
                0 => writeln!(f, "  asked: no extension any more; the next check takes it")?,
                ms => writeln!(f, "  asked: {} more; the next check takes it", minutes(ms))?,
            }
        }
        match report.checked_ago_ms {
            Some(ms) => writeln!(f, "  last check {} ago", minutes(ms))?,
            None if report.state == Stand::Never => {}
            None => writeln!(
                f,
                "  no check since the start; next: `systemctl status agent-idle.timer`"
            )?,
        }
        match &report.trouble {
            Some(trouble) => writeln!(f, "  problem: {}", Plain(trouble)),
            None => Ok(()),
        }
    }
}
