//! The command line of `agent init`.

use super::{LONGEST_STOP, Options, Parsed, Target, Verbosity};
use crate::command_line::USAGE;
use crate::config::value::Span;
use lexopt::Arg;
use std::ffi::OsString;
use std::time::Duration;

const HELP: &str = "\
Runs as the first process of a sandbox: boots it, starts COMMAND, reaps orphans,
forwards signals, stops everything in order, and exits with COMMAND's status.

Usage: agent init [OPTIONS] [--] COMMAND [ARGUMENT…]

Options:
      --no-boot                 Start COMMAND at once: a plain init
      --config FILE             Read this file in place of /etc/agent/agent.toml
      --on-boot-failure WHAT    exit: end with status 1 (default)
                                hold: start COMMAND all the same; status stays failed
      --grace SPAN              From TERM to KILL for COMMAND (default 7s)
      --leftover-grace SPAN     From TERM to KILL for what is left after it (default 1s)
      --log-format FORMAT       text (default) or json
      --group, --single         Signals go to COMMAND's process group (default), or to it alone
      --rewrite FROM:TO         Send signal TO where FROM came in; TO 0 drops it; repeatable
      --parent-death SIGNAL     Get SIGNAL when the parent ends
      --success STATUS          Let this exit status of COMMAND count as 0; repeatable
      --warn-on-reap            Name each orphan that is reaped
  -s, --subreaper               Adopt orphans where this isn't PID 1 (done anyway; this says
                                so without a line)
  -v, --verbose                 Name each signal and each child; -q, --quiet: only what goes wrong
  -h, --help                    Print this help

Exit status: COMMAND's own; 128+n where signal n ended it or cancelled the boot;
1 boot failed; 64 wrong usage; 126 COMMAND not executable; 127 COMMAND not found.

Called tini, docker-init, dumb-init, catatonit or podman-init (a link or a copy), it
understands that program's options and variables in place of these.

Examples:
  ENTRYPOINT [\"/usr/local/bin/agent\", \"init\", \"--\"]      in a Containerfile
  agent init --no-boot -- my-server --port 80             a plain init
  agent init --on-boot-failure hold -- sleep infinity     look at a failure from inside";

pub(super) fn parse(arguments: Vec<OsString>) -> Parsed {
    match read(arguments) {
        Ok(parsed) => parsed,
        Err(e) => {
            Parsed::Wrong(format!("{e}; `agent init --help` shows what is understood"), USAGE)
        }
    }
}

fn read(arguments: Vec<OsString>) -> Result<Parsed, lexopt::Error> {
    let mut options = Options { json: environment_says_json(), ..Options::default() };
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("no-boot") => options.no_boot = true,
            Arg::Long("config") => options.config = Some(parser.value()?.into()),
            Arg::Long("on-boot-failure") => {
                options.hold = Some(choice(&mut parser, "--on-boot-failure", "exit", "hold")?);
            }
            Arg::Long("log-format") => {
                options.json = choice(&mut parser, "--log-format", "text", "json")?;
            }
            Arg::Long("grace") => options.grace = Some(span(&mut parser)?),
            Arg::Long("leftover-grace") => options.leftover_grace = Some(span(&mut parser)?),
            Arg::Long("group") => options.duties.target = Target::Group,
            Arg::Long("single") => options.duties.target = Target::Child,
            Arg::Long("rewrite") => options.duties.add_rewrite(&text(&mut parser)?)?,
            Arg::Long("parent-death") => options.duties.set_parent_death(&text(&mut parser)?)?,
            Arg::Long("success") => options.duties.add_success(&text(&mut parser)?)?,
            Arg::Long("warn-on-reap") => options.duties.tell_reaped = true,
            Arg::Short('s') | Arg::Long("subreaper") => options.duties.subreaper = true,
            Arg::Short('v') | Arg::Long("verbose") => options.duties.verbosity = Verbosity::EACH,
            Arg::Short('q') | Arg::Long("quiet") => options.duties.verbosity = Verbosity::WARNINGS,
            Arg::Short('h') | Arg::Long("help") => return Ok(Parsed::Say(HELP.into())),
            Arg::Value(program) => {
                options.command.push(program);
                options.command.extend(parser.raw_args()?);
            }
            _ => return Err(argument.unexpected()),
        }
    }
    let both = options.grace.unwrap_or_default() + options.leftover_grace.unwrap_or_default();
    if both > LONGEST_STOP {
        return Ok(Parsed::Wrong(
            "--grace and --leftover-grace make more than 25s together: a stop must end within 30 s"
                .into(),
            USAGE,
        ));
    }
    if options.command.is_empty() {
        return Ok(Parsed::Wrong(
            "no COMMAND is given; such as `agent init -- sleep infinity`".into(),
            USAGE,
        ));
    }
    Ok(Parsed::Run(options))
}

/// PID 1 reads no configuration; the one key that its own lines follow is this.
fn environment_says_json() -> bool {
    std::env::var_os("AGENT__LOG__FORMAT").is_some_and(|f| f == "json")
}

/// `false` for the first word, `true` for the second.
fn choice(
    parser: &mut lexopt::Parser,
    option: &str,
    no: &str,
    yes: &str,
) -> Result<bool, lexopt::Error> {
    let value = parser.value()?;
    match value.to_str() {
        Some(v) if v == no => Ok(false),
        Some(v) if v == yes => Ok(true),
        _ => Err(format!("{option} takes {no} or {yes}, not {}", value.display()).into()),
    }
}

fn text(parser: &mut lexopt::Parser) -> Result<String, lexopt::Error> {
    Ok(parser.value()?.to_string_lossy().into_owned())
}

fn span(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    let value = parser.value()?;
    let span = Span::parse(&value.to_string_lossy())?.0;
    if span > LONGEST_STOP {
        return Err(format!(
            "{} is too long: a stop must end within 30 s, so at most 25s",
            value.display()
        )
        .into());
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Parsed {
        parse(text.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn options_end_at_the_command() {
        let Parsed::Run(o) = parse_text("--no-boot --grace 2s sh -c --no-boot") else { panic!() };
        assert!(o.no_boot);
        assert_eq!(o.grace, Some(Duration::from_secs(2)));
        assert_eq!(o.command, ["sh", "-c", "--no-boot"]);
        let Parsed::Run(o) = parse_text("-- --help") else { panic!() };
        assert_eq!(o.command, ["--help"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "no COMMAND"),
            ("--grace", "--grace"),
            ("--grace soon sh", "soon"),
            ("--on-boot-failure maybe sh", "maybe"),
            ("--bogus sh", "--bogus"),
        ] {
            let Parsed::Wrong(e, USAGE) = parse_text(text) else { panic!("{text}") };
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
