//! `agent logs`.

use super::args::LogsArgs;
use super::print;
use crate::observe;
use crate::support::{self, LogFile};
use crate::views::plain::Plain;
use std::io;
use std::path::{Path, PathBuf};

pub(super) fn main(args: &LogsArgs) -> u8 {
    match &args.bundle {
        Some(file) => bundle(file, args.config.as_ref()),
        None => logs(args),
    }
}

fn logs(args: &LogsArgs) -> u8 {
    let status = observe::status(args.config.as_deref());
    let logs = support::logs(&status);
    if let Some(wanted) = &args.name {
        return match logs.iter().find(|log| is_called(log, wanted)) {
            Some(log) => show(log),
            None => {
                let names: Vec<&str> = logs.iter().map(|log| log.name.as_str()).collect();
                eprintln!(
                    "agent: logs: there is no log {wanted:?}; there are: {}",
                    names.join(", ")
                );
                1
            }
        };
    }
    if let Some(journal) = &status.journal {
        print(&format_args!("{:<24} {}\n", "events of the boots", journal.display()));
    }
    for LogFile { name, path, bytes } in &logs {
        print(&format_args!("{:<24} {} ({bytes} bytes)\n", Plain(name), path.display()));
    }
    print(&format_args!("{:<24} journalctl -b -t agent\n", "lines of the agent"));
    0
}

/// Is it the log of this phase or step?
fn is_called(log: &LogFile, name: &str) -> bool {
    log.name == name || log.name.strip_prefix("step-") == Some(name)
}

fn show(log: &LogFile) -> u8 {
    let copied = crate::sys::files::open_regular(&log.path)
        .and_then(|mut file| io::copy(&mut file, &mut io::stdout().lock()));
    match copied {
        Ok(_) => 0,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(e) => {
            eprintln!("agent: logs: {}: {e}; next: read it as root", log.path.display());
            1
        }
    }
}

fn bundle(file: &Path, config: Option<&PathBuf>) -> u8 {
    match support::bundle(file, config) {
        Ok(bundle) => {
            print(&format_args!(
                "{}: {} files, {} secrets masked; look into it before you send it\n",
                file.display(),
                bundle.files,
                bundle.redacted
            ));
            for unknown in &bundle.reduced {
                eprintln!(
                    "agent: logs: REDUCED: not known, so not to be masked: {unknown}; left out are \
                     logs/, config/, plan.txt, the journal, unit.txt and what programs said; next: \
                     mend it, and bundle again as root to another file"
                );
            }
            for missing in &bundle.missing {
                eprintln!("agent: logs: without {missing}");
            }
            0
        }
        Err(why) => {
            eprintln!("agent: logs: {why}");
            1
        }
    }
}
