//! Lockfiles at boot: the image's is never written, and an enforced one is checked first.

use super::{LOOK_TAKES, Reconcile, Stopped};
use crate::engine::{HelperError, excerpt};
use crate::journal::Problem;
use crate::tools::lock::copy::{Copied, Request, VARIABLES};
use crate::tools::lock::{Checked, Code, ENFORCED, Finding, Scope};
use crate::tools::look::Seen;
use crate::tools::output::{Failure, Reason};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where mise reads the image's configuration in this boot.
pub(super) struct ImageCopy {
    at: PathBuf,
    from: PathBuf,
}

/// The helper's name.
const HELPER: &str = "image-config";

impl Reconcile<'_, '_> {
    /// Gives mise a copy of the image's configuration to read (and to write, if it must):
    /// the user makes it, in memory if there is a place in memory.
    pub(super) async fn keep_image_lock(&mut self) -> Result<(), Stopped> {
        let places = &self.work.places;
        let variables = self.mise_variables();
        let from = places.system_config.clone();
        let runtime = variables.get("XDG_RUNTIME_DIR").map(PathBuf::from);
        let within = runtime
            .filter(|path| path.is_absolute())
            .into_iter()
            .chain(["/tmp".into(), places.agent_state.clone()])
            .collect();
        let request = Request::Make { from: from.clone(), within };
        let copied: Copied = match self.cx.helper(HELPER, &request, true, LOOK_TAKES).await {
            Ok(copied) => copied,
            Err(HelperError::Cancelled) => return Err(Stopped),
            // Whether the user could write there isn't known either.
            Err(HelperError::Hung) => {
                Copied { why: Some("it hangs".into()), writable: true, at: None }
            }
            Err(HelperError::Broken(why)) => Copied { why: Some(why), writable: true, at: None },
        };
        if let Some(at) = copied.at {
            self.log.say(&format!("mise reads a copy of {} in {}", from.display(), at.display()));
            let text = at.to_string_lossy().into_owned();
            self.variables.extend(VARIABLES.map(|name| (name.to_owned(), text.clone())));
            self.image_copy = Some(ImageCopy { at, from });
            return Ok(());
        }
        let Some(why) = copied.why else { return Ok(()) };
        let from = from.display();
        if !copied.writable {
            self.report.notes.push(format!(
                "mise reads {from} itself, which this user cannot write; no copy can be made ({why})"
            ));
            return Ok(());
        }
        self.problem(
            Problem::new(
                "image-lock-exposed",
                format!("no copy of {from} can be made, so mise might write the image's own lockfile; it is not run"),
                "give the sandbox a /tmp that its user can write, or make room in its home; then run `agent boot`",
            )
            .evidence(why),
        );
        Err(Stopped)
    }

    /// Removes the copy, whatever mise has written into it.
    pub(super) async fn drop_image_copy(&mut self) {
        let Some(copy) = self.image_copy.take() else { return };
        let request = Request::Remove(copy.at);
        let gone: Result<Copied, _> = self.cx.helper(HELPER, &request, true, LOOK_TAKES).await;
        match gone {
            Ok(Copied { why: None, .. }) | Err(HelperError::Cancelled) => {}
            Ok(Copied { why, .. }) => {
                let why = why.unwrap_or_default();
                self.log.say(&format!("the copy of the image's configuration stays behind: {why}"));
            }
            Err(e) => {
                self.log.say(&format!("the copy of the image's configuration stays behind: {e:?}"))
            }
        }
    }

    /// A problem as it would read without the copy.
    pub(super) fn of_image(&self, problem: Problem) -> Problem {
        let Some(copy) = &self.image_copy else { return problem };
        let (at, from) = (copy.at.display().to_string(), copy.from.display().to_string());
        let home = self.work.places.home.display().to_string();
        // mise writes paths in the home with a tilde.
        let short = at.strip_prefix(&home).map(|rest| format!("~{rest}"));
        let original = |text: &str| {
            let text = text.replace(&at, &from);
            short.iter().fold(text, |text, short| text.replace(short, &from))
        };
        Problem {
            message: original(&problem.message),
            evidence: problem.evidence.as_deref().map(original),
            next: original(&problem.next),
            ..problem
        }
    }

    /// What mise failed at, less what has been told already.
    pub(super) fn untold(&self, failure: &Failure) -> Failure {
        let mut left = failure.clone();
        left.tools.retain(|(name, text)| {
            let name = name.rsplit_once('@').map_or(name.as_str(), |(name, _)| name);
            let told = self.not_locked.iter().any(|tool| tool == name);
            !(told && Reason::of(text) == Reason::NotLocked)
        });
        left.other.retain(|text| {
            let told = self.not_locked.iter().any(|tool| text.contains(tool.as_str()));
            !(told && Reason::of(text) == Reason::NotLocked)
        });
        left
    }

    /// Names what the lockfiles can't serve as a problem, where that will fail or install
    /// something else. What only will some day is a note, and has to wait: see
    /// [`Self::note_locks`].
    pub(super) fn check_lock(&mut self, seen: &Seen) {
        for (scope, image) in scopes(seen) {
            self.judge_lock(scope, image);
            if scope.enforced {
                self.note_lock(scope, image);
            }
        }
    }

    /// Notes of the lockfiles that nothing enforces. mise writes into them as it installs: what
    /// they lacked before may be in them now.
    pub(super) fn note_locks(&mut self, before: &Seen, after: &Seen) {
        let lacks = |s: &Scope| !s.enforced && s.checked.version.is_some();
        if !scopes(before).any(|(s, _)| lacks(s) && !s.checked.findings.is_empty()) {
            return;
        }
        for (scope, image) in scopes(after).filter(|(s, _)| lacks(s)) {
            self.note_lock(scope, image);
        }
    }

    /// A link of the user's by which mise would write the image's configuration.
    pub(super) fn image_exposed(&mut self, seen: &Seen) -> Result<(), Stopped> {
        let Some(path) = &seen.lock.exposed else { return Ok(()) };
        let (path, image) = (path.display(), self.work.places.system_config.display());
        self.problem(Problem::new(
            "image-lock-exposed",
            format!(
                "{path} leads into {image}, where this user can write: mise might write the image's own lockfile; it is not run"
            ),
            format!("put what is the user's own in the place of {path}; then run `agent boot`"),
        ));
        Err(Stopped)
    }

    fn judge_lock(&mut self, scope: &Scope, image: bool) {
        let checked = &scope.checked;
        let lock = checked.lock.display();
        if is_told_elsewhere(checked) {
            return;
        }
        if scope.enforced {
            for (tool, findings) in by_tool(checked) {
                let all: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
                let message = format!("{} ({lock})", all.join("; "));
                let next = format!("{}; or {}", next(checked, image), not_enforced(scope));
                self.problem(Problem::new("tool-not-locked", message, next));
                self.not_locked.push(tool.to_owned());
            }
        } else if image && checked.version.is_some() && checked.refused().next().is_some() {
            let all: Vec<&str> = checked.refused().map(|f| f.message.as_str()).collect();
            self.problem(
                Problem::new(
                    "lock-stale",
                    "the image's lockfile does not hold everything that its config declares",
                    next(checked, image),
                )
                .evidence(excerpt(&all.join("\n"))),
            );
        }
    }

    fn note_lock(&mut self, scope: &Scope, image: bool) {
        let checked = &scope.checked;
        if is_told_elsewhere(checked) {
            return;
        }
        let told = |f: &&Finding| f.code.is_refused() && (scope.enforced || image);
        let left: Vec<&Finding> = checked.findings.iter().filter(|f| !told(f)).collect();
        // Where nothing is enforced, having no lockfile is a choice.
        if let Some(first) = left.first().filter(|_| checked.version.is_some()) {
            let more = match left.len() {
                1 => String::new(),
                n => format!(", and {} more", n - 1),
            };
            self.standing_note(format!(
                "{}: {}{more} (`agent tools lock check --global` tells all)",
                checked.lock.display(),
                first.message
            ));
        }
    }
}

/// The lockfiles, each with whether it is the image's.
fn scopes(seen: &Seen) -> impl Iterator<Item = (&Scope, bool)> {
    let image = seen.lock.image.iter().map(|s| (s, true));
    image.chain(seen.lock.user.iter().map(|s| (s, false)))
}

/// A config that is no TOML is mise's to refuse, and the phase tells it then; a lockfile that is
/// none has been told before mise was run.
fn is_told_elsewhere(checked: &Checked) -> bool {
    checked.findings.iter().any(|f| matches!(f.code, Code::Config | Code::Corrupt))
}

/// How a lockfile is no longer enforced.
fn not_enforced(scope: &Scope) -> String {
    match &scope.by {
        None => format!("unset {ENFORCED}"),
        Some(config) => format!("take `locked = true` out of {}", config.display()),
    }
}

/// What to do about a lockfile.
fn next(checked: &Checked, image: bool) -> String {
    match image {
        true => format!("update the image's lockfile where the image is built: `{}`", checked.run),
        false => format!("run `{}`", checked.run),
    }
}

/// What a locked install fails on, by tool.
fn by_tool(checked: &Checked) -> BTreeMap<&str, Vec<&Finding>> {
    let mut all: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in checked.refused() {
        if let Some(tool) = &finding.tool {
            all.entry(tool).or_default().push(finding);
        }
    }
    all
}
