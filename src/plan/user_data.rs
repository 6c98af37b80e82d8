//! What the user-data asks of root: boothooks, files, packages and commands, without a byte of
//! any content.

use super::{Environment, Facts, PayloadState, Phase, PhaseName, Work};
use crate::config::Config;
use crate::config::value::Retry;
use crate::journal::Problem;
use crate::stub::payload::sha256;
use crate::stub::told::{Duties, Label, Packages, Part, Scripts, WriteFile};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Variables that what root runs is given of the agent's own: the language, nothing else.
const PASS: &[&str] = &["LANG", "LC_*"];

/// What is known of the user-data.
#[derive(Clone, Debug, Default)]
pub enum UserDataState {
    /// It has not been read.
    #[default]
    Unread,
    /// It cannot be used, and nothing of it is done.
    Refused(Box<Problem>),
    /// It asks for this, or for nothing.
    Asks(Box<Asked>),
}

/// What a user-data asks of root, without its contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Programs for every boot.
    pub boothooks: Vec<PartWork>,
    /// Files, in order.
    pub files: Vec<FileWork>,
    /// What the package manager does.
    #[serde(skip_serializing_if = "Packages::is_empty")]
    pub packages: Packages,
    /// How many commands of `runcmd` there are.
    pub commands: usize,
}

/// A program, by its length and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartWork {
    /// Where it stands, if not alone.
    #[serde(flatten)]
    pub label: Option<Label>,
    /// Length in bytes.
    pub bytes: usize,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A file that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileWork {
    /// Where.
    pub path: PathBuf,
    /// Length of what is written, in bytes.
    pub bytes: usize,
    /// Permission bits, in octal digits.
    pub mode: String,
    /// `user:group`.
    pub owner: String,
    /// Behind what is there already?
    pub append: bool,
    /// After the packages?
    pub defer: bool,
}

/// Doing what the user-data asks of root.
#[derive(Clone, Debug, Serialize)]
pub struct UserDataWork {
    /// What.
    #[serde(flatten)]
    pub asked: Asked,
    /// Whether commands that ended badly are tried again.
    pub retry: Retry,
    /// Try them again now (`--again`).
    pub again: bool,
    /// The environment of what root runs, less what says who root is.
    pub environment: Environment,
}

impl UserDataState {
    /// Are there commands (`runcmd`)?
    pub fn has_commands(&self) -> bool {
        matches!(self, Self::Asks(asked) if asked.commands > 0)
    }
}

impl From<&Part> for PartWork {
    fn from(part: &Part) -> Self {
        Self {
            label: part.label.clone(),
            bytes: part.script.bytes().len(),
            sha256: part.script.sha256(),
        }
    }
}

impl From<&WriteFile> for FileWork {
    fn from(file: &WriteFile) -> Self {
        Self {
            path: file.path.clone(),
            bytes: file.content.bytes().len(),
            mode: format!("{:04o}", file.mode),
            owner: format!("{}:{}", file.user, file.group),
            append: file.append,
            defer: file.defer,
        }
    }
}

impl From<&Duties> for Asked {
    fn from(duties: &Duties) -> Self {
        Self {
            boothooks: duties.boothooks.iter().map(PartWork::from).collect(),
            files: duties.files.iter().map(FileWork::from).collect(),
            packages: duties.packages.clone(),
            commands: duties.commands.len(),
        }
    }
}

/// What is found of scripts that can be run.
pub fn payload_state(scripts: &Scripts) -> PayloadState {
    let parts = match scripts.parts() {
        [] => return PayloadState::Absent,
        [_] => Vec::new(),
        several => several.iter().map(PartWork::from).collect(),
    };
    PayloadState::Script { bytes: scripts.bytes(), sha256: scripts.sha256(), parts }
}

/// The phase, on a machine.
pub(super) fn phase(config: &Config, facts: &Facts, again: bool) -> Option<Phase> {
    let work = match &facts.user_data {
        UserDataState::Unread => {
            Work::Skip { reason: "it depends on the user-data, which has not been read".into() }
        }
        UserDataState::Refused(problem) => Work::Refuse { problem: (**problem).clone() },
        UserDataState::Asks(asked) if **asked == Asked::default() => {
            Work::Skip { reason: "the user-data asks nothing of root".into() }
        }
        UserDataState::Asks(asked) => match facts.may_act_as_root() {
            true => Work::UserData(Box::new(UserDataWork {
                asked: (**asked).clone(),
                retry: config.bootstrap.retry,
                again,
                environment: environment(facts),
            })),
            false => Work::Refuse { problem: not_root(facts) },
        },
    };
    let deadline = config.user_data.deadline;
    config.ec2.enabled.then_some(Phase { name: PhaseName::UserData, deadline, work })
}

fn not_root(facts: &Facts) -> Problem {
    Problem::new(
        "user-data-not-root",
        format!("the user-data asks for what root does, and the agent runs as {}", facts.user.name),
        "start the agent as root, or send a user-data that holds scripts alone",
    )
}

/// What a login of root would set, with the image's own PATH.
pub(super) fn root_variables(facts: &Facts) -> BTreeMap<String, String> {
    let set = [
        ("PATH", facts.image_path.as_str()),
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("SHELL", "/bin/sh"),
    ];
    set.map(|(n, v)| (n.to_owned(), v.to_owned())).into()
}

fn environment(facts: &Facts) -> Environment {
    let mut default = root_variables(facts);
    // Nobody answers: standard input is empty.
    default.insert("DEBIAN_FRONTEND".into(), "noninteractive".into());
    let mut set = facts.machine.as_ref().map(|m| m.parameters.for_commands()).unwrap_or_default();
    set.insert("INSTANCE_ID".into(), facts.instance.id.clone());
    Environment { pass: PASS.iter().map(|v| (*v).to_owned()).collect(), default, set }
}

impl UserDataWork {
    /// What is done, a line a step.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = self.asked.lines();
        lines.push(
            "files, packages and commands once on this instance; a boothook at every boot".into(),
        );
        lines
    }
}

impl Asked {
    /// What is asked, a line a step, in order.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.boothooks.iter().map(|p| format!("run boothook{}", part(p))).collect();
        let files = |deferred| self.files.iter().filter(move |f| f.defer == deferred).map(file);
        lines.extend(files(false));
        let Packages { update, upgrade, names } = &self.packages;
        if *update || !names.is_empty() {
            lines.push("packages: read the indexes".into());
        }
        if *upgrade {
            lines.push("packages: upgrade what is installed".into());
        }
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            lines.push(format!("packages: {}", names.join(", ")));
        }
        lines.extend(files(true));
        lines.extend(match self.commands {
            0 => None,
            1 => Some("run 1 command".into()),
            n => Some(format!("run {n} commands")),
        });
        lines
    }
}

/// A program in a line, behind what it is.
pub(super) fn part(p: &PartWork) -> String {
    let hash = p.sha256.get(..12).unwrap_or(&p.sha256);
    let label = p.label.as_ref().map(|label| format!(" {label}")).unwrap_or_default();
    format!("{label} ({} bytes, sha256 {hash}…)", p.bytes)
}

fn file(f: &FileWork) -> String {
    let (verb, last) = (
        if f.append { "append to" } else { "write" },
        if f.defer { ", after the packages" } else { "" },
    );
    format!("{verb} {} ({} bytes, {} {}){last}", f.path.display(), f.bytes, f.mode, f.owner)
}

/// What a section of the user-data is known by in the ledger: everything that it does.
pub fn definition_of_files<'a>(files: impl Iterator<Item = &'a WriteFile>) -> String {
    let each: Vec<String> = files
        .map(|file| {
            let work = FileWork::from(file);
            let text = serde_json::to_string(&work).unwrap_or_default();
            format!("{text} {}\n", file.content.sha256())
        })
        .collect();
    sha256(each.concat())
}

#[cfg(test)]
mod tests {
    use super::super::resolve;
    use super::super::resolve::tests::facts;
    use super::*;
    use crate::stub::user_data;

    fn lines(text: &str) -> Vec<String> {
        Asked::from(&user_data::parse(text.as_bytes()).unwrap().duties).lines()
    }

    #[test]
    fn the_plan_tells_everything_but_contents() {
        let text = "#cloud-config\npackage_upgrade: true\npackages: [git, [jq, 1.7]]\n\
            write_files:\n- {path: /etc/x, content: s3cret}\n- {path: /etc/y, append: true, defer: true, owner: 'a:b', permissions: '0600'}\n\
            runcmd: [echo t0ken, ls]\n";
        assert_eq!(
            lines(text),
            [
                "write /etc/x (6 bytes, 0644 root:root)",
                "packages: read the indexes",
                "packages: upgrade what is installed",
                "packages: git, jq 1.7",
                "append to /etc/y (0 bytes, 0600 a:b), after the packages",
                "run 2 commands",
            ]
        );
        let hook = lines("#cloud-boothook\n#!/bin/sh\n");
        assert!(hook[0].starts_with("run boothook (10 bytes, sha256 "), "{hook:?}");
    }

    #[test]
    fn the_phase_stands_before_provision_on_machines_alone() {
        let mut config = Config::default();
        let names = |c: &Config| -> Vec<&str> {
            resolve(c, &facts(), false).phases.iter().map(|p| p.name.word()).collect()
        };
        assert!(!names(&config).contains(&"user-data"));
        config.ec2.enabled = true;
        // Whoever has to look at a bad one can log in by then.
        assert_eq!(names(&config)[..2], ["metadata", "machine-id"]);
        let at = |name: &str| names(&config).iter().position(|n| *n == name);
        assert!(at("login") < at("user-data") && at("user-data") < at("volume"));
    }

    #[test]
    fn an_agent_that_is_not_root_says_so() {
        let mut config = Config::default();
        config.ec2.enabled = true;
        let asked = Asked { commands: 1, ..Asked::default() };
        let facts = Facts { user_data: UserDataState::Asks(asked.into()), ..facts() };
        let work = phase(&config, &facts, false).unwrap().work;
        let Work::Refuse { problem } = work else { panic!("{work:?}") };
        assert_eq!(problem.code, "user-data-not-root");
    }
}
