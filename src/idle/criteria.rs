//! What counts as use of the machine, seen among its processes.
//!
//! The contract's list: SSH sessions, mosh, tmux clients, `claude` in containers; and the names
//! that the operator adds. Nothing asks `utmp`: it knows no session without a terminal, and
//! keeps those whose program was killed.

use super::processes::Process;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One reason for which the machine counts as used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Which criterion.
    pub kind: Kind,
    /// What was found, in words.
    pub what: String,
    /// The process, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
}

/// The criteria.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A session of the SSH server, with or without a terminal.
    Ssh,
    /// A `mosh-server`.
    Mosh,
    /// A client that is attached to a user's tmux server.
    Tmux,
    /// A process called `claude`, in any pid namespace.
    Claude,
    /// A process of `idle.processes`.
    Process,
    /// Somebody asked for more time.
    Extension,
    /// The agent boots.
    Boot,
    /// The machine has just been started.
    Grace,
}

/// Interpreters that run what their first argument names. A program of node's has its own
/// name only there.
const INTERPRETERS: [&str; 6] = ["node", "nodejs", "bun", "deno", "python3", "sh"];

/// Everybody who counts, in the order of their numbers. `more` are further names.
pub fn found(processes: &[Process], more: &[String]) -> Vec<Use> {
    processes.iter().filter_map(|process| of(process, processes, more)).collect()
}

fn of(process: &Process, all: &[Process], more: &[String]) -> Option<Use> {
    let (kind, what) = if let Some(session) = ssh_session(process) {
        (Kind::Ssh, format!("ssh session of {session}"))
    } else if is_called(process, "mosh-server") {
        (Kind::Mosh, "mosh session".to_owned())
    } else if process.name == "tmux: client" && !in_a_pane(process, all) {
        (Kind::Tmux, "tmux client".to_owned())
    } else if is_called(process, "claude") {
        let place = if process.contained { " in a container" } else { "" };
        (Kind::Claude, format!("claude{place}"))
    } else {
        let name = more.iter().find(|name| is_called(process, name))?;
        (Kind::Process, name.clone())
    };
    Some(Use { kind, what, pid: Some(process.pid) })
}

/// Whose session it is, and at which terminal, by the title that OpenSSH gives its processes:
/// `sshd: USER@TTY`, `sshd: USER@notty`, or `sshd: USER` for forwarding alone; `sshd-session:`
/// since 9.8. Titles with a bracket are the listener (`[listener]`), somebody who has not
/// logged in (`[accepted]`, `[net]`, `[preauth]`), or the part of root's beside a session
/// (`[priv]`, also before the login).
fn ssh_session(process: &Process) -> Option<&str> {
    let title = process.arguments.first()?;
    let mut titles = ["sshd", "sshd-session"].into_iter();
    let who = titles.find_map(|program| {
        let who = title.strip_prefix(program)?.strip_prefix(": ")?;
        (process.name == program).then_some(who)
    })?;
    (!who.is_empty() && !who.contains('[')).then_some(who)
}

/// Does the client show itself in a pane of another tmux? Then it is seen only where that
/// one's own client is attached, which counts by itself.
fn in_a_pane(client: &Process, all: &[Process]) -> bool {
    let mut above = client.parent;
    // Numbers may come round while /proc is read: the way up has an end.
    for _ in 0..all.len() {
        let Some(process) = all.iter().find(|p| p.pid == above) else { return false };
        if process.name == "tmux: server" {
            return true;
        }
        above = process.parent;
    }
    false
}

/// Is it called so: by its name, by the program it was started as, or by the script that an
/// interpreter runs?
fn is_called(process: &Process, name: &str) -> bool {
    /// The kernel keeps 15 bytes of a name (`TASK_COMM_LEN`).
    const KEPT: usize = 15;
    let last = |argument: Option<&String>| {
        argument.and_then(|a| Path::new(a).file_name()?.to_str().map(str::to_owned))
    };
    let kept = name.get(..KEPT).unwrap_or(name);
    let program = last(process.arguments.first());
    let script = || {
        let interpreted = program.as_deref().is_some_and(|p| INTERPRETERS.contains(&p));
        interpreted.then(|| last(process.arguments.get(1))).flatten()
    };
    process.name == kept && name.len() <= KEPT
        || program.as_deref() == Some(name)
        || script().as_deref() == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idle::processes;
    use crate::idle::processes::tests::lay;

    fn process(pid: i32, parent: i32, name: &str, arguments: &[&str]) -> Process {
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        Process { pid, parent, name: name.into(), arguments, contained: false }
    }

    fn kinds(all: &[Process]) -> Vec<(Kind, i32)> {
        found(all, &[]).into_iter().map(|u| (u.kind, u.pid.unwrap())).collect()
    }

    /// As OpenSSH 9.2 shows itself: a listener, somebody who has sent nothing yet, `ssh -N`
    /// of root, and `ssh dev@… sleep`, which has no terminal. The title stands on zeros.
    #[test]
    fn sessions_are_told_from_the_listener_and_from_who_has_not_logged_in() {
        let proc = tempfile::tempdir().unwrap();
        let title = |text: &str| [text.as_bytes(), &[0; 40]].concat();
        lay(proc.path(), (1, 0), "systemd", b"/sbin/init\0", "1");
        let all = [
            (6, 1, "sshd: /usr/sbin/sshd -D [listener] 1 of 10-100 startups"),
            (12, 6, "sshd: [accepted]"),
            (13, 6, "sshd: root"),
            (14, 6, "sshd: dev [priv]"),
            (17, 14, "sshd: dev@notty"),
            (18, 6, "sshd: unknown [priv]"),
            (19, 18, "sshd: unknown [net]"),
        ];
        for (pid, parent, text) in all {
            lay(proc.path(), (pid, parent), "sshd", &title(text), &pid.to_string());
        }
        let seen = found(&processes::table(proc.path()).unwrap(), &[]);
        let seen: Vec<&str> = seen.iter().map(|u| u.what.as_str()).collect();
        assert_eq!(seen, ["ssh session of root", "ssh session of dev@notty"]);
        let newer = process(9, 1, "sshd-session", &["sshd-session: dev@pts/0"]);
        let asked = process(8, 1, "sshd-session", &["sshd-session: dev [priv]"]);
        assert_eq!(kinds(&[asked, newer]), [(Kind::Ssh, 9)]);
    }

    #[test]
    fn a_tmux_client_counts_and_a_server_alone_does_not() {
        let server = process(50, 1, "tmux: server", &["tmux", "new", "-d"]);
        let client = process(60, 40, "tmux: client", &["tmux", "attach"]);
        assert_eq!(kinds(std::slice::from_ref(&server)), []);
        assert_eq!(kinds(&[server, client]), [(Kind::Tmux, 60)]);
    }

    #[test]
    fn a_tmux_in_a_pane_of_another_counts_only_by_the_outer_ones_client() {
        let outer = process(50, 1, "tmux: server", &["tmux"]);
        let shell = process(51, 50, "bash", &["-bash"]);
        let inner = process(52, 51, "tmux: client", &["tmux", "-L", "inner", "attach"]);
        let all = [outer, shell, inner];
        assert_eq!(kinds(&all), []);
        let client = process(60, 40, "tmux: client", &["tmux", "attach"]);
        assert_eq!(kinds(&[&all[..], &[client]].concat()), [(Kind::Tmux, 60)]);
    }

    #[test]
    fn a_way_up_that_goes_in_circles_ends() {
        let a = process(2, 3, "tmux: client", &["tmux"]);
        let b = process(3, 2, "bash", &["bash"]);
        assert_eq!(kinds(&[a, b]), [(Kind::Tmux, 2)]);
    }

    #[test]
    fn claude_counts_by_its_name_its_program_and_its_script() {
        let mut contained = process(5, 4, "claude", &["claude"]);
        contained.contained = true;
        assert_eq!(found(&[contained], &[])[0].what, "claude in a container");
        let good: [(&str, &[&str]); 4] = [
            ("claude", &["claude", "--resume"]),
            ("MainThread", &["/opt/claude/bin/claude"]),
            ("node", &["/usr/bin/node", "/home/dev/.local/bin/claude"]),
            ("node-MainThread", &["node", "/usr/lib/claude", "-p"]),
        ];
        for (name, arguments) in good {
            assert_eq!(kinds(&[process(5, 1, name, arguments)]), [(Kind::Claude, 5)], "{name}");
        }
        let bad: [(&str, &[&str]); 4] = [
            ("vim", &["vim", "/etc/claude"]),
            ("tail", &["tail", "-f", "claude"]),
            ("node", &["node", "/srv/app.js", "claude"]),
            ("claudette", &["claudette"]),
        ];
        for (name, arguments) in bad {
            assert_eq!(kinds(&[process(5, 1, name, arguments)]), [], "{name}");
        }
    }

    #[test]
    fn the_operators_names_count_also_where_the_kernel_cut_them() {
        let all = [
            process(5, 1, "ssm-session-wor", &["/usr/bin/ssm-session-worker", "x"]),
            process(6, 1, "ssm-session-wor", &["/usr/bin/ssm-session-work"]),
            process(7, 1, "rsync", &["rsync", "--daemon"]),
        ];
        let more = ["ssm-session-worker".to_owned(), "rsync".to_owned()];
        let seen = found(&all, &more);
        let seen: Vec<_> = seen.iter().map(|u| (u.kind, u.what.as_str(), u.pid)).collect();
        assert_eq!(
            seen,
            [(Kind::Process, "ssm-session-worker", Some(5)), (Kind::Process, "rsync", Some(7))]
        );
    }
}
