//! The agent under the names of other inits, and the duties it has from them: who gets a signal,
//! as which one, what counts as success, what is named.

use crate::sandbox::Sandbox;
use crate::util::{Ended, eventually, run, start};
use std::process::Command;

/// The agent as PID 1, called by `name`.
pub(crate) fn named(sandbox: &Sandbox, name: &str, arguments: &[&str]) -> Command {
    let line = format!("exec -a {name} agent \"$@\"");
    let mut all = vec!["bash", "-c", &line, "bash"];
    all.extend(arguments);
    sandbox.pid1(&all)
}

#[track_caller]
fn ends(name: &str, arguments: &[&str]) -> Ended {
    run(named(&Sandbox::new(), name, arguments))
}

#[test]
fn each_name_has_its_own_statuses() {
    for (name, missing, closed, wrong) in
        [("tini", 127, 126, 1), ("dumb-init", 2, 2, 1), ("catatonit", 1, 1, 1)]
    {
        for status in [0, 1, 42, 255] {
            let script = format!("exit {status}");
            ends(name, &["--", "sh", "-c", &script]).expect(status);
        }
        ends(name, &["--", "sh", "-c", "kill -9 $$"]).expect(137);
        ends(name, &["nonexistent"]).expect(missing);
        ends(name, &["/etc/passwd"]).expect(closed);
        ends(name, &["-x", "true"]).expect(wrong);
        ends(name, &[]).expect(wrong);
        let help = ends(name, &["-h"]).expect(0);
        assert!(
            help.stdout.contains(&format!("Usage: {name}").to_lowercase())
                || help.stdout.contains(&format!("Usage: {name}"))
                || help.stdout.contains(&format!("usage: {name}")),
            "{help:#?}"
        );
    }
}

#[test]
fn a_program_of_another_name_is_no_init() {
    let sandbox = Sandbox::new();
    run(named(&sandbox, "agent", &["init", "--no-boot", "--", "sh", "-c", "exit 3"])).expect(3);
}

#[test]
fn statuses_that_count_as_success_are_0() {
    ends("tini", &["-e", "143", "-e", "7", "--", "sh", "-c", "kill -TERM $$"]).expect(0);
    ends("tini", &["-e", "143", "-e", "7", "--", "sh", "-c", "exit 7"]).expect(0);
    ends("tini", &["-e", "143", "--", "sh", "-c", "exit 7"]).expect(7);
    Sandbox::new().init(&["--no-boot", "--success", "9"], "exit 9").expect(0);
}

/// Parent and child of one group say what they get.
const NOTING: &str = "trap 'echo parent >>/mnt/out/got' USR1
    (trap 'echo child >>/mnt/out/got' USR1; echo up >/mnt/out/child; while [ ! -e /mnt/out/stop ]; do sleep 0.05; done) &
    while [ ! -e /mnt/out/child ]; do sleep 0.05; done; echo up >/mnt/out/up
    while [ ! -e /mnt/out/stop ]; do sleep 0.05; done; exit 4";

fn who_gets_it(mut command: Command, sandbox: &Sandbox) -> Vec<String> {
    command.stdin(std::process::Stdio::null());
    let running = start(command);
    assert_eq!(sandbox.out("up"), "up\n");
    crate::util::signal(crate::util::child_of(running.pid()), 10);
    sandbox.out("got");
    std::thread::sleep(std::time::Duration::from_millis(300));
    sandbox.put_out("stop", "now");
    let ended = running.end();
    ended.expect(4);
    let mut got: Vec<String> = sandbox.out("got").lines().map(str::to_owned).collect();
    got.sort();
    got
}

#[test]
fn a_signal_goes_to_the_child_alone_or_to_its_group() {
    for (name, options, expected) in [
        ("tini", vec![], vec!["parent"]),
        ("tini", vec!["-g"], vec!["child", "parent"]),
        ("dumb-init", vec![], vec!["child", "parent"]),
        ("dumb-init", vec!["-c"], vec!["parent"]),
        ("catatonit", vec![], vec!["parent"]),
        ("catatonit", vec!["-g"], vec!["child", "parent"]),
    ] {
        let sandbox = Sandbox::new();
        let mut all = options.clone();
        all.extend(["--", "sh", "-c", NOTING]);
        let command = named(&sandbox, name, &all);
        assert_eq!(who_gets_it(command, &sandbox), expected, "{name} {options:?}");
    }
    let sandbox = Sandbox::new();
    let command =
        sandbox.pid1(&["agent", "init", "--no-boot", "--single", "--", "sh", "-c", NOTING]);
    assert_eq!(who_gets_it(command, &sandbox), ["parent"]);
}

#[test]
fn tinis_variable_asks_for_the_group() {
    let sandbox = Sandbox::new();
    let mut command = named(&sandbox, "tini", &["--", "sh", "-c", NOTING]);
    command.env("TINI_KILL_PROCESS_GROUP", "1");
    assert_eq!(who_gets_it(command, &sandbox), ["child", "parent"]);
}

#[test]
fn a_signal_becomes_another_one_or_none() {
    let script = "trap 'exit 33' QUIT; trap 'exit 15' TERM; trap 'exit 10' USR1
        echo up >/mnt/out/up; while :; do sleep 0.05; done";
    for (rule, sent, status) in [("15:3", vec![15], 33), ("TERM:0", vec![15, 10], 10)] {
        for by in ["dumb-init", "agent"] {
            let sandbox = Sandbox::new();
            let command = match by {
                "agent" => sandbox.pid1(&[
                    "agent",
                    "init",
                    "--no-boot",
                    "--rewrite",
                    rule,
                    "--",
                    "sh",
                    "-c",
                    script,
                ]),
                // It wants numbers.
                name => {
                    let rule = rule.replace("TERM", "15");
                    named(&sandbox, name, &["--rewrite", &rule, "sh", "-c", script])
                }
            };
            let running = start(command);
            assert_eq!(sandbox.out("up"), "up\n");
            let pid1 = crate::util::child_of(running.pid());
            for signal in &sent {
                crate::util::signal(pid1, *signal);
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            running.end().expect(status);
        }
    }
}

/// Whoever made the image decided how long a stop may take; the engine kills.
#[test]
fn under_another_name_nothing_is_killed_for_its_slowness() {
    let sandbox = Sandbox::new();
    let script = "trap 'sleep 8; exit 21' TERM; echo up >/mnt/out/up; while :; do sleep 0.05; done";
    let running = start(named(&sandbox, "tini", &["--", "sh", "-c", script]));
    assert_eq!(sandbox.out("up"), "up\n");
    crate::util::signal(crate::util::child_of(running.pid()), 15);
    let ended = running.end().expect(21);
    assert!(ended.took.as_secs() >= 8, "{ended:#?}");
}

#[test]
fn a_second_request_to_stop_makes_the_grace_short() {
    let sandbox = Sandbox::new();
    let mut life = sandbox.start(
        &["--no-boot", "--grace", "20s"],
        "trap '' TERM; echo up >/mnt/out/up; while :; do sleep 0.2; done",
    );
    life.reaches(&sandbox, "up");
    life.signal(15);
    std::thread::sleep(std::time::Duration::from_millis(300));
    life.signal(15);
    assert!(life.end().expect(137).took.as_secs() < 10);
}

#[test]
fn what_is_reaped_is_named_where_that_is_asked_for() {
    let script = "(sh -c 'exit 5' &); sleep 0.5; exit 2";
    let told = ends("tini", &["-w", "--", "sh", "-c", script]).expect(2);
    assert!(told.stderr.contains("reaped process"), "{told:#?}");
    assert!(told.stderr.contains("exit status 5"), "{told:#?}");
    let silent = ends("tini", &["--", "sh", "-c", script]).expect(2);
    assert!(!silent.stderr.contains("reaped process"), "{silent:#?}");
}

#[test]
fn a_pause_waits_for_a_signal_and_reaps_meanwhile() {
    let sandbox = Sandbox::new();
    let running = start(named(&sandbox, "catatonit", &["-P"]));
    let pid1 = eventually("it is there", || {
        let pid = crate::util::child_of(running.pid());
        (pid > 0).then_some(pid)
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    crate::util::signal(pid1, 15);
    running.end().expect(0);
}

#[test]
fn the_end_of_the_parent_is_a_signal() {
    let sandbox = Sandbox::new();
    // The one that starts the agent ends; PID 1 of the sandbox stays.
    let inner = "trap 'echo told >/mnt/out/told; exit 0' USR1; echo up >/mnt/out/up; while :; do sleep 0.05; done";
    let outer = format!(
        "(bash -c 'agent init --no-boot --parent-death USR1 -- sh -c \"$0\" & wait' \"{inner}\" & echo $! >/mnt/out/parent; wait) &
        while [ ! -e /mnt/out/up ]; do sleep 0.05; done; kill -KILL $(cat /mnt/out/parent)
        n=0; while [ ! -e /mnt/out/told ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n+1)); done"
    );
    run(sandbox.pid1(&["bash", "-c", &outer]));
    assert_eq!(sandbox.out("told"), "told\n");
}

/// It stops itself after the child, as dumb-init does, and nobody else: here PID 1, which the
/// kernel spares, shares its process group with who started it.
#[test]
fn a_stop_from_the_terminal_stops_the_session_and_not_whoever_started_it() {
    let sandbox = Sandbox::new();
    let script = "echo $$ >/mnt/out/up; while [ ! -e /mnt/out/end ]; do sleep 0.05; done; exit 9";
    let running = start(named(&sandbox, "dumb-init", &["--", "sh", "-c", script]));
    sandbox.out("up");
    let pid1 = crate::util::child_of(running.pid());
    let child = crate::util::child_of(pid1);
    let is_stopped = || {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
        status.contains("\nState:\tT")
    };
    crate::util::signal(pid1, 20);
    eventually("it is stopped", || is_stopped().then_some(()));
    // One that comes before the stop is complete is cancelled by it (signal(7)).
    eventually("it goes on", || {
        crate::util::signal(pid1, 18);
        (!is_stopped()).then_some(())
    });
    sandbox.put_out("end", "now");
    running.end().expect(9);
}
