//! The command line of catatonit 0.1, for engines that call this program by that name
//! (`podman run --init` mounts it as `podman-init`).

use super::{Duties, Options, Parsed, Target, Verbosity, letters};
use std::ffi::OsString;

/// catatonit goes by tini's name here, which is what container engines ask for.
const VERSION: &str = concat!("tini version 0.1.7_catatonit - agent ", env!("CARGO_PKG_VERSION"));

/// catatonit says so with 1, and so where the program can't be executed.
const WRONG: u8 = 1;

const HELP: &str = "\
agent, called by the name of catatonit, whose command line it understands here.

Usage: catatonit [-ghLPV] [--] <progname> [<arguments>...]

  -g              Forward signals to the program's process group.
  -h              Print this help page.
  -L              Print license information.
  -P              Run in pause mode (no program is run and quit on SIGINT or SIGTERM).
  -V, --version   Print version information.

Environment: CATATONIT_DEBUG (say what is done).

Exit status: the program's own; 128+n where signal n ended it; 1 wrong usage, or it can't
be executed.";

pub(super) fn parse(arguments: Vec<OsString>, variable: impl Fn(&str) -> Option<String>) -> Parsed {
    let debug = variable("CATATONIT_DEBUG").is_some();
    let mut duties = Duties {
        target: Target::Child,
        verbosity: if debug { Verbosity::EACH } else { Verbosity::ERRORS },
        subreaper: true,
        drop_in: true,
        cannot_execute: Some(WRONG),
        ..Duties::default()
    };
    let mut say = None;
    let command = letters(arguments, &["version", "help"], |option, _| {
        match option {
            "-h" | "--help" => say = Some(Parsed::SayAside(HELP.to_owned())),
            "-L" => say = Some(Parsed::Say("MIT".to_owned())),
            "-V" | "--version" => say = Some(Parsed::Say(VERSION.to_owned())),
            "-g" => duties.target = Target::Group,
            "-P" => duties.pause = true,
            other => return Err(format!("unknown option {other}")),
        }
        Ok(())
    });
    match (say, command) {
        (Some(said), _) => said,
        (None, Err(e)) => {
            Parsed::Wrong(format!("{e}; `catatonit -h` shows what is understood"), WRONG)
        }
        (None, Ok(command)) if command.is_empty() && !duties.pause => {
            Parsed::Wrong("no program is given; such as `catatonit sleep infinity`".into(), WRONG)
        }
        (None, Ok(command)) => {
            Parsed::Run(Options { command, no_boot: true, duties, ..Options::default() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catatonits_options_are_understood() {
        let read =
            |text: &str| parse(text.split_whitespace().map(OsString::from).collect(), |_| None);
        let Parsed::Run(o) = read("-g -- sh -c -P") else { panic!() };
        assert_eq!(o.command, ["sh", "-c", "-P"]);
        assert!(o.duties.target == Target::Group && !o.duties.pause);
        let Parsed::Run(o) = read("-P") else { panic!() };
        assert!(o.duties.pause && o.command.is_empty());
        assert!(
            matches!(read(""), Parsed::Wrong(_, 1)) && matches!(read("-x a"), Parsed::Wrong(_, 1))
        );
    }
}
