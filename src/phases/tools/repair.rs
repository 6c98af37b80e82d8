//! After installing: what mise calls installed is looked at, and what isn't whole is mended.
//!
//! Each remedy is tried once, the mildest first, and after each everything is looked at anew:
//! another process may install, remove and declare tools all the while.
//!
//! | found | remedy |
//! | --- | --- |
//! | declared since the install began, or another process is at it | `mise install TOOL`: it waits for the other's lock |
//! | not whole | `mise install --force TOOL` |
//! | no shim that works | `mise reshim`, then `--force`: mise makes no shim of a tool whose metadata is lost |
//!
//! What is still not whole then is reported as not installed. `--force` removes before it
//! fetches: what still works in part is forced only where there is a route to anywhere, and is
//! moved aside first, to be put back where nothing came of it.

use super::install::Listing;
use super::{LOOK_TAKES, Reconcile, Stopped, problems};
use crate::journal::Problem;
use crate::journal::event::Tool;
use crate::plan::Command;
use crate::tools::look::Seen;
use crate::tools::output::{Failure, Listed};
use crate::tools::proof::{Change, Damage};
use crate::tools::verify::{Claim, Request, Verdict, aside};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What listing and looking may take where the install was cut off: the engine's own margin
/// behind a phase's deadline is 5 s.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// How the tools stand.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The tools; `installed` is true of those alone that are whole.
    pub(super) tools: Vec<Listed>,
    /// What is wrong with those that mise calls installed.
    pub(super) faults: Vec<(Claim, Verdict)>,
    /// What mise said of those that it couldn't install.
    pub(super) failure: Option<Failure>,
    /// The helper gave no answer: nothing is known, so nothing is claimed.
    pub(super) unseen: bool,
    /// The directories of programs, by mise's own word.
    pub(super) bin_paths: Vec<PathBuf>,
    /// What a proof would rest on, as it was just before mise listed the tools.
    pub(super) again: Seen,
}

/// What the last proof knows this tool to have lost.
fn lost<'a>(again: &'a Seen, claim: &Claim) -> Option<&'a Change> {
    let is =
        |d: &&Damage| (&d.name, &d.version, &d.path) == (&claim.name, &claim.version, &claim.path);
    again.proof.damaged.iter().find(is).map(|damage| &damage.change)
}

impl Standing {
    /// Did mise itself name this tool with its reason?
    pub(super) fn named(&self, name: &str) -> bool {
        let named = self.failure.iter().flat_map(|f| &f.tools);
        named.into_iter().any(|(n, _)| n.starts_with(&format!("{name}@")))
    }

    /// What those tools that count as installed have lost all the same.
    pub(super) fn losses(&self) -> Vec<(String, Change)> {
        let whole = self.tools.iter().filter(|t| t.tool.installed).map(claim);
        let lost = whole.filter_map(|c| {
            let change = lost(&self.again, &c)?.clone();
            Some((format!("{}@{}", c.name, c.version), change))
        });
        lost.collect()
    }

    /// What is wrong with this tool, if mise calls it installed.
    pub(super) fn fault(&self, listed: &Listed) -> Option<&Verdict> {
        let same = |c: &Claim| c.name == listed.tool.name && c.version == listed.tool.version;
        self.faults.iter().find(|(claim, _)| same(claim)).map(|(_, verdict)| verdict)
    }
}

/// One way to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Remedy {
    /// The ordinary install, of these tools.
    Install(Vec<String>),
    /// Anew, of these tools.
    Force(Vec<String>),
    /// Anew, of these tools, which work in part.
    Renew(Vec<String>),
    /// All shims.
    Reshim,
}

/// What has been tried.
#[derive(Debug, Default)]
struct Tried {
    installed: BTreeSet<String>,
    forced: BTreeSet<String>,
    reshimmed: bool,
}

impl Reconcile<'_, '_> {
    /// Installs, looks and mends until everything is whole or nothing more can be done.
    pub(super) async fn settle(&mut self, seen: &Seen) -> Result<Standing, Stopped> {
        let install = self.work.install.clone();
        let failure = match self.install(&install).await {
            Ok(failure) => failure,
            Err(problem) => return Err(self.cut_off(seen, problem, None).await),
        };
        let stands = self.stand(failure, self.cx.limit).await;
        let mut standing = self.or_stop(stands)?;
        let mut tried = Tried::default();
        // The image's tools have had theirs.
        let mine: Vec<_> = self.report.tools.iter().map(called).collect();
        for tried in [&mut tried.installed, &mut tried.forced] {
            tried.extend(mine.iter().cloned());
        }
        while let Some(remedy) = tried.next(&standing, might_fetch) {
            let mut aside = Vec::new();
            let remedy = match remedy {
                Remedy::Renew(names) => {
                    let faulty = standing.faults.iter().map(|(claim, _)| claim);
                    let partly = faulty.filter(|c| names.contains(&c.called())).cloned();
                    aside = self.put_aside(partly.collect()).await;
                    if aside.is_empty() {
                        continue;
                    }
                    Remedy::Renew(aside.iter().map(Claim::called).collect())
                }
                other => other,
            };
            let (note, command) = self.remedy(&remedy);
            self.report.notes.push(note);
            let done = self.install(&command).await;
            self.put_back(&aside, &done).await;
            match done {
                Ok(failure) => standing.failure = more(standing.failure, failure),
                Err(problem) => return Err(self.cut_off(seen, problem, standing.failure).await),
            }
            let stands = self.stand(standing.failure, self.cx.limit).await;
            standing = self.or_stop(stands)?;
        }
        Ok(standing)
    }

    /// Moves aside what works in part; what can't be moved is not to be forced.
    pub(super) async fn put_aside(&mut self, mut claims: Vec<Claim>) -> Vec<Claim> {
        let paths = claims.iter().map(|c| c.path.clone()).collect();
        let moved = self.aside(aside::What::Away(paths), LOOK_TAKES).await;
        claims.retain(|c| moved.contains(&c.path));
        claims
    }

    /// Puts back what was not installed anew. Where that can't be asked for any more, the next
    /// boot does it.
    pub(super) async fn put_back(
        &mut self,
        claims: &[Claim],
        done: &Result<Option<Failure>, Problem>,
    ) {
        if claims.is_empty() {
            return;
        }
        let failed = claims.iter().filter(|c| match done {
            Ok(None) => false,
            Ok(Some(f)) => f.tools.is_empty() || f.tools.iter().any(|(n, _)| *n == c.called()),
            Err(_) => true,
        });
        let failed = failed.map(|c| c.path.clone()).collect();
        let patience = if done.is_ok() { LOOK_TAKES } else { AFTERWARDS };
        let back = self.aside(aside::What::Back(failed), patience).await;
        let kept = claims.iter().filter(|c| back.contains(&c.path)).map(Claim::called);
        let kept = kept.collect::<Vec<_>>().join(", ");
        if !kept.is_empty() {
            let note = format!("kept as it was, since nothing came in its place: {kept}");
            self.report.notes.push(note);
        }
    }

    async fn aside(&self, what: aside::What, patience: Duration) -> Vec<PathBuf> {
        let request = aside::Request { places: self.work.places.clone(), what };
        let moved = self.cx.helper("tools-aside", &request, true, patience).await;
        moved.unwrap_or_else(|e| {
            self.log.say(&format!("nothing is moved aside or back: {e:?}"));
            Vec::new()
        })
    }

    /// mise was killed or ran into the deadline: what is there nevertheless is told.
    async fn cut_off(
        &mut self,
        seen: &Seen,
        problem: Problem,
        failure: Option<Failure>,
    ) -> Stopped {
        self.problem(problem);
        if self.cx.cancel.requested().is_none()
            && let Ok(standing) = self.stand(failure, Instant::now() + AFTERWARDS).await
        {
            self.judge(seen, &standing);
        }
        Stopped
    }

    fn remedy(&self, remedy: &Remedy) -> (String, Command) {
        let with = |arguments: &[&str], names: &[String]| {
            let mut command = self.work.install.clone();
            command.argv.truncate(1);
            command.argv.extend(arguments.iter().map(|a| (*a).to_owned()));
            command.argv.extend(names.iter().cloned());
            command
        };
        match remedy {
            Remedy::Install(names) => (
                format!("waited for, or declared meanwhile: {}", names.join(", ")),
                with(&["install"], names),
            ),
            Remedy::Force(names) | Remedy::Renew(names) => (
                format!("installed again, for want of a whole program: {}", names.join(", ")),
                with(&["install", "--force"], names),
            ),
            Remedy::Reshim => ("made the shims anew".to_owned(), with(&["reshim"], &[])),
        }
    }

    /// Lists the tools and looks at each that mise calls installed.
    async fn stand(
        &mut self,
        failure: Option<Failure>,
        limit: Instant,
    ) -> Result<Standing, Problem> {
        // Before the list: what changes after it makes no proof.
        let again = self.look_again().await;
        let list = self.work.list.clone();
        let Listing { mut tools, bin_paths } = self.listing(&list, failure.as_ref(), limit).await?;
        let claims: Vec<Claim> = tools.iter().filter(|t| t.tool.installed).map(claim).collect();
        let verdicts = self.verdicts(claims.clone(), bin_paths.clone(), limit).await;
        let unseen = verdicts.is_none();
        let seen = claims.into_iter().zip(verdicts.unwrap_or_default());
        // What the look finds whole may still lack what it had when it was proved to be.
        let seen = seen.map(|(claim, verdict)| match lost(&again, &claim) {
            Some(Change::Broken(why)) if verdict == Verdict::Whole => {
                (claim, Verdict::Broken { why: why.clone(), usable: true })
            }
            _ => (claim, verdict),
        });
        let faults: Vec<_> = seen.filter(|(_, verdict)| *verdict != Verdict::Whole).collect();
        for listed in &mut tools {
            let claim = claim(listed);
            listed.tool.installed &= !unseen && !faults.iter().any(|(c, _)| *c == claim);
        }
        Ok(Standing { tools, faults, failure, unseen, bin_paths, again })
    }

    /// What a process that is the user finds; `None`, and a problem, where it gives no answer.
    pub(super) async fn verdicts(
        &mut self,
        claims: Vec<Claim>,
        bin_paths: Vec<PathBuf>,
        limit: Instant,
    ) -> Option<Vec<Verdict>> {
        if claims.is_empty() {
            return Some(Vec::new());
        }
        let count = claims.len();
        let variables = self.mise_variables();
        let absolute =
            |name: &str| Some(PathBuf::from(variables.get(name)?)).filter(|p| p.is_absolute());
        let request = Request::new(&self.work.places, absolute, claims, bin_paths);
        let patience = limit.saturating_duration_since(Instant::now()).min(LOOK_TAKES);
        match self.cx.helper("tools-verify", &request, true, patience).await {
            Ok::<Vec<Verdict>, _>(verdicts) if verdicts.len() == count => Some(verdicts),
            Ok(_) => {
                let e = crate::engine::HelperError::Broken("its answer is no answer".into());
                self.problem(problems::not_looked(&e));
                None
            }
            Err(e) => {
                self.problem(problems::not_looked(&e));
                None
            }
        }
    }
}

impl Tried {
    /// The next thing to try, if there is one. `fetches`: may something come from a network?
    fn next(&mut self, standing: &Standing, fetches: impl Fn() -> bool) -> Option<Remedy> {
        let faulty = |kind: fn(&Verdict) -> bool| -> BTreeSet<String> {
            let of_kind = standing.faults.iter().filter(move |(_, verdict)| kind(verdict));
            of_kind.map(|(claim, _)| claim.called()).collect()
        };
        let mut pending = faulty(|v| *v == Verdict::Unfinished);
        if standing.failure.is_none() && !standing.unseen {
            let absent = standing.tools.iter().filter(|t| !t.tool.installed);
            let absent = absent.filter(|t| standing.fault(t).is_none());
            pending.extend(absent.map(|t| format!("{}@{}", t.tool.name, t.tool.version)));
        }
        if let Some(names) = news(&mut self.installed, pending) {
            return Some(Remedy::Install(names));
        }
        let lost = faulty(|v| matches!(v, Verdict::Broken { usable: false, .. }));
        if let Some(names) = news(&mut self.forced, lost) {
            return Some(Remedy::Force(names));
        }
        let mute = faulty(|v| matches!(v, Verdict::Uncallable { foreign: false, .. }));
        if !mute.is_empty() && !self.reshimmed {
            self.reshimmed = true;
            return Some(Remedy::Reshim);
        }
        let partly = faulty(|v| matches!(v, Verdict::Broken { usable: true, .. }));
        let partly: BTreeSet<String> = partly.into_iter().chain(mute).collect();
        if partly.is_empty() || !fetches() {
            return None;
        }
        news(&mut self.forced, partly).map(Remedy::Renew)
    }
}

/// As mise is asked for it.
fn called(tool: &Tool) -> String {
    format!("{}@{}", tool.name, tool.version)
}

/// Those that have not been tried; from now on they have.
fn news(tried: &mut BTreeSet<String>, names: BTreeSet<String>) -> Option<Vec<String>> {
    let new: Vec<String> = names.into_iter().filter(|name| tried.insert(name.clone())).collect();
    (!new.is_empty()).then_some(new)
}

pub(super) fn claim(listed: &Listed) -> Claim {
    Claim {
        name: listed.tool.name.clone(),
        version: listed.tool.version.clone(),
        path: listed.path.clone(),
    }
}

/// What two installs of different tools told.
fn more(first: Option<Failure>, second: Option<Failure>) -> Option<Failure> {
    match (first, second) {
        (Some(mut first), Some(second)) => {
            first.tools.extend(second.tools);
            first.malformed = first.malformed.or(second.malformed);
            let new = second.other.into_iter().filter(|text| !first.other.contains(text));
            let new: Vec<String> = new.collect();
            first.other.extend(new);
            Some(first)
        }
        (first, second) => first.or(second),
    }
}

/// Has this machine any way out? Without a route nothing can be fetched.
pub(super) fn might_fetch() -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    routed(&read("/proc/net/route"), &read("/proc/net/ipv6_route"))
}

/// The first file begins with a heading and each line with the interface; the second's lines
/// end with it.
fn routed(v4: &str, v6: &str) -> bool {
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let last = |line: &str| line.split_whitespace().next_back().map(str::to_owned);
    let v4 = v4.lines().skip(1).filter_map(first);
    v4.chain(v6.lines().filter_map(last)).any(|interface| interface != "lo")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::event::Tool;

    fn listed(name: &str, installed: bool) -> Listed {
        let tool = Tool { name: name.into(), version: "1".into(), installed };
        Listed { tool, path: format!("/i/{name}/1").into() }
    }

    fn standing(tools: &[(&str, Option<Verdict>)]) -> Standing {
        let mut standing = Standing::default();
        for (name, verdict) in tools {
            let listed = listed(name, false);
            standing.faults.extend(verdict.clone().map(|v| (claim(&listed), v)));
            standing.tools.push(listed);
        }
        standing
    }

    fn broken(usable: bool) -> Option<Verdict> {
        Some(Verdict::Broken { why: "x".into(), usable })
    }

    fn mute() -> Option<Verdict> {
        Some(Verdict::Uncallable { why: "x".into(), foreign: false })
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| format!("{n}@1")).collect()
    }

    #[test]
    fn the_mildest_remedy_comes_first_and_each_once() {
        let s = standing(&[
            ("lost", broken(false)),
            ("mute", mute()),
            ("begun", Some(Verdict::Unfinished)),
            ("new", None),
            ("part", broken(true)),
        ]);
        let mut tried = Tried::default();
        let mut next = || tried.next(&s, || true);
        assert_eq!(next(), Some(Remedy::Install(names(&["begun", "new"]))));
        assert_eq!(next(), Some(Remedy::Force(names(&["lost"]))));
        assert_eq!(next(), Some(Remedy::Reshim));
        assert_eq!(next(), Some(Remedy::Renew(names(&["mute", "part"]))));
        assert_eq!(next(), None);
    }

    #[test]
    fn without_a_way_out_nothing_that_works_in_part_is_removed() {
        let s = standing(&[("part", broken(true)), ("mute", mute()), ("lost", broken(false))]);
        let mut tried = Tried::default();
        let mut next = || tried.next(&s, || false);
        assert_eq!(next(), Some(Remedy::Force(names(&["lost"]))));
        assert_eq!(next(), Some(Remedy::Reshim));
        assert_eq!(next(), None);
    }

    #[test]
    fn what_failed_with_a_reason_is_not_tried_again() {
        let mut s = standing(&[("gone", None)]);
        s.failure = Some(Failure { other: vec!["no".into()], ..Failure::default() });
        assert_eq!(Tried::default().next(&s, || true), None);
        let whole = Standing { tools: vec![listed("a", true)], ..Standing::default() };
        assert_eq!(Tried::default().next(&whole, || true), None);
        let unseen = Standing { unseen: true, tools: vec![listed("a", false)], ..whole };
        assert_eq!(Tried::default().next(&unseen, || true), None);
    }

    #[test]
    fn a_way_out_is_a_route_that_is_not_the_loopback() {
        let heading = "Iface\tDestination\tGateway\n";
        let loopback = "00 00 00 00 00000000 00000001 00000000 80200001 lo\n";
        assert!(!routed(heading, loopback) && !routed("", ""));
        assert!(routed(&format!("{heading}eth0\t00000000\t0102A8C0\n"), ""));
        assert!(routed(heading, &loopback.replace("lo", "eth0")));
    }
}
