//! What `agent tools policy` prints.

use super::claims::{Claim, Source};
use super::compare::Comparison;
use super::trial::Found;
use super::{DENIED, PLUGINS, backends};
use crate::tools::places::NO_PLUGINS;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

/// The schema of [`Report`]'s JSON form.
pub const SCHEMA: &str = "agent.tools.policy/1";

/// The schema of [`Compared`]'s JSON form.
pub const COMPARED: &str = "agent.tools.policy-comparison/1";

/// All that is known of the policy on this machine.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The mise program.
    pub mise: PathBuf,
    /// What it told, and how it behaved.
    #[serde(flatten)]
    pub found: Found,
    /// What may resolve (`tools.backends`).
    pub allowed: Vec<String>,
    /// Backends of this mise that are neither allowed nor denied by the environment.
    pub drift: Vec<String>,
    /// Allowed names that no backend of this mise and no plugin here has.
    pub unknown: Vec<String>,
    /// Plugins that are there.
    pub plugins: Vec<String>,
    /// What configs and the environment say.
    pub claims: Vec<Claim>,
    /// Config files that cannot be read.
    pub unusable: Vec<String>,
    /// What an image must not be built with; empty means `--check` is content.
    pub faults: Vec<String>,
    /// The line to commit in a mise config's `[settings]`.
    pub config_line: String,
    /// The lines to commit in an environment, such as an image's `ENV`.
    pub variable_lines: Vec<String>,
}

impl Report {
    /// What is at fault where an image is built: a user's own config isn't, for the
    /// environment outranks it.
    pub fn judge(&mut self) {
        let mut faults = Vec::new();
        let release = &self.found.release;
        if !self.drift.is_empty() {
            faults.push(format!(
                "drift: mise {release} has backends that nobody has decided on: {}",
                self.drift.join(", ")
            ));
        }
        for name in &self.unknown {
            let near = backends::KNOWN.iter().max_by(|a, b| {
                let near = |n: &str| strsim::jaro_winkler(n, name);
                near(a).total_cmp(&near(b))
            });
            let near = near.copied().unwrap_or_default();
            faults.push(format!(
                "unknown: tools.backends allows {name}, which neither mise {release} nor a plugin here has: did you mean {near}?"
            ));
        }
        let claims = self.claims.iter().filter(|c| !c.agrees && c.source != Source::User);
        faults.extend(claims.map(|c| format!("disagreement: {}: {}", c.place, c.says)));
        if !self.found.enforced() {
            faults.push(format!("enforcement: mise {release} does not refuse what is denied"));
        }
        self.faults = faults;
    }
}

/// Two releases beside each other.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// [`COMPARED`].
    pub schema: &'static str,
    /// This one, and the other.
    pub mise: [Listed; 2],
    /// What differs.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// What the other one has that is neither allowed nor denied by the environment.
    pub undecided: Vec<String>,
}

/// One mise and what it lists.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// The program.
    pub path: PathBuf,
    /// Its release.
    pub release: String,
    /// Its backends.
    pub backends: Vec<String>,
    /// Did it refuse all that is denied?
    pub enforced: bool,
}

/// A heading, and what belongs to it in lines of its own.
fn section(f: &mut Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    for (n, line) in lines.iter().enumerate() {
        writeln!(f, "{:<12} {line}", if n == 0 { title } else { "" })?;
    }
    Ok(())
}

fn names(all: &[String]) -> String {
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        section(f, "allowed", &[format!("{}  (tools.backends)", names(&self.allowed))])?;
        let (here, elsewhere): (Vec<String>, Vec<String>) =
            found.denied.iter().cloned().partition(|n| found.backends.contains(n));
        let mut denied = vec![names(&here)];
        if !elsewhere.is_empty() {
            denied.push(format!("and, not in this mise: {}", elsewhere.join(", ")));
        }
        section(f, "denied", &denied)?;
        let mise =
            format!("{}, {}: {}", self.mise.display(), found.release, names(&found.backends));
        section(f, "mise", &[mise])?;
        section(
            f,
            "drift",
            &[match self.drift.as_slice() {
                [] => "none: each backend of this mise is allowed or denied".to_owned(),
                drift => format!("neither allowed nor denied: {}", drift.join(", ")),
            }],
        )?;
        section(f, "plugins", &self.plugins_in_words())?;
        section(f, "claims", &self.claims_in_words())?;
        section(f, "enforcement", &enforcement(found))?;
        let check = match self.faults.as_slice() {
            [] => vec!["the policy holds".to_owned()],
            faults => {
                let lines = ["commit:".to_owned(), self.config_line.clone()];
                faults.iter().cloned().chain(lines).chain(self.variable_lines.clone()).collect()
            }
        };
        section(f, "check", &check)
    }
}

impl Report {
    fn plugins_in_words(&self) -> Vec<String> {
        let may = if backends::plugins_allowed(&self.allowed) {
            "may resolve, each under its own name unless that is denied".to_owned()
        } else {
            format!("none may resolve: {PLUGINS}={NO_PLUGINS}")
        };
        let there = (!self.plugins.is_empty())
            .then(|| format!("there, or named in a config: {}", self.plugins.join(", ")));
        std::iter::once(may).chain(there).collect()
    }

    fn claims_in_words(&self) -> Vec<String> {
        let word = |c: &Claim| if c.agrees { "agrees" } else { "DISAGREES" };
        let unusable = self.unusable.iter().map(|u| format!("unusable    {u}"));
        let all = self.claims.iter().map(|c| format!("{:<11} {}: {}", word(c), c.place, c.says));
        all.chain(unusable).collect()
    }
}

fn enforcement(found: &Found) -> Vec<String> {
    let mut lines = vec![match found.tried.as_slice() {
        [] => format!("tried now: an install is refused by {}", names(&found.refused)),
        tried => format!(
            "tried now: NOT refused by {}",
            tried.iter().map(|(backend, _)| backend.as_str()).collect::<Vec<_>>().join(", ")
        ),
    }];
    lines.extend(found.tried.iter().map(|(backend, said)| format!("  {backend}: {said}")));
    lines.push(match (found.installed, found.control) {
        (true, _) => format!("a plugin's install was run in spite of {DENIED}"),
        (false, Some(true)) => {
            format!("a plugin's install was not run; without {DENIED} it was")
        }
        (false, _) => "a plugin's install was not run; it isn't without the policy either (is this a file system without programs?)".to_owned(),
    });
    lines
}

impl Display for Compared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (title, mise) in ["this", "other"].iter().zip(&self.mise) {
            let text = format!(
                "{}, {}: {} backends, {} what is denied",
                mise.path.display(),
                mise.release,
                mise.backends.len(),
                if mise.enforced { "refuses" } else { "does NOT refuse" }
            );
            section(f, title, &[text])?;
        }
        section(f, "gained", &[names(&self.comparison.gained)])?;
        section(f, "lost", &[names(&self.comparison.lost)])?;
        if !self.undecided.is_empty() {
            section(f, "undecided", &[self.undecided.join(", ")])?;
        }
        writeln!(f, "\n{}", self.comparison.config_line)?;
        writeln!(f, "{}", self.comparison.variable_line)?;
        if let Some(line) = &self.comparison.plugins_line {
            writeln!(f, "{line}")?;
        }
        if let Some(loose) = self.mise.iter().find(|m| !m.enforced) {
            writeln!(
                f,
                "\nno line helps with {}: it does not refuse what is denied",
                loose.release
            )?;
        }
        Ok(())
    }
}
