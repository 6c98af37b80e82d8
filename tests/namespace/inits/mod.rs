//! The agent at the job of the inits that people know: tini, dumb-init, catatonit, what docker and
//! podman run for `--init`, and what s6 promises of a first process. Each case that their own
//! suites and documents are known to have, and where it is here. Everything is shown as PID 1 of
//! a namespace and below one, where the init is a subreaper at most ([`Place`]).
//!
//! | whose case | here |
//! |---|---|
//! | tini: each status 0 to 255 is the child's; each one remapped alone, and all the others | [`statuses`] |
//! | tini, dumb-init: 128+n for a child that a signal ends | [`statuses`] |
//! | tini: 127, 126; dumb-init: 2; catatonit: 1 | [`statuses`], [`command_lines`] |
//! | tini: signals to the child; with `-g` and by variable to its group, past a child that ignores them | [`signals`] |
//! | tini (sigconf-test): ignored and blocked signals are the child's as they were | [`child`] |
//! | tini: parent-death signal | [`parent_death`] |
//! | tini: reaping as PID 1, as a subreaper (`-s`, TINI_SUBREAPER); `-w` names the reaped | [`reaping`], [`below`] |
//! | tini: a warning where orphans would not be adopted | [`below`]: they are, so there is none |
//! | tini: `-h`, `-l`, `--version`, no arguments, `-z`, `-- true`, `-- -- true`, TINI_VERBOSITY | [`command_lines`] |
//! | tini: pipes are the child's; a fork bomb of orphans; under itself | [`child`], [`reaping`], [`below`] |
//! | tini (Dockerfile): INT and TERM by `docker kill` | [`signals`], and the container layer |
//! | dumb-init: every ordinary signal is proxied, to the session or with `-c` to the child | [`signals`] |
//! | dumb-init: rewriting, swapping, lowest and highest; 0 drops; bad rules | [`rewriting`] |
//! | dumb-init: TSTP, TTIN, TTOU suspend it and its child; rules for them; `-c` | [`job_control`] |
//! | dumb-init: what is left gets TERM; with `-c` it doesn't | [`below`] |
//! | dumb-init: its directory is /, the child's the one it was started in | [`child`] |
//! | dumb-init: `-h`, `-V`, `-v`, no arguments, DUMB_INIT_DEBUG, DUMB_INIT_SETSID | [`command_lines`] |
//! | dumb-init: the terminal becomes the child's; the HUP and CONT of that stay away from it | [`terminal`] |
//! | catatonit: `-g`, `-P`, `-V` by tini's name, CATATONIT_DEBUG | [`signals`], [`pause`], [`command_lines`] |
//! | catatonit: descriptors are passed on and not kept; LISTEN_PID names the child; its directory is / | [`child`] |
//! | catatonit: an end that coalesces with an orphan's is not missed | [`reaping`] |
//! | docker, podman: `NAME -- COMMAND` as PID 1 gives COMMAND's status, forwards the stop signal, reaps | [`drop_in`], and the container layer |
//! | docker: the version is asked for and read | [`command_lines`] |
//! | podman: SIGTSTP reaches the child | [`job_control`] |
//! | s6: never ends before its child, whatever it is sent; reaps all; TERM, CONT, then KILL to what is left | [`signals`], [`reaping`], [`below`] |
//!
//! The strongest form is [`drop_in`] and [`command_lines`]: the same scene with the real program
//! and with the agent under its name, and what differs is written down with its reason.

mod below;
mod child;
mod command_lines;
mod drop_in;
mod job_control;
mod parent_death;
mod pause;
mod reaping;
mod rewriting;
mod signals;
mod statuses;
mod terminal;

use crate::sandbox::Sandbox;
use crate::util::{Ended, Running, child_of, children, eventually, run, start};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// Where an init stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// PID 1 of its namespace.
    First,
    /// A child of PID 1, which is a shell that reaps nothing but this child.
    Below,
}

pub(super) const PLACES: [Place; 2] = [Place::First, Place::Below];

/// The names that the agent answers to.
pub(super) const NAMES: [&str; 4] = ["agent", "tini", "dumb-init", "catatonit"];

/// Those of another program.
pub(super) const PEERS: [&str; 3] = ["tini", "dumb-init", "catatonit"];

/// An init and how it is started.
#[derive(Clone, Debug)]
pub(super) struct Init {
    words: Vec<String>,
    variables: Vec<(String, String)>,
    place: Place,
    /// A shell's words that come before, such as `ulimit -n 64`.
    before: String,
}

impl Init {
    /// The agent by this name, as a link to it; by its own as a plain init.
    pub(super) fn ours(name: &str) -> Self {
        let words = match name {
            "agent" => vec!["agent".into(), "init".into(), "--no-boot".into()],
            name => vec![format!("/mnt/bin/{name}")],
        };
        Self { words, variables: Vec::new(), place: Place::First, before: String::new() }
    }

    /// The program itself, as the distribution has it.
    #[track_caller]
    pub(super) fn real(name: &str) -> Self {
        let path = format!("/usr/bin/{name}");
        assert!(fs::exists(&path).unwrap(), "{path} is missing; tests/run installs it");
        Self { words: vec![path], ..Self::ours("agent") }
    }

    /// No init at all: what a program sees then.
    pub(super) fn none() -> Self {
        Self { words: vec!["env".into()], ..Self::ours("agent") }
    }

    /// Started by another program, which becomes it.
    pub(super) fn through(mut self, words: &[&str]) -> Self {
        self.words.splice(0..0, words.iter().map(|w| (*w).to_owned()));
        self
    }

    pub(super) fn with(mut self, options: &[&str]) -> Self {
        self.words.extend(options.iter().map(|o| (*o).to_owned()));
        self
    }

    pub(super) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub(super) fn after(self, before: &str) -> Self {
        Self { before: format!("{before}\n"), ..self }
    }

    pub(super) fn command(&self, sandbox: &Sandbox, program: &[&str]) -> Command {
        for name in PEERS {
            let _ = symlink("agent", sandbox.path("bin").join(name));
        }
        let start = match self.place {
            Place::First => "exec \"$@\"",
            Place::Below => "\"$@\"; exit $?",
        };
        let script = format!("{}{start}", self.before);
        let mut all = vec!["sh", "-c", &script, "sh"];
        all.extend(self.words.iter().map(String::as_str));
        all.extend(program);
        let mut command = sandbox.pid1(&all);
        command.envs(self.variables.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Runs `program` to its end.
    #[track_caller]
    pub(super) fn run(&self, program: &[&str]) -> Ended {
        run(self.command(&Sandbox::new(), program))
    }

    /// Runs a shell's script to its end.
    #[track_caller]
    pub(super) fn script(&self, script: &str) -> Ended {
        self.run(&["--", "sh", "-c", script])
    }

    /// Starts `program`.
    #[track_caller]
    pub(super) fn start(&self, program: &[&str]) -> Scene {
        self.start_in(Sandbox::new(), program)
    }

    #[track_caller]
    pub(super) fn start_in(&self, sandbox: Sandbox, program: &[&str]) -> Scene {
        let running = start(self.command(&sandbox, program));
        Scene { sandbox, running, place: self.place, pid: 0 }
    }

    /// Starts the program that notes its signals, with a child in its group that does the same.
    #[track_caller]
    pub(super) fn noting(&self) -> Scene {
        let sandbox = Sandbox::new();
        sandbox.put_out("noting.pl", NOTING);
        sandbox.put_out("got", "");
        crate::util::give(&sandbox.path("out/got"), 0o666);
        let mut scene = self.start_in(sandbox, &["--", "perl", "/mnt/out/noting.pl"]);
        scene.reaches("parent-ready");
        scene.reaches("child-ready");
        scene
    }
}

/// The agent as PID 1, called by `name` whatever its file's name is.
pub(crate) fn named(sandbox: &Sandbox, name: &str, arguments: &[&str]) -> Command {
    let line = format!("exec -a {name} agent \"$@\"");
    sandbox.pid1(&[&["bash", "-c", &line, "bash"], arguments].concat())
}

/// Notes every signal that can be caught, each with the number it is known by: `parent 15`. Its
/// child in the same process group does so too, so both show who is meant. 32 and 33 are the C
/// library's own.
const NOTING: &str = r#"
use strict; use warnings; use Config;
my $who = fork() ? "parent" : "child";
open(my $notes, ">>", "/mnt/out/got") or die;
my @names = split ' ', $Config{sig_name};
my @numbers = split ' ', $Config{sig_num};
my %seen = map { $_ => 1 } (0, 9, 17, 19, 32, 33);
for my $i (0 .. $#names) {
    my $number = $numbers[$i];
    next if $seen{$number}++;
    $SIG{$names[$i]} = sub { syswrite $notes, "$who $number\n" };
}
open(my $ready, ">", "/mnt/out/$who-ready") or die; print $ready "$$\n"; close $ready;
while (! -e "/mnt/out/stop") { select(undef, undef, undef, 0.02) }
exit 11;
"#;

/// A started init.
pub(super) struct Scene {
    pub(super) sandbox: Sandbox,
    running: Running,
    place: Place,
    /// The init, as the machine numbers it, once something is reached.
    pub(super) pid: i32,
}

impl Scene {
    /// The init's child, as the machine numbers it.
    #[track_caller]
    pub(super) fn child(&self) -> i32 {
        child_of(self.pid)
    }

    #[track_caller]
    pub(super) fn signal(&self, n: i32) {
        assert_ne!(self.pid, 0, "wait until something is reached");
        crate::util::signal(self.pid, n);
    }

    /// Waits until `out/NAME` is there. A scene that ended before shows why.
    #[track_caller]
    pub(super) fn reaches(&mut self, name: &str) {
        let path = self.sandbox.path("out").join(name);
        let there = || fs::metadata(&path).is_ok_and(|m| m.len() > 0);
        eventually(name, || (there() || self.running.has_ended()).then_some(()));
        assert!(there(), "{name}: it ended before: {:#?}", self.running.take_output());
        let pid1 = child_of(self.running.pid());
        self.pid = if self.place == Place::First { pid1 } else { child_of(pid1) };
    }

    /// Waits until this was noted, and so is all that was sent before.
    #[track_caller]
    pub(super) fn notes(&mut self, line: &str) {
        let line = format!("{line}\n");
        let noted = || self.noted().contains(&line);
        eventually(&format!("{line:?} after {:?}", self.noted()), || noted().then_some(()));
    }

    pub(super) fn noted(&self) -> String {
        fs::read_to_string(self.sandbox.path("out/got")).unwrap()
    }

    /// What `who` has noted, in the order of the numbers.
    pub(super) fn noted_by(&self, who: &str) -> Vec<i32> {
        let noted = self.noted();
        let lines = noted.lines().filter_map(|l| l.strip_prefix(who)?.trim().parse().ok());
        let mut numbers: Vec<i32> = lines.collect();
        numbers.sort_unstable();
        numbers
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.running.has_ended()
    }

    /// Tells the noting program to end with its 11.
    #[track_caller]
    pub(super) fn stop(self) -> Ended {
        self.sandbox.put_out("stop", "now");
        self.end()
    }

    #[track_caller]
    pub(super) fn end(self) -> Ended {
        self.running.end()
    }
}

/// The state letter of a process, `proc_pid_stat(5)`: S, R, T, Z; `-` where it is gone.
pub(super) fn state(pid: i32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
}

#[track_caller]
pub(super) fn becomes(pid: i32, wanted: char) {
    let what = format!("process {pid} becomes {wanted}, it is {}", state(pid));
    eventually(&what, || (state(pid) == wanted).then_some(()));
}

/// Nobody below `pid` is defunct, and stays so.
#[track_caller]
pub(super) fn none_defunct(pid: i32) {
    let what = format!("no defunct child of {pid}");
    eventually(&what, || children(pid).iter().all(|c| state(*c) != 'Z').then_some(()));
}
