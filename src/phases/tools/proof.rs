//! The shortest way through the phase: nothing has changed, so nothing is run. And its other
//! side: what was seen to be whole tells what has been lost.

use super::repair::Standing;
use super::{LOOK_TAKES, Reconcile, problems};
use crate::plan::Command;
use crate::tools::look::{Request, Seen};
use crate::tools::policy;
use crate::tools::proof::{Asked, Shim, What, Whole, Wrong};

impl Reconcile<'_, '_> {
    /// What the helper is asked. It knows of mise's variables what the plan gives, not what this
    /// boot has found out: that follows from what the proof covers.
    pub(super) fn request(&self, what: What) -> Request {
        let work = self.work;
        // What the sandbox was started with is compared with the policy, and told.
        let given = [policy::DENIED, policy::PLUGINS].map(std::env::var_os);
        let path = &self.cx.facts.image_path;
        let argv = &work.install.argv;
        let decided = format!("{:?} {:?} {argv:?} {given:?} {path}", work.backends, work.baseline);
        Request {
            places: work.places.clone(),
            mise: work.install.argv.first().map_or("mise", String::as_str).into(),
            variables: self.mise_variables(),
            resume_import: matches!(what, What::Holds),
            proof: Asked { decided, what },
        }
    }

    /// Is it proved that everything is as a boot left it that found everything in its place?
    /// Then what that boot said is said again.
    pub(super) fn proved(&mut self, seen: &Seen) -> bool {
        let Some((made, settled)) = &seen.proof.holds else {
            let why = seen.proof.why.as_deref().unwrap_or("it could not be looked for");
            self.log.say(&format!("no proof that nothing has changed: {why}"));
            return false;
        };
        // The helper has seen to it; but what it says is the user's word.
        if !settled.is_no_laxer_than(&self.mise_variables()) {
            return false;
        }
        let since = jiff::Timestamp::from_second(*made).unwrap_or_default();
        self.report.notes.push(format!(
            "nothing has changed since {}: mise was not asked, {} in place",
            since.strftime("%F %T UTC"),
            match settled.tools.len() {
                1 => "1 tool is".to_owned(),
                n => format!("{n} tools are"),
            }
        ));
        self.report.notes.extend(settled.notes.clone());
        self.report.tools.clone_from(&settled.tools);
        self.settled = settled.clone();
        true
    }

    /// Lockfiles that mise can make nothing of; where they aren't enforced it passes over them,
    /// with exit status 0.
    pub(super) fn corrupt_locks(&mut self, seen: &Seen) {
        let places = &self.work.places;
        for lock in &seen.proof.locks {
            let image = lock.error.path.starts_with(&places.system_config);
            let enforced = seen.lock.enforced(&lock.error.path);
            let run = enforced.map(|scope| scope.checked.run.as_str());
            self.problem(problems::lock_corrupt(lock, run, image));
        }
    }

    /// How things stand now that mise has done its work.
    pub(super) async fn look_again(&mut self) -> Seen {
        let request = self.request(What::Again);
        match self.cx.helper("tools", &request, true, LOOK_TAKES).await {
            Ok(seen) => seen,
            Err(e) => {
                self.log.say(&format!("the tools were not looked at again: {e:?}"));
                Seen::default()
            }
        }
    }

    /// Keeps what this boot found, if there is nothing to complain of.
    pub(super) async fn prove(&mut self, seen: &Seen, standing: Standing) {
        let Standing { tools, again: Seen { proof: again, .. }, bin_paths, .. } = standing;
        let complete = self.report.tools.iter().all(|t| t.installed);
        if !self.report.problems.is_empty() || !complete {
            return;
        }
        if let Some(why) = &again.inputs.unprovable {
            self.report.notes.push(format!("mise is asked at every boot: {why}"));
            return;
        }
        let changed = again.inputs.declares_other_than(&seen.proof.inputs);
        if !changed.is_empty() {
            self.log.say(&format!("no proof is kept; changed meanwhile: {}", changed.join(", ")));
            return;
        }
        self.settled.tools.clone_from(&self.report.tools);
        // What another mise lists elsewhere doesn't count where a link answers.
        let tools = tools.into_iter().filter(|t| t.tool.installed);
        let tools: Vec<_> = tools.map(|t| (t.tool, t.path)).collect();
        let whole = Whole {
            inputs: again.inputs,
            linked: self.linked_beside(&tools),
            tools,
            programs: bin_paths.into_iter().chain(self.linked_programs()).collect(),
            settled: self.settled.clone(),
        };
        let mut shims = self.keep(&whole).await;
        if shims.iter().any(|s| s.wrong == Wrong::Missing) {
            shims = self.reshim(&whole, &shims).await;
        }
        for shim in &shims {
            self.problem(problems::shim(shim));
        }
    }

    /// Has the proof made; returns the shims that stand against it.
    async fn keep(&self, whole: &Whole) -> Vec<Shim> {
        let request = self.request(What::Keep(Box::new(whole.clone())));
        let kept = self.cx.helper::<_, Seen>("tools", &request, true, LOOK_TAKES).await;
        let why = match kept {
            Ok(seen) if seen.proof.kept => return Vec::new(),
            Ok(Seen { proof, .. }) if !proof.shims.is_empty() => return proof.shims,
            Ok(seen) => seen.proof.why.unwrap_or_default(),
            Err(e) => format!("{e:?}"),
        };
        self.log.say(&format!("no proof is kept: {why}"));
        Vec::new()
    }

    /// Has mise make the shims again.
    async fn reshim(&mut self, whole: &Whole, shims: &[Shim]) -> Vec<Shim> {
        let paths: Vec<String> = shims.iter().map(|s| s.path.display().to_string()).collect();
        let made = self.exec(&self.mise(&["reshim"])).await;
        let left = self.keep(whole).await;
        if matches!(made, Ok(0)) && left.is_empty() {
            self.report.notes.push(format!("shims made again: {}", paths.join(", ")));
        }
        left
    }

    /// mise with other arguments than the plan's.
    fn mise(&self, arguments: &[&str]) -> Command {
        let mut command = self.work.list.clone();
        command.argv.truncate(1);
        command.argv.extend(arguments.iter().map(|a| (*a).to_owned()));
        command
    }
}
