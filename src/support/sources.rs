//! What goes into the archive. Where it is not known what must not be in it, what quotes a program
//! stays out: logs, the agent's own lines, the journal, evidence.

use super::redact::Redactor;
use super::secrets::{self, Known};
use super::written::{Written, without_environments};
use super::{Part, Text};
use crate::boot;
use crate::config::{self, LoadError, Sources};
use crate::idle;
use crate::journal::Status;
use crate::observe;
use crate::plan;
use crate::stub::payload;
use crate::survey;
use crate::sys::files::open_regular;
use crate::tools::run;
use crate::views::idle::Text as IdleText;
use crate::views::status::Text as StatusText;
use crate::views::timeline::Timeline;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The most of one file, in bytes; of a longer one the end is taken.
const LONGEST: u64 = 512 << 10;

/// How long a command may take that tells something.
const PATIENCE: Duration = Duration::from_secs(15);

/// Stands where programs were quoted, and nobody knows what of it is secret.
const LEFT_OUT: &str = "left out: what must not be in it is not known (`reduced` in manifest.json)";

/// The log whose content is its user's own.
const SCRIPT_LOG: &str = "user-script";

/// A log file of this life's boot.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// The phase or step, as the file is named.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A configuration file.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// What may be shown of it, or why it cannot be told what may.
    pub(super) written: Result<Written, String>,
}

/// The logs of the boot that `status` tells of, by their names.
pub fn logs(status: &Status) -> Vec<LogFile> {
    let Some(boot) = &status.boot else { return Vec::new() };
    let entries = fs::read_dir(&boot.logs).into_iter().flatten().flatten();
    let mut logs: Vec<LogFile> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned();
            let meta = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
            Some(LogFile { name, path, bytes: meta.len() })
        })
        .collect();
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    logs
}

/// Everything, a redactor that knows this machine's secrets, and what it does not know.
pub(super) fn gather(file: Option<&PathBuf>) -> (Vec<Part>, Redactor, Vec<String>) {
    let sources = boot::sources(file);
    let (config, errors) = match config::load(&sources) {
        Ok(config) => (config, None),
        Err(LoadError { usable, errors }) => (*usable, Some(errors)),
    };
    let mut status = observe::status(file.map(PathBuf::as_path));
    let payload = std::env::var_os(payload::VARIABLE);
    let (facts, scripts) = survey::survey(&config, payload.as_ref().map(|t| t.as_bytes()));
    let files = read_config(&sources);
    let Known { redactor, mut unknown } = secrets::of(&config, &files, (&facts, &scripts), &status);
    let broken = errors.iter().flatten().filter(|e| e.origin.contains("__ENVIRONMENT"));
    unknown.extend(broken.map(|e| format!("the values of the {}", e.origin)));
    let reduced = !unknown.is_empty();
    if reduced {
        without_evidence(&mut status);
    }
    let unless_reduced = |text: &dyn Fn() -> Result<Text, String>| match reduced {
        true => Err(LEFT_OUT.to_owned()),
        false => text(),
    };
    let mut parts = vec![
        text("status.txt", format!("{}\n{}", StatusText(&status), Timeline(&status))),
        json("status.json", &status),
    ];
    let errors = errors.unwrap_or_default();
    let errors: String = errors.iter().map(|e| format!("{e}\n")).collect();
    parts.push(text("config-errors.txt", errors));
    for ConfigFile { path, written } in &files {
        let name = format!("config/{}", path.display().to_string().trim_start_matches('/'));
        let shown = || {
            let written = written.as_ref().map_err(|why| format!("{}: {why}", path.display()))?;
            Ok(Text { text: written.text.clone(), cut: 0 })
        };
        parts.push(Part {
            name,
            text: if written.is_ok() { unless_reduced(&shown) } else { shown() },
        });
    }
    // It quotes what the configuration has programs do.
    let plan = || Ok(Text { text: plan::resolve(&config, &facts, false).to_string(), cut: 0 });
    parts.push(Part { name: "plan.txt".into(), text: unless_reduced(&plan) });
    parts.push(match idle::look(file) {
        Ok(report) => text("idle.txt", IdleText(&report).to_string()),
        Err(why) => Part { name: "idle.txt".into(), text: Err(why) },
    });
    if let Some(journal) = &status.journal {
        parts.push(Part {
            name: "journal.jsonl".into(),
            text: unless_reduced(&|| file_end(journal)),
        });
    }
    for log in logs(&status) {
        let name = format!("logs/{}.log", log.name);
        let content = match log.name == SCRIPT_LOG {
            true => {
                Err(format!("the output of the user's script is its user's ({} bytes)", log.bytes))
            }
            false => unless_reduced(&|| file_end(&log.path)),
        };
        parts.push(Part { name, text: content });
    }
    parts.push(text("versions.txt", versions()));
    for (name, path) in [
        ("mounts.txt", "/proc/self/mountinfo"),
        ("os-release.txt", "/etc/os-release"),
        ("memory.txt", "/proc/meminfo"),
        ("fstab.txt", "/etc/fstab"),
    ] {
        parts.push(Part { name: name.into(), text: file_end(Path::new(path)) });
    }
    let journal = ["-b", "--no-pager", "-o", "short-iso-precise", "-n", "5000"];
    for (name, program, arguments) in [
        ("kernel.txt", "dmesg", &[][..]),
        ("unit.txt", "journalctl", &[&journal[..], &["-t", "agent"]].concat()[..]),
        ("failed-units.txt", "systemctl", &["--failed", "--no-pager", "--plain"][..]),
        ("disks.txt", "df", &["-h", "--local"][..]),
    ] {
        let own = name == "unit.txt";
        let said = || said(program, arguments);
        parts.push(Part {
            name: name.into(),
            text: if own { unless_reduced(&said) } else { said() },
        });
    }
    (parts, redactor, unknown)
}

fn text(name: &str, text: String) -> Part {
    Part { name: name.into(), text: Ok(Text { text, cut: 0 }) }
}

fn json(name: &str, value: &impl serde::Serialize) -> Part {
    let text = serde_json::to_string_pretty(value).map_err(|e| e.to_string());
    Part { name: name.into(), text: text.map(|text| Text { text, cut: 0 }) }
}

/// Every configuration file that is there, without what it gives to programs.
fn read_config(sources: &Sources) -> Vec<ConfigFile> {
    let there = sources.files().into_iter().filter(|(path, required)| *required || path.exists());
    let read = |path: &Path| {
        let whole = file_end(path).and_then(|text| match text.cut {
            0 => Ok(text.text),
            _ => Err(format!("it is longer than {LONGEST} bytes")),
        });
        whole.and_then(|text| {
            let not = "it is no TOML, so its `environment` tables are unknown";
            without_environments(&text).ok_or_else(|| not.into())
        })
    };
    there.map(|(path, _)| ConfigFile { written: read(&path), path }).collect()
}

/// Takes out of a status what programs said: it may hold what is not known for a secret.
fn without_evidence(status: &mut Status) {
    status.phases.iter_mut().flat_map(|phase| &mut phase.problems).for_each(|problem| {
        problem.evidence = problem.evidence.take().map(|_| LEFT_OUT.into());
    });
    // It tells the reason too.
    status.summary = LEFT_OUT.into();
}

/// The end of a file. Nothing but a regular file is read: a FIFO would never end.
fn file_end(path: &Path) -> Result<Text, String> {
    let read = || -> io::Result<Text> {
        let mut file = open_regular(path)?;
        let length = file.metadata()?.len();
        let cut = length.saturating_sub(LONGEST);
        file.seek(SeekFrom::Start(cut))?;
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(whole_lines(&bytes, cut))
    };
    read().map_err(|e| format!("{}: {e}", path.display()))
}

/// A text that was cut begins with a line: half a secret is not known for one.
fn whole_lines(bytes: &[u8], cut: u64) -> Text {
    let begin = match cut {
        0 => 0,
        _ => bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1),
    };
    let text = String::from_utf8_lossy(bytes.get(begin..).unwrap_or_default()).into_owned();
    Text { text, cut: if cut > 0 { cut + begin as u64 } else { 0 } }
}

/// What a program says, standard error behind it where it failed.
fn said(program: &str, arguments: &[&str]) -> Result<Text, String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").env("LC_ALL", "C.UTF-8").env("SYSTEMD_COLORS", "0");
    let output = run::to_end(command, PATIENCE).map_err(|e| format!("{program}: {e}"))?;
    if !output.status.success() && output.stdout.is_empty() {
        return Err(format!("{program}: {}: {}", output.status, output.stderr.trim()));
    }
    let bytes = output.stdout.as_bytes();
    let cut = bytes.len().saturating_sub(LONGEST as usize);
    Ok(whole_lines(bytes.get(cut..).unwrap_or_default(), cut as u64))
}

fn versions() -> String {
    let one = |program: &str, arguments: &[&str]| {
        let said = said(program, arguments).map(|t| t.text);
        let first =
            said.as_ref().map_or_else(String::as_str, |t| t.lines().next().unwrap_or_default());
        format!("{program}: {first}\n")
    };
    let mut all = format!("agent: {}\n", env!("CARGO_PKG_VERSION"));
    for (program, arguments) in [
        ("uname", &["-a"][..]),
        ("systemctl", &["--version"]),
        ("mise", &["--version"]),
        ("docker", &["--version"]),
    ] {
        all.push_str(&one(program, arguments));
    }
    all
}
