//! What goes into the archive, and what is known to be secret on this machine.

use super::redact::{Redactor, names_secret};
use super::{Part, Text};
use crate::boot;
use crate::config::value::Span;
use crate::config::{self, Config, LoadError};
use crate::ec2::imds::{self, Settings};
use crate::idle;
use crate::journal::Status;
use crate::observe;
use crate::phases::metadata;
use crate::plan::{self, Facts};
use crate::stub::payload::{self, Script};
use crate::stub::told;
use crate::stub::user_data::{self, UserDataError};
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

/// How long the metadata service may take, which is asked for what must not be in the archive.
const METADATA: Span = Span::seconds(5);

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

/// Everything, and a redactor that knows this machine's secrets.
pub(super) fn gather(file: Option<&PathBuf>) -> (Vec<Part>, Redactor) {
    let sources = boot::sources(file);
    let (config, errors) = match config::load(&sources) {
        Ok(config) => (config, None),
        Err(LoadError { usable, errors }) => (*usable, Some(errors)),
    };
    let status = observe::status(file.map(PathBuf::as_path));
    let payload = std::env::var_os(payload::VARIABLE);
    let (facts, scripts) = survey::survey(&config, payload.as_ref().map(|t| t.as_bytes()));
    let redactor = secrets(&config, &facts, &scripts);
    let mut parts = vec![
        text("status.txt", format!("{}\n{}", StatusText(&status), Timeline(&status))),
        json("status.json", &status),
    ];
    let errors = errors.unwrap_or_default();
    let errors: String = errors.iter().map(|e| format!("{e}\n")).collect();
    parts.push(text("config-errors.txt", errors));
    let written = sources.files().into_iter().filter(|(path, required)| *required || path.exists());
    for (path, _) in written {
        let name = format!("config/{}", path.display().to_string().trim_start_matches('/'));
        parts.push(Part { name, text: file_end(&path).map(|t| without_environments(&t)) });
    }
    parts.push(text("plan.txt", plan::resolve(&config, &facts, false).to_string()));
    parts.push(match idle::look(file) {
        Ok(report) => text("idle.txt", IdleText(&report).to_string()),
        Err(why) => Part { name: "idle.txt".into(), text: Err(why) },
    });
    if let Some(journal) = &status.journal {
        parts.push(Part { name: "journal.jsonl".into(), text: file_end(journal) });
    }
    for log in logs(&status) {
        let name = format!("logs/{}.log", log.name);
        let content = match log.name == SCRIPT_LOG {
            true => {
                Err(format!("the output of the user's script is its user's ({} bytes)", log.bytes))
            }
            false => file_end(&log.path),
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
        parts.push(Part { name: name.into(), text: said(program, arguments) });
    }
    (parts, redactor)
}

fn text(name: &str, text: String) -> Part {
    Part { name: name.into(), text: Ok(Text { text, cut: 0 }) }
}

fn json(name: &str, value: &impl serde::Serialize) -> Part {
    let text = serde_json::to_string_pretty(value).map_err(|e| e.to_string());
    Part { name: name.into(), text: text.map(|text| Text { text, cut: 0 }) }
}

/// A configuration without the values of its `environment` tables: they are given to programs,
/// and only who wrote them knows which are secret.
fn without_environments(written: &Text) -> Text {
    let mut inside = false;
    let mut out = String::with_capacity(written.text.len());
    for line in written.text.split_inclusive('\n') {
        let plain = line.trim();
        if plain.starts_with('[') {
            inside = plain.trim_matches(['[', ']']).ends_with("environment");
        }
        let key = plain.split('=').next().unwrap_or_default().trim();
        let hidden = plain.contains('=') && (inside || key.ends_with("environment"));
        match hidden {
            true => out.push_str(&format!("{key} = \"[redacted]\"\n")),
            false => out.push_str(line),
        }
    }
    Text { text: out, cut: written.cut }
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

/// What is known to be secret here: the script and where it came from, the environment, what
/// the configuration gives to programs, the role's keys.
fn secrets(config: &Config, facts: &Facts, given_here: &told::Scripts) -> Redactor {
    let mut redactor = Redactor::default();
    let own = std::env::vars_os();
    let own = own.filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    redactor.know_environment(own);
    // What is given to programs may be secret whatever it is called.
    let given = config.steps.iter().flat_map(|step| step.environment.values());
    for value in given.chain(config.bootstrap.environment.values()) {
        redactor.know(value, "configuration");
    }
    let mut scripts: Vec<Script> = bytes_of(given_here.parts());
    if let Ok(Some(script)) = crate::stub::user_script(&facts.user.home) {
        scripts.push(script);
    }
    if config.ec2.enabled {
        role_and_user_data(config, &mut redactor, &mut scripts);
    }
    for script in scripts {
        redactor.know_script(script.bytes());
    }
    redactor
}

/// Asks the metadata service once for each; where it doesn't answer, nothing of it is here.
fn role_and_user_data(config: &Config, redactor: &mut Redactor, scripts: &mut Vec<Script>) {
    let settings = Settings { deadline: METADATA, ..metadata::settings(config) };
    if let Ok(keys) = imds::credentials(&settings) {
        for key in [&keys.secret_access_key, &keys.session_token, &keys.access_key_id] {
            redactor.know(key, "role-keys");
        }
    }
    let Some(bytes) = imds::collect(&settings).ok().and_then(|found| found.user_data) else {
        return;
    };
    let parsed = match user_data::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(UserDataError::Payload { rest, .. }) => *rest,
        // What the agent doesn't understand may be anything.
        Err(_) => return redactor.know_script(&bytes),
    };
    for (name, value) in parsed.parameters.variables() {
        if names_secret(&name) {
            redactor.know(&value, "user-data");
        }
    }
    let duties = parsed.duties;
    scripts.extend(bytes_of(parsed.scripts.parts()));
    scripts.extend(bytes_of(&duties.boothooks));
    scripts.extend(duties.files.into_iter().map(|file| file.content));
    scripts.extend(duties.commands.into_iter().map(|command| command.shell));
}

fn bytes_of(parts: &[told::Part]) -> Vec<Script> {
    parts.iter().map(|part| part.script.clone()).collect()
}
