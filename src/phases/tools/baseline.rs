//! The image's tools at boot: each answers at the image's version.
//!
//! Where the image's links serve everything that its config declares, nothing is run, and
//! links of an older boot are taken off the volume. What they don't serve (an image that was
//! built without them, a newer config) is installed with no word of the user's config and
//! linked on the volume by a process that is the user.

use super::install::Listing;
use super::{LOOK_TAKES, Reconcile, Stopped, problems, repair};
use crate::config::value::BaselineMode;
use crate::engine::HelperError;
use crate::journal::Problem;
use crate::journal::event::Tool;
use crate::plan::{self, Command};
use crate::tools::baseline::make::{Made, Wanted};
use crate::tools::baseline::{self, Linked, beside, tell, without_users_config};
use crate::tools::look::Seen;
use crate::tools::manifest::Declared;
use crate::tools::output::{Failure, Listed};
use crate::tools::verify::{Claim, Verdict};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

impl Reconcile<'_, '_> {
    /// Checks the image's links, and installs what the image's config declares and the image
    /// does not contain, with no word of the user's config.
    pub(super) async fn baseline(&mut self, seen: &Seen) -> Result<(), Stopped> {
        let links = &seen.baseline;
        let system = self.work.places.system_manifest();
        if !links.looked || seen.unusable.iter().any(|e| e.path == system) {
            return Ok(());
        }
        let declared = match &seen.system {
            Some(system) => baseline::declared(system, &self.mise_variables()),
            None => Vec::new(),
        };
        let (served, rest): (Vec<&Declared>, Vec<&Declared>) =
            declared.iter().partition(|d| links.image.serve(d));
        for d in &declared {
            if let Some(why) = links.image.damage(d) {
                self.problem(problems::baseline_broken(&d.name, why));
            }
        }
        let by_image = |t: &&Linked| served.iter().any(|d| d.name == t.name);
        let mut linked: Vec<Linked> =
            links.image.tools().iter().filter(by_image).cloned().collect();
        if !rest.is_empty() {
            let except = linked.iter().flat_map(|t| t.programs.iter().map(|p| p.name.clone()));
            let except = except.collect();
            let on_volume = self.on_volume(&rest, except).await?;
            linked.extend(on_volume.into_iter().filter(|t| rest.iter().any(|d| d.name == t.name)));
        } else if links.volume.present {
            let made = self.make(&self.wanted()).await?;
            if let Some(why) = made.error {
                self.problem(links_stay(&self.work.places.volume_links(), why));
            }
        }
        let by_links = linked.iter().map(|t| tool(&t.name, &t.version, true));
        self.report.tools.splice(..0, by_links);
        self.linked.clone_from(&linked);
        let linked: Vec<(Linked, &Declared)> = linked
            .into_iter()
            .filter_map(|t| Some((declared.iter().copied().find(|d| d.name == t.name)?, t)))
            .map(|(d, t)| (t, d))
            .collect();
        for note in tell::notes(self.work.baseline, &linked, seen.user.as_ref(), &links.shims) {
            self.standing_note(note);
        }
        let order = tell::order(self.work.baseline, &self.cx.facts.image_path, &self.work.places);
        if let Some(note) = order.filter(|_| !declared.is_empty()) {
            self.standing_note(note);
        }
        self.stale(seen, &declared);
        Ok(())
    }

    /// Installs and links what the image's links don't serve.
    async fn on_volume(
        &mut self,
        rest: &[&Declared],
        except: BTreeSet<String>,
    ) -> Result<Vec<Linked>, Stopped> {
        let install = hidden(&self.work.install);
        let installed = self.install(&install).await;
        let mut failure = self.or_stop(installed)?;
        let mut found = self.link(rest, &except).await?;
        let damaged = found.broken();
        if !damaged.is_empty() {
            for (name, why) in found.of_image(&self.work.places.system_data) {
                let told = |p: &Problem| {
                    p.code == problems::BASELINE_BROKEN && p.message.starts_with(&name)
                };
                if !self.report.problems.iter().any(|(_, p)| told(p)) {
                    self.problem(problems::baseline_broken(&name, &why));
                }
            }
            // What works in part is kept until there is another.
            let (partly, mut forced): (Vec<Claim>, Vec<Claim>) = damaged
                .into_iter()
                .partition(|c| found.is_usable(c, &self.work.places.system_data));
            let aside = match repair::might_fetch() {
                true => self.put_aside(partly).await,
                false => Vec::new(),
            };
            forced.extend(aside.iter().cloned());
            if !forced.is_empty() {
                let forced: Vec<String> = forced.iter().map(Claim::called).collect();
                let forced_names = forced.join(", ");
                let note = format!("installed again, for want of a whole program: {forced_names}");
                self.report.notes.push(note);
                let mut force = install.clone();
                force.argv.push("--force".into());
                force.argv.extend(forced);
                let installed = self.install(&force).await;
                self.put_back(&aside, &installed).await;
                failure = self.or_stop(installed)?.or(failure);
            }
            found = self.link(rest, &except).await?;
        }
        let Found { listed, made, faults } = found;
        self.missing(rest, &listed, &faults, &made, failure.unwrap_or_default());
        if made.error.is_some() {
            return Ok(Vec::new());
        }
        let mut linked = made.record.tools;
        let whole = |t: &Linked| {
            let same = |l: &&Listed| l.tool.name == t.name && l.tool.version == t.version;
            listed.iter().find(same).is_some_and(|l| l.tool.installed)
        };
        linked.retain(whole);
        if !linked.is_empty() {
            let names = linked.iter().map(|t| format!("{} {}", t.name, t.version));
            let names = names.collect::<Vec<_>>().join(", ");
            self.standing_note(format!(
                "linked on the volume, the image has no link for it: {names} (`agent tools baseline link` when the image is built)"
            ));
        }
        for note in made.notes {
            self.standing_note(note);
        }
        Ok(linked)
    }

    /// Asks mise what there is, and links it.
    async fn link(
        &mut self,
        rest: &[&Declared],
        except: &BTreeSet<String>,
    ) -> Result<Found, Stopped> {
        let list = hidden(&self.work.list);
        let listing = self.listing(&list, None, self.cx.limit).await;
        let Listing { tools: mut listed, bin_paths: directories } = self.or_stop(listing)?;
        let mine = |name: &str| rest.iter().any(|d| d.name == name);
        listed.retain(|l| mine(&l.tool.name));
        let there = listed.iter().filter(|l| l.tool.installed);
        let claims: Vec<Claim> = there.map(repair::claim).collect();
        let verdicts = self.verdicts(claims.clone(), directories.clone(), self.cx.limit).await;
        let Some(verdicts) = verdicts else {
            let error = Some("what is installed cannot be looked at".to_owned());
            return Ok(Found { listed, made: Made { error, ..Made::default() }, faults: vec![] });
        };
        // Who calls it by a link needs no shim.
        let good = |v: &Verdict| matches!(v, Verdict::Whole | Verdict::Uncallable { .. });
        let faults = claims.into_iter().zip(verdicts).filter(|(_, v)| !good(v));
        let faults: Vec<(Claim, Verdict)> = faults.collect();
        for l in &mut listed {
            let claim = repair::claim(l);
            l.tool.installed &= !faults.iter().any(|(c, _)| *c == claim);
        }
        // What works in part is linked too, and not claimed.
        let system = &self.work.places.system_data;
        let partly = |l: &Listed| {
            let usable = |v: &Verdict| matches!(v, Verdict::Broken { usable: true, .. });
            let claim = repair::claim(l);
            !l.path.starts_with(system) && faults.iter().any(|(c, v)| *c == claim && usable(v))
        };
        let whole =
            |name: &str| listed.iter().filter(|l| l.tool.name == name).all(|l| l.tool.installed);
        let asked = rest.iter().filter(|d| whole(&d.name));
        let wanted = Wanted {
            asked: asked.map(|d| (d.name.clone(), d.versions.clone())).collect(),
            tools: listed
                .iter()
                .filter(|l| l.tool.installed || partly(l))
                .map(|l| (l.tool.name.clone(), l.tool.version.clone(), l.path.clone()))
                .collect(),
            directories,
            except: except.clone(),
            ..self.wanted()
        };
        let made = self.make(&wanted).await?;
        Ok(Found { listed, made, faults })
    }

    fn wanted(&self) -> Wanted {
        let facts = &self.cx.facts;
        let own = plan::image_path(&facts.image_path, &facts.user.home, &self.work.places);
        Wanted {
            dir: beside(&self.work.places.volume_links()),
            interpreters: own.split(':').map(Into::into).collect(),
            ..Wanted::default()
        }
    }

    /// Has the links made by a process that is the user.
    async fn make(&mut self, wanted: &Wanted) -> Result<Made, Stopped> {
        match self.cx.helper::<_, Made>("tools-links", wanted, true, LOOK_TAKES).await {
            Ok(made) => Ok(made),
            Err(HelperError::Cancelled) => {
                self.problem(problems::not_looked(&HelperError::Cancelled));
                Err(Stopped)
            }
            Err(HelperError::Hung) => Ok(Made {
                error: Some(format!("{}: it hangs", wanted.dir.display())),
                ..Made::default()
            }),
            Err(HelperError::Broken(why)) => Ok(Made { error: Some(why), ..Made::default() }),
        }
    }

    /// Each tool of the baseline that can't be linked, with the reason.
    fn missing(
        &mut self,
        rest: &[&Declared],
        listed: &[Listed],
        faults: &[(Claim, Verdict)],
        made: &Made,
        failure: Failure,
    ) {
        let there = |name: &str| {
            let mut versions = listed.iter().filter(|l| l.tool.name == name).peekable();
            versions.peek().is_some() && versions.all(|l| l.tool.installed)
        };
        // What is claimed of them stands in the status, and is not tried again.
        let gone = listed.iter().filter(|l| !l.tool.installed);
        self.report.tools.extend(gone.map(|l| tool(&l.tool.name, &l.tool.version, false)));
        let missing: Vec<&str> =
            rest.iter().map(|d| d.name.as_str()).filter(|name| !there(name)).collect();
        let is = |text: &str, name: &str| text.starts_with(&format!("{name}@"));
        let named = failure.tools.iter().filter(|(n, _)| missing.iter().any(|m| is(n, m)));
        let named: Vec<(String, String)> = named.cloned().collect();
        for name in &missing {
            if named.iter().any(|(n, _)| is(n, name)) {
                continue;
            }
            let fault = faults.iter().find(|(c, _)| c.name == *name);
            let fault = fault.and_then(|(_, verdict)| verdict.why());
            let why = fault.or(failure.other.first().map(String::as_str));
            let why = why.unwrap_or("mise gives no reason");
            self.problem(
                Problem::new(
                    "baseline-tool-missing",
                    format!("{name} of the image's config is not installed"),
                    "see the log for mise's reason, then run `agent boot`",
                )
                .evidence(crate::engine::excerpt(why)),
            );
        }
        // The certificate that kept a tool from being fetched stands apart from the tool.
        let other = if named.is_empty() { Vec::new() } else { failure.other };
        for problem in problems::of(&Failure { tools: named, other, malformed: None }) {
            self.problem(problem);
        }
        if let Some(why) = &made.error {
            let names: Vec<&str> = rest.iter().map(|d| d.name.as_str()).collect();
            self.problem(
                Problem::new(
                    "baseline-not-linked",
                    format!(
                        "a user's config can replace {}: the links cannot be made",
                        names.join(", ")
                    ),
                    "make that place writable for the sandbox user, or run `agent tools baseline link` when the image is built",
                )
                .evidence(why.clone()),
            );
        }
    }

    /// Links of the image's that its own config has left behind.
    fn stale(&mut self, seen: &Seen, declared: &[&Declared]) {
        let gone = |t: &&Linked| !declared.iter().any(|d| d.name == t.name);
        let gone: Vec<String> =
            seen.baseline.image.tools().iter().filter(gone).map(|t| t.name.clone()).collect();
        if !gone.is_empty() {
            self.standing_note(format!(
                "linked in the image and no longer declared there: {} (`agent tools baseline link` when the image is built)",
                gone.join(", ")
            ));
        }
    }

    /// Is this one of the image's tools, as the links serve it or would?
    pub(super) fn of_baseline(&self, name: &str, version: &str) -> Option<&Tool> {
        self.report.tools.iter().find(|t| t.name == name && t.version == version)
    }

    /// Has everything been said of this tool? It is the image's, and either missing, or its
    /// link answers before whatever mise lists.
    pub(super) fn told_of_baseline(&self, name: &str, version: &str) -> bool {
        let pinned = self.work.baseline == BaselineMode::Pinned;
        self.of_baseline(name, version).is_some_and(|t| pinned || !t.installed)
    }

    /// What is linked, and where each is, but for those that mise lists there.
    pub(super) fn linked_beside(&self, listed: &[(Tool, PathBuf)]) -> Vec<(Tool, PathBuf)> {
        let all = self
            .linked
            .iter()
            .filter_map(|t| Some((tool(&t.name, &t.version, true), baseline::installation(t)?)));
        all.filter(|one| !listed.contains(one)).collect()
    }

    /// Where the programs of what is linked lie.
    pub(super) fn linked_programs(&self) -> impl Iterator<Item = PathBuf> {
        let programs = self.linked.iter().flat_map(|t| &t.programs);
        programs.filter_map(|p| p.leads_to.parent().map(Path::to_owned))
    }

    /// Adds the image's tools to those that mise lists by every config: what is in force first.
    pub(super) fn with_baseline(&mut self, all: &mut Vec<Tool>) {
        let mut baseline = std::mem::take(&mut self.report.tools);
        // Another attempt may have installed what the first could not.
        for tool in baseline.iter_mut().filter(|t| !t.installed) {
            tool.installed = all
                .iter()
                .any(|t| t.installed && (&t.name, &t.version) == (&tool.name, &tool.version));
        }
        all.retain(|t| !baseline.iter().any(|b| (&b.name, &b.version) == (&t.name, &t.version)));
        match self.work.baseline {
            BaselineMode::Pinned => drop(all.splice(..0, baseline)),
            BaselineMode::Overridable => all.extend(baseline),
        }
    }
}

/// Links of an older boot, or somebody's, that stand before the image's.
fn links_stay(links: &Path, why: String) -> Problem {
    Problem::new(
        "baseline-not-linked",
        format!("{} stands before the image's links and cannot be removed", links.display()),
        "make that directory writable for the sandbox user, or remove it; then run `agent boot`",
    )
    .evidence(why)
}

/// What mise has of the tools that the links don't serve, and what was linked of it.
struct Found {
    /// What it lists; `installed` is true of those alone that are whole.
    listed: Vec<Listed>,
    made: Made,
    faults: Vec<(Claim, Verdict)>,
}

impl Found {
    /// Those of which something is missing.
    fn broken(&self) -> Vec<Claim> {
        let broken = self.faults.iter().filter(|(_, v)| matches!(v, Verdict::Broken { .. }));
        broken.map(|(c, _)| c.clone()).collect()
    }

    /// Would a forced install take away something that works? Not what lies below `system`.
    fn is_usable(&self, claim: &Claim, system: &Path) -> bool {
        let usable = |v: &Verdict| matches!(v, Verdict::Broken { usable: true, .. });
        let faulty = self.faults.iter().any(|(c, v)| c == claim && usable(v));
        faulty && !claim.path.starts_with(system)
    }

    /// Those of them that lie in the image, below `system`, with what is wrong.
    fn of_image(&self, system: &Path) -> Vec<(String, String)> {
        let mine = self.faults.iter().filter(|(c, _)| c.path.starts_with(system));
        mine.filter_map(|(c, v)| Some((c.name.clone(), v.why()?.to_owned()))).collect()
    }
}

fn tool(name: &str, version: &str, installed: bool) -> Tool {
    Tool { name: name.into(), version: version.into(), installed }
}

/// A command that sees the image's config alone.
fn hidden(command: &Command) -> Command {
    let mut command = command.clone();
    command.environment.set.extend(without_users_config());
    command
}
