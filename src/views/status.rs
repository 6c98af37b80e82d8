//! The status as people read it: the state first, what went wrong and what to do next
//! right behind it.

use super::plain::{Plain, column};
use crate::config::value::human;
use crate::journal::State;
use crate::journal::event::{PhaseResult, Problem, ScriptEnd};
use crate::journal::status::{Boot, Phase, PhaseState, Script, Status, Step};
use crate::journal::tags::Tag;
use crate::plan::PhaseName;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Prints a status.
pub struct Text<'a>(pub &'a Status);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let status = self.0;
        writeln!(f, "{}", Plain(&status.summary))?;
        if let Some(boot) = &status.boot {
            writeln!(f, "\n  {}", boot_line(boot))?;
        }
        if let Some(machine) = &status.machine {
            writeln!(
                f,
                "  instance {} in {}, user-data: {}",
                Plain(&machine.instance),
                Plain(&machine.region),
                Plain(&machine.user_data)
            )?;
        }
        for phase in &status.phases {
            let steps = match phase.name {
                PhaseName::Provision => status.steps.as_slice(),
                _ => &[],
            };
            write_phase(f, phase, steps)?;
        }
        if let Some(script) = &status.script {
            writeln!(f, "  script       {}", script_line(script, status.state == State::Running))?;
        }
        if !status.tools.is_empty() {
            let tools: Vec<String> = status
                .tools
                .iter()
                .map(|t| {
                    format!(
                        "{} {}{}",
                        Plain(&t.name),
                        Plain(&t.version),
                        if t.installed { "" } else { " (missing)" }
                    )
                })
                .collect();
            writeln!(f, "  tools        {}", tools.join(", "))?;
        }
        for tag in &status.tags {
            write_tag(f, tag)?;
        }
        if status.unreadable_lines > 0 {
            writeln!(
                f,
                "  journal      {} lines cannot be read (a power cut, or damage)",
                status.unreadable_lines
            )?;
        }
        if let Some(next) = next_step(status) {
            writeln!(f, "\nnext: {}", Plain(&next))?;
        }
        Ok(())
    }
}

fn boot_line(boot: &Boot) -> String {
    let took = match boot.elapsed_ms {
        Some(ms) => format!("took {}", human(Duration::from_millis(ms))),
        None => format!("{} ago", human(since(boot.began))),
    };
    let began = boot.began.strftime("%F %T UTC");
    format!("boot {} of {}, began {began}, {took}", Plain(&boot.id), Plain(&boot.instance))
}

fn since(began: jiff::Timestamp) -> Duration {
    Duration::try_from(jiff::Timestamp::now().duration_since(began)).unwrap_or_default()
}

/// A step's name in a column, its state, its time, and what there is to say of it.
fn step_line(step: &Step, width: usize) -> String {
    let took = match (step.state, step.elapsed_ms, step.began) {
        (PhaseState::Ended(PhaseResult::Skipped), ..) => None,
        (_, Some(ms), _) => Some(Duration::from_millis(ms)),
        (PhaseState::Running, None, Some(began)) => Some(since(began)),
        _ => None,
    };
    let name = Plain(&step.name).to_string();
    let mut line = format!("{name:<width$}  {}", state_word(step.state));
    for more in took.map(human).iter().chain(&step.notes) {
        line.push_str(&format!("  {}", Plain(more)));
    }
    line
}

fn write_phase(f: &mut Formatter<'_>, phase: &Phase, steps: &[Step]) -> fmt::Result {
    let took = phase
        .elapsed_ms
        .map(|ms| format!("  {}", human(Duration::from_millis(ms))))
        .unwrap_or_default();
    writeln!(f, "  {:<12} {}{took}", phase.name.word(), state_word(phase.state))?;
    let width = column(steps.iter().map(|s| s.name.as_str()));
    for step in steps {
        writeln!(f, "               {}", step_line(step, width))?;
    }
    for note in &phase.notes {
        writeln!(f, "               {}", Plain(note))?;
    }
    for problem in &phase.problems {
        write_problem(f, problem)?;
    }
    Ok(())
}

fn write_problem(f: &mut Formatter<'_>, p: &Problem) -> fmt::Result {
    writeln!(f, "               problem: {}", Plain(&p.message))?;
    for line in p.evidence.iter().flat_map(|e| e.lines()) {
        writeln!(f, "                 | {}", Plain(line))?;
    }
    if let Some(log) = &p.log {
        writeln!(f, "               log: {}", Plain(&log.to_string_lossy()))?;
    }
    writeln!(f, "               next: {}", Plain(&p.next))
}

/// A tag that says what it should is one line; one that doesn't tells why, and what to do.
fn write_tag(f: &mut Formatter<'_>, tag: &Tag) -> fmt::Result {
    let value = |v: &Option<String>| Plain(v.as_deref().unwrap_or("(none)")).to_string();
    let (key, wanted) = (Plain(&tag.key), value(&tag.wanted));
    if tag.agrees {
        return match &tag.wanted {
            Some(_) => writeln!(f, "  tag          {key} = {wanted}"),
            None => Ok(()),
        };
    }
    let says = match &tag.written {
        Some(old) => format!("EC2 was last told {}", Plain(old)),
        None => "EC2 has not been told".into(),
    };
    writeln!(f, "  tag          {key} should be {wanted}; {says}")?;
    match &tag.problem {
        Some(problem) => write_problem(f, problem),
        None => writeln!(f, "               next: `agent tags` writes it"),
    }
}

/// The word for a phase's state.
pub fn state_word(state: PhaseState) -> &'static str {
    match state {
        PhaseState::Pending => "pending",
        PhaseState::Running => "running",
        PhaseState::NotRun => "not run",
        PhaseState::Ended(result) => result.word(),
    }
}

fn script_line(script: &Script, running: bool) -> String {
    let how = match script.end {
        Some(ScriptEnd::Exit(0)) => "ended well".to_owned(),
        Some(ScriptEnd::Exit(status)) => format!("ended with status {status}"),
        Some(ScriptEnd::Deadline(ms)) => {
            format!("did not end within {}", human(Duration::from_millis(ms)))
        }
        Some(ScriptEnd::NotStarted(_)) => "could not be started".to_owned(),
        None if running => "runs now".to_owned(),
        None => "was cut off before its end".to_owned(),
    };
    let hash = script.run.payload.get(..12).unwrap_or(&script.run.payload);
    format!("{how} (attempt {}, sha256 {}…)", script.run.attempt, Plain(hash))
}

fn next_step(status: &Status) -> Option<String> {
    match status.state {
        State::Complete => None,
        State::Running => Some("`agent status --wait` waits for the end".into()),
        State::None => Some("`agent boot` boots; as the entrypoint, `agent init` does".into()),
        State::Failed | State::Degraded => {
            let decided = status.problems().find(|(p, _)| status.phase.is_none_or(|d| d == *p));
            let first = decided.or_else(|| status.problems().next());
            Some(first.map_or_else(
                || {
                    "start the sandbox again, or run `agent boot`; the logs tell how far it came"
                        .into()
                },
                |(_, p)| p.next.clone(),
            ))
        }
    }
}
