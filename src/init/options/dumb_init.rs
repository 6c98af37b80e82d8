//! The command line of dumb-init 1.2, for images that call this program by that name.

use super::{Duties, Options, Parsed, Target, Verbosity, letters};
use std::ffi::OsString;

/// dumb-init's statuses for wrong usage, and for a command that can't be executed.
const WRONG: u8 = 1;
const CANNOT_EXECUTE: u8 = 2;

const HELP: &str = "\
agent, called by the name of dumb-init, whose command line it understands here.

Usage: dumb-init [option] command [[arg] ...]

   -c, --single-child   Run in single-child mode: signals go to the direct child alone.
   -r, --rewrite s:r    Rewrite received signal s to signal r before proxying; r 0 drops
                        it. Can be given several times.
   -v, --verbose        Print debugging information to stderr.
   -h, --help           Print this help message and exit.
   -V, --version        Print the current version and exit.

Environment: DUMB_INIT_DEBUG=1 (as -v), DUMB_INIT_SETSID=0 (as -c).

Exit status: the command's own; 128+n where signal n ended it; 2 it can't be executed;
1 wrong usage.";

const LONG: [&str; 5] = ["help", "single-child", "rewrite", "verbose", "version"];

/// In a session of its own nobody would let the child go on after a stop from the terminal,
/// so dumb-init makes these three an unconditional stop, which it follows itself.
const STOPS: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

pub(super) fn parse(arguments: Vec<OsString>, variable: impl Fn(&str) -> Option<String>) -> Parsed {
    let is = |name: &str, value: &str| variable(name).is_some_and(|v| v == value);
    let mut duties = Duties {
        verbosity: if is("DUMB_INIT_DEBUG", "1") { Verbosity::EACH } else { Verbosity::ERRORS },
        session: !is("DUMB_INIT_SETSID", "0"),
        drop_in: true,
        suspends: true,
        cannot_execute: Some(CANNOT_EXECUTE),
        ..Duties::default()
    };
    let mut say = None;
    let command = letters(arguments, &LONG, |option, value| {
        match option {
            "-h" | "--help" => say = Some(HELP.to_owned()),
            "-V" | "--version" => {
                say = Some(format!("dumb-init v1.2.5 (agent {})", env!("CARGO_PKG_VERSION")));
            }
            "-v" | "--verbose" => duties.verbosity = Verbosity::EACH,
            "-c" | "--single-child" => duties.session = false,
            "-r" | "--rewrite" => {
                let rule = value().ok_or_else(|| format!("option {option} takes a rule s:r"))?;
                duties.add_rewrite(&rule.to_string_lossy())?;
            }
            other => return Err(format!("unknown option {other}")),
        }
        Ok(())
    });
    if duties.session {
        for stop in STOPS {
            if !duties.rewrite.iter().any(|(from, _)| *from == stop) {
                duties.rewrite.push((stop, libc::SIGSTOP));
            }
        }
    } else {
        duties.target = Target::Child;
        duties.same_group = true;
    }
    match (say, command) {
        (Some(text), _) => Parsed::SayAside(text),
        (None, Err(e)) => {
            Parsed::Wrong(format!("{e}; `dumb-init --help` shows what is understood"), WRONG)
        }
        (None, Ok(command)) if command.is_empty() => {
            Parsed::Wrong("no command is given; such as `dumb-init sleep infinity`".into(), WRONG)
        }
        (None, Ok(command)) => {
            Parsed::Run(Options { command, no_boot: true, duties, ..Options::default() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, set: &[(&str, &str)]) -> Parsed {
        let arguments = text.split_whitespace().map(OsString::from).collect();
        parse(arguments, |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn dumb_inits_options_are_understood() {
        let Parsed::Run(o) = read("-v --rewrite 15:3 -r1:0 --rewrite=2:10 -- sh -c x", &[]) else {
            panic!()
        };
        assert_eq!(o.command, ["sh", "-c", "x"]);
        assert!(o.duties.session && o.duties.target == Target::Group);
        assert_eq!(o.duties.rewritten(15), Some(3));
        assert_eq!(o.duties.rewritten(1), None);
        assert_eq!(o.duties.rewritten(libc::SIGTSTP), Some(libc::SIGSTOP));
        let Parsed::Run(o) = read("-c true", &[]) else { panic!() };
        assert!(!o.duties.session && o.duties.target == Target::Child);
        assert_eq!(o.duties.rewritten(libc::SIGTSTP), Some(libc::SIGTSTP));
    }

    #[test]
    fn dumb_inits_variables_count_and_a_rule_of_the_users_outranks_the_stops() {
        let set = [("DUMB_INIT_DEBUG", "1"), ("DUMB_INIT_SETSID", "0")];
        let Parsed::Run(o) = read("true", &set) else { panic!() };
        assert!(!o.duties.session && o.duties.verbosity == Verbosity::EACH);
        let Parsed::Run(o) = read("-r 20:0 true", &[]) else { panic!() };
        assert_eq!(o.duties.rewritten(libc::SIGTSTP), None);
    }

    #[test]
    fn what_is_wrong_is_1() {
        for (text, part) in
            [("", "command"), ("-r 15 true", "15"), ("-r", "-r"), ("--bogus x", "--bogus")]
        {
            let Parsed::Wrong(e, 1) = read(text, &[]) else { panic!("{text}") };
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
