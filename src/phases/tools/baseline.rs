//! The image's tools at boot: each answers at the image's version.
//!
//! Where the image's links serve everything that its config declares, nothing is run, and
//! links of an older boot are taken off the volume. What they don't serve (an image that was
//! built without them, a newer config) is installed with no word of the user's config and
//! linked on the volume by a process that is the user.

use super::install::Listing;
use super::{LOOK_TAKES, Reconcile, Stopped, problems};
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
use std::collections::BTreeSet;
use std::path::Path;

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
        self.report.tools = linked
            .iter()
            .map(|t| Tool { name: t.name.clone(), version: t.version.clone(), installed: true })
            .collect();
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
        let (mut listed, mut made) = self.link(rest, &except).await?;
        if !made.emptied.is_empty() {
            // mise takes an emptied directory for an installed tool; forced, it installs again.
            let emptied = made.emptied.iter().map(|(name, version)| format!("{name}@{version}"));
            let emptied: Vec<String> = emptied.collect();
            self.report
                .notes
                .push(format!("installed again, the directory was empty: {}", emptied.join(", ")));
            let mut force = install.clone();
            force.argv.push("--force".into());
            force.argv.extend(emptied);
            let installed = self.install(&force).await;
            failure = self.or_stop(installed)?.or(failure);
            (listed, made) = self.link(rest, &except).await?;
        }
        self.missing(rest, &listed, &made, failure.unwrap_or_default());
        if made.error.is_some() {
            return Ok(Vec::new());
        }
        let linked = made.record.tools;
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
    ) -> Result<(Vec<Listed>, Made), Stopped> {
        let list = hidden(&self.work.list);
        let listing = self.listing(&list, None, self.cx.limit).await;
        let Listing { tools: listed, bin_paths: directories } = self.or_stop(listing)?;
        let mine = |name: &str| rest.iter().any(|d| d.name == name);
        let whole =
            |name: &str| listed.iter().filter(|l| l.tool.name == name).all(|l| l.tool.installed);
        let asked = rest.iter().filter(|d| whole(&d.name));
        let wanted = Wanted {
            asked: asked.map(|d| (d.name.clone(), d.versions.clone())).collect(),
            tools: listed
                .iter()
                .filter(|l| l.tool.installed && mine(&l.tool.name))
                .map(|l| (l.tool.name.clone(), l.tool.version.clone(), l.path.clone()))
                .collect(),
            directories,
            except: except.clone(),
            ..self.wanted()
        };
        let made = self.make(&wanted).await?;
        Ok((listed, made))
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
    fn missing(&mut self, rest: &[&Declared], listed: &[Listed], made: &Made, failure: Failure) {
        let there = |name: &str| {
            let mut versions = listed.iter().filter(|l| l.tool.name == name).peekable();
            let emptied = made.emptied.iter().any(|(n, _)| n == name);
            versions.peek().is_some() && versions.all(|l| l.tool.installed) && !emptied
        };
        let missing: Vec<&str> =
            rest.iter().map(|d| d.name.as_str()).filter(|name| !there(name)).collect();
        let is = |text: &str, name: &str| text.starts_with(&format!("{name}@"));
        let named = failure.tools.iter().filter(|(n, _)| missing.iter().any(|m| is(n, m)));
        let named: Vec<(String, String)> = named.cloned().collect();
        for name in &missing {
            if named.iter().any(|(n, _)| is(n, name)) {
                continue;
            }
            let why = failure.other.first().map_or("mise gives no reason", String::as_str);
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

    /// Adds the image's tools to those that mise lists by every config: what is in force first.
    pub(super) fn with_baseline(&mut self, all: &mut Vec<Tool>) {
        let baseline = std::mem::take(&mut self.report.tools);
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

/// A command that sees the image's config alone.
fn hidden(command: &Command) -> Command {
    let mut command = command.clone();
    command.environment.set.extend(without_users_config());
    command
}
