//! A line with the elapsed time while a phase runs and a person is watching.

use crate::config::value::human;
use crate::plan::PhaseName;
use crate::sys::terminal;
use std::time::{Duration, Instant};
use tokio::time;

/// A phase shorter than this shows no line: it would only flicker.
const FIRST: Duration = Duration::from_millis(400);

/// Awaits `work`; on a terminal, shows the phase and its elapsed time meanwhile.
pub(super) async fn while_watched<T>(phase: PhaseName, work: impl Future<Output = T>) -> T {
    if !terminal::watched() {
        return work.await;
    }
    let began = Instant::now();
    let mut tick = time::interval_at(time::Instant::now() + FIRST, Duration::from_millis(200));
    tokio::pin!(work);
    let mut shown = false;
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                if shown {
                    draw("");
                }
                return done;
            }
            _ = tick.tick() => {
                shown = true;
                draw(&format!("agent: {} … {}", phase.word(), human(began.elapsed())));
            }
        }
    }
}

/// Rewrites the current line (`CR`, erase to its end); a log line that comes between
/// starts at its beginning.
fn draw(text: &str) {
    terminal::say(&format!("\r\x1b[K{text}\r"), Duration::ZERO);
}
