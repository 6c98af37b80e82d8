//! Command lines and variables, beside the real programs: the status, and whether something is said on
//! standard output and on standard error. The wording is the agent's own, and so is the help.

use super::{Init, PEERS};
use crate::sandbox::Sandbox;
use crate::util::{Ended, run};

/// A command line of one of them: its variables, its arguments, and, where the two programs are
/// meant to differ, what each does and why.
struct Line {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
    differs: Option<(&'static str, &'static str, &'static str)>,
}

const fn same(name: &'static str, arguments: &'static [&'static str]) -> Line {
    Line { name, variables: &[], arguments, differs: None }
}

const fn with(
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
) -> Line {
    Line { name, variables, arguments, differs: None }
}

impl Line {
    const fn differs(mut self, real: &'static str, ours: &'static str, why: &'static str) -> Self {
        self.differs = Some((real, ours, why));
        self
    }
}

const PERMUTED: &str = "getopt(3) of glibc looks for options behind the program as well, so a program's own need `--`; here they are the program's";
const MORE: &str = "more is understood";
const OUT: &str = "it tells what it does on standard output, which is the program's";

const TINI: &[Line] = &[
    same("tini", &[]),
    same("tini", &["--"]),
    same("tini", &["-h"]),
    same("tini", &["-l"]),
    same("tini", &["--version"]),
    same("tini", &["--version", "true"]).differs("1 err", "0 out", MORE),
    same("tini", &["-z"]),
    same("tini", &["-x", "true"]),
    same("tini", &["--bogus", "true"]),
    same("tini", &["true"]),
    same("tini", &["--", "true"]),
    same("tini", &["--", "--", "true"]),
    same("tini", &["--", "sh", "-c", "exit 3"]),
    same("tini", &["sh", "-c", "exit 3"]).differs("1 err", "3", PERMUTED),
    same("tini", &["-s", "-w", "-g", "--", "true"]),
    same("tini", &["-swg", "--", "true"]),
    same("tini", &["-gh"]),
    same("tini", &["-p", "SIGTERM", "--", "true"]),
    same("tini", &["-pSIGTERM", "--", "true"]),
    same("tini", &["-gpSIGTERM", "--", "true"]),
    same("tini", &["-p", "SIGRTMIN", "--", "true"]),
    same("tini", &["-p", "SIG", "--", "true"]),
    same("tini", &["-p", "--", "true"]),
    same("tini", &["-p"]),
    same("tini", &["-p", "TERM", "--", "true"]).differs("1 err", "0", MORE),
    same("tini", &["-p", "15", "--", "true"]).differs("1 err", "0", MORE),
    same("tini", &["-e", "3", "--", "sh", "-c", "exit 3"]),
    same("tini", &["-e3", "--", "sh", "-c", "exit 3"]),
    same("tini", &["-ge3", "--", "sh", "-c", "exit 3"]),
    same("tini", &["-e", " 3", "--", "sh", "-c", "exit 3"]),
    same("tini", &["-e", "+3", "--", "sh", "-c", "exit 3"]),
    same("tini", &["-e", "3", "--", "sh", "-c", "exit 4"]),
    same("tini", &["-e", "0", "-e", "255", "--", "sh", "-c", "exit 255"]),
    same("tini", &["-e", "256", "--", "true"]),
    same("tini", &["-e", "-1", "--", "true"]),
    same("tini", &["-e", "3x", "--", "true"]),
    same("tini", &["-e", "x", "--", "true"]),
    same("tini", &["-e", "--", "true"]),
    same("tini", &["-e"]),
    same("tini", &["-v", "--", "true"]).differs("0 out", "0 err", OUT),
    same("tini", &["-vvv", "--", "true"]).differs("0 out", "0 err", OUT),
    with("tini", &[("TINI_VERBOSITY", "0")], &["true"]),
    with("tini", &[("TINI_VERBOSITY", "1")], &["true"]),
    with("tini", &[("TINI_VERBOSITY", "2")], &["true"]).differs("0 out", "0 err", OUT),
    with("tini", &[("TINI_VERBOSITY", "3")], &["true"]).differs("0 out", "0 err", OUT),
    with("tini", &[("TINI_VERBOSITY", "0")], &["-vv", "--", "true"]),
    with("tini", &[("TINI_VERBOSITY", "x")], &["-vv", "--", "true"]),
    with("tini", &[("TINI_VERBOSITY", "")], &["-vv", "--", "true"]),
    with("tini", &[("TINI_SUBREAPER", "")], &["true"]),
    with("tini", &[("TINI_KILL_PROCESS_GROUP", "1")], &["true"]),
];

const DUMB_INIT: &[Line] = &[
    same("dumb-init", &[]),
    same("dumb-init", &["--"]),
    same("dumb-init", &["-h"]),
    same("dumb-init", &["--help"]),
    same("dumb-init", &["--he"]),
    same("dumb-init", &["-V"]),
    same("dumb-init", &["--version"]),
    same("dumb-init", &["--ver"]).differs(
        "1 err",
        "1 err",
        "both are asked what --ver is: --verbose or --version",
    ),
    same("dumb-init", &["-x", "true"]),
    same("dumb-init", &["--bogus", "true"]),
    same("dumb-init", &["true"]),
    same("dumb-init", &["--", "true"]),
    same("dumb-init", &["--", "--", "true"]),
    same("dumb-init", &["sh", "-c", "exit 3"]),
    same("dumb-init", &["-c", "sh", "-c", "exit 3"]),
    same("dumb-init", &["-c", "--", "sh", "-c", "exit 3"]),
    same("dumb-init", &["--single-child", "sh", "-c", "exit 3"]),
    same("dumb-init", &["--single", "sh", "-c", "exit 3"]),
    same("dumb-init", &["-v", "true"]),
    same("dumb-init", &["--verbose", "true"]),
    same("dumb-init", &["-cv", "true"]),
    same("dumb-init", &["-r", "15:3", "true"]),
    same("dumb-init", &["-r15:3", "true"]),
    same("dumb-init", &["-cr", "15:3", "true"]),
    same("dumb-init", &["-cr15:3", "-r", "1:0", "true"]),
    same("dumb-init", &["--rewrite", "15:3", "true"]),
    same("dumb-init", &["--rewrite=15:3", "true"]),
    same("dumb-init", &["--rewr=15:3", "true"]),
    same("dumb-init", &["-r", "1:31", "-r", "31:1", "true"]),
    same("dumb-init", &["-r", "9:15", "true"]),
    same("dumb-init", &["-r", "15", "true"]),
    same("dumb-init", &["-r", "15:", "true"]),
    same("dumb-init", &["-r", ":15", "true"]),
    same("dumb-init", &["-r", "0:15", "true"]),
    same("dumb-init", &["-r", "-1:15", "true"]),
    same("dumb-init", &["-r", "15:-1", "true"]),
    same("dumb-init", &["-r", "derp", "true"]),
    same("dumb-init", &["-r", "", "true"]),
    same("dumb-init", &["-r"]),
    same("dumb-init", &["--rewrite"]),
    same("dumb-init", &["-r", "15:32", "true"]).differs("1 err", "0", MORE),
    same("dumb-init", &["-r", "TERM:QUIT", "true"]).differs("1 err", "0", MORE),
    same("dumb-init", &["-r", "15:3x", "true"]).differs("0", "1 err", "a slip is named"),
    same("dumb-init", &["--help=yes"]).differs("1 err", "0 err", MORE),
    with("dumb-init", &[("DUMB_INIT_DEBUG", "1")], &["true"]),
    with("dumb-init", &[("DUMB_INIT_DEBUG", "0")], &["true"]),
    with("dumb-init", &[("DUMB_INIT_DEBUG", "")], &["true"]),
    with("dumb-init", &[("DUMB_INIT_SETSID", "0")], &["true"]),
    with("dumb-init", &[("DUMB_INIT_SETSID", "0"), ("DUMB_INIT_DEBUG", "1")], &["true"]),
];

const CATATONIT: &[Line] = &[
    same("catatonit", &[]),
    same("catatonit", &["--"]),
    same("catatonit", &["-h"]),
    same("catatonit", &["-L"]),
    same("catatonit", &["-V"]),
    same("catatonit", &["--version"]),
    same("catatonit", &["--ver"]),
    same("catatonit", &["--help"]).differs("1 err", "0 err", MORE),
    same("catatonit", &["-x", "true"]),
    same("catatonit", &["--bogus", "true"]),
    same("catatonit", &["true"]),
    same("catatonit", &["--", "true"]),
    same("catatonit", &["--", "--", "true"]),
    same("catatonit", &["-g", "--", "sh", "-c", "exit 3"]),
    same("catatonit", &["sh", "-c", "exit 3"]).differs("1 err", "3", PERMUTED),
    with("catatonit", &[("CATATONIT_DEBUG", "")], &["--", "true"]),
    with("catatonit", &[("CATATONIT_LOG", "")], &["--", "true"]).differs(
        "1 err",
        "0",
        "it is kept for later there, and has no meaning yet",
    ),
];

/// The status, and on which streams something was said.
fn told(ended: &Ended) -> String {
    let mut told = ended.code().to_string();
    for (stream, text) in [(" out", &ended.stdout), (" err", &ended.stderr)] {
        if !text.is_empty() {
            told.push_str(stream);
        }
    }
    told
}

fn tell(init: Init, line: &Line) -> Ended {
    let init = line.variables.iter().fold(init, |init, (n, v)| init.variable(n, v));
    init.run(line.arguments)
}

#[track_caller]
fn beside(lines: &[Line]) {
    for line in lines {
        let what = format!("{} {:?} {:?}", line.name, line.variables, line.arguments);
        let real = tell(Init::real(line.name), line);
        let ours = tell(Init::ours(line.name), line);
        let (expected_real, expected_ours) = match line.differs {
            Some((real, ours, _)) => (real.to_owned(), ours.to_owned()),
            None => (told(&real), told(&real)),
        };
        assert_eq!(told(&real), expected_real, "{what}: {real:#?}");
        assert_eq!(told(&ours), expected_ours, "{what}: {ours:#?}");
    }
}

#[test]
fn tinis_command_lines_mean_the_same() {
    beside(TINI);
}

#[test]
fn dumb_inits_command_lines_mean_the_same() {
    beside(DUMB_INIT);
}

#[test]
fn catatonits_command_lines_mean_the_same() {
    beside(CATATONIT);
}

/// Container engines ask for the version and look for tini's name and number in it.
#[test]
fn the_version_begins_as_theirs_does() {
    for (name, option) in [("tini", "--version"), ("dumb-init", "-V"), ("catatonit", "-V")] {
        let first = |ended: Ended| format!("{}{}", ended.stdout, ended.stderr).trim().to_owned();
        let real = first(Init::real(name).run(&[option]));
        let ours = first(Init::ours(name).run(&[option]));
        assert!(ours.starts_with(&real), "{ours:?} {real:?}");
    }
}

/// The program's name is the last part of the path, and the engines' own names count, too.
#[test]
fn the_name_is_told_from_the_path() {
    for name in PEERS.into_iter().chain(["tini-static", "docker-init", "podman-init"]) {
        for word in [name, &format!("/sbin/{name}"), &format!("./{name}")] {
            let line = format!("exec -a {word} agent sh -c 'exit 4'");
            run(Sandbox::new().pid1(&["bash", "-c", &line])).expect(4);
        }
    }
    // Any other name is no init.
    let line = "exec -a tinier agent sh -c 'exit 4'";
    let ended = run(Sandbox::new().pid1(&["bash", "-c", line]));
    assert_ne!(ended.code(), 4, "{ended:#?}");
}

#[test]
fn each_step_is_told_where_that_is_asked_for() {
    for (name, options) in
        [("tini", vec!["-vvv"]), ("dumb-init", vec!["-v"]), ("agent", vec!["-v"])]
    {
        let script = "(sh -c 'exit 5' &); sleep 0.2; kill -WINCH $PPID; sleep 0.2; exit 3";
        let told = Init::ours(name).with(&options).script(script).expect(3);
        for part in [
            "agent: started sh as process ",
            "reaped process",
            "received SIGWINCH: sent on as SIGWINCH",
            "ended with status 3",
        ] {
            assert!(told.stderr.contains(part), "{name}: {part}: {told:#?}");
        }
        assert_eq!(told.stdout, "");
    }
    let told = Init::ours("tini").with(&["-v"]).script("exit 3").expect(3);
    assert_eq!(told.stderr.lines().count(), 2, "{told:#?}");
}
