//! `runcmd`, as root: one shell runs all of them, as in cloud-init, so that `cd` and variables
//! hold for those that follow, and one that fails doesn't keep the next from running.
//!
//! How the shell ends decides, and that is its last command's end. One that failed before is
//! told, and degrades the boot: cloud-init passes over it in silence.

use super::super::program::{self, RunAs};
use super::ends;
use super::sections::{Section, Sections, done};
use crate::config::value::{OnFailure, Retry};
use crate::engine::command::Log;
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::journal::event::ScriptEnd;
use crate::journal::ledger::PastStep;
use crate::plan::UserDataWork;
use crate::stub::payload::sha256;
use crate::stub::told::RunCommand;
use std::fs;

/// What to do about commands that ended badly.
const AGAIN: &str = "read its log, mend the commands and launch again; or run them again here with `agent boot --again`";

/// The file beside the script in which it notes what failed.
const FAILED: &str = "failed";

/// Runs the commands.
pub(super) async fn run(
    commands: &[RunCommand],
    work: &UserDataWork,
    sections: &Sections,
    report: &mut Report,
    cx: &Context<'_>,
) -> Result<(), Problem> {
    if commands.is_empty() || cx.cancel.requested().is_some() {
        return Ok(());
    }
    let each: Vec<String> = commands.iter().map(|c| c.shell.sha256() + "\n").collect();
    let each = sha256(each.concat());
    let section = sections.section("runcmd", each.clone());
    // That some of it failed, although its end was good.
    let partly = sections.section("runcmd-parts", each);
    match section.past() {
        PastStep::Ended(end, at) if end.good() => {
            report.notes.push(done("runcmd", at));
            if !matches!(partly.recorded(), PastStep::None | PastStep::Ended(ScriptEnd::Exit(0), _))
            {
                let message = "a command of runcmd failed on this instance; it is not repeated";
                let log = cx.place.path.join("logs/runcmd.log");
                let problem = Problem::new("runcmd-partly-failed", message, AGAIN).log(log);
                report.problems.push((OnFailure::Degrade, problem));
            }
            return Ok(());
        }
        PastStep::Ended(end, at) if !work.again && work.retry == Retry::Never => {
            let at = at.strftime("%F %T UTC");
            let how = match end {
                ScriptEnd::Exit(status) => format!("ended with status {status}"),
                ScriptEnd::Deadline(_) => "did not end in time".to_owned(),
                ScriptEnd::NotStarted(_) => "could not be started".to_owned(),
            };
            let message = format!("runcmd {how} on this instance, at {at}; it is not repeated");
            let log = cx.place.path.join("logs/runcmd.log");
            return Err(Problem::new("runcmd-failed-before", message, AGAIN).log(log));
        }
        PastStep::Ended(..) => report.notes.push("runcmd ended badly here; repeating".into()),
        PastStep::CutOff => report.notes.push("runcmd was cut off here; repeating".into()),
        PastStep::None => {}
    }
    let (file, path) = cx.open_log_of("runcmd", None).map_err(|e| ends::no_log("runcmd", &e))?;
    let log = Log::new(file, path);
    begun(commands, work, (&section, &partly), log, report, cx).await
}

async fn begun(
    commands: &[RunCommand],
    work: &UserDataWork,
    (section, partly): (&Section<'_>, &Section<'_>),
    mut log: Log,
    report: &mut Report,
    cx: &Context<'_>,
) -> Result<(), Problem> {
    let ready = program::ready(&script(commands), RunAs::Root, &log, cx);
    let ready = ready.map_err(|unready| {
        let p = unready.problem();
        let message = p.message.replace("the user script", "runcmd");
        Problem { message: message.replace("the script", "runcmd"), ..p }
    })?;
    section.begin()?;
    let end = ready.run(&work.environment, &mut log, cx).await;
    let noted = fs::read_to_string(ready.directory().join(FAILED)).unwrap_or_default();
    let failed = failed(&noted, commands);
    let recorded = end.record(cx.phase_deadline());
    if recorded.is_some_and(ScriptEnd::good) {
        report.problems.extend(cx.settle("runcmd").await);
    }
    // First: a run of which only the end is known would pass for one that ended well in all.
    if !failed.is_empty() || !matches!(partly.recorded(), PastStep::None) {
        partly.begin()?;
        partly.end(Some(ScriptEnd::Exit(i32::from(!failed.is_empty()))))?;
    }
    section.end(recorded)?;
    let next = match work.retry {
        Retry::Never => AGAIN,
        Retry::NextBoot => "mend the commands; the next boot runs them again (bootstrap.retry)",
    };
    if let Some(problem) = ends::problem(&end, "runcmd", "runcmd", next, &log, cx) {
        return Err(problem.evidence(failed.join("; ")));
    }
    match failed.as_slice() {
        [] => report.notes.push(match commands.len() {
            1 => "runcmd: 1 command ended well".into(),
            n => format!("runcmd: {n} commands ended well"),
        }),
        some => {
            let message = format!("runcmd ended well, but not all of it: {}", some.join("; "));
            let next = "read its log; write `|| true` behind a command that may fail";
            let problem = Problem::new("runcmd-partly-failed", message, next).log(&log.path);
            report.problems.push((OnFailure::Degrade, problem));
        }
    }
    Ok(())
}

/// The script: the commands as they are, and behind each a line that notes its failure.
fn script(commands: &[RunCommand]) -> Vec<u8> {
    let mut text = b"#!/bin/sh\n".to_vec();
    for (number, command) in (1..).zip(commands) {
        text.extend_from_slice(command.shell.bytes());
        let note = format!(
            "\nagent_status=$?; [ \"$agent_status\" = 0 ] || echo {number} \"$agent_status\" >>\"${{0%/*}}/{FAILED}\"\n"
        );
        text.extend_from_slice(note.as_bytes());
    }
    text.extend_from_slice(b"exit \"$agent_status\"\n");
    text
}

/// What failed, in words. The file may hold anything: the commands could write to it.
fn failed(noted: &str, commands: &[RunCommand]) -> Vec<String> {
    let each = noted.lines().take(commands.len()).filter_map(|line| {
        let (number, status) = line.split_once(' ')?;
        let number: usize = number.parse().ok()?;
        let status: u8 = status.parse().ok()?;
        let line = commands.get(number.checked_sub(1)?)?.line;
        Some(format!("command {number} (line {line}) ended with status {status}"))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::payload::Script;
    use std::process::Command;

    fn commands(texts: &[&str]) -> Vec<RunCommand> {
        let shell = |text: &&str| Script::verbatim(text.as_bytes().to_vec()).unwrap();
        (3..).zip(texts).map(|(line, t)| RunCommand { shell: shell(t), line }).collect()
    }

    /// Runs them; the status and what failed.
    fn run(texts: &[&str]) -> (i32, Vec<String>, String) {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("script");
        let commands = commands(texts);
        fs::write(&path, script(&commands)).unwrap();
        let out = Command::new("sh").arg(&path).output().unwrap();
        let noted = fs::read_to_string(tmp.path().join(FAILED)).unwrap_or_default();
        let said = String::from_utf8(out.stdout).unwrap();
        (out.status.code().unwrap(), failed(&noted, &commands), said)
    }

    #[test]
    fn one_shell_runs_all_of_them_and_the_last_one_decides() {
        assert_eq!(run(&["cd /", "X=1", "echo $PWD $X"]), (0, vec![], "/ 1\n".into()));
        let (status, failed, said) = run(&["false", "(exit 7) # why", "echo on"]);
        assert_eq!((status, said.as_str()), (0, "on\n"));
        assert_eq!(
            failed,
            ["command 1 (line 3) ended with status 1", "command 2 (line 4) ended with status 7"]
        );
        assert_eq!(run(&["echo a", "exit 3", "echo b"]), (3, vec![], "a\n".into()));
        assert_eq!(run(&["set -e", "false", "echo b"]).0, 1);
        assert_eq!(run(&["true", "false"]).0, 1);
        assert_eq!(run(&["if true; then", "echo in", "fi", "echo x\necho y"]).2, "in\nx\ny\n");
    }

    #[test]
    fn what_the_commands_wrote_into_the_note_is_not_believed() {
        assert!(failed("99 1\nx\n0 1\n1 x\n1\n", &commands(&["a", "b"])).is_empty());
    }
}
