//! What became of each point: a line a point, and a summary.

use crate::calls::Point;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The outcomes of one test, by point.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<(String, String)>,
}

impl Table {
    pub(crate) fn of(found: Vec<(Point, String)>) -> Self {
        assert!(!found.is_empty(), "no point was reached");
        Self { lines: found.into_iter().map(|(p, outcome)| (p.to_string(), outcome)).collect() }
    }

    /// Where it is kept: `target/crash/NAME.txt`.
    pub(crate) fn keep(&self, name: &str) {
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        let mut text = String::new();
        for (number, (point, outcome)) in self.lines.iter().enumerate() {
            _ = writeln!(text, "{number:4}  {outcome:40}  {point}");
            *counted.entry(outcome).or_default() += 1;
        }
        let mut head = format!("{name}: {} points\n", self.lines.len());
        for (outcome, times) in counted {
            _ = writeln!(head, "  {times:4}  {outcome}");
        }
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/crash");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{name}.summary")), &head).unwrap();
        fs::write(directory.join(format!("{name}.txt")), format!("{head}\n{text}")).unwrap();
    }
}
