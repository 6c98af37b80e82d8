//! SSH host keys: what a client knows the machine by. Two machines with one pair could pass for
//! each other, and whoever has the image has the keys that were baked into it.
//!
//! New keys are made beside the old ones and synced; then they take their names, then what
//! is left of another instance's goes, then the record is closed. A crash before that has it all
//! done again before a server has started (`agent-login.service`).

use super::once::{Once, Stand, not_repeated};
use super::tool::Tools;
use crate::engine::{Context, Report, together};
use crate::journal::Problem;
use crate::phases::roots;
use crate::sys::beneath::{Dir, Kind};
use std::fs;
use std::io;
use std::path::Path;

const DIRECTORY: &str = "/etc/ssh";

/// Before the name of a key that is being made.
const NEW: &str = ".agent-new-";

/// Makes the keys, where this instance has none of its own.
pub(super) async fn run(types: &[String], cx: &Context<'_>) -> Report {
    let directory = Path::new(DIRECTORY);
    if !roots::there("sshd") && !directory.join("sshd_config").exists() {
        return Report::skipped("there is no SSH server on this machine");
    }
    let there = match keys_in(directory) {
        Ok(there) => there,
        Err(e) => return Report::failed(unmade(&format!("{DIRECTORY} cannot be read: {e}"))),
    };
    let once = Once::of("all", cx);
    match &once.stand {
        Stand::Done(at) if !there.is_empty() => return not_repeated(at, cx),
        Stand::Own(why) if !there.is_empty() => {
            return match once.end() {
                Ok(()) => Report::skipped(format!("left as they are: {why}")),
                Err(problem) => Report::failed(problem),
            };
        }
        // They may be another's, but taking them away on a guess would be worse.
        Stand::Unknown if !there.is_empty() => return super::once::unknown_instance(),
        _ => {}
    }
    let mut report = Report::default();
    once.warn(&mut report);
    match make(types, &once, cx).await {
        Ok(()) => {
            if let Stand::Due(Some(why)) = once.stand {
                report.notes.push(why.into());
            }
            report.notes.push(format!("made {}", types.join(", ")));
        }
        Err(problem) => report.fail(problem),
    }
    report
}

async fn make(types: &[String], once: &Once, cx: &Context<'_>) -> Result<(), Problem> {
    let tools = Tools::open(cx)?;
    // Where the instance is unknown nothing is recorded: it was only without any keys.
    let recorded = once.stand != Stand::Unknown;
    if recorded {
        once.begin()?;
    }
    let directory = Dir::open(Path::new(DIRECTORY)).map_err(|e| unmade(&e.to_string()))?;
    sweep(&directory).map_err(|e| unmade(&format!("what was left half made: {e}")))?;
    let made = together::all(types.iter().map(|kind| generate(kind, &tools))).await;
    made.into_iter().collect::<Result<Vec<()>, Problem>>()?;
    install(&directory, types).map_err(|e| unmade(&format!("{DIRECTORY}: {e}")))?;
    if recorded {
        once.end()?;
    }
    // One that runs has others in its memory. One that is about to start is told nothing.
    for unit in ["ssh.service", "sshd.service"] {
        tools.tell_systemd(&["try-restart", unit]).await;
    }
    Ok(())
}

async fn generate(kind: &str, tools: &Tools<'_, '_>) -> Result<(), Problem> {
    let file = format!("{DIRECTORY}/{NEW}{}", name(kind));
    // No passphrase: a server has nobody to ask.
    let argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "root", "-f", &file];
    let what = format!("no {kind} key can be made");
    tools.must(&argv, "host-keys", &what, NEXT).await
}

fn name(kind: &str) -> String {
    format!("ssh_host_{kind}_key")
}

/// Puts the new keys in place and removes what is left of others, certificates too.
fn install(directory: &Dir, types: &[String]) -> io::Result<()> {
    let names: Vec<String> =
        types.iter().flat_map(|t| [name(t), format!("{}.pub", name(t))]).collect();
    for name in &names {
        directory.read(&format!("{NEW}{name}"))?.sync_all()?;
    }
    for name in &names {
        directory.rename(&format!("{NEW}{name}"), name)?;
    }
    for old in keys_in(&directory.handle())?.into_iter().filter(|n| !names.contains(n)) {
        directory.remove(&old)?;
    }
    directory.sync()
}

fn sweep(directory: &Dir) -> io::Result<()> {
    for name in entries(&directory.handle())?.into_iter().filter(|n| n.starts_with(NEW)) {
        if directory.kind(&name)? != Kind::Directory {
            directory.remove(&name)?;
        }
    }
    Ok(())
}

/// The host keys in the directory, public halves and certificates too.
fn keys_in(directory: &Path) -> io::Result<Vec<String>> {
    let is_key = |n: &String| n.starts_with("ssh_host_") && n.contains("_key");
    Ok(entries(directory)?.into_iter().filter(is_key).collect())
}

fn entries(directory: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(directory)?;
    Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
}

const NEXT: &str = "see the log, then run `agent boot`; until then nobody can log in by SSH, or the server shows another machine's keys";

fn unmade(why: &str) -> Problem {
    Problem::new("host-keys", format!("the SSH host keys cannot be made: {why}"), NEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_keys_take_their_names_and_nothing_of_another_instance_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        for old in [
            "ssh_host_rsa_key",
            "ssh_host_rsa_key.pub",
            "ssh_host_dsa_key",
            "ssh_host_ed25519_key-cert.pub",
        ] {
            put(old, "old");
        }
        put("sshd_config", "kept");
        put(".agent-new-ssh_host_ecdsa_key", "half made");
        let open = Dir::open(dir.path()).unwrap();
        sweep(&open).unwrap();
        assert!(install(&open, &["rsa".into()]).is_err(), "there are no new ones");
        assert_eq!(fs::read_to_string(dir.path().join("ssh_host_rsa_key")).unwrap(), "old");
        put(".agent-new-ssh_host_rsa_key", "new");
        put(".agent-new-ssh_host_rsa_key.pub", "new");
        install(&open, &["rsa".into()]).unwrap();
        let mut left = entries(dir.path()).unwrap();
        left.sort();
        assert_eq!(left, ["ssh_host_rsa_key", "ssh_host_rsa_key.pub", "sshd_config"]);
        assert_eq!(fs::read_to_string(dir.path().join("ssh_host_rsa_key")).unwrap(), "new");
    }
}
