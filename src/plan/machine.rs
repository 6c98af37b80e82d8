//! What a machine needs besides volumes and tools: the operator's provisioning steps,
//! and the health check. `[[step]]` and `[health]` → their phases.

use super::facts::Facts;
use super::{Environment, Work, user_variables};
use crate::config::value::{OnFailure, Span};
use crate::config::{Config, Health, RunAt, StepUser};
use crate::stub::payload::sha256;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Variables that steps are given of the agent's own: the language, nothing else.
const STEP_PASS: &[&str] = &["LANG", "LC_*"];

/// A command that is killed at its deadline may take this long to disappear, beyond its grace.
const END_TAKES: Duration = Duration::from_secs(3);

/// One provisioning step, ready to be run.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Who runs it.
    pub user: StepUser,
    /// Working directory; the home of its user where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Its environment, less what says who its user is.
    pub environment: Environment,
    /// Deadline of all its attempts together, in milliseconds.
    pub deadline: Span,
    /// Does its failure fail the boot?
    pub required: bool,
    /// How often it is run.
    pub run: RunAt,
    /// The name that a failure is filed under.
    pub failure_phase: String,
    /// Neighbours of the same group run side by side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Attempts in all.
    pub attempts: u32,
    /// SHA-256 over what it does: command, user, directory, its own variables. A step that
    /// is run once an instance is known by it.
    pub definition: String,
}

impl Step {
    /// What its failure means for the boot.
    pub fn on_failure(&self) -> OnFailure {
        if self.required { OnFailure::Fail } else { OnFailure::Degrade }
    }
}

/// The steps in the order in which they run; those of one stage run side by side.
pub fn stages(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|a, b| a.group.is_some() && a.group == b.group)
}

/// The provisioning steps with the phase's deadline, where there are any.
pub(super) fn provision(config: &Config, facts: &Facts) -> Option<(Span, Work)> {
    let steps: Vec<Step> = config.steps.iter().map(|s| step(s, facts)).collect();
    let stage = |all: &[Step]| {
        let longest = all.iter().map(|s| s.deadline.0).max().unwrap_or_default();
        longest + config.boot.grace.0 + END_TAKES
    };
    let deadline = Span(stages(&steps).map(stage).sum());
    (!steps.is_empty()).then_some((deadline, Work::Provision { steps }))
}

fn step(s: &crate::config::Step, facts: &Facts) -> Step {
    let argv = s.command.argv();
    let default = [
        ("PATH", facts.image_path.as_str()),
        // Nobody answers: standard input is empty.
        ("DEBIAN_FRONTEND", "noninteractive"),
    ];
    let mut set = facts.machine.as_ref().map(|m| m.parameters.for_commands()).unwrap_or_default();
    set.extend(s.environment.clone());
    Step {
        name: s.name.clone(),
        definition: definition(&argv, s),
        argv,
        user: s.user.clone(),
        directory: s.directory.clone(),
        environment: Environment {
            pass: STEP_PASS.iter().map(|v| (*v).to_owned()).collect(),
            default: default.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            set,
        },
        deadline: s.deadline,
        required: s.required,
        run: s.run,
        failure_phase: s.failure_phase.clone(),
        group: s.group.clone(),
        attempts: s.attempts,
    }
}

/// What counts is what is done, not how it is judged: a longer deadline makes no other step.
fn definition(argv: &[String], s: &crate::config::Step) -> String {
    type What<'a> = (&'a [String], &'a StepUser, &'a Option<PathBuf>, &'a BTreeMap<String, String>);
    let what: What<'_> = (argv, &s.user, &s.directory, &s.environment);
    let text = serde_json::to_vec(&what).unwrap_or_default();
    sha256(text)
}

/// Looking for what the machine must have.
#[derive(Clone, Debug, Serialize)]
pub struct HealthWork {
    /// What is looked for, each path in full.
    #[serde(flatten)]
    pub wanted: Health,
    /// Where programs are looked for, as the sandbox user.
    pub path: String,
    /// Where systemctl is looked for.
    pub image_path: String,
}

/// The health check with its deadline, where there is anything to look for.
pub(super) fn health(config: &Config, facts: &Facts) -> Option<(Span, Work)> {
    let h = &config.health;
    let full = |paths: &[PathBuf]| -> Vec<PathBuf> {
        let below_home = |p: &PathBuf| match p.strip_prefix(Path::new("~")) {
            // Joined with nothing a path would end with a slash.
            Ok(rest) if rest.as_os_str().is_empty() => facts.user.home.clone(),
            Ok(rest) => facts.user.home.join(rest),
            Err(_) => p.clone(),
        };
        paths.iter().map(below_home).collect()
    };
    let work = HealthWork {
        wanted: Health { files: full(&h.files), mounts: full(&h.mounts), ..h.clone() },
        path: user_variables(config, facts).remove("PATH").unwrap_or_default(),
        image_path: facts.image_path.clone(),
    };
    (!h.is_empty()).then(|| (h.deadline, Work::Health(Box::new(work))))
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::facts;
    use super::super::{Machine, resolve};
    use super::*;
    use crate::config::{check_text, config_of};
    use crate::stub::Parameters;

    fn config(text: &str) -> Config {
        config_of(check_text("test", text).unwrap(), "test").unwrap()
    }

    fn steps(text: &str) -> Vec<Step> {
        match provision(&config(text), &facts()).unwrap() {
            (_, Work::Provision { steps }) => steps,
            _ => panic!(),
        }
    }

    #[test]
    fn the_phases_stand_where_the_contract_wants_them_and_only_where_they_have_work() {
        let text = "[[step]]\nname='a'\ncommand='true'\n[health]\ncommands=['git']\n";
        let names = |c: &Config| -> Vec<&str> {
            resolve(c, &facts(), false).phases.iter().map(|p| p.name.word()).collect()
        };
        assert_eq!(
            names(&config(text)),
            ["provision", "volume", "tools", "drift-check", "user-script"]
        );
        let empty = "[health]\nrequired=false\n";
        assert_eq!(names(&config(empty)), ["volume", "tools", "user-script"]);
    }

    #[test]
    fn neighbours_of_a_group_are_one_stage_and_ungrouped_steps_are_not() {
        let text = "[[step]]\nname='a'\ncommand='true'\n[[step]]\nname='b'\ncommand='true'\n\
            [[step]]\nname='c'\ncommand='true'\ngroup='g'\n[[step]]\nname='d'\ncommand='true'\ngroup='g'\n\
            [[step]]\nname='e'\ncommand='true'\ngroup='h'\n";
        let steps = steps(text);
        let all: Vec<Vec<&str>> =
            stages(&steps).map(|stage| stage.iter().map(|s| s.name.as_str()).collect()).collect();
        assert_eq!(all, [vec!["a"], vec!["b"], vec!["c", "d"], vec!["e"]]);
    }

    #[test]
    fn the_phase_has_time_for_each_stage_to_its_deadline_and_its_end() {
        let text = "[boot]\ngrace='1s'\n[[step]]\nname='a'\ncommand='true'\ndeadline='10s'\n\
            [[step]]\nname='b'\ncommand='true'\ndeadline='20s'\ngroup='g'\n\
            [[step]]\nname='c'\ncommand='true'\ndeadline='30s'\ngroup='g'\n";
        let (deadline, _) = provision(&config(text), &facts()).unwrap();
        assert_eq!(deadline, Span::seconds(10 + 4 + 30 + 4));
    }

    #[test]
    fn a_step_is_known_by_what_it_does_and_not_by_how_it_is_judged() {
        let definition = |more: &str| {
            steps(&format!("[[step]]\nname='a'\ncommand='true'\n{more}")).remove(0).definition
        };
        let plain = definition("");
        for same in ["deadline='1s'", "required=false", "attempts=3", "group='g'", "run='once'"] {
            assert_eq!(definition(same), plain, "{same}");
        }
        for other in ["user='sandbox'", "directory='/'", "environment={A='1'}"] {
            assert_ne!(definition(other), plain, "{other}");
        }
    }

    #[test]
    fn the_launch_parameters_are_given_and_the_steps_own_variables_outrank_them() {
        let mut f = facts();
        let parameters =
            Parameters { vm_name: Some("vm".into()), idle_timeout: Some(5), ..Default::default() };
        f.machine = Some(Machine { parameters, ..Machine::default() });
        let text = "[[step]]\nname='a'\ncommand='true'\nenvironment={MINT_VM_NAME='other'}\n";
        let step = step(&config(text).steps[0], &f);
        assert_eq!(step.environment.set["MINT_VM_NAME"], "other");
        assert_eq!(step.environment.set["MINT_IDLE_TIMEOUT"], "5");
        assert!(!step.environment.passes("ANTHROPIC_API_KEY"));
    }

    #[test]
    fn the_home_is_written_in_full() {
        let config = config("[health]\nfiles=['~/.ssh']\nmounts=['~']\n");
        let Some((_, Work::Health(work))) = health(&config, &facts()) else { panic!() };
        assert_eq!(work.wanted.files, [Path::new("/home/iteron/.ssh")]);
        assert_eq!(work.wanted.mounts[0].as_os_str(), "/home/iteron");
        assert!(work.path.starts_with("/home/iteron/.local/bin:"), "{}", work.path);
    }
}
