//! A sandbox of `unshare`: user, mount and pid namespaces, in which the agent is PID 1.
//!
//! Inside, the test's directory is at /mnt: `home` is the volume (a mount point, on a disk,
//! so it outlives the sandbox), `etc` stands over /etc, `out` is for what the test wants to
//! see from outside, and the agent is on PATH. /tmp, /run and /dev/shm are in memory
//! and the sandbox's own. The same [`Sandbox`] started again is the same instance restarted.

use crate::util::{
    Ended, PATH, Running, child_of, directory, eventually, file, fresh, give, reachable, run,
    start, unprivileged,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Sets the stage, then becomes what is given. `$1` is the directory, `$2` the program, `$3` the
/// options of what is in memory, `$4` whether the home is a volume, `$5` whether /run is there.
const STAGE: &str = r#"
set -e
mount --bind "$1" /mnt
mount --bind "$2" /mnt/bin/agent
[ "$4" = no ] || mount --bind /mnt/home /mnt/home
[ "$4" != ro ] || mount -o remount,bind,ro /mnt/home
mount --bind /mnt/etc /etc
mount -t tmpfs -o "$3" tmpfs /tmp
mount -t tmpfs -o "$3" tmpfs /dev/shm
[ "$5" = no ] || mount -t tmpfs -o "$3" tmpfs /run
[ ! -d /mnt/lib ] || mount --bind /mnt/lib /var/lib
shift 5
cd /
exec "$@"
"#;

/// A sandbox that can be started, more than once.
pub(crate) struct Sandbox {
    dir: TempDir,
    program: PathBuf,
    environment: Vec<(String, String)>,
    memory: &'static str,
    volume: &'static str,
    run: &'static str,
}

impl Sandbox {
    /// With the defaults of the contract, and the tools phase off.
    pub(crate) fn new() -> Self {
        let dir = fresh();
        let root = dir.path();
        let (etc, bin) = (directory(root, "etc"), directory(root, "bin"));
        for name in ["home", "out"] {
            directory(root, name);
        }
        directory(&directory(&etc, "agent"), "conf.d");
        // In the namespace the user is 0, and called dev.
        file(&etc, "passwd", "dev:x:0:0::/mnt/home:/bin/sh\n");
        file(&etc, "group", "dev:x:0:\n");
        file(&bin, "agent", "");
        let program = reachable(root);
        Self { dir, program, environment: Vec::new(), memory: "nosuid", volume: "yes", run: "yes" }
            .variable("AGENT__TOOLS__ENABLED", "off")
            .variable("AGENT__BOOTSTRAP__INSTANCE", "test")
    }

    /// With a variable in PID 1's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Without a variable.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(n, _)| n != name);
        self
    }

    /// With this script, as the contract gives it.
    pub(crate) fn script(self, script: impl AsRef<[u8]>) -> Self {
        self.variable("MINT_USER_BOOTSTRAP", &STANDARD.encode(script))
    }

    /// With this script as a mounted file.
    pub(crate) fn script_file(self, script: impl AsRef<[u8]>) -> Self {
        file(&self.dir.path().join("etc"), "bootstrap", script);
        self.variable("AGENT__BOOTSTRAP__FILE", "/etc/bootstrap")
    }

    /// With `/etc/agent/NAME`.
    pub(crate) fn config(self, name: &str, text: &str) -> Self {
        file(&self.dir.path().join("etc/agent"), name, text);
        self
    }

    /// A machine rather than a container: /var/lib is on its disk.
    pub(crate) fn machine(self) -> Self {
        directory(self.dir.path(), "lib");
        // Who is root here alone can change neither accounts nor the host's name.
        ["MACHINE_ID", "HOSTNAME", "HOST_KEYS", "LOGIN", "ROOT_DISK"]
            .iter()
            .fold(self, |machine, duty| machine.variable(&format!("AGENT__GUEST__{duty}"), "false"))
    }

    /// What is in memory cannot be executed from.
    pub(crate) fn noexec(self) -> Self {
        Self { memory: "noexec,nosuid", ..self }
    }

    /// The home is no mount point.
    pub(crate) fn no_volume(self) -> Self {
        Self { volume: "no", ..self }
    }

    /// The home is mounted read-only.
    pub(crate) fn read_only_volume(self) -> Self {
        Self { volume: "ro", ..self }
    }

    /// /run is the machine's and closed, as in a container with a read-only root: the journal goes
    /// to the volume.
    pub(crate) fn no_run(self) -> Self {
        Self { run: "no", ..self }
    }

    /// `program` as PID 1.
    pub(crate) fn pid1(&self, program: &[&str]) -> Command {
        // Whoever runs the tests in the background may have them ignore INT and HUP.
        let mut command = unprivileged("env");
        command.args([
            "--default-signal",
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
        ]);
        command.args(["--kill-child", "--", "/bin/sh", "-c", STAGE, "stage"]);
        command.arg(self.dir.path()).arg(&self.program);
        command.args([self.memory, self.volume, self.run]).args(program);
        command.env("PATH", format!("/mnt/bin:{PATH}")).env_remove("HOME");
        command.envs(self.environment.iter().map(|(n, v)| (n, v)));
        command
    }

    /// `agent init OPTIONS -- sh -c SCRIPT` to its end.
    #[track_caller]
    pub(crate) fn init(&self, options: &[&str], script: &str) -> Ended {
        run(self.command(options, script))
    }

    /// The same, still running.
    #[track_caller]
    pub(crate) fn start(&self, options: &[&str], script: &str) -> Life {
        Life { running: start(self.command(options, script)) }
    }

    fn command(&self, options: &[&str], script: &str) -> Command {
        let mut all = vec!["agent", "init"];
        all.extend(options);
        all.extend(["--", "sh", "-c", script]);
        self.pid1(&all)
    }

    /// Boots, holding a failed boot too, and looks at the status from inside.
    #[track_caller]
    pub(crate) fn look(&self) -> Seen {
        self.look_after(":")
    }

    /// The same, with `script` run in the sandbox before the look.
    #[track_caller]
    pub(crate) fn look_after(&self, script: &str) -> Seen {
        let script = format!("{script}\nagent status --json; exit $?");
        let ended = self.init(&["--on-boot-failure", "hold"], &script);
        let status = ended.json();
        Seen { status, ended }
    }

    /// What stands in `out/NAME`, once it is there.
    #[track_caller]
    pub(crate) fn out(&self, name: &str) -> String {
        let path = self.dir.path().join("out").join(name);
        eventually(name, || fs::read_to_string(&path).ok().filter(|t| !t.is_empty()))
    }

    /// Writes `out/NAME`.
    pub(crate) fn put_out(&self, name: &str, text: &str) {
        file(&self.dir.path().join("out"), name, text);
    }

    /// For what notes each of its runs in `out/runs`, and then does what is in `out/then`.
    pub(crate) fn counting(self, then: &str) -> Self {
        self.put_out("then", then);
        self.put_out("runs", "");
        self.mode("out/runs", 0o666);
        self
    }

    /// How often it ran.
    #[track_caller]
    pub(crate) fn runs(&self) -> usize {
        self.out("runs").lines().count()
    }

    /// A path beneath the test's directory, as it is outside.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Gives `path` beneath the test's directory a mode.
    pub(crate) fn mode(&self, below: &str, mode: u32) {
        give(&self.path(below), mode);
    }
}

/// A started sandbox.
pub(crate) struct Life {
    running: Running,
}

impl Life {
    /// PID 1 as the machine sees it.
    #[track_caller]
    pub(crate) fn pid1(&self) -> i32 {
        child_of(self.running.pid())
    }

    /// Sends PID 1 a signal from outside.
    #[track_caller]
    pub(crate) fn signal(&self, n: i32) {
        crate::util::signal(self.pid1(), n);
    }

    /// Waits until `out/NAME` is there. A sandbox that ended before shows why.
    #[track_caller]
    pub(crate) fn reaches(&mut self, sandbox: &Sandbox, name: &str) {
        let path = sandbox.path("out").join(name);
        let there = || fs::metadata(&path).is_ok_and(|m| m.len() > 0);
        eventually(name, || (there() || self.running.has_ended()).then_some(()));
        assert!(there(), "it ended before: {:#?}", self.running.take_output());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(self) -> Ended {
        self.running.end()
    }
}

/// A boot that was looked at from inside.
pub(crate) struct Seen {
    pub(crate) status: Value,
    pub(crate) ended: Ended,
}

impl Seen {
    /// Asserts the state, by its word and by the exit status of `agent status`.
    #[track_caller]
    pub(crate) fn is(self, state: &str) -> Self {
        let code = match state {
            "complete" => 0,
            "failed" => 1,
            "degraded" => 2,
            "running" => 3,
            _ => 4,
        };
        assert_eq!(self.status["state"], state, "{:#?}", self.ended);
        assert_eq!(self.ended.code(), code, "{:#?}", self.ended);
        self
    }

    /// Asserts that the first problem of `phase` has this code.
    #[track_caller]
    pub(crate) fn problem(self, phase: &str, code: &str) -> Self {
        let found = self.phase(phase)["problems"][0]["code"].clone();
        assert_eq!(found, code, "{:#?}", self.ended);
        self
    }

    /// A phase of the status.
    #[track_caller]
    pub(crate) fn phase(&self, name: &str) -> &Value {
        let phases = self.status["phases"].as_array().unwrap();
        let found = phases.iter().find(|p| p["name"] == name);
        found.unwrap_or_else(|| panic!("no phase {name}: {:#?}", self.ended))
    }

    /// Which attempt of the script this boot made, or last knew of.
    #[track_caller]
    pub(crate) fn attempt(&self) -> u64 {
        self.status["script"]["attempt"].as_u64().unwrap_or_else(|| panic!("{:#?}", self.ended))
    }

    /// The one line that says it all.
    pub(crate) fn summary(&self) -> &str {
        self.status["summary"].as_str().unwrap()
    }
}
