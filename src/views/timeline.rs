//! The boot as a waterfall: which phase took how long, and when.

use super::status::state_word;
use crate::config::value::human;
use crate::journal::Status;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Width of the bars, in characters.
const WIDTH: u64 = 40;

/// Draws the phases of a status.
pub struct Timeline<'a>(pub &'a Status);

impl Display for Timeline<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(boot) = &self.0.boot else {
            return Ok(());
        };
        let ms_since = |t: jiff::Timestamp| {
            u64::try_from(t.duration_since(boot.began).as_millis()).unwrap_or(0)
        };
        let ends = self.0.phases.iter().filter_map(|p| Some(ms_since(p.began?) + p.elapsed_ms?));
        let total = ends.chain(boot.elapsed_ms).max().unwrap_or(0).max(1);
        for phase in &self.0.phases {
            let name = phase.name.word();
            let (Some(began), Some(took)) = (phase.began, phase.elapsed_ms) else {
                writeln!(
                    f,
                    "  {name:<12} |{:width$}| {}",
                    "",
                    state_word(phase.state),
                    width = WIDTH as usize
                )?;
                continue;
            };
            let from = (ms_since(began) * WIDTH / total).min(WIDTH - 1);
            let length = (took * WIDTH / total).clamp(1, WIDTH - from);
            let bar = format!("{}{}", " ".repeat(from as usize), "█".repeat(length as usize));
            let took = human(Duration::from_millis(took));
            writeln!(
                f,
                "  {name:<12} |{bar:<width$}| {took}, {}",
                state_word(phase.state),
                width = WIDTH as usize
            )?;
        }
        writeln!(
            f,
            "  {:<12}  {:>width$}",
            "whole boot",
            human(Duration::from_millis(total)),
            width = WIDTH as usize
        )
    }
}
