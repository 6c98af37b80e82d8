//! The backend policy at boot: what this mise has beyond what is known is denied and told,
//! and whether mise refuses what is denied is tried.

use super::{Reconcile, Stopped, problems};
use crate::engine::HelperError;
use crate::engine::excerpt;
use crate::journal::Problem;
use crate::tools::look::Seen;
use crate::tools::output::{Listed, Reason};
use crate::tools::policy::installed::Installed;
use crate::tools::policy::trial::{self, Answer, Found, Request};
use crate::tools::policy::{self, DENIED, PLUGINS, backends};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What asking and trying mise may take; it takes less than a tenth of a second.
const TRIAL_TAKES: Duration = Duration::from_secs(30);

impl Reconcile<'_, '_> {
    /// Finds out what this mise would resolve beyond the known backends, denies it, and tries
    /// whether a denied install is really refused.
    pub(super) async fn policy(&mut self, seen: &Seen) -> Result<(), Stopped> {
        let Some(allowed) = self.work.backends.clone() else { return Ok(()) };
        let given = std::env::var(DENIED).ok().map(|value| backends::list(&value));
        let plugins: Vec<String> = seen
            .manifests()
            .flat_map(backends::foreign)
            .chain(seen.policy.plugins.clone())
            .collect();
        let names: Vec<String> = plugins.iter().chain(given.iter().flatten()).cloned().collect();
        let found = self.tried(&allowed, &names).await;
        let listed = found.iter().flat_map(|f| &f.backends);
        let more = names.iter().chain(listed).map(String::as_str);
        self.deny(policy::variables(&allowed, more));
        let denied: Vec<&String> = plugins.iter().filter(|n| !allowed.contains(n)).collect();
        if !denied.is_empty() {
            self.standing_note(note_of_plugins(&denied));
        }
        self.loosening(seen, &allowed);
        let Some(found) = found else { return Ok(()) };
        let known: Vec<String> = backends::KNOWN.iter().map(|n| (*n).to_owned()).collect();
        let decided = given.as_ref().unwrap_or(&known);
        let drift = backends::undecided(&found.backends, &allowed, decided);
        if !drift.is_empty() {
            self.problem(drifted(&drift, &found, &allowed, given.as_deref()));
        } else if given.is_none() {
            self.standing_note(format!(
                "{DENIED} is not set for this sandbox as a whole: a process that an engine or a login adds beside the workload is not restricted"
            ));
        }
        if !found.enforced() {
            self.problem(unenforced(&found));
        }
        Ok(())
    }

    /// What configs say that either stops mise or reaches others than mise.
    fn loosening(&mut self, seen: &Seen, allowed: &[String]) {
        for manifest in seen.manifests() {
            let path = manifest.path.display();
            for name in
                manifest.variables.iter().filter(|n| [DENIED, PLUGINS].contains(&n.as_str()))
            {
                self.standing_note(format!(
                    "{path} sets {name} in [env]: mise keeps to the agent's, programs that its shims and `mise exec` start are given this one"
                ));
            }
            if !manifest.plugins.is_empty() && !backends::plugins_allowed(allowed) {
                self.problem(plugins_declared(&path.to_string(), &manifest.plugins));
            }
        }
    }

    /// What is denied for this boot's commands, for later ones and for the workload, where it
    /// is more than the plan has said already.
    fn deny(&mut self, variables: BTreeMap<String, String>) {
        let planned = &self.work.install.environment.set;
        for (name, value) in variables {
            if planned.get(&name) != Some(&value) {
                self.variables.insert(name.clone(), value.clone());
                self.settled.variables.insert(name, value);
            }
        }
    }

    /// mise's own list and its refusals; `None` where there is nothing to go by.
    async fn tried(&mut self, allowed: &[String], names: &[String]) -> Option<Found> {
        let mise = self.work.install.argv.first().map_or("mise", String::as_str);
        let request = Request {
            mise: mise.into(),
            allowed: allowed.to_vec(),
            names: names.to_vec(),
            scratch: trial::places(&self.work.places.home),
            control: false,
        };
        let began = Instant::now();
        let takes = TRIAL_TAKES.min(self.cx.limit.saturating_duration_since(began));
        let why = match self.cx.helper("policy", &request, true, takes).await {
            Ok(Answer::Found(found)) => {
                self.log.say(&format!(
                    "mise {} has the backends {}; refused in a trial: {} ({} ms)",
                    found.release,
                    found.backends.join(", "),
                    found.refused.join(", "),
                    began.elapsed().as_millis()
                ));
                return Some(*found);
            }
            // What is run next says so too.
            Ok(Answer::NoMise(_)) | Err(HelperError::Cancelled) => return None,
            Ok(Answer::Unknown(why)) | Err(HelperError::Broken(why)) => why,
            Err(HelperError::Hung) => format!("no answer within {} s", takes.as_secs()),
        };
        if Reason::of(&why) == Reason::NoSpace {
            self.problem(problems::no_room_to_try(&why));
            return None;
        }
        self.problem(
            Problem::new(
                "policy-unknown",
                "whether this mise keeps to the backend policy is not known",
                "run `agent tools policy` and mend what it says; known backends are denied meanwhile",
            )
            .evidence(excerpt(&why)),
        );
        None
    }

    /// Names what is installed by a backend that is not allowed: mise takes it for installed,
    /// and its shim runs it.
    pub(super) fn denied(&mut self, seen: &Seen, tools: &[Listed]) {
        let Some(allowed) = &self.work.backends else { return };
        let refused = |backend: &str| !allowed.iter().any(|a| a == backend);
        let mut all: Vec<Installed> =
            seen.policy.installed.iter().filter(|i| refused(&i.backend)).cloned().collect();
        // What this very boot installed, the look at its beginning has not seen.
        for listed in tools.iter().filter(|t| t.tool.installed) {
            let Some((backend, _)) = listed.tool.name.split_once(':') else { continue };
            if refused(backend) && !all.iter().any(|i| i.name == listed.tool.name) {
                all.push(Installed {
                    name: listed.tool.name.clone(),
                    backend: backend.to_owned(),
                    versions: vec![listed.tool.version.clone()],
                });
            }
        }
        for installed in all {
            self.problem(installed_by_denied(&installed));
        }
    }
}

fn note_of_plugins(names: &[&String]) -> String {
    const SHOWN: usize = 8;
    let mut shown: Vec<&str> = names.iter().take(SHOWN).map(|n| n.as_str()).collect();
    shown.sort_unstable();
    shown.dedup();
    let rest = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("denied as backends, plugins or their names: {}{rest}", shown.join(", "))
}

fn plugins_declared(path: &str, names: &[String]) -> Problem {
    Problem::new(
        problems::PLUGIN_DENIED,
        format!("{path} declares mise plugins, and none may resolve here: {}", names.join(", ")),
        format!("take [plugins] out of {path}: mise stops there, before it installs anything"),
    )
}

fn drifted(
    drift: &[String],
    found: &Found,
    allowed: &[String],
    given: Option<&[String]>,
) -> Problem {
    // What an operator has denied beyond the known backends stays in the line.
    let more = found.backends.iter().chain(given.into_iter().flatten()).map(String::as_str);
    let denied = backends::denied(allowed, more);
    let why = match given {
        Some(_) => {
            "the image's environment does not name them: a process that an engine adds (podman exec) could use them"
        }
        None => "this agent does not know them: without it nothing would deny them",
    };
    Problem::new(
        "backend-drift",
        format!(
            "mise {} has backends that nobody has decided on: {}; they are denied here",
            found.release,
            drift.join(", ")
        ),
        format!(
            "build the image with ENV {}, or add to tools.backends what is to be allowed",
            backends::variable_line(&denied)
        ),
    )
    .evidence(why)
}

fn unenforced(found: &Found) -> Problem {
    let by: Vec<&str> = found.tried.iter().map(|(backend, _)| backend.as_str()).collect();
    let plugin = found.installed.then_some("a plugin's install was run although asdf is denied");
    let said = found.tried.iter().map(|(backend, said)| format!("{backend}: {said}"));
    let evidence: Vec<String> = plugin.map(str::to_owned).into_iter().chain(said).take(4).collect();
    Problem::new(
        "policy-unenforced",
        format!(
            "mise {} does not enforce the backend policy: it does not refuse an install by {}",
            found.release,
            if by.is_empty() { "a plugin".to_owned() } else { by.join(", ") }
        ),
        "put a mise into the image that refuses (2026.6.14 does); with this one whatever a config names is installed",
    )
    .evidence(evidence.join("\n"))
}

fn installed_by_denied(installed: &Installed) -> Problem {
    let Installed { name, backend, versions } = installed;
    Problem::new(
        "tool-backend-denied",
        format!(
            "{name} {} is there by {backend}, which is not allowed, and mise runs it",
            versions.join(", ")
        ),
        format!(
            "run `mise uninstall --all {name}`, and take it out of the mise config (`mise unuse -g {name}`; an entry with `path:` by hand)"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_drift_is_told_with_the_line_to_commit() {
        let found = Found {
            release: "2027.1.0".into(),
            backends: names(&["cargo", "newcomer", "npm"]),
            ..Found::default()
        };
        let given = names(&["cargo", "own"]);
        let problem = drifted(&names(&["newcomer"]), &found, &names(&["npm"]), Some(&given));
        assert!(problem.message.contains("mise 2027.1.0") && problem.message.contains("newcomer"));
        let line = problem.next.split_once("MISE_DISABLE_BACKENDS=").unwrap().1;
        let line = line.split_once(", ").unwrap().0;
        for name in ["newcomer", "cargo", "own"] {
            assert!(line.split(',').any(|n| n == name), "{line}");
        }
        assert!(!line.split(',').any(|n| n == "npm"), "{line}");
    }

    #[test]
    fn a_mise_that_does_not_refuse_is_named_with_what_it_did() {
        let found = Found {
            release: "2026.2.16".into(),
            tried: vec![("cargo".into(), "failed to execute command".into())],
            installed: true,
            ..Found::default()
        };
        let problem = unenforced(&found);
        assert!(problem.message.contains("2026.2.16") && problem.message.contains("cargo"));
        assert!(problem.evidence.unwrap().starts_with("a plugin's install was run"));
    }
}
