//! Inside the namespaces, before the real PID 1: the view of the machine is made, every
//! capability given up, and `agent init` takes this process over.

use super::{HOME, PROPS, Program, Stage, UID, USER};
use crate::sys::{namespaces as ns, spawn};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Directories that are empty in a rehearsal. What the machine keeps there is its
/// user's, or is a socket to something with privileges.
const EMPTY: &[(&str, u32)] = &[
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
    ("/dev/shm", 0o1777),
    ("/home", 0o755),
];

/// `agent internal rehearse FD`. Returns only where something failed.
pub fn play(descriptor: i32) -> String {
    let result = read_stage(descriptor).and_then(|stage| {
        set(&stage)?;
        ns::give_up_capabilities().map_err(|e| format!("capabilities cannot be dropped: {e}"))?;
        // The description of the rehearsal, with the script in it, stays here.
        spawn::keep_from_exec(3).map_err(|e| format!("descriptors cannot be closed: {e}"))?;
        Ok(take_over(&stage))
    });
    match result {
        Ok(e) => format!("agent init cannot be started: {e}"),
        Err(e) => e,
    }
}

fn read_stage(descriptor: i32) -> Result<Stage, String> {
    let mut file = crate::sys::files::inherited(descriptor).map_err(|e| e.to_string())?;
    let mut json = Vec::new();
    file.read_to_end(&mut json).map_err(|e| e.to_string())?;
    serde_json::from_slice(&json).map_err(|e| e.to_string())
}

fn set(stage: &Stage) -> Result<(), String> {
    let told = |what: &str| {
        let what = what.to_owned();
        move |e: io::Error| format!("{what}: {e}")
    };
    // Opened in this namespace and before the directories they lie in are hidden: only
    // then can they be shown elsewhere.
    let own = View::of(&stage.own);
    let mise = stage.mise.as_ref().map(View::of);
    ns::freeze_mounts()
        .map_err(told("the machine's mounts cannot be made read-only (Linux 5.12 can)"))?;
    for (path, mode) in EMPTY {
        empty(Path::new(path), *mode).map_err(told(path))?;
    }
    if let Some(home) = stage.hidden_home.as_deref().filter(|h| *h != Path::new("/")) {
        empty(home, 0o700).map_err(told("the home directory cannot be hidden"))?;
    }
    fs::create_dir(HOME)
        .and_then(|()| ns::mount_empty(Path::new(HOME), 0o755))
        .map_err(told(HOME))?;
    for target in &stage.volumes {
        // One that isn't there cannot be made on a read-only root; the boot will say so.
        if target.is_dir() {
            ns::mount_empty(target, 0o755).map_err(told("a volume of the config"))?;
        }
    }
    fs::DirBuilder::new().mode(0o755).create(PROPS).map_err(told(PROPS))?;
    own.show(&props("agent")).map_err(told("agent"))?;
    if let Some(mise) = mise {
        mise.show(&props("mise")).map_err(told("mise"))?;
    }
    if let Some(script) = &stage.script {
        fs::write(props("user-script"), script).map_err(told("the script"))?;
        let _ = fs::set_permissions(props("user-script"), fs::Permissions::from_mode(0o400));
    }
    fs::write(props("agent.toml"), &stage.config).map_err(told("the config"))?;
    if let Some((path, text)) = &stage.resolver
        && !path.exists()
        && let Some(parent) = path.parent()
    {
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(path, text))
            .map_err(told("resolv.conf"))?;
    }
    account("passwd", &format!("{USER}:x:{UID}:{UID}::{HOME}:/bin/bash"));
    account("group", &format!("{USER}:x:{UID}:"));
    ns::mount_proc().map_err(told(
        "a new /proc cannot be mounted (in a container it is not allowed: run outside of one)",
    ))
}

/// A program on its way into the rehearsal.
struct View<'a> {
    program: &'a Program,
    here: Option<File>,
}

impl<'a> View<'a> {
    fn of(program: &'a Program) -> Self {
        Self { program, here: File::open(&program.path).ok() }
    }

    /// Binds the file, or copies it where its path is closed to the rehearsal's user.
    fn show(&self, at: &Path) -> io::Result<()> {
        let mut target = File::options().write(true).create_new(true).mode(0o755).open(at)?;
        if let Some(file) = &self.here {
            let from = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            if ns::bind(&from, at).is_ok() {
                return Ok(());
            }
        }
        let mut from = crate::sys::files::inherited(self.program.descriptor)?;
        io::copy(&mut from, &mut target).map(|_| ())
    }
}

fn empty(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() { ns::mount_empty(path, mode) } else { Ok(()) }
}

fn props(name: &str) -> PathBuf {
    Path::new(PROPS).join(name)
}

/// Adds the rehearsal's user to `/etc/NAME` as the sandbox sees it, so that `whoami`
/// and `ssh` know it. Only a convenience.
fn account(name: &str, line: &str) {
    let real = Path::new("/etc").join(name);
    let kept = fs::read_to_string(&real).unwrap_or_default();
    let id = format!(":{UID}:");
    let others = kept.lines().filter(|l| !l.starts_with(&format!("{USER}:")) && !l.contains(&id));
    let text = std::iter::once(line).chain(others).collect::<Vec<_>>().join("\n") + "\n";
    let shown = props(name);
    let _ = fs::write(&shown, text).and_then(|()| ns::bind(&shown, &real));
}

/// Becomes `agent init`, with the report and COMMAND as its workload.
fn take_over(stage: &Stage) -> io::Error {
    let mut command = Command::new(spawn::SELF);
    command.arg0("agent").args(["init", "--config"]).arg(props("agent.toml"));
    command.args(["--", spawn::SELF, "internal", "report", "--"]);
    command.args(stage.command.iter().map(|c| OsString::from_vec(c.clone())));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("XDG_") {
            command.env_remove(name);
        }
    }
    command.env_remove(crate::stub::payload::VARIABLE);
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
    command.env("PATH", format!("{path}:{PROPS}")).env("HOME", HOME).current_dir("/");
    for (key, value) in settings(stage) {
        command.env(format!("AGENT__{key}"), value);
    }
    command.exec()
}

/// What a rehearsal decides above any config.
fn settings(stage: &Stage) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("USER__NAME", USER.to_owned()),
        ("USER__UID", UID.to_string()),
        ("USER__GID", UID.to_string()),
        ("USER__HOME", HOME.to_owned()),
        ("BOOT__ON_FAILURE", "hold".into()),
        ("TOOLS__ENABLED", "auto".into()),
        ("BOOTSTRAP__INSTANCE", "rehearsal".into()),
    ];
    all.push(("TOOLS__MISE", props("mise").display().to_string()));
    if stage.script.is_some() {
        all.push(("BOOTSTRAP__FILE", props("user-script").display().to_string()));
    }
    all
}
