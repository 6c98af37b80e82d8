//! `agent init`: its options, and `--no-boot` as a plain init. Here it is not PID 1; what
//! only PID 1 can show is in the namespace layer.

use crate::util::{agent, file, fresh, run};

const USAGE: i32 = 64;

#[test]
fn what_cannot_be_understood_is_named_and_nothing_is_started() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "no COMMAND is given"),
        (&["--no-boot"], "no COMMAND is given"),
        (&["--no-boot", "--"], "no COMMAND is given"),
        (&["--bogus", "sh"], "--bogus"),
        (&["-x", "sh"], "-x"),
        (&["--grace"], "--grace"),
        (&["--grace", "soon", "sh"], "\"soon\" is not a length of time"),
        (&["--grace", "0s", "sh"], "out of range"),
        (&["--grace", "60s", "sh"], "a stop must end within 30 s"),
        (&["--leftover-grace", "5", "sh"], "not a length of time"),
        (&["--on-boot-failure", "maybe", "sh"], "takes exit or hold, not maybe"),
        (&["--log-format", "xml", "sh"], "takes text or json, not xml"),
        (&["--no-boot=yes", "sh"], "--no-boot"),
        (&["--config"], "--config"),
    ];
    for (arguments, part) in cases {
        let mut all = vec!["init"];
        all.extend(*arguments);
        let ended = run(agent(&all)).expect(USAGE).says(part);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "one line is enough: {ended:#?}");
    }
}

#[test]
fn the_exit_status_is_the_commands() {
    for status in [0, 1, 2, 3, 42, 64, 126, 127, 128, 137, 200, 255] {
        let script = format!("exit {status}");
        run(agent(&["init", "--no-boot", "--", "sh", "-c", &script])).expect(status);
    }
}

#[test]
fn a_command_that_is_not_found_is_127_and_named() {
    run(agent(&["init", "--no-boot", "no-such-program"]))
        .expect(127)
        .says("agent: no-such-program: not found");
    run(agent(&["init", "--no-boot", "/no/such/program"])).expect(127).says("/no/such/program");
}

#[test]
fn a_command_that_cannot_be_executed_is_126_and_named() {
    let dir = fresh();
    let path = file(dir.path(), "data", "no program");
    let name = path.to_str().unwrap();
    run(agent(&["init", "--no-boot", name])).expect(126).says(name).says("Permission denied");
    run(agent(&["init", "--no-boot", "/"])).expect(126).says("agent: /:");
}

#[test]
fn a_signal_that_ends_the_command_is_128_and_its_number() {
    for signal in [1, 2, 9, 15] {
        let script = format!("kill -{signal} $$");
        run(agent(&["init", "--no-boot", "sh", "-c", &script])).expect(128 + signal);
    }
}

#[test]
fn options_end_where_the_command_begins() {
    let ended = run(agent(&["init", "--no-boot", "echo", "--grace", "-h", "--"])).expect(0);
    assert_eq!(ended.stdout, "--grace -h --\n");
    let ended = run(agent(&["init", "--no-boot", "--", "echo", "--", "x"])).expect(0);
    assert_eq!(ended.stdout, "-- x\n");
}

#[test]
fn one_that_is_not_pid_1_says_that_it_is_a_subreaper() {
    run(agent(&["init", "--no-boot", "true"]))
        .expect(0)
        .says("agent: not PID 1 but ")
        .says("adopting orphans as a subreaper");
}

/// Makes an orphan and prints who its parent is afterwards, and who the shell's own is.
const ORPHAN: &str = r#"
cd "$OUT"
sh -c 'MIDDLE=$$ sh -c "
    while kill -0 \$MIDDLE 2>/dev/null; do sleep 0.02; done
    cut -d \" \" -f 4 /proc/\$\$/stat > parent" & exit 0'
n=0
while [ ! -s parent ] && [ $n -lt 500 ]; do sleep 0.02; n=$((n+1)); done
cat parent
echo $PPID
"#;

/// The parent of an orphan and that of the shell which made it, run by `before`.
fn parents(before: &[&str]) -> (String, String) {
    let dir = fresh();
    let mut command = match before.split_first() {
        Some((first, rest)) => {
            assert_eq!(*first, "agent");
            agent(rest)
        }
        None => std::process::Command::new("sh"),
    };
    command.args(if before.is_empty() {
        &["-c", ORPHAN] as &[&str]
    } else {
        &["sh", "-c", ORPHAN]
    });
    command.env("OUT", dir.path());
    let ended = run(command).expect(0);
    let mut lines = ended.stdout.lines().map(str::to_owned);
    match (lines.next(), lines.next()) {
        (Some(orphans), Some(own)) => (orphans, own),
        _ => panic!("{ended:#?}"),
    }
}

#[test]
fn a_subreaper_adopts_orphans() {
    let (orphans, own) = parents(&["agent", "init", "--no-boot"]);
    assert_eq!(orphans, own);
}

/// Negative control of the test above: without the agent the orphan goes elsewhere.
#[test]
fn an_orphan_without_the_agent_is_not_adopted_by_the_test() {
    let (orphans, own) = parents(&[]);
    assert_ne!(orphans, own);
}

#[test]
fn json_lines_are_json() {
    let ended = run(agent(&["init", "--no-boot", "--log-format", "json", "true"])).expect(0);
    for line in ended.stderr.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["time"].is_string() && object["message"].is_string(), "{line}");
    }
    assert!(ended.stderr.contains("subreaper"), "{ended:#?}");
}

#[test]
fn the_environment_decides_the_form_of_lines_too() {
    let mut command = agent(&["init", "--no-boot", "true"]);
    command.env("AGENT__LOG__FORMAT", "json");
    assert!(run(command).expect(0).stderr.starts_with('{'));
}
