//! Who runs on this machine, as `/proc` shows it (`proc_pid_stat(5)`, `proc_pid_cmdline(5)`).
//!
//! A look that did not see everybody must not end a machine that somebody works on. So a
//! process that may not be looked at makes the whole look an error; one that has ended meanwhile
//! does not.

use std::fs;
use std::io;
use std::path::Path;

/// One living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number, as this process's namespace counts.
    pub pid: i32,
    /// Its parent's; 0 where that is not seen.
    pub parent: i32,
    /// Its name (`proc_pid_comm(5)`): 15 bytes at most.
    pub name: String,
    /// Its command line. A program may have written a title over it.
    pub arguments: Vec<String>,
    /// Does it run in a pid namespace of its own, as in a container?
    pub contained: bool,
}

/// Reads all processes below `proc`, `/proc` as a rule. The error is a sentence that names what
/// could not be read.
///
/// # Errors
/// `/proc` is not mounted, or does not show everybody (`hidepid`, `proc(5)`).
pub fn table(proc: &Path) -> Result<Vec<Process>, String> {
    let told = |path: &Path, e: &io::Error| format!("{}: {e}", path.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(proc).map_err(|e| told(proc, &e))? {
        let entry = entry.map_err(|e| told(proc, &e))?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let directory = entry.path();
        match process(pid, &directory) {
            Ok(process) => all.extend(process),
            Err(e) if gone(&e) => {}
            Err(e) => return Err(told(&directory, &e)),
        }
    }
    // Where processes of others are hidden they are missing without an error.
    if !all.iter().any(|process| process.pid == 1) {
        return Err(format!("{}/1: the first process is not to be seen", proc.display()));
    }
    all.sort_by_key(|process| process.pid);
    Ok(all)
}

/// ENOENT as it is opened, ESRCH as it is read.
fn gone(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(libc::ESRCH)
}

/// `None` for one that has ended and waits for its parent.
fn process(pid: i32, directory: &Path) -> io::Result<Option<Process>> {
    let stat = fs::read(directory.join("stat"))?;
    let Some((name, state, parent)) = fields(&stat) else {
        return Err(io::Error::other("stat has another form"));
    };
    if matches!(state, b'Z' | b'X') {
        return Ok(None);
    }
    let line = fs::read(directory.join("cmdline"))?;
    // A title is shorter than the arguments that it stands on; the rest is zeros.
    let words = line.split(|b| *b == 0).filter(|word| !word.is_empty());
    let arguments = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let contained = fs::read(directory.join("status")).map(|text| nested(&text))?;
    Ok(Some(Process { pid, parent, name, arguments, contained }))
}

/// Name, state and parent. The name may hold spaces and parentheses.
fn fields(stat: &[u8]) -> Option<(String, u8, i32)> {
    let begin = stat.iter().position(|b| *b == b'(')?;
    let end = stat.iter().rposition(|b| *b == b')')?;
    let name = String::from_utf8_lossy(stat.get(begin + 1..end)?).into_owned();
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    Some((name, state, fields.next()?.parse().ok()?))
}

/// Has it a number in more namespaces than this one (`NSpid`)?
fn nested(status: &[u8]) -> bool {
    let text = String::from_utf8_lossy(status);
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.is_some_and(|numbers| numbers.split_ascii_whitespace().count() > 1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Lays a process down as the kernel shows it.
    pub(in crate::idle) fn lay(
        proc: &Path,
        (pid, parent): (i32, i32),
        name: &str,
        cmdline: &[u8],
        nspid: &str,
    ) {
        let directory = proc.join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let stat = format!("{pid} ({name}) S {parent} {pid} {pid} 0 -1 4194560 1 0 0 0 0 0 0 0 20");
        fs::write(directory.join("stat"), stat).unwrap();
        fs::write(directory.join("cmdline"), cmdline).unwrap();
        fs::write(directory.join("status"), format!("Name:\t{name}\nNSpid:\t{nspid}\n")).unwrap();
    }

    #[test]
    fn names_titles_and_namespaces_are_read_and_who_has_ended_is_not() {
        let proc = tempfile::tempdir().unwrap();
        lay(proc.path(), (1, 0), "systemd", b"/sbin/init\0splash\0", "1");
        lay(proc.path(), (90, 1), "tmux: client", b"tmux\0attach\0", "90");
        lay(proc.path(), (91, 1), "a) b (c", b"sshd: dev@pts/0\0\0\0\0\0", "91\t7");
        lay(proc.path(), (92, 1), "dead", b"", "92");
        fs::write(proc.path().join("92/stat"), "92 (dead) Z 1 92").unwrap();
        fs::create_dir(proc.path().join("93")).unwrap();
        fs::create_dir(proc.path().join("sys")).unwrap();
        let all = table(proc.path()).unwrap();
        let seen: Vec<_> = all.iter().map(|p| (p.pid, &*p.name, p.contained)).collect();
        assert_eq!(
            seen,
            [(1, "systemd", false), (90, "tmux: client", false), (91, "a) b (c", true)]
        );
        assert_eq!(all[0].arguments, ["/sbin/init", "splash"]);
        assert_eq!(all[2].arguments, ["sshd: dev@pts/0"]);
    }

    #[test]
    fn a_look_that_cannot_see_everybody_is_an_error() {
        let proc = tempfile::tempdir().unwrap();
        assert!(table(&proc.path().join("none")).unwrap_err().contains("none"));
        lay(proc.path(), (7, 0), "own", b"own\0", "7");
        assert!(table(proc.path()).unwrap_err().contains("first process"));
        lay(proc.path(), (1, 0), "init", b"init\0", "1");
        table(proc.path()).unwrap();
        fs::write(proc.path().join("7/stat"), "no such form").unwrap();
        assert!(table(proc.path()).unwrap_err().contains("/7"));
        if !nix::unistd::geteuid().is_root() {
            let closed = fs::Permissions::from_mode(0o000);
            fs::set_permissions(proc.path().join("1/cmdline"), closed).unwrap();
            assert!(table(proc.path()).unwrap_err().contains("/1"));
        }
    }
}
