//! Many trials of one kind, side by side, each in a sandbox of its own.

use crate::calls::Point;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs trials `0..count`; each gives its point and what became of it, or nothing where its point
/// was not reached. The first that fails ends the test, after the others that run.
#[track_caller]
pub(crate) fn each(
    count: usize,
    trial: impl Fn(usize) -> Option<(Point, String)> + Sync,
) -> Vec<(Point, String)> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let only = std::env::var("AGENT_CRASH_POINT").ok().and_then(|n| n.parse::<usize>().ok());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= count {
                        return;
                    }
                    if only.is_some_and(|only| only != n) {
                        continue;
                    }
                    if let Some((point, outcome)) = trial(n) {
                        found.lock().unwrap().push((n, point, outcome));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(n, ..)| *n);
    found.into_iter().map(|(_, point, outcome)| (point, outcome)).collect()
}
