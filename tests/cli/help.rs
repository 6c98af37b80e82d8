//! Help, version, and command lines that cannot be understood.

use crate::util::{agent, run};

/// `sysexits.h`, EX_USAGE; clap's own 2 would read as "degraded" here.
const USAGE: i32 = 64;

#[test]
fn help_and_version_go_to_standard_output_and_are_no_error() {
    for arguments in [&["--help"] as &[&str], &["-h"], &["help"], &["help", "status"]] {
        let ended = run(agent(arguments)).expect(0);
        assert!(ended.stdout.contains("Usage: agent"), "{ended:#?}");
        assert_eq!(ended.stderr, "");
    }
    let version = run(agent(&["--version"])).expect(0).stdout;
    assert_eq!(version, format!("agent {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_has_a_help_of_its_own() {
    for command in [
        "init",
        "boot",
        "plan",
        "status",
        "idle",
        "idle extend",
        "try",
        "config check",
        "tools policy",
    ] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let ended = run(agent(&arguments)).expect(0);
        assert!(ended.stdout.contains(&format!("Usage: agent {command}")), "{ended:#?}");
    }
}

#[test]
fn the_help_tells_the_exit_statuses() {
    let cases = [
        ("init", "128+n where signal n ended it"),
        ("init", "126 COMMAND not executable; 127 COMMAND not found"),
        ("boot", "Exit status: 0 complete, 1 failed, 2 degraded"),
        ("boot", "75 another boot is running"),
        ("status", "0 complete, 1 failed, 2 degraded, 3 still running, 4 nothing booted"),
        ("idle", "1 it cannot be told"),
        ("idle extend", "1 not done"),
        ("try", "66 "),
        ("try", "69 this machine does not allow it"),
        ("tools policy", "with --check 1 where this mise has a backend"),
    ];
    for (command, part) in cases {
        let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let ended = run(agent(&arguments)).expect(0);
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
        assert!(ended.stdout.contains("64 wrong usage"), "{ended:#?}");
    }
}

#[test]
fn what_is_for_the_agent_alone_is_not_advertised() {
    let help = run(agent(&["--help"])).stdout;
    assert!(!help.contains("internal"), "{help}");
    let help = run(agent(&["boot", "--help"])).stdout;
    assert!(!help.contains("from-init"), "{help}");
}

#[test]
fn wrong_usage_is_64_and_goes_to_standard_error() {
    let wrong: &[&[&str]] = &[
        &[],
        &["bogus"],
        &["--bogus"],
        &["statu"],
        &["status", "--bogus"],
        &["status", "unexpected"],
        &["boot", "--log-format", "xml"],
        &["boot", "--config"],
        &["plan", "--bogus"],
        &["config"],
        &["config", "bogus"],
        &["try", "unexpected"],
        &["try", "--bogus"],
        &["init"],
    ];
    for arguments in wrong {
        let ended = run(agent(arguments)).expect(USAGE);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?} is refused without a word");
    }
}

#[test]
fn a_misspelt_command_or_option_is_told_with_the_nearest() {
    run(agent(&["statuss"])).expect(USAGE).says("'status'");
    run(agent(&["status", "--qiet"])).expect(USAGE).says("--quiet");
}
