//! The boot as a waterfall: which phase and which step took how long, and when.

use super::plain::{Plain, column};
use super::status::state_word;
use crate::config::value::human;
use crate::journal::Status;
use crate::journal::status::PhaseState;
use crate::plan::PhaseName;
use jiff::Timestamp;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Width of the bars, in characters.
const WIDTH: u64 = 40;

/// Draws the phases of a status.
pub struct Timeline<'a>(pub &'a Status);

/// A phase, or below it one of its steps.
struct Row {
    name: String,
    state: PhaseState,
    began: Option<Timestamp>,
    elapsed_ms: Option<u64>,
}

fn rows(status: &Status) -> Vec<Row> {
    let mut rows = Vec::new();
    for phase in &status.phases {
        let name = phase.name.word().to_owned();
        let (state, began, elapsed_ms) = (phase.state, phase.began, phase.elapsed_ms);
        rows.push(Row { name, state, began, elapsed_ms });
        let steps = status.steps.iter().filter(|_| phase.name == PhaseName::Provision);
        rows.extend(steps.map(|step| Row {
            name: format!("  {}", Plain(&step.name)),
            state: step.state,
            began: step.began,
            elapsed_ms: step.elapsed_ms,
        }));
    }
    rows
}

impl Display for Timeline<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(boot) = &self.0.boot else {
            return Ok(());
        };
        let ms_since =
            |t: Timestamp| u64::try_from(t.duration_since(boot.began).as_millis()).unwrap_or(0);
        let rows = rows(self.0);
        let ends =
            rows.iter().filter_map(|p| Some(ms_since(p.began?).saturating_add(p.elapsed_ms?)));
        let total = ends.chain(boot.elapsed_ms).max().unwrap_or(0).max(1);
        let column = column(rows.iter().map(|r| r.name.as_str())).max(12);
        // In 128 bits nothing overflows that a journal can say.
        let part = |ms: u64| {
            u64::try_from(u128::from(ms) * u128::from(WIDTH) / u128::from(total)).unwrap_or(WIDTH)
        };
        for Row { name, state, began, elapsed_ms } in &rows {
            let (Some(began), Some(took)) = (*began, *elapsed_ms) else {
                writeln!(
                    f,
                    "  {name:<column$} |{:width$}| {}",
                    "",
                    state_word(*state),
                    width = WIDTH as usize
                )?;
                continue;
            };
            let from = part(ms_since(began)).min(WIDTH - 1);
            let length = part(took).clamp(1, WIDTH - from);
            let bar = format!("{}{}", " ".repeat(from as usize), "█".repeat(length as usize));
            let took = human(Duration::from_millis(took));
            writeln!(
                f,
                "  {name:<column$} |{bar:<width$}| {took}, {}",
                state_word(*state),
                width = WIDTH as usize
            )?;
        }
        writeln!(
            f,
            "  {:<column$}  {:>width$}",
            "whole boot",
            human(Duration::from_millis(total)),
            width = WIDTH as usize
        )
    }
}
