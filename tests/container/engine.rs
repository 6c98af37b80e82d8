//! podman, as this machine needs it called, with a deadline on everything.

use crate::readiness::{Readiness, layer_is_ready};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing that a test asks of podman takes longer on a machine that works.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(50);

/// A program's end.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Output {
    /// Standard output of a program that ended well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.status, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }
}

/// The image under test.
pub(crate) fn image() -> String {
    std::env::var("AGENT_TEST_IMAGE").unwrap_or_else(|_| "localhost/agent-sandbox:small".into())
}

/// Can the layer run here?
pub(crate) fn ready() -> bool {
    static READY: Readiness = Readiness::new();
    layer_is_ready("container", &READY, look)
}

fn look() -> Result<(), String> {
    let version = podman(&["version", "--format", "{{.Client.Version}}"]);
    if version.status != 0 {
        return Err(format!("podman does not work here: {}", version.stderr.trim()));
    }
    let image = image();
    if podman(&["image", "exists", &image]).status != 0 {
        return Err(format!("there is no image {image}; `image/build --variant small` makes it"));
    }
    Ok(())
}

/// The repository's directory.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A command line that calls podman the way this machine needs it.
pub(crate) fn podman_command() -> Command {
    let mut command = Command::new(repository().join("image/podman-env"));
    // conmon leaves a file `oom` where it was started, when a container met its memory limit.
    command.arg("podman").current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Runs podman to its end.
pub(crate) fn podman(arguments: &[&str]) -> Output {
    let mut command = podman_command();
    command.args(arguments);
    run(command, LIMIT)
}

/// Runs a command to its end, which must come within `limit`.
pub(crate) fn run(command: Command, limit: Duration) -> Output {
    run_with_input(command, Stdio::null(), limit)
}

/// The same with something on standard input.
pub(crate) fn run_with_input(mut command: Command, input: Stdio, limit: Duration) -> Output {
    let began = Instant::now();
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{shown}: {e}"));
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            use std::os::unix::process::ExitStatusExt;
            let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            let took = began.elapsed();
            let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().unwrap());
            return Output { status, stdout, stderr, took };
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            panic!("did not end within {limit:?}: {shown}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(EVERY);
    }
}

/// What the sandboxes need of this machine's network. Only what the test's own environment
/// names: the image has nothing of it.
pub(crate) fn network_arguments() -> Vec<String> {
    const CA_INSIDE: &str = "/etc/test-ca.crt";
    // A registry's answer that stalls is given up in seconds, not minutes, and asked for again.
    let mut arguments = vec!["--env=npm_config_fetch_timeout=10000".to_owned()];
    let named = |n: &str| std::env::var(n).ok().filter(|v| Path::new(v).is_file());
    if let Some(bundle) = named("NODE_EXTRA_CA_CERTS").or_else(|| named("SSL_CERT_FILE")) {
        arguments.push(format!("--volume={bundle}:{CA_INSIDE}:ro"));
        for variable in ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
            arguments.push(format!("--env={variable}={CA_INSIDE}"));
        }
    }
    let mut passed = Vec::new();
    for (name, value) in std::env::vars() {
        if name.starts_with("AUBE_") || name.starts_with("npm_config_") {
            arguments.push(format!("--env={name}={value}"));
            passed.push(format!("{name:?}"));
        }
    }
    if !passed.is_empty() {
        let list = passed.join(",");
        arguments.push(format!("--env=AGENT__TOOLS__PASS_ENVIRONMENT=[{list}]"));
    }
    arguments
}
