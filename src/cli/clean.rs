//! `agent clean`.

use super::args::CleanArgs;
use super::{print, print_json};
use crate::clean::{self, Finding, Report};
use crate::views::plain::Plain;
use std::path::Path;

pub(super) fn main(args: &CleanArgs) -> u8 {
    let root = args.root.as_deref().unwrap_or(Path::new("/"));
    let removes = args.yes && !args.check;
    let done = if removes { clean::clean(root) } else { clean::check(root) };
    let report = match done {
        Ok(report) => report,
        Err(why) => {
            eprintln!("agent: clean: {why}");
            return 1;
        }
    };
    if args.json {
        print_json(&report, "clean: the report");
    } else {
        show(&report, removes);
    }
    if !removes && !args.check {
        eprintln!("agent: clean: nothing is removed without --yes");
        return 1;
    }
    u8::from(!report.left.is_empty())
}

fn show(report: &Report, removes: bool) {
    list("removed", &report.removed);
    list(if removes { "left" } else { "would leak into an image" }, &report.left);
    let (removed, left) = (report.removed.len(), report.left.len());
    match (removes, left) {
        (false, 0) => print(&"nothing here would leak into an image\n"),
        (false, n) => print(&format_args!("{n} things\n")),
        (true, 0) => print(&format_args!("{removed} things removed, nothing left\n")),
        (true, n) => print(&format_args!(
            "{removed} things removed, {n} left: nothing of these is removed unseen; remove what \
             must not be in the image, and look again with `agent clean --check`\n"
        )),
    }
}

fn list(head: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    print(&format_args!("{head}:\n"));
    let width = findings.iter().map(|f| f.kind.len()).max().unwrap_or_default();
    for Finding { kind, path, why, problem, .. } in findings {
        let path = path.display().to_string();
        let what = problem.as_deref().unwrap_or(why);
        print(&format_args!("  {kind:<width$}  {}  ({})\n", Plain(&path), Plain(what)));
    }
}
