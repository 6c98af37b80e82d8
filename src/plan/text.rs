//! The plan as people read it.

use super::machine::{HealthWork, Step, stages};
use super::user_data;
use super::{
    Command, EbsWork, EfsWork, MetadataWork, Plan, ScriptWork, Storage, ToolsWork, VolumeWork, Work,
};
use crate::config::value::{OnBootFailure, OnFailure, Retry, ScriptUser};
use crate::config::{Home, RunAt, Volume};
use std::fmt::{self, Display, Formatter};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let u = &self.user;
        writeln!(f, "instance  {} (from the {})", self.instance.id, self.instance.source)?;
        writeln!(f, "user      {} ({}:{}), home {}", u.name, u.uid, u.gid, u.home.display())?;
        let sources = match self.config_files.as_slice() {
            [] => "none found; the container's defaults".to_owned(),
            some => some.join(", "),
        };
        writeln!(f, "config    {sources}")?;
        let machine = self.phases.iter().any(|p| matches!(p.work, Work::Metadata(_)));
        let policy = match self.on_failure {
            // There the agent is no first process: nothing hangs on its end.
            _ if machine => "leaves the machine on",
            OnBootFailure::Exit => "ends the sandbox",
            OnBootFailure::Hold => "still starts the workload",
        };
        writeln!(f, "deadline  {} for the whole boot; a failed boot {policy}", self.deadline)?;
        for note in &self.notes {
            writeln!(f, "note      {note}")?;
        }
        for (n, phase) in (1..).zip(&self.phases) {
            writeln!(f, "\n{n}. {}  (deadline {})", phase.name.word(), phase.deadline)?;
            for line in phase.work.lines() {
                writeln!(f, "   {line}")?;
            }
        }
        Ok(())
    }
}

impl Work {
    /// What is done, a line a step.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Skip { reason } => vec![format!("skipped: {reason}")],
            Self::Refuse { problem } => {
                vec![
                    format!("cannot be done: {}", problem.message),
                    format!("next: {}", problem.next),
                ]
            }
            Self::Metadata(metadata) => metadata_lines(metadata),
            Self::Guest(guest) => guest.lines(),
            Self::UserData(work) => work.lines(),
            Self::Provision { steps } => step_lines(steps),
            Self::Volumes { volumes, home } => {
                volumes.iter().flat_map(volume_work).chain(home_lines(home)).collect()
            }
            Self::Tools(tools) => tools_lines(tools),
            Self::Health(health) => health_lines(health),
            Self::Script(script) => script_lines(script),
            Self::NoScript { .. } => vec!["skipped: no user script is given".into()],
        }
    }
}

fn metadata_lines(m: &MetadataWork) -> Vec<String> {
    let mut lines = vec![format!("ask {} for this instance", m.endpoints.join(" or "))];
    lines.push(match &m.user_data {
        Some(file) => format!("take the user-data from {file}"),
        None => "take the user-data from there; the phases below depend on it".into(),
    });
    if let Some(known) = &m.known {
        let given = known.parameters.variables();
        let given: Vec<String> = given.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let given = if given.is_empty() { "no parameters".into() } else { given.join(" ") };
        lines.push(format!("read: region {}, {given}", known.region));
    }
    lines
}

/// The most of a step's command that is shown, in characters.
const SHOWN: usize = 100;

fn step_lines(steps: &[Step]) -> Vec<String> {
    let mut lines = Vec::new();
    for stage in stages(steps) {
        let names: Vec<&str> = stage.iter().map(|s| s.name.as_str()).collect();
        if let [_, _, ..] = stage {
            lines.push(format!("side by side: {}", names.join(", ")));
        }
        lines.extend(stage.iter().map(step));
    }
    lines
}

fn step(s: &Step) -> String {
    let often = match s.run {
        RunAt::EveryBoot => "",
        RunAt::Once => ", once on this instance",
    };
    let attempts = match s.attempts {
        1 => String::new(),
        n => format!(", up to {n} attempts"),
    };
    let otherwise = match s.required {
        true => format!("otherwise the boot fails as {}", s.failure_phase),
        false => "otherwise the boot degrades".to_owned(),
    };
    format!(
        "step {}: run {} as {}{often}, within {}{attempts}; {otherwise}",
        s.name,
        shown(&s.argv),
        s.user,
        s.deadline
    )
}

/// A command in one short line. Of a shell text, what says nothing of what it does is left out.
fn shown(argv: &[String]) -> String {
    let whole = argv.join(" ");
    let lines: Vec<&str> = whole
        .lines()
        .map(|line| line.trim().trim_start_matches("/bin/sh -c").trim())
        .filter(|line| !(line.is_empty() || line.starts_with('#') || line.starts_with("set -")))
        .collect();
    let shell = if whole.starts_with("/bin/sh -c ") { "/bin/sh -c " } else { "" };
    let line = format!("{shell}{}", lines.join("; "));
    let short: String = line.chars().take(SHOWN).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

fn health_lines(h: &HealthWork) -> Vec<String> {
    let paths = |all: &[std::path::PathBuf]| {
        all.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let wanted = &h.wanted;
    let mut lines: Vec<String> = [
        ("commands on the user's PATH", wanted.commands.join(", ")),
        ("active services", wanted.services.join(", ")),
        ("files", paths(&wanted.files)),
        ("mount points", paths(&wanted.mounts)),
    ]
    .into_iter()
    .filter(|(_, all)| !all.is_empty())
    .map(|(what, all)| format!("look for {what}: {all}"))
    .collect();
    lines.push(match wanted.required {
        true => {
            "what is missing fails the boot; once the instance has been complete, it degrades it"
                .into()
        }
        false => "what is missing degrades the boot".into(),
    });
    lines
}

fn volume_work(work: &VolumeWork) -> Vec<String> {
    let (before, passed_over) = match &work.storage {
        None => (Vec::new(), false),
        Some(Storage::Skip { reason }) => (vec![format!("skipped: {reason}")], true),
        Some(Storage::Refuse { problem }) => {
            let target = work.volume.target.display();
            let cannot = format!("{target} cannot be mounted: {}", problem.message);
            (vec![cannot, format!("next: {}", problem.next)], true)
        }
        Some(Storage::Efs(efs)) => (efs_lines(efs), false),
        Some(Storage::Ebs(ebs)) => (ebs_lines(ebs, &work.volume), false),
    };
    let checks = if passed_over { Vec::new() } else { volume(&work.volume) };
    before.into_iter().chain(checks).collect()
}

fn efs_lines(efs: &EfsWork) -> Vec<String> {
    vec![
        format!(
            "run {} as root, unless it is mounted (up to {}; again where the network fails)",
            efs.mount.join(" "),
            efs.deadline
        ),
        format!("write to /etc/fstab: {}", efs.fstab),
    ]
}

fn ebs_lines(ebs: &EbsWork, v: &Volume) -> Vec<String> {
    let target = v.target.display();
    let mut lines = vec![
        format!("wait up to {} for the disk {}", ebs.wait, ebs.device),
        match &ebs.format {
            Some(format) => {
                format!("run {} as root where the disk is provably blank", format.join(" "))
            }
            None => "make no file system on it (volume.ebs.format is false)".into(),
        },
        format!("run {} as root before ext4 is mounted", ebs.check.join(" ")),
        format!("mount it at {target} (up to {} from the disk to here)", ebs.deadline),
    ];
    lines.extend(ebs.grow.iter().map(|grow| {
        format!("run {} as root where the file system is smaller than the disk", grow.join(" "))
    }));
    lines.push(format!("write to /etc/fstab: {}", ebs.fstab));
    lines
}

fn home_lines(home: &Home) -> Vec<String> {
    let skeleton = home.skeleton.iter();
    let skeleton = skeleton.map(|s| format!("copy to the home what it lacks of {}", s.display()));
    let directories = home.directories.iter().map(|d| format!("make ~/{}", d.display()));
    let private = home.private.iter().map(|d| format!("make ~/{} with mode 0700", d.display()));
    let link = |(name, to): (&std::path::PathBuf, &std::path::PathBuf)| {
        format!("link ~/{} to {}", name.display(), to.display())
    };
    skeleton.chain(directories).chain(private).chain(home.links.iter().map(link)).collect()
}

fn volume(v: &Volume) -> Vec<String> {
    let target = v.target.display();
    let mut lines = Vec::new();
    if let Some(m) = &v.mount {
        let options = m.options.join(",");
        lines.push(format!("mount {} at {target} ({} {options})", m.source, m.fstype));
    }
    let mut checks = vec!["is a mount point".to_owned()];
    checks.extend(v.source.iter().map(|s| format!("comes from {s}")));
    if !v.fstype.is_empty() {
        checks.push(format!("is {}", v.fstype.join(" or ")));
    }
    match (v.owned, v.chown) {
        (true, true) => checks.push("belongs to the user (else given)".into()),
        (true, false) => checks.push("belongs to the user".into()),
        (false, true) => checks.push("is given to the user where it is another's".into()),
        (false, false) => {}
    }
    if v.writable {
        checks.push("is writable by the user".into());
    }
    let means = |o: OnFailure| match o {
        OnFailure::Fail => "fails",
        OnFailure::Degrade => "degrades",
    };
    lines.push(format!(
        "check {target}: {}; otherwise the boot {}",
        checks.join(", "),
        means(v.on_failure())
    ));
    lines.push(format!(
        "check {target}: {} and {} inodes free; otherwise the boot {}",
        v.min_free,
        v.min_inodes,
        means(v.on_full)
    ));
    if let Some(skeleton) = &v.skeleton {
        lines.push(format!("copy {} to {target} where it is empty", skeleton.display()));
    }
    lines.extend(v.directories.iter().map(|d| format!("make {}", v.target.join(d).display())));
    lines
}

fn tools_lines(t: &ToolsWork) -> Vec<String> {
    let missing = match t.on_failure {
        OnFailure::Fail => "fails the boot",
        OnFailure::Degrade => "degrades the boot",
    };
    let mut lines: Vec<String> = t.trust.iter().map(run).collect();
    lines.push(format!(
        "{}  (up to {} attempts where the network fails)",
        run(&t.install),
        t.attempts
    ));
    lines
        .push(format!("{}  (each tool is checked on disk; a missing one {missing})", run(&t.list)));
    lines
}

fn run(c: &Command) -> String {
    format!("run {} in {}", c.argv.join(" "), c.cwd.display())
}

fn script_lines(s: &ScriptWork) -> Vec<String> {
    let hash = s.sha256.get(..12).unwrap_or(&s.sha256);
    let again = match (s.again, s.retry) {
        (true, _) => "whatever was recorded (asked for again)",
        (false, Retry::Never) => "once on this instance; cut off, it is repeated at the next boot",
        (false, Retry::NextBoot) => "at each boot until it succeeds on this instance",
    };
    let who = match s.user {
        ScriptUser::Sandbox => "",
        ScriptUser::Root => " as root",
    };
    let source = &s.source;
    if s.parts.is_empty() {
        return vec![format!(
            "run the script in {source} ({} bytes, sha256 {hash}…){who} {again}",
            s.bytes
        )];
    }
    let count = s.parts.len();
    std::iter::once(format!("run the {count} scripts in {source}, in this order,{who} {again}"))
        .chain(s.parts.iter().map(|p| format!("script{}", user_data::part(p))))
        .collect()
}
