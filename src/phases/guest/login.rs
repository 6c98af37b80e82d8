//! The login user: made where it is missing, given a sudo rule, and the launch's keys.
//!
//! A user who is there keeps what it has. The keys are added to those that it has, by a child that
//! is that user; the sudo rule is put in place once `visudo` has read it.

use super::authorized::{Asked, Merged};
use super::mending;
use super::once::{Once, Stand, not_repeated};
use super::tool::Tools;
use crate::config::guest::is_account_name;
use crate::config::value::OnFailure;
use crate::engine::{Context, HelperError, Report};
use crate::journal::Problem;
use crate::phases::roots;
use crate::plan::{GuestWork, LoginWork, Switch, Work};
use crate::sys::replace;
use crate::sys::users::Database;
use nix::unistd::geteuid;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

/// Where sudo looks for rules. It passes over names with a dot, so one that is being written
/// counts for nothing (sudoers(5), "Including other files").
const SUDOERS: &str = "/etc/sudoers.d";
const RULE: &str = "/etc/sudoers.d/90-agent";

/// What a rule is checked as, before it is one.
const UNCHECKED: &str = "/etc/sudoers.d/90-agent.unchecked";

/// Sees to the login user.
pub(super) async fn run(work: &LoginWork, cx: &mut Context<'_>) -> Report {
    let mut report = Report::default();
    // A user who is made gets a rule too, also where the making was cut off before that.
    let making = Once::of(&format!("making {}", work.user), cx);
    if work.make {
        if making.stand != Stand::Unknown
            && let Err(problem) = making.begin()
        {
            return Report::failed(problem);
        }
        match make(work, cx).await {
            Ok(note) => report.notes.push(note),
            Err(problem) => return Report::failed(problem),
        }
        cx.settle_user();
        if matches!(cx.facts.switch, Switch::Pending | Switch::Unknown(_)) {
            let why = "useradd has made it, and it is not in /etc/passwd";
            return Report::failed(unmade(&work.user, why));
        }
    }
    let made = work.make || making.cut_off;
    if making.cut_off
        && !work.make
        && let Err(problem) = mending::finish(work, cx).await
    {
        return Report::failed(problem);
    }
    let once = Once::of(&work.user, cx);
    match &once.stand {
        Stand::Done(at) if !made => return not_repeated(at, cx),
        Stand::Own(why) if !made => {
            return match once.end() {
                Ok(()) => Report::skipped(format!("left as it is: {why}")),
                Err(problem) => Report::failed(problem),
            };
        }
        Stand::Due(Some(why)) => report.notes.push((*why).into()),
        _ => {}
    }
    once.warn(&mut report);
    if work.sudo.unwrap_or(made) {
        match rule(&work.user, cx).await {
            Ok(note) => report.notes.extend(note),
            // Who can log in can see to it.
            Err(problem) => report.problems.push((OnFailure::Degrade, problem)),
        }
    }
    let ruled = report.problems.is_empty();
    let admitted = match &once.stand {
        Stand::Done(_) if !work.make => Ok(()),
        _ => admit(work, &once, cx, &mut report).await,
    };
    // Until the rule stands, the making has not come to its end.
    let ended = match made && ruled && making.stand != Stand::Unknown {
        true => admitted.and_then(|()| making.end()),
        false => admitted,
    };
    if let Err(problem) = ended {
        report.fail(problem);
    }
    report
}

/// Once the volumes are there: a home that lies on one has not got the keys yet, they are in the
/// directory beneath.
pub(in crate::phases) async fn at_mounted_home(cx: &Context<'_>, report: &mut Report) {
    let home = &cx.user().home;
    let (mut login, mut mounted) = (None, false);
    for phase in &cx.plan.phases {
        match &phase.work {
            Work::Guest(GuestWork::Login(work)) => login = Some(work),
            Work::Volumes { volumes, .. } => {
                mounted |= volumes.iter().any(|work| home.starts_with(&work.volume.target));
            }
            _ => {}
        }
    }
    let Some(work) = login.filter(|_| mounted && geteuid().is_root()) else { return };
    let once = Once::of(&format!("{} at a mounted home", work.user), cx);
    if let Stand::Due(_) = once.stand
        && let Err(problem) = admit(work, &once, cx, report).await
    {
        report.fail(problem);
    }
}

/// Lets in whom the launch names, as far as it is known, and records it.
async fn admit(
    work: &LoginWork,
    once: &Once,
    cx: &Context<'_>,
    report: &mut Report,
) -> Result<(), Problem> {
    let Some(keys) = &work.keys else {
        report.notes.push("the launch's keys are in the metadata, which has not been read".into());
        return Ok(());
    };
    once.begin()?;
    if keys.is_empty() {
        report.notes.push("the launch gave no SSH key".into());
    } else {
        report.notes.push(authorize(keys, cx).await?);
    }
    once.end()
}

/// Makes the user; its password is locked, as `useradd` leaves it.
async fn make(work: &LoginWork, cx: &Context<'_>) -> Result<String, Problem> {
    let name = work.user.as_str();
    if !is_account_name(name) {
        return Err(unmade(name, "it is no name for an account: small letters, digits, _ and -"));
    }
    let tools = Tools::open(cx)?;
    let database = Database::read(Path::new("/"));
    let groups: Vec<&str> =
        work.groups.iter().map(String::as_str).filter(|g| database.has_group(g)).collect();
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let (uid, gid) = (work.uid.map(|n| n.to_string()), work.gid.map(|n| n.to_string()));
    if let Some(gid) = work.gid.filter(|gid| !database.has_gid(*gid)) {
        let argv = ["groupadd", "--gid", &gid.to_string(), name];
        tools.must(&argv, "login-user", &format!("the group {name} cannot be made"), NEXT).await?;
    }
    let mut argv = vec!["useradd", "--create-home", "--shell", shell];
    match &gid {
        Some(gid) => argv.extend(["--gid", gid]),
        None if database.has_group(name) => argv.extend(["--gid", name]),
        None => argv.push("--user-group"),
    }
    argv.extend(uid.iter().flat_map(|uid| ["--uid", uid]));
    argv.extend(work.home.iter().flat_map(|home| ["--home-dir", home]));
    let joined = groups.join(",");
    if !groups.is_empty() {
        argv.extend(["--groups", &joined]);
    }
    argv.push(name);
    tools.must(&argv, "login-user", &format!("the user {name} cannot be made"), NEXT).await?;
    Ok(match groups.is_empty() {
        true => format!("made the user {name}"),
        false => format!("made the user {name}, in {}", groups.join(", ")),
    })
}

/// The rule that lets the user become anybody, without the password that it does not have.
async fn rule(user: &str, cx: &Context<'_>) -> Result<Option<String>, Problem> {
    if !Path::new(SUDOERS).is_dir() && !roots::there("visudo") {
        return Ok(Some("there is no sudo on this machine".into()));
    }
    let text = format!(
        "# Written by the agent; it writes this file anew on another instance.\n{user} ALL=(ALL:ALL) NOPASSWD:ALL\n"
    );
    if !is_account_name(user) {
        return Err(no_rule("the user's name is none for a rule"));
    }
    if fs::read(RULE).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(None);
    }
    let tools = Tools::open(cx)?;
    let unchecked = Path::new(UNCHECKED);
    replace::file(unchecked, text.as_bytes(), 0o440, None).map_err(|e| no_rule(&e.to_string()))?;
    let ran = tools.run(&["visudo", "-c", "-q", "-f", UNCHECKED]).await;
    let placed = match ran {
        Ok(ran) if ran.status == 0 => place(unchecked).map_err(|e| no_rule(&e.to_string())),
        Ok(ran) => Err(tools.quoting(no_rule("visudo does not take it"), &ran.output)),
        Err(problem) => Err(problem),
    };
    if placed.is_err() {
        let _ = fs::remove_file(unchecked);
    }
    placed.map(|()| Some(format!("{user} may become root by sudo")))
}

fn place(checked: &Path) -> io::Result<()> {
    fs::rename(checked, RULE)?;
    fs::File::open(SUDOERS)?.sync_all()
}

/// As the user: nothing that the user may have laid in the home is root's to follow.
async fn authorize(keys: &[String], cx: &Context<'_>) -> Result<String, Problem> {
    let user = cx.user();
    let asked = Asked { home: user.home.clone(), keys: keys.to_vec() };
    let time = cx.limit.saturating_duration_since(Instant::now());
    let answer: Result<Result<Merged, String>, HelperError> =
        cx.helper("authorized-keys", &asked, true, time).await;
    let why = match answer {
        Ok(Ok(merged)) => return Ok(merged.told(&user.name)),
        Ok(Err(why)) => why,
        Err(HelperError::Hung) => "the home does not answer".into(),
        Err(HelperError::Broken(why)) => why,
        Err(HelperError::Cancelled) => "the boot was asked to stop".into(),
    };
    Err(Problem::new(
        "login-keys",
        format!("the launch's keys cannot be let in as {}: {why}", user.name),
        format!(
            "see to {home} and {home}/.ssh, which must be directories of {}'s; then run `agent boot`; \
             until then nobody can log in with them",
            user.name,
            home = user.home.display()
        ),
    ))
}

pub(super) const NEXT: &str = "see the log, make the user in the image, or write another in [user]; where it names a lock that \
     no program holds (/etc/passwd.lock), remove that; then run `agent boot`";

fn unmade(user: &str, why: &str) -> Problem {
    Problem::new("login-user", format!("the user {user} cannot be made: {why}"), NEXT)
}

fn no_rule(why: &str) -> Problem {
    Problem::new(
        "login-sudo",
        format!("the sudo rule cannot be written: {why}"),
        "see to /etc/sudoers.d, then run `agent boot`; guest.sudo = false writes none",
    )
}
