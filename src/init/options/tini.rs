//! The command line of tini 0.19, for images that call this program by that name.

use super::{Duties, Options, Parsed, Target, Verbosity, letters};
use std::ffi::OsString;

/// tini says so with 1.
const WRONG: u8 = 1;

const HELP: &str = "\
agent, called by the name of tini, whose command line it understands here.

Usage: tini [OPTIONS] PROGRAM -- [ARGS] | --version

  --version     Show version and exit.
  -h            Show this help message and exit.
  -s            Register as a process subreaper.
  -p SIGNAL     Trigger SIGNAL when the parent dies, such as \"-p SIGKILL\".
  -v            Say more. Repeat up to 3 times.
  -w            Print a warning when processes are getting reaped.
  -g            Send signals to the child's process group.
  -e EXIT_CODE  Remap EXIT_CODE (from 0 to 255) to 0.
  -l            Show the licence and exit.

Environment: TINI_SUBREAPER, TINI_VERBOSITY (default 1), TINI_KILL_PROCESS_GROUP.

Exit status: PROGRAM's own; 128+n where signal n ended it; 126 PROGRAM not executable;
127 PROGRAM not found; 1 wrong usage.";

pub(super) fn parse(arguments: Vec<OsString>, variable: impl Fn(&str) -> Option<String>) -> Parsed {
    let mut duties = Duties {
        target: Target::Child,
        verbosity: Verbosity::WARNINGS,
        subreaper: variable("TINI_SUBREAPER").is_some(),
        drop_in: true,
        ..Duties::default()
    };
    if variable("TINI_KILL_PROCESS_GROUP").is_some() {
        duties.target = Target::Group;
    }
    let mut say = None;
    let command = letters(arguments, &[], |option, value| {
        let mut needed = || {
            let value = value().ok_or_else(|| format!("option {option} takes a value"))?;
            value.into_string().map_err(|v| format!("{}: no text", v.display()))
        };
        match option {
            "-h" => say = Some(HELP.to_owned()),
            "--version" => say = Some(format!("tini version 0.19.0 - agent {VERSION}")),
            "-l" => say = Some("MIT".to_owned()),
            "-s" => duties.subreaper = true,
            "-w" => duties.tell_reaped = true,
            "-g" => duties.target = Target::Group,
            "-v" => duties.verbosity = Verbosity(duties.verbosity.0.saturating_add(1)),
            "-p" => duties.set_parent_death(&needed()?)?,
            "-e" => duties.add_success(&needed()?)?,
            other => return Err(format!("unknown option {other}")),
        }
        Ok(())
    });
    // It outranks -v; what is no number is 0 (atoi(3)).
    if let Some(level) = variable("TINI_VERBOSITY") {
        duties.verbosity = Verbosity(level.trim().parse().unwrap_or(0));
    }
    match (say, command) {
        (Some(text), _) => Parsed::Say(text),
        (None, Err(e)) => Parsed::Wrong(format!("{e}; `tini -h` shows what is understood"), WRONG),
        (None, Ok(command)) if command.is_empty() => {
            Parsed::Wrong("no PROGRAM is given; such as `tini -- sleep infinity`".into(), WRONG)
        }
        (None, Ok(command)) => {
            Parsed::Run(Options { command, no_boot: true, duties, ..Options::default() })
        }
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, set: &[(&str, &str)]) -> Parsed {
        let arguments = text.split_whitespace().map(OsString::from).collect();
        parse(arguments, |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn tinis_options_are_understood_as_tini_does() {
        let Parsed::Run(o) = read("-gvv -p SIGKILL -e 143 -e1 -sw -- sh -c x", &[]) else {
            panic!()
        };
        assert_eq!(o.command, ["sh", "-c", "x"]);
        let d = o.duties;
        assert_eq!((d.target, d.verbosity), (Target::Group, Verbosity(3)));
        assert_eq!(d.parent_death, Some(nix::sys::signal::Signal::SIGKILL));
        assert_eq!((d.success.as_slice(), d.subreaper, d.tell_reaped), (&[143, 1][..], true, true));
        assert!(o.no_boot && d.drop_in);
        // Options of the program are the program's.
        let Parsed::Run(o) = read("true -g --version", &[]) else { panic!() };
        assert_eq!(o.command, ["true", "-g", "--version"]);
        assert_eq!(o.duties.target, Target::Child);
    }

    #[test]
    fn tinis_variables_count() {
        let set =
            [("TINI_SUBREAPER", ""), ("TINI_VERBOSITY", "0"), ("TINI_KILL_PROCESS_GROUP", "1")];
        let Parsed::Run(o) = read("true", &set) else { panic!() };
        assert!(o.duties.subreaper);
        assert_eq!((o.duties.target, o.duties.verbosity), (Target::Group, Verbosity::ERRORS));
    }

    #[test]
    fn what_is_wrong_is_1() {
        for (text, part) in [
            ("", "PROGRAM"),
            ("-x true", "-x"),
            ("-p NOPE true", "NOPE"),
            ("-e 256 true", "256"),
            ("-p", "-p"),
        ] {
            let Parsed::Wrong(e, 1) = read(text, &[]) else { panic!("{text}") };
            assert!(e.contains(part), "{text}: {e}");
        }
        assert!(matches!(read("--version", &[]), Parsed::Say(v) if v.starts_with("tini version")));
    }
}
