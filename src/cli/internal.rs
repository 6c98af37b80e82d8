//! What the agent runs of itself; no interface for anybody else.

use super::args::InternalCommand;
use super::print;
use crate::engine::settle_helper;
use crate::journal::State;
use crate::phases::{guest, health, metadata, tools, volume};
use crate::views::status::Text;
use crate::views::timeline::Timeline;
use crate::{boot, observe, rehearsal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;

/// How much of the script's output a rehearsal shows, in lines.
const SHOWN_LINES: usize = 40;

pub(super) fn main(command: InternalCommand) -> u8 {
    match command {
        InternalCommand::Settle => answer(settle_helper),
        InternalCommand::Metadata => answer(metadata::helper),
        InternalCommand::AuthorizedKeys => answer(guest::authorized_keys_helper),
        InternalCommand::Volume => answer(volume::helper),
        InternalCommand::Mount => answer(volume::mount_helper),
        InternalCommand::Health => answer(health::helper),
        InternalCommand::Storage => answer(volume::storage_helper),
        InternalCommand::Home => answer(volume::home_helper),
        InternalCommand::ImageConfig => answer(tools::image_config_helper),
        InternalCommand::Tools => answer(tools::helper),
        InternalCommand::Policy => answer(crate::tools::policy::trial::helper),
        InternalCommand::ToolsLinks => answer(tools::links_helper),
        InternalCommand::ToolsAside => answer(tools::aside_helper),
        InternalCommand::ToolsVerify => answer(tools::verify_helper),
        InternalCommand::Recover { by, unstarted, config } => {
            let death = if unstarted { boot::Death::NotStarted(by) } else { boot::Death::By(by) };
            boot::recover(config.as_ref(), &death);
            0
        }
        InternalCommand::Unmount { targets } => u8::from(!volume::unmount(&targets)),
        InternalCommand::Rehearse { descriptor } => {
            eprintln!("agent: try: {}", rehearsal::play(descriptor));
            69
        }
        InternalCommand::Report { command } => report(&command),
    }
}

/// JSON on standard input, JSON on standard output.
fn answer<I: DeserializeOwned, O: Serialize>(work: impl Fn(&I) -> O) -> u8 {
    let mut input = Vec::new();
    let answered = io::stdin()
        .lock()
        .take(1 << 20)
        .read_to_end(&mut input)
        .and_then(|_| Ok(serde_json::from_slice(&input)?))
        .and_then(|request| Ok(serde_json::to_writer(io::stdout().lock(), &work(&request))?));
    u8::from(answered.is_err())
}

/// The workload of a rehearsal. The script's log ends with the rehearsal, so its end is
/// shown here, to the person who wrote the script.
fn report(command: &[OsString]) -> u8 {
    let status = observe::status(None);
    let output = status.boot.as_ref().map(|b| last_lines(&b.logs.join("user-script.log")));
    let output = output.filter(|o| !o.is_empty()).map(|o| format!("\nthe script's output:\n{o}"));
    let output = output.unwrap_or_default();
    let again = match status.state {
        State::Complete => "",
        _ => "\nthis was a rehearsal: mend what is named above, and run `agent try` again\n",
    };
    let text = format!("{output}\n{}\n{}{again}", Text(&status), Timeline(&status));
    let Some((program, arguments)) = command.split_first() else {
        print(&text);
        return status.state.exit_code();
    };
    eprint!("{text}");
    let e = std::process::Command::new(program).args(arguments).exec();
    eprintln!("agent: {}: {e}", program.display());
    if e.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

/// The end of a log, indented.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(SHOWN_LINES);
    lines.iter().skip(skipped).map(|line| format!("  | {line}\n")).collect()
}
