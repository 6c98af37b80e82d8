//! A container as the contract starts it, and what can be asked of it from outside.

use crate::engine::{
    LIMIT, Output, image, network_arguments, podman, podman_command, run, run_with_input, wait_for,
};
use crate::guard::{Volume, unique};
use crate::pty::Terminal;
use crate::seen::{Seen, keep_sample};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io::{Seek, Write};
use std::process::Command;
use std::time::Duration;

/// The contract's flags, but for the volume and the environment.
const CONTRACT: &[&str] = &[
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--tmpfs=/tmp",
    "--memory=1g",
];

/// What a sandbox does when nobody asks anything of it.
pub(crate) const IDLE: &[&str] = &["sleep", "infinity"];

/// A sandbox that is yet to be started.
pub(crate) struct Recipe {
    image: String,
    arguments: Vec<String>,
    network: bool,
}

impl Recipe {
    /// The contract's flags and no volume.
    pub(crate) fn bare() -> Self {
        Self::with(CONTRACT)
    }

    /// The contract's flags with a volume at the home.
    pub(crate) fn on(volume: &Volume) -> Self {
        Self::bare().argument(&format!("--volume={}", volume.at_home()))
    }

    /// PID 1 and nothing else, as an image that wants an init alone has it: no boot, and podman's
    /// defaults. Seconds less for tests that the boot doesn't matter to.
    pub(crate) fn alone() -> Self {
        Self::alone_with(&[])
    }

    /// The same with further options of `agent init`.
    pub(crate) fn alone_with(options: &[&str]) -> Self {
        let words = [&["/usr/local/bin/agent", "init", "--no-boot"], options, &["--"]].concat();
        Self::with(&[&format!("--entrypoint={}", serde_json::to_string(&words).unwrap())])
    }

    /// Flags of the test's own.
    pub(crate) fn with(flags: &[&str]) -> Self {
        Self {
            image: image(),
            arguments: flags.iter().map(|f| (*f).to_owned()).collect(),
            network: false,
        }
    }

    /// One more argument of `podman run`.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// One more variable.
    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        self.argument(&format!("--env={name}={value}"))
    }

    /// The user script in the environment, as the contract has it.
    pub(crate) fn script(self, script: &str) -> Self {
        self.env("MINT_USER_BOOTSTRAP", &BASE64_STANDARD.encode(script))
    }

    /// The workload starts also after a failed boot, so that the status can be asked for.
    pub(crate) fn hold(self) -> Self {
        self.env("AGENT__BOOT__ON_FAILURE", "hold")
    }

    /// Another image than the one under test.
    pub(crate) fn image(mut self, name: &str) -> Self {
        self.image = name.to_owned();
        self
    }

    /// With podman's default network. Without this call there is none: a test that needs no
    /// network must not depend on one.
    pub(crate) fn network(mut self) -> Self {
        self.network = true;
        self.arguments.extend(network_arguments());
        self
    }

    /// Starts it in the background.
    #[track_caller]
    pub(crate) fn start(self, command: &[&str]) -> Sandbox {
        let sandbox = Sandbox { name: unique("sandbox") };
        run(self.command(&sandbox, &["--detach"], command), LIMIT).good();
        sandbox
    }

    /// Runs it to its end in the foreground.
    pub(crate) fn run(self, command: &[&str]) -> (Sandbox, Output) {
        let sandbox = Sandbox { name: unique("sandbox") };
        let output = run(self.command(&sandbox, &[], command), LIMIT);
        (sandbox, output)
    }

    /// Runs it with these options of `podman run`, and these words on its standard input.
    pub(crate) fn run_with_input(self, how: &[&str], input: &str, command: &[&str]) -> Output {
        let sandbox = Sandbox { name: unique("sandbox") };
        let mut words = tempfile::tempfile().unwrap();
        words.write_all(input.as_bytes()).unwrap();
        words.rewind().unwrap();
        run_with_input(self.command(&sandbox, how, command), words.into(), LIMIT)
    }

    /// Runs it on a terminal. Of the two the terminal must go first, where a test fails.
    #[track_caller]
    pub(crate) fn on_terminal(self, command: &[&str]) -> (Sandbox, Terminal) {
        let sandbox = Sandbox { name: unique("sandbox") };
        let podman = self.command(&sandbox, &["--interactive", "--tty"], command);
        (sandbox, Terminal::start(podman))
    }

    fn command(&self, sandbox: &Sandbox, how: &[&str], command: &[&str]) -> Command {
        let mut podman = podman_command();
        podman.args(["run", "--name", &sandbox.name]).args(how).args(&self.arguments);
        if !self.network {
            podman.arg("--network=none");
        }
        podman.arg(&self.image).args(command);
        podman
    }
}

/// Writes a file on a volume, as the sandbox user, without a boot.
#[track_caller]
pub(crate) fn seed(volume: &Volume, path: &str, text: &str) {
    let line = r#"mkdir -p "$(dirname "$FILE")" && printf %s "$TEXT" >"$FILE""#;
    let (_gone, output) = Recipe::on(volume)
        .env("FILE", &format!("/home/iteron/{path}"))
        .env("TEXT", text)
        .argument("--entrypoint=sh")
        .run(&["-c", line]);
    output.good();
}

/// Gives a volume to root, as one is that was made by hand.
#[track_caller]
pub(crate) fn give_to_root(volume: &Volume) {
    let (_gone, output) = Recipe::with(&["--user=0", "--entrypoint=chown"])
        .argument(&format!("--volume={}", volume.at_home_with("nocopy")))
        .run(&["0:0", "/home/iteron"]);
    output.good();
}

/// A container; removed when this value goes.
pub(crate) struct Sandbox {
    pub(crate) name: String,
}

impl Sandbox {
    /// Runs a command in it.
    pub(crate) fn exec(&self, command: &[&str]) -> Output {
        self.exec_with(&[], command)
    }

    /// The same with further arguments of `podman exec`.
    pub(crate) fn exec_with(&self, arguments: &[&str], command: &[&str]) -> Output {
        podman(&[&["exec"], arguments, &[self.name.as_str()], command].concat())
    }

    /// Runs a shell line in it.
    pub(crate) fn sh(&self, line: &str) -> Output {
        self.exec(&["sh", "-c", line])
    }

    /// What `agent status --json` says now, and its exit status agrees.
    #[track_caller]
    pub(crate) fn status(&self) -> Seen {
        Seen::of(&self.exec(&["agent", "status", "--json"]))
    }

    /// The status once the boot has ended.
    #[track_caller]
    pub(crate) fn settled(&self) -> Seen {
        Seen::of(&self.exec(&["agent", "status", "--json", "--wait", "--timeout", "100s"]))
    }

    /// The boot ends in this state with this problem among others. Returns what a program
    /// and what a person sees of it.
    #[track_caller]
    pub(crate) fn expects(&self, state: &str, code: &str) -> (Seen, String) {
        let seen = self.settled();
        let text = self.exec(&["agent", "status"]).stdout;
        assert_eq!(seen.state(), state, "{text}");
        assert!(
            seen.codes().contains(&code.to_owned()),
            "no {code} in {:?}:\n{text}",
            seen.codes()
        );
        (seen, text)
    }

    /// The same, and what a person sees is kept where samples are wanted: one test shows a
    /// code, others expect it.
    #[track_caller]
    pub(crate) fn shows(&self, state: &str, code: &str) -> (Seen, String) {
        let (seen, text) = self.expects(state, code);
        keep_sample(code, &text);
        (seen, text)
    }

    /// What PID 1 and the boot said, of all lives.
    pub(crate) fn logs(&self) -> String {
        let output = podman(&["logs", &self.name]);
        output.stdout + &output.stderr
    }

    /// Waits for a file in it, such as one that a script makes.
    #[track_caller]
    pub(crate) fn wait_for_file(&self, path: &str) {
        wait_for(&format!("{path} in the sandbox"), Duration::from_secs(60), || {
            (self.exec(&["test", "-e", path]).status == 0).then_some(())
        });
    }

    /// Stops it with podman's default patience.
    pub(crate) fn stop(&self) -> Output {
        podman(&["stop", &self.name])
    }

    /// Sends its PID 1 a signal.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        podman(&["kill", "--signal", name, &self.name]).good();
    }

    /// Waits until what it says holds this text.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        wait_for(&format!("{text:?} in the logs"), Duration::from_secs(60), || {
            self.logs().contains(text).then_some(())
        });
    }

    /// A process for a person, on a terminal of its own.
    #[track_caller]
    pub(crate) fn exec_on_terminal(&self, arguments: &[&str], command: &[&str]) -> Terminal {
        let mut podman = podman_command();
        podman.args(["exec", "--interactive", "--tty"]).args(arguments);
        podman.arg(&self.name).args(command);
        Terminal::start(podman)
    }

    /// Somebody comes back to a sandbox that runs on a terminal.
    #[track_caller]
    pub(crate) fn attach(&self) -> Terminal {
        let mut podman = podman_command();
        podman.args(["attach", &self.name]);
        Terminal::start(podman)
    }

    /// Starts it again: another life of the same container.
    #[track_caller]
    pub(crate) fn start_again(&self) {
        podman(&["start", &self.name]).good();
    }

    /// Stops and starts it.
    #[track_caller]
    pub(crate) fn restart(&self) {
        podman(&["restart", "--time", "20", &self.name]).good();
    }

    /// Waits for its end and returns its exit status.
    #[track_caller]
    pub(crate) fn ended(&self) -> i32 {
        podman(&["wait", &self.name]).good().trim().parse().unwrap()
    }

    /// The exit status that podman keeps of a container that has ended.
    #[track_caller]
    pub(crate) fn exit_status(&self) -> i32 {
        let output = podman(&["inspect", "--format", "{{.State.ExitCode}}", &self.name]);
        output.good().trim().parse().unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        podman(&["rm", "--force", "--time", "0", "--ignore", &self.name]);
    }
}
