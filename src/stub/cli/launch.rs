//! `agent-stub render` and `size`: one launch, as it is written on the command line.

use super::super::budget::{Budget, LIMIT};
use super::super::parameters::{Fetch, Name, ParameterError, Parameters};
use super::super::payload::{GZIP, Script};
use super::super::render::{self, Launch, RenderError};
use super::super::{Template, user_script};
use super::{Done, json};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct LaunchArgs {
    /// The EFS file system, such as fs-0123456789abcdef0
    #[arg(long, value_name = "ID", value_parser = checked(Name::EfsId))]
    efs_id: Option<String>,
    /// The project volume: a device such as /dev/sdf, or a volume id such as vol-0123456789abcdef0
    #[arg(long, value_name = "DEVICE", value_parser = checked(Name::ProjectDev))]
    project_dev: Option<String>,
    /// The machine's name
    #[arg(long, value_name = "NAME", value_parser = checked(Name::VmName))]
    vm_name: Option<String>,
    /// Idle minutes after which the machine stops itself; 0 for never (the machine's default: 60)
    #[arg(long, value_name = "MINUTES", value_parser = checked(Name::IdleTimeout))]
    idle_timeout: Option<String>,
    /// Where the agent comes from: the image has it (baked), or it is downloaded (fetch)
    #[arg(
        long,
        value_name = "WORD",
        default_value = "baked",
        requires_if("fetch", "url"),
        requires_if("fetch", "sha256")
    )]
    template: TemplateArg,
    /// Where the agent is downloaded from, by https; with --template fetch
    #[arg(long, value_name = "URL", value_parser = checked(Name::Url))]
    url: Option<String>,
    /// The SHA-256 of that agent, in hexadecimal; with --template fetch
    #[arg(long, value_name = "HEX", value_parser = checked(Name::Sha256))]
    sha256: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TemplateArg {
    Baked,
    Fetch,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The user's script is ~/.config/mint/user-bootstrap.sh; nothing moves it. Where it is absent,
the machine boots without one; where it cannot be read, nothing is rendered.

The result may hold secrets of the script: --output makes a file that only you can read.

Exit status: 0 rendered, 1 the script cannot be read or the result is larger than 16384
bytes, 64 wrong usage.

Examples:
  agent-stub render --vm-name default --idle-timeout 90 --output user-data
  agent-stub render --template fetch --url https://example.com/agent --sha256 $(sha256sum agent | cut -c-64)
  aws ec2 run-instances --user-data file://user-data …")]
pub(super) struct RenderArgs {
    #[command(flatten)]
    pub(super) launch: LaunchArgs,
    /// Write to this file in place of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Takes the options of `agent-stub render`, and the same script.

Exit status: 0 it fits, 1 it doesn't or the script cannot be read, 64 wrong usage.

Examples:
  agent-stub size --vm-name default
  agent-stub size --json | jq .headroom")]
pub(super) struct SizeArgs {
    #[command(flatten)]
    pub(super) launch: LaunchArgs,
    /// Print JSON (schema agent.user-data-size/1)
    #[arg(long)]
    json: bool,
}

/// A parser for the values of one parameter.
fn checked(name: Name) -> impl Fn(&str) -> Result<String, ParameterError> + Clone {
    move |value| name.check(value).map(|()| value.to_owned())
}

impl LaunchArgs {
    pub(super) fn misuse(&self) -> Option<&'static str> {
        let download = self.url.is_some() || self.sha256.is_some();
        (matches!(self.template, TemplateArg::Baked) && download)
            .then_some("--url and --sha256 belong to --template fetch")
    }

    fn launch(&self) -> Result<Launch, String> {
        let fetch = self.url.clone().zip(self.sha256.clone());
        let fetch = fetch.map(|(url, sha256)| Fetch { url, sha256 });
        Ok(Launch {
            parameters: Parameters {
                efs_id: self.efs_id.clone(),
                project_dev: self.project_dev.clone(),
                vm_name: self.vm_name.clone(),
                idle_timeout: self.idle_timeout.as_deref().and_then(|m| m.parse().ok()),
            },
            script: own_script()?,
            fetch,
        })
    }
}

/// The script of the user who runs this.
fn own_script() -> Result<Option<Script>, String> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|h| h.is_absolute());
    let home =
        home.ok_or("HOME is not set to an absolute path: the user script is looked for in it")?;
    user_script(&home).map_err(|e| e.to_string())
}

pub(super) fn render(args: &RenderArgs) -> Result<Done, String> {
    let launch = args.launch.launch()?;
    let user_data = render::render(&launch).map_err(|e| e.to_string())?;
    let said = launch.script.as_ref().and_then(doubt).into_iter().collect();
    let Some(path) = &args.output else {
        return Ok(Done { text: user_data.into_bytes(), said, failed: false });
    };
    write_private(path, user_data.as_bytes())
        .map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
    Ok(Done { said, ..Done::default() })
}

/// What the guest will stumble over. The script is handed over all the same.
fn doubt(script: &Script) -> Option<String> {
    let bytes = script.bytes();
    let first = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let what = match () {
        () if bytes.is_empty() => return None,
        () if bytes.starts_with(GZIP) => "is gzip data, and is not unpacked",
        () if bytes.starts_with(b"\x7fELF") => return None,
        () if !bytes.starts_with(b"#!") => "has no #! line",
        () if first.ends_with(b"\r") => "has Windows line ends",
        () => return None,
    };
    Some(format!("note: the user script {what}: the machine will refuse to run it"))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    // One that was there keeps its mode otherwise.
    #[cfg(unix)]
    if file.metadata()?.is_file() {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    file.write_all(bytes)
}

/// [`Budget`] with what follows from it.
#[derive(Serialize)]
struct Size {
    schema: &'static str,
    limit: usize,
    total: usize,
    /// Absent where the limit is passed.
    headroom: Option<usize>,
    template_name: Template,
    #[serde(flatten)]
    budget: Budget,
    largest_plain: usize,
    largest_gzip: usize,
    estimated_by_gzip: Option<usize>,
}

pub(super) fn size(args: &SizeArgs) -> Result<Done, String> {
    let launch = args.launch.launch()?;
    let budget = render::budget(&launch).map_err(|e| e.to_string())?;
    let size = Size {
        schema: "agent.user-data-size/1",
        limit: LIMIT,
        total: budget.total(),
        headroom: budget.headroom(),
        template_name: if launch.fetch.is_some() { Template::Fetch } else { Template::Baked },
        budget,
        largest_plain: budget.largest_plain(),
        largest_gzip: budget.largest_gzip(),
        estimated_by_gzip: budget.estimated_by_gzip(),
    };
    let text = if args.json { json(&size)? } else { size.text() };
    let over = size.headroom.is_none().then(|| RenderError::TooLarge(budget).to_string());
    Ok(Done { text: text.into_bytes(), failed: over.is_some(), said: over.into_iter().collect() })
}

impl Size {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, bytes: usize, more: &str| {
            let line = format!("{what:<12}{bytes:>7}  {more}");
            let _ = writeln!(text, "{}", line.trim_end());
        };
        line("template", self.budget.template, self.template_name.word());
        line("parameters", self.budget.parameters, "");
        match self.budget.script {
            Some(s) => line(
                "script",
                s.encoded(),
                &format!(
                    "as {}: {} bytes, gzip {}, base64 {}, base64 of gzip {}",
                    s.encoding, s.raw, s.gzip, s.base64, s.gzip_base64
                ),
            ),
            None => line("script", 0, "none: the hook is skipped"),
        }
        line("total", self.total, &format!("of {}", self.limit));
        match self.headroom {
            Some(left) => line("headroom", left, ""),
            None => line("over limit", self.total.saturating_sub(self.limit), ""),
        }
        let now = self.budget.script.map_or(0, |s| s.raw);
        let more = |n: usize| match n.checked_sub(now) {
            Some(more) => format!("{more} more than now"),
            None => format!("{} less than now", now - n),
        };
        let _ = writeln!(
            text,
            "\na script may have {} bytes in plain base64 ({})",
            self.largest_plain,
            more(self.largest_plain)
        );
        let _ = match self.estimated_by_gzip {
            Some(n) if n <= self.largest_plain => {
                writeln!(text, "gzip makes a script like this one no smaller")
            }
            Some(n) => writeln!(
                text,
                "or about {n} bytes by gzip ({}): an estimate, if all of it packs as this script does",
                more(n)
            ),
            None => writeln!(
                text,
                "or more by gzip, whose own size may be {}: how much cannot be estimated without a script",
                self.largest_gzip
            ),
        };
        text
    }
}
