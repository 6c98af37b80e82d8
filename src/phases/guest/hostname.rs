//! The host name: in `/etc/hostname`, in the kernel, and in `/etc/hosts`, so that the machine
//! finds itself where no DNS knows it (hostname(5), hosts(5)).

use super::once::{Once, Stand, not_repeated, unknown_instance};
use crate::config::guest::is_host_name;
use crate::config::value::OnFailure;
use crate::engine::{Context, Report};
use crate::journal::Problem;
use crate::plan::HostnameWork;
use crate::sys::replace;
use std::io;
use std::path::Path;

const HOSTS: &str = "/etc/hosts";
const HOSTNAME: &str = "/etc/hostname";

/// A real one has some hundred bytes.
const LONGEST: u64 = 1 << 20;

/// The address of a machine's own name that need not be its own address (Debian reference, 5.1.1).
const OWN: &str = "127.0.1.1";

/// Stands above a line that the agent may change.
const MARK: &str = "# The agent keeps the next line; without this one it leaves it alone.";

/// Sets the name.
pub(super) fn run(work: &HostnameWork, cx: &Context<'_>) -> Report {
    let Some(name) = &work.name else {
        return Report::skipped(match cx.facts.told.read {
            true => "the metadata tells no name",
            false => "the metadata, which tells the name, has not been read",
        });
    };
    if !is_host_name(name) {
        return degraded(
            &format!("the name that the {} gives is no host name", work.source),
            "correct it there",
        );
    }
    // What the metadata tells is the address in words: it holds for the instance. What
    // somebody has written is another name once it is written differently.
    let once = Once::of(if work.written { name } else { work.source }, cx);
    match &once.stand {
        Stand::Done(at) => return not_repeated(at, cx),
        Stand::Unknown => return unknown_instance(),
        Stand::Own(why) => {
            return match once.end() {
                Ok(()) => Report::skipped(format!("left as it is: {why}")),
                Err(problem) => {
                    Report { problems: vec![(OnFailure::Degrade, problem)], ..Report::default() }
                }
            };
        }
        Stand::Due(_) => {}
    }
    let mut report = Report::default();
    once.warn(&mut report);
    let done =
        once.begin().and_then(|()| set(name).map_err(|e| unset(&e))).and_then(|()| once.end());
    match done {
        Ok(()) => report.notes.push(format!("{name}, from the {}", work.source)),
        Err(problem) => report.problems.push((OnFailure::Degrade, problem)),
    }
    report
}

fn set(name: &str) -> io::Result<()> {
    let short = name.split('.').next().unwrap_or(name);
    write(Path::new(HOSTNAME), |_| Some(format!("{short}\n").into_bytes()))?;
    write(Path::new(HOSTS), |text| with_name(text, name))?;
    if nix::unistd::gethostname()?.to_str() != Some(short) {
        nix::unistd::sethostname(short)?;
    }
    Ok(())
}

/// Replaces a file by what `edit` makes of it; one that stays the same is not written.
fn write(path: &Path, edit: impl Fn(&[u8]) -> Option<Vec<u8>>) -> io::Result<()> {
    let (old, text) = match replace::read(path, LONGEST) {
        Ok((file, text)) => (Some(file), text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => (None, Vec::new()),
        Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    };
    match edit(&text) {
        Some(new) if new != text => replace::file(path, &new, 0o644, old.as_ref())
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
        _ => Ok(()),
    }
}

/// The hosts file with the name in it; `None` where it knows the name. Lines that somebody else
/// wrote stay as they are.
fn with_name(text: &[u8], name: &str) -> Option<Vec<u8>> {
    let short = name.split('.').next().unwrap_or(name);
    let line =
        if short == name { format!("{OWN} {name}\n") } else { format!("{OWN} {name} {short}\n") };
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let marked = lines.iter().position(|l| l.trim_ascii() == MARK.as_bytes());
    if let Some(own) = marked.map(|mark| mark + 1) {
        let line = line.into_bytes();
        let mut new: Vec<u8> = lines.iter().take(own).copied().flatten().copied().collect();
        new.extend(&line);
        new.extend(lines.iter().skip(own + 1).copied().flatten());
        return Some(new);
    }
    let knows = |wanted: &str| lines.iter().any(|l| names(l).iter().any(|n| n == wanted));
    if knows(short) && knows(name) {
        return None;
    }
    let mut new = text.to_vec();
    if new.last().is_some_and(|b| *b != b'\n') {
        new.push(b'\n');
    }
    new.extend(format!("{MARK}\n{line}").into_bytes());
    Some(new)
}

/// The names of a line, behind its address and before a comment.
fn names(line: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(line);
    let said = text.split('#').next().unwrap_or_default();
    said.split_ascii_whitespace().skip(1).map(str::to_owned).collect()
}

fn unset(e: &io::Error) -> Problem {
    Problem::new(
        "hostname-unset",
        format!("the host name cannot be set: {e}"),
        "mend what the message names, then run `agent boot`; guest.hostname = false leaves the name alone",
    )
}

fn degraded(message: &str, next: &str) -> Report {
    let problem = Problem::new("hostname-unset", message, next);
    Report { problems: vec![(OnFailure::Degrade, problem)], ..Report::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, name: &str) -> Option<String> {
        with_name(text.as_bytes(), name).map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn the_name_is_added_and_the_lines_of_others_stay() {
        let others = "127.0.0.1\tlocalhost # box\n::1 ip6-localhost";
        let line = format!("\n{MARK}\n127.0.1.1 box.example.org box\n");
        assert_eq!(with(others, "box.example.org").unwrap(), format!("{others}{line}"));
        assert_eq!(with("", "box").unwrap(), format!("{MARK}\n127.0.1.1 box\n"));
    }

    #[test]
    fn its_own_line_is_replaced_and_a_name_that_is_known_needs_none() {
        let first = with("127.0.0.1 localhost\n", "a.example.org").unwrap() + "10.0.0.1 db\n";
        let second = with(&first, "b").unwrap();
        assert_eq!(second, format!("127.0.0.1 localhost\n{MARK}\n127.0.1.1 b\n10.0.0.1 db\n"));
        assert_eq!(with("127.0.0.1 localhost box\n", "box"), None);
        assert_eq!(with("10.0.0.5 box.example.org box\n", "box.example.org"), None);
        assert!(with("10.0.0.5 box.example.org\n", "box").is_some());
        assert!(with(&format!("{MARK}\n"), "box").unwrap().ends_with("127.0.1.1 box\n"));
    }
}
