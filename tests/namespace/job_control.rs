//! `agent init` as a job of an interactive shell: not PID 1, and the terminal is the shell's. What
//! holds for a job without the agent must hold with it: Ctrl-Z gives the prompt, `fg` and `bg` go
//! on, a job in the background leaves the terminal alone, and at the end it is the shell's again.

use crate::pty::{CTRL_BACKSLASH, CTRL_C, CTRL_Z, Terminal};
use crate::sandbox::Sandbox;

const AGENT: &str = "agent init --no-boot --subreaper --";

/// A workload that says when it is there, what it reads, and its status.
const READER: &str = "sh -c 'echo up$((1+1)); read x; echo got:$x; exit 5'";

/// An interactive shell on a terminal, as PID 1 of a sandbox.
struct Shell {
    terminal: Terminal,
    _sandbox: Sandbox,
}

impl Shell {
    fn new() -> Self {
        let sandbox = Sandbox::new().variable("PS1", "prompt> ").variable("TERM", "dumb");
        let shell = ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"];
        let mut terminal = Terminal::start(sandbox.pid1(&shell));
        terminal.see("prompt> ");
        Self { terminal, _sandbox: sandbox }
    }

    fn line(&mut self, line: &str) -> &mut Self {
        self.terminal.line(line);
        self
    }

    #[track_caller]
    fn see(&mut self, text: &str) -> &mut Self {
        self.terminal.see(text);
        self
    }

    /// The key's signal goes to the group in the foreground, which must be this program's by then.
    #[track_caller]
    fn press(&mut self, key: &str, to: &str) -> &mut Self {
        self.terminal.belongs_to(to);
        self.terminal.press(key);
        self
    }

    /// The shell has the terminal, and reads from it.
    #[track_caller]
    fn is_back(&mut self) -> &mut Self {
        self.terminal.belongs_to("bash");
        self.line("echo back$((40+2))").see("back42").see("prompt> ")
    }

    /// The job in the foreground reads what is typed.
    #[track_caller]
    fn types_to(&mut self, program: &str) -> &mut Self {
        self.terminal.belongs_to(program);
        self.line("hello").see("got:hello")
    }

    #[track_caller]
    fn status(&mut self, status: i32) -> &mut Self {
        self.see("prompt> ").line("echo status=$?").see(&format!("status={status}"))
    }
}

#[test]
fn ctrl_z_gives_the_prompt_and_fg_the_terminal() {
    let mut shell = Shell::new();
    shell.line(&format!("{AGENT} {READER}")).see("up2");
    for _ in 0..3 {
        shell.press(CTRL_Z, "sh").see("Stopped").see("prompt> ").is_back();
        shell.line("fg").see(AGENT);
    }
    shell.types_to("sh").status(5).is_back();
}

#[test]
fn in_the_background_the_whole_workload_goes_on_and_the_terminal_stays_the_shells() {
    let mut shell = Shell::new();
    // No shell's loop: Ctrl-Z may stop a program on its way to be one, and who waits for that by
    // vfork(2) can't be stopped itself.
    let line = r#"perl -e '$| = 1; print "up", 1 + 1, "\n"; select(undef, undef, undef, 0.05) while ! -e "/tmp/go"; print "gone", 1 + 1, "\n"'"#;
    shell.line(&format!("{AGENT} {line}")).see("up2");
    shell.press(CTRL_Z, "perl").see("Stopped").see("prompt> ");
    shell.line("bg").see("prompt> ").is_back();
    shell.line("touch /tmp/go").see("gone2").is_back();
}

#[test]
fn a_start_in_the_background_leaves_the_terminal_alone() {
    let mut shell = Shell::new();
    let line =
        "sh -c 'echo up$((1+1)); while [ ! -e /tmp/go ]; do sleep 0.05; done; echo gone$((1+1))' &";
    shell.line(&format!("{AGENT} {line}")).see("up2").is_back();
    shell.line("touch /tmp/go").see("gone2").is_back();
}

#[test]
fn who_reads_in_the_background_is_stopped_until_it_has_the_terminal() {
    let mut shell = Shell::new();
    shell.line(&format!("{AGENT} {READER} &")).see("up2");
    shell.line("wait -n").see("Stopped").see("prompt> ").is_back();
    shell.line("fg").see(AGENT).types_to("sh").status(5).is_back();
}

/// `fg` of a job that runs sends it no signal: it has the terminal when it asks.
#[test]
fn a_job_that_is_brought_to_the_foreground_while_it_runs_can_read() {
    let mut shell = Shell::new();
    let line = "sh -c 'echo up$((1+1)); while [ ! -e /tmp/go ]; do sleep 0.05; done; read x; echo got:$x' &";
    shell.line(&format!("{AGENT} {line}")).see("up2").is_back();
    shell.line("fg").see(AGENT).press("", "agent").line("early");
    shell.press(CTRL_Z, "agent").see("Stopped").see("prompt> ").is_back();
    shell.line("touch /tmp/go; fg").see(AGENT).types_to("sh").status(0).is_back();
}

#[test]
fn keys_end_the_job_with_128_and_the_signal() {
    let mut shell = Shell::new();
    for (key, status) in [(CTRL_C, 130), (CTRL_BACKSLASH, 131)] {
        shell.line(&format!("{AGENT} sh -c 'ulimit -c 0; exec sleep 300'"));
        shell.press(key, "sleep").status(status).is_back();
        // Brought to the foreground it never had: the key's signal goes to the agent.
        shell.line(&format!("{AGENT} sh -c 'ulimit -c 0; echo up$((1+1)); exec sleep 300' &"));
        shell.see("up2").line("fg").see(AGENT).press(key, "agent").status(status).is_back();
    }
}

#[test]
fn a_stopped_job_that_is_asked_to_end_ends() {
    let mut shell = Shell::new();
    shell.line(&format!("{AGENT} sleep 300")).press(CTRL_Z, "sleep").see("Stopped").see("prompt> ");
    shell.line("set -b; kill %1").see("Exit 143").is_back();
}

/// A shell does so by itself; a script has nobody to do it.
#[test]
fn whatever_ends_the_workload_the_terminal_comes_back() {
    let mut shell = Shell::new();
    for line in [
        "true".to_owned(),
        "sh -c \"kill -9 \\$\\$\"".to_owned(),
        // A job of the workload's has the foreground when that one is killed.
        "bash --norc -ic \"sh -c \\\"kill -9 \\\\\\$PPID; exec sleep 300\\\"; :\"".to_owned(),
        "nonexistent".to_owned(),
    ] {
        let script = format!("{AGENT} {line}; read x; echo got:$x");
        shell.line(&format!("sh -c '{script}'")).press("", "sh");
        shell.types_to("sh").see("prompt> ").is_back();
    }
}

#[test]
fn a_script_around_it_is_stopped_with_it() {
    let mut shell = Shell::new();
    shell.line(&format!("sh -c '{AGENT} cat; echo after$((1+1))'"));
    shell.press(CTRL_Z, "cat").see("Stopped").see("prompt> ").is_back();
    shell.line("fg").see(AGENT).press(CTRL_C, "cat").see("after2").see("prompt> ").is_back();
}

#[test]
fn a_pipeline_is_stopped_and_goes_on_as_one() {
    let mut shell = Shell::new();
    for line in [
        format!("{AGENT} {READER} | cat"),
        format!("echo x | {AGENT} sh -c 'echo up$((1+1)); read x </dev/tty; echo got:$x' 2>&1"),
    ] {
        shell.line(&line).see("up2").press("", "sh").press(CTRL_Z, "sh").see("Stopped");
        shell.see("prompt> ").is_back().line("fg").types_to("sh").see("prompt> ").is_back();
    }
}

/// The terminal of a pipeline is everybody's in it. This pager asks for it when the workload runs.
#[test]
fn a_pager_behind_it_reads_from_the_terminal() {
    let mut shell = Shell::new();
    let workload = "sh -c 'echo up; while [ ! -e /tmp/go ]; do sleep 0.05; done'";
    let pager = "sh -c 'read up; echo $up$((1+1)); read x </dev/tty; echo got:$x; touch /tmp/go'";
    shell.line(&format!("{AGENT} {workload} | {pager}")).see("up2");
    shell.types_to("agent").see("prompt> ").is_back();
}

/// Where the workload is a shell itself, there is job control in it, and it can be suspended.
#[test]
fn a_shell_below_the_shell_has_job_control_of_its_own() {
    let mut shell = Shell::new();
    shell.line(&format!("PS1='inner> ' {AGENT} bash --norc -i")).see("inner> ");
    shell.line("sleep 300").press(CTRL_Z, "sleep").see("Stopped").see("inner> ");
    shell.line("bg").see("inner> ").line("jobs").see("Running").see("inner> ");
    shell.line("kill %1; wait %1; echo ended:$?").see("ended:143").see("inner> ");
    shell.line("suspend").see("Stopped").see("prompt> ").is_back();
    shell.line("fg").see(AGENT).line("exit 7").status(7).is_back();
    let screen = shell.terminal.screen();
    assert!(!screen.contains("job control") && !screen.contains("terminal process"), "{screen}");
}

/// By other inits' names too. The real tini and catatonit take the terminal from the background
/// and leave the shell without a prompt at Ctrl-Z; dumb-init does neither.
#[test]
fn under_another_name_a_job_is_a_job() {
    let mut shell = Shell::new();
    for name in ["tini -s", "catatonit", "dumb-init", "dumb-init -c"] {
        let (name, option) = name.split_once(' ').unwrap_or((name, ""));
        shell.line("rm -f /tmp/go");
        let agent = format!("(exec -a {name} agent {option} -- ");
        // dumb-init's child has a session of its own, or with -c the init's own group.
        let reader = if name == "dumb-init" { "agent" } else { "sh" };
        shell.see("prompt> ").line(&format!("{agent} {READER})")).see("up2");
        shell.press(CTRL_Z, reader).see("Stopped").see("prompt> ").is_back();
        shell.line("fg").see("exec -a").types_to(reader).status(5).is_back();
        let line = "sh -c 'echo up$((1+1)); while [ ! -e /tmp/go ]; do sleep 0.05; done; echo gone$((1+1))') &";
        shell.line(&format!("{agent} {line}")).see("up2").is_back();
        shell.line("touch /tmp/go").see("gone2").is_back();
    }
}
