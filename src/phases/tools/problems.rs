//! The problems of the tools phase in words: what failed and the next step.

use crate::engine::{HelperError, excerpt};
use crate::journal::Problem;
use crate::journal::event::Tool;
use crate::tools::output::{Failure, Reason};
use crate::tools::proof::{Change, Corrupt, Shim, Wrong};
use crate::tools::verify::Verdict;
use std::path::Path;

/// Plugins are declared where none may resolve.
pub(super) const PLUGIN_DENIED: &str = "tool-plugin-denied";

/// A tool of the image's that is not whole in the image.
pub(super) const BASELINE_BROKEN: &str = "baseline-broken";

/// What a SIGKILL most often is.
pub(super) const MEMORY_LIMIT: &str = "SIGKILL without an operator is most often the memory limit";

/// What a failed install comes to, each tool that mise named first.
pub(super) fn of(failure: &Failure) -> Vec<Problem> {
    // mise tells a certificate apart from the tools that it kept from being fetched, and
    // a lockfile's error apart from the reason why it can't be written.
    let certificate = failure.has(Reason::Certificate);
    let stale_lock = failure.has(Reason::StaleLock);
    let tools = failure.tools.iter().map(|(name, text)| match Reason::of(text) {
        Reason::Network if certificate => {
            let why = failure.other.iter().find(|t| Reason::of(t) == Reason::Certificate);
            not_installed(name, why.unwrap_or(text), Reason::Certificate)
        }
        reason => not_installed(name, text, reason),
    });
    let others = failure.other.iter().filter_map(|text| match Reason::of(text) {
        Reason::Certificate if !failure.tools.is_empty() => None,
        Reason::Other if stale_lock && text.contains("mise.lock") => None,
        Reason::StaleLock => Some(stale_lock_problem(failure)),
        reason => {
            let (code, next) = remedy(reason);
            Some(Problem::new(code, "mise reports an error", next).evidence(excerpt(text)))
        }
    });
    tools.chain(others).collect()
}

/// Both of mise's lines: that the lockfile is behind, and why it can't be brought forward.
fn stale_lock_problem(failure: &Failure) -> Problem {
    let (code, next) = remedy(Reason::StaleLock);
    let lines: Vec<&str> =
        failure.other.iter().map(String::as_str).filter(|t| t.contains("lock")).collect();
    Problem::new(code, "the image's lockfile does not name every tool that is declared", next)
        .evidence(excerpt(&lines.join("\n")))
}

fn not_installed(name: &str, text: &str, reason: Reason) -> Problem {
    let (code, next) = match reason {
        Reason::Other => (
            "tool-not-installed",
            "correct its entry in the mise config, then run `agent boot`".into(),
        ),
        Reason::Denied => (
            "tool-backend-denied",
            format!("remove {name} from the mise config: its backend is not allowed here"),
        ),
        known => remedy(known),
    };
    Problem::new(code, format!("{name} is not installed"), next).evidence(excerpt(text))
}

fn remedy(reason: Reason) -> (&'static str, String) {
    let (code, next) = match reason {
        Reason::NoSpace => ("tool-no-space", "make room on the volume, then run `agent boot`"),
        Reason::Certificate => (
            "tool-certificate",
            "add your network's CA certificate to the image, or name it in SSL_CERT_FILE and NODE_EXTRA_CA_CERTS",
        ),
        Reason::Network => {
            ("tool-network", "check network, DNS and proxy of the sandbox, then run `agent boot`")
        }
        Reason::Denied => (
            "tool-backend-denied",
            "remove from the mise config what needs a backend that is not allowed here",
        ),
        Reason::NotLocked => (
            "tool-not-locked",
            "update the lockfile beside the config (`mise lock`), or unset MISE_LOCKED",
        ),
        Reason::StaleLock => {
            ("lock-stale", "update the image's lockfile when the image is built (`mise lock`)")
        }
        Reason::Other => ("mise-error", "correct the mise config, then run `agent boot`"),
    };
    (code, next.to_owned())
}

/// A tool that is not there, or not whole, and mise has no word about it; `stopped` is what kept
/// mise from trying anything.
pub(super) fn absent(tool: &Tool, fault: Option<&Verdict>, stopped: Option<&str>) -> Problem {
    let name = format!("{}@{}", tool.name, tool.version);
    match fault {
        Some(Verdict::Broken { why, .. }) => Problem::new(
            "tool-broken",
            format!("{name} is not whole: {why}"),
            format!("run `mise install --force {name}` with the network there, then `agent boot`"),
        ),
        Some(Verdict::Uncallable { why, .. }) => Problem::new(
            "tool-without-shim",
            format!("{name} cannot be called by its name: {why}"),
            "remove what stands in the shim's place, then run `agent boot`",
        ),
        Some(Verdict::Unfinished) => Problem::new(
            "tool-unfinished",
            format!("{name} is not installed: its installation has begun and not ended"),
            "wait for the other `mise install`, then run `agent boot`",
        ),
        Some(Verdict::Whole) | None => match stopped {
            Some(why) => Problem::new(
                "tool-not-installed",
                format!("{name} is not installed: mise stopped before it tried"),
                "mend first what stopped mise, then run `agent boot`",
            )
            .evidence(excerpt(why)),
            None => Problem::new(
                "tool-not-installed",
                format!("{name} is not installed"),
                "see the log for mise's reason, then run `agent boot`",
            ),
        },
    }
}

/// A config file that is no TOML.
pub(super) fn malformed(place: &str, last_words: &str) -> Problem {
    Problem::new(
        "mise-config-malformed",
        format!(
            "{place} is not valid TOML; until it is mended every shim of mise's refuses to start"
        ),
        format!("edit {}", place.split(':').next().unwrap_or(place)),
    )
    .evidence(last_words)
}

/// The image's own copy of a tool is damaged.
pub(super) fn baseline_broken(name: &str, why: &str) -> Problem {
    Problem::new(
        BASELINE_BROKEN,
        format!("{name} of the image is damaged"),
        "rebuild the image, or start the sandbox from a whole copy of it; a copy on the volume answers meanwhile, where one can be installed",
    )
    .evidence(why)
}

/// Without mise's words about plugins that it could not fetch, since they have been refused: the
/// directory that it is given for them can't be made.
pub(super) fn but_plugins(mut failure: Failure) -> Failure {
    let theirs = |text: &String| {
        text.contains("os error 30") || text.contains("os error 13") || text.contains("plugin")
    };
    failure.other.retain(|text| !theirs(text));
    failure
}

/// The trial of the policy found no room.
pub(super) fn no_room_to_try(why: &str) -> Problem {
    let (code, next) = remedy(Reason::NoSpace);
    Problem::new(code, "there is no room to try whether mise keeps to the backend policy", next)
        .evidence(excerpt(why))
}

/// Names of tools that no config can mean.
pub(super) fn name_unprintable(path: &Path, name: &str) -> Problem {
    let path = path.display();
    Problem::new(
        "tool-name",
        format!("{path} declares a tool whose name has control characters: {name:?}"),
        format!("correct or remove the entry {name:?} in {path}"),
    )
}

/// No log, no phase: mise's reasons would be lost.
pub(super) fn no_log(e: &std::io::Error) -> Problem {
    Problem::new(
        "log-unwritable",
        format!("the log of the tools phase cannot be opened: {e}"),
        "make room in the state directory",
    )
}

/// The files about tools could not be looked at.
pub(super) fn not_looked(e: &HelperError) -> Problem {
    let (why, next) = match e {
        HelperError::Hung => (
            "it hangs".to_owned(),
            "look for a dead network filesystem or a FIFO below the home's mise directories",
        ),
        HelperError::Broken(why) => {
            (why.clone(), "run `agent boot` again; look at the kernel's log")
        }
        HelperError::Cancelled => (
            "the boot was asked to stop".to_owned(),
            "run `agent boot`: it takes up where this was cut off",
        ),
    };
    Problem::new(
        "tools-not-looked",
        format!("what lies there of tools cannot be looked at: {why}"),
        next,
    )
}

/// A lockfile that is none, and the copy of it that was kept before mise writes it anew. `run`
/// is the line that makes it anew, of one that is enforced: that one mise leaves as it is.
pub(super) fn lock_corrupt(lock: &Corrupt, run: Option<&str>, image: bool) -> Problem {
    let path = lock.error.path.display();
    let (kept, why) = (lock.kept.as_ref(), lock.not_kept.as_deref());
    let older = if lock.replaced { ", in place of an older one" } else { "" };
    let copy = kept.map(|at| format!("it is kept as {}{older}", at.display()));
    let copy = copy.unwrap_or_else(|| format!("no copy of it is kept: {}", why.unwrap_or("")));
    let (mise, next) = match (image, run) {
        (true, run) => (
            if run.is_some() { REFUSES } else { "mise passes over it" },
            "build the image with a lockfile that is whole (`image/pin lock`)".to_owned(),
        ),
        (false, None) => (
            "mise passes over it and writes it anew",
            format!("put back into {path} what it pinned: {copy}; then run `agent boot`"),
        ),
        (false, Some(run)) => (
            REFUSES,
            format!("mend {path}, or make it anew: `{run}` ({copy}); then run `agent boot`"),
        ),
    };
    Problem::new("lock-corrupt", format!("the lockfile {path} cannot be read: {mise}"), next)
        .evidence(lock.error.to_string())
}

/// What mise does with an enforced lockfile that it can make nothing of.
const REFUSES: &str = "it is enforced, so mise installs nothing that it should hold";

/// A tool that lost something and may still work.
pub(super) fn tool_damaged(name: &str, change: &Change) -> Problem {
    Problem::new(
        "tool-damaged",
        format!("{name} has lost files since it was whole"),
        format!(
            "run `mise install --force {name}`; if it is as it should be, remove \
             ~/.local/state/agent/tools-proof.json; then run `agent boot`"
        ),
    )
    .evidence(change.to_string())
}

/// A shim that doesn't lead to mise.
pub(super) fn shim(shim: &Shim) -> Problem {
    let path = shim.path.display();
    match shim.wrong {
        Wrong::Missing => Problem::new(
            "shim-missing",
            format!("the shim {path} is not there, and `mise reshim` doesn't make it"),
            "look at the log for mise's reason, then run `agent boot`",
        ),
        Wrong::Foreign => Problem::new(
            "shim-replaced",
            format!("another file lies in place of the shim {path}"),
            format!("move {path} away, then run `agent boot`"),
        ),
    }
}
