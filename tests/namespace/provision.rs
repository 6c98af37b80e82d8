//! Provisioning steps as real processes: order, groups, deadlines, users, environment,
//! and what the status says of them while they run and afterwards.

use crate::sandbox::{Sandbox, Seen};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// A `[[step]]` that runs `script` with the shell.
pub(crate) fn step(name: &str, more: &str, script: &str) -> String {
    format!("[[step]]\nname = \"{name}\"\n{more}\ncommand = '''{script}'''\n")
}

/// A sandbox with these steps; its state lies on the volume, where the test can read it.
pub(crate) fn with(steps: &[String]) -> Sandbox {
    Sandbox::new().no_run().config("agent.toml", &steps.concat())
}

/// The names and states of all steps, in order.
pub(crate) fn states(seen: &Seen) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let steps = seen.status["steps"].as_array().unwrap();
    steps.iter().map(|s| (text(&s["name"]), text(&s["state"]))).collect()
}

#[track_caller]
pub(crate) fn expect_states(seen: &Seen, expected: &[(&str, &str)]) {
    let all = states(seen);
    let found: Vec<(&str, &str)> = all.iter().map(|(n, s)| (n.as_str(), s.as_str())).collect();
    assert_eq!(found, expected, "{:#?}", seen.ended);
}

fn problem(seen: &Seen) -> &Value {
    &seen.phase("provision")["problems"][0]
}

#[test]
fn steps_run_in_their_order_before_everything_else() {
    let note = |name: &str| step(name, "", &format!("echo {name} >> /mnt/out/order"));
    let sandbox = with(&[note("b"), note("a"), note("c")])
        .script("#!/bin/sh\necho script >> /mnt/out/order\n");
    let seen = sandbox.look().is("complete");
    assert_eq!(sandbox.out("order"), "b\na\nc\nscript\n");
    expect_states(&seen, &[("b", "ok"), ("a", "ok"), ("c", "ok")]);
    assert!(seen.status["steps"][0]["elapsed_ms"].is_u64(), "{:#}", seen.status);
    assert_eq!(seen.status["phases"][0]["name"], "provision", "before the volume");
}

#[test]
fn without_steps_there_is_no_such_phase() {
    let seen = Sandbox::new().look().is("complete");
    assert_eq!(seen.status["phases"][0]["name"], "volume");
    assert_eq!(seen.status["steps"], serde_json::json!([]));
}

/// Each tells the other that it is there and goes on when it has heard of it.
fn meeting(group: &str) -> Sandbox {
    let meet = |name: &str, other: &str| {
        let script = format!(
            "echo here > /mnt/out/{name}; while [ ! -e /mnt/out/{other} ]; do sleep 0.05; done"
        );
        step(name, &format!("deadline = \"5s\"\n{group}"), &script)
    };
    with(&[meet("left", "right"), meet("right", "left")])
}

#[test]
fn steps_of_a_group_run_side_by_side() {
    let seen = meeting("group = \"meeting\"").look().is("complete");
    expect_states(&seen, &[("left", "ok"), ("right", "ok")]);
}

/// The counterpart of the test above.
#[test]
fn steps_without_a_group_wait_for_each_other() {
    let seen = meeting("").look().is("failed").problem("provision", "step-deadline");
    expect_states(&seen, &[("left", "failed"), ("right", "not-run")]);
}

#[test]
fn a_group_is_awaited_and_its_first_failure_in_the_configs_order_decides() {
    let group = "group = \"g\"";
    let seen = with(&[
        step("slow", group, "sleep 0.6; exit 3"),
        step("fast", group, "exit 4"),
        step("good", group, "sleep 0.9; echo done > /mnt/out/good"),
        step("later", "", "echo ran > /mnt/home/later"),
    ])
    .look()
    .is("failed");
    assert_eq!(seen.summary(), "failed: provision: step slow ended with status 3");
    let problems = seen.phase("provision")["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "both are told: {problems:?}");
    expect_states(
        &seen,
        &[("slow", "failed"), ("fast", "failed"), ("good", "ok"), ("later", "not-run")],
    );
}

#[test]
fn a_required_step_that_fails_ends_the_boot_and_is_filed_under_its_name() {
    let sandbox = with(&[
        step("first", "failure_phase = \"packages\"", "echo E: no such package >&2; exit 100"),
        step("second", "", "echo ran > /mnt/out/second"),
    ])
    .script("#!/bin/sh\necho ran > /mnt/out/script\n");
    let seen = sandbox.look().is("failed").problem("provision", "step-failed");
    expect_states(&seen, &[("first", "failed"), ("second", "not-run")]);
    assert_eq!(
        seen.summary(),
        "failed: provision: step first ended with status 100 (E: no such package)"
    );
    let problem = problem(&seen);
    assert_eq!(problem["filed_under"], "packages");
    assert_eq!(problem["evidence"], "E: no such package");
    assert_eq!(seen.phase("user-script")["state"], "not-run");
    for name in ["second", "script"] {
        assert!(!sandbox.path("out").join(name).exists(), "{name} ran");
    }
    let log = sandbox.path(problem["log"].as_str().unwrap().strip_prefix("/mnt/").unwrap());
    assert!(log.ends_with("logs/step-first.log"), "{log:?}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "E: no such package\n");
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_failure_is_filed_under_the_steps_own_name_by_default() {
    let seen = with(&[step("docker", "", "exit 1")]).look().is("failed");
    assert_eq!(problem(&seen)["filed_under"], "docker");
}

#[test]
fn a_step_that_is_not_required_degrades_and_the_next_ones_run() {
    let seen = with(&[
        step("nice", "required = false", "exit 1"),
        step("next", "", "echo ran > /mnt/out/next"),
    ])
    .look()
    .is("degraded")
    .problem("provision", "step-failed");
    expect_states(&seen, &[("nice", "degraded"), ("next", "ok")]);
    assert_eq!(seen.phase("user-script")["state"], "skipped", "the boot went on");
}

/// The decider stands first, although something that only degrades came before it.
#[test]
fn what_fails_the_boot_is_told_before_what_degrades_it() {
    let seen = with(&[step("nice", "required = false", "exit 1"), step("must", "", "exit 2")])
        .look()
        .is("failed");
    assert_eq!(seen.summary(), "failed: provision: step must ended with status 2");
}

#[test]
fn a_step_past_its_deadline_is_ended_with_all_it_started() {
    let sandbox =
        with(&[step("slow", "deadline = \"500ms\"", "sleep 4711 & sleep 4711; sleep 4711")]);
    let left = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done 2>/dev/null | grep -cx 'sleep 4711 ' > /mnt/out/left";
    let seen = sandbox.look_after(left).is("failed").problem("provision", "step-deadline");
    assert_eq!(sandbox.out("left"), "0\n");
    assert_eq!(problem(&seen)["message"], "step slow did not end within its 500 ms");
}

#[test]
fn the_boots_own_deadline_holds_for_a_step_too() {
    let sandbox = with(&[step("slow", "", "sleep 300")]).variable("AGENT__BOOT__DEADLINE", "1s");
    let seen = sandbox.look().is("failed").problem("provision", "step-deadline");
    assert!(seen.summary().contains("that were left to the boot"), "{}", seen.summary());
}

#[test]
fn a_step_that_is_killed_is_named_by_its_signal() {
    let seen = with(&[step("victim", "", "kill -9 $$")]).look().is("failed");
    let seen = seen.problem("provision", "step-killed");
    assert!(seen.summary().contains("killed by SIGKILL"), "{}", seen.summary());
}

#[test]
fn a_step_is_tried_again_as_often_as_it_may_be() {
    let count = "echo x >> /mnt/out/count; [ $(wc -l < /mnt/out/count) -ge 3 ]";
    let sandbox = with(&[step("flaky", "attempts = 3", count)]);
    let seen = sandbox.look().is("complete");
    assert_eq!(seen.status["steps"][0]["notes"][0], "attempt 3 of 3");
    let sandbox = with(&[step("flaky", "attempts = 2", count)]);
    let seen = sandbox.look().is("failed").problem("provision", "step-failed");
    assert!(seen.summary().contains("status 1 (attempt 2 of 2)"), "{}", seen.summary());
}

/// A repetition that could not end in time is not begun.
#[test]
fn the_deadline_is_that_of_all_attempts_together() {
    let sandbox = with(&[step("flaky", "attempts = 20\ndeadline = \"2s\"", "exit 5")]);
    let seen = sandbox.look().is("failed").problem("provision", "step-failed");
    assert!(seen.phase("provision")["elapsed_ms"].as_u64().unwrap() < 2_500, "{:#?}", seen.ended);
}

#[test]
fn a_step_has_a_clean_environment() {
    let sandbox = Sandbox::new()
        .no_run()
        .config(
            "agent.toml",
            "[[step]]\nname = \"env\"\ncommand = [\"env\"]\nenvironment = { OWN = \"mine\" }\n",
        )
        .variable("ANTHROPIC_API_KEY", "planted")
        .variable("MINT_USER_BOOTSTRAP", "")
        .variable("LANG", "C.UTF-8");
    sandbox.look().is("complete");
    let log = sandbox.path("home/.local/state/agent/test/logs/step-env.log");
    let text = fs::read_to_string(log).unwrap();
    let mut names: Vec<&str> = text.lines().filter_map(|l| Some(l.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["DEBIAN_FRONTEND", "HOME", "LANG", "LOGNAME", "OWN", "PATH", "SHELL", "USER"]
    );
    for line in ["HOME=/mnt/home", "USER=dev", "OWN=mine", "DEBIAN_FRONTEND=noninteractive"] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    let path = format!("PATH=/mnt/bin:{}", crate::util::PATH);
    assert!(text.lines().any(|l| l == path), "the image's, without the shims: {text}");
}

/// Two halves, so that the test's own files don't hold the whole.
#[test]
fn no_secret_that_a_step_says_gets_into_the_status_or_the_journal() {
    let token = format!("{}{}", "tok_PlantedIn", "TheStep");
    let steps = step(
        "leaky",
        &format!("environment = {{ DEPLOY_TOKEN = \"{token}\" }}"),
        // Were it cut before it is masked, half of the first one would be left.
        "printf '%s%0353d\\n' $DEPLOY_TOKEN 7; echo https://bob:$DEPLOY_TOKEN@example.org/; echo plainly; exit 1",
    );
    let sandbox = with(&[steps]);
    let seen = sandbox.look_after("agent status >&2").is("failed");
    let journal = fs::read_to_string(sandbox.path("home/.local/state/agent/test/journal")).unwrap();
    for part in [&token, "PlantedIn", "InTheStep", "eStep"] {
        assert!(!seen.ended.all().contains(part), "{part}: {:#?}", seen.ended);
        assert!(!journal.contains(part), "{part}: {journal}");
    }
    // Negative controls: what is no secret is quoted, and its own log has it all.
    assert!(seen.ended.all().contains("plainly"), "{:#?}", seen.ended);
    let log = sandbox.path("home/.local/state/agent/test/logs/step-leaky.log");
    assert!(fs::read_to_string(log).unwrap().contains(&token));
}

#[test]
fn the_users_script_is_given_to_no_step() {
    let sandbox = with(&[step(
        "peek",
        "",
        "env > /mnt/out/env; cat /proc/self/environ >> /mnt/out/env; cat >> /mnt/out/env",
    )])
    .script("#!/bin/sh\n: PlantedPayload\n");
    sandbox.look().is("complete");
    assert!(!sandbox.out("env").contains("MINT_USER_BOOTSTRAP"), "{}", sandbox.out("env"));
}

#[test]
fn the_status_names_the_steps_that_run() {
    let look = "echo up >> /mnt/out/up; while [ $(wc -l < /mnt/out/up) -lt 2 ]; do sleep 0.05; done; sleep 0.1";
    let asks = format!(
        "{look}; agent status --json > /mnt/out/status; agent status > /mnt/out/text; echo ok > /mnt/out/asked"
    );
    let waits = "echo up >> /mnt/out/up; while [ ! -e /mnt/out/asked ]; do sleep 0.05; done";
    let group = "group = \"g\"";
    let sandbox = with(&[
        step("before", "", ":"),
        step("asks", group, &asks),
        step("waits", group, waits),
        step("after", "", ":"),
    ]);
    // A step has none of the variables that the test configures the agent by.
    let sandbox = sandbox.config("conf.d/50.toml", "[bootstrap]\ninstance = \"test\"\n");
    let seen = sandbox.look().is("complete");
    let during: Value = serde_json::from_str(&sandbox.out("status")).unwrap();
    assert_eq!(during["state"], "running");
    assert_eq!(during["summary"], "running: provision (asks, waits)");
    let states: Vec<&str> =
        during["steps"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ok", "running", "running", "pending"]);
    assert!(during["steps"][1]["began"].is_string() && during["steps"][1]["elapsed_ms"].is_null());
    let text = sandbox.out("text");
    assert!(text.contains("asks    running  "), "with the time so far: {text}");
    assert!(text.contains("after   pending"), "{text}");
    expect_states(&seen, &[("before", "ok"), ("asks", "ok"), ("waits", "ok"), ("after", "ok")]);
}

#[test]
fn the_timeline_draws_every_step_below_its_phase() {
    let sandbox = with(&[step("a-step-with-a-long-name", "", ":"), step("b", "", ":")]);
    let text = sandbox.init(&[], "agent status --timeline").expect(0).stdout;
    let timeline = text.rsplit_once("\n\n").unwrap().1;
    let rows: Vec<&str> = timeline.lines().collect();
    assert!(rows[0].starts_with("  provision "), "{timeline}");
    assert!(rows[1].starts_with("    a-step-with-a-long-name |"), "{timeline}");
    assert!(rows[2].starts_with("    b "), "{timeline}");
    let bars: Vec<usize> = rows.iter().filter_map(|r| r.find('|')).collect();
    assert!(bars.windows(2).all(|w| w[0] == w[1]), "one column: {timeline}");
}

#[test]
fn a_step_whose_program_is_not_there_says_so() {
    let text = "[[step]]\nname = \"a\"\ncommand = [\"nosuchprogram\"]\n";
    let seen = Sandbox::new().config("agent.toml", text).look().is("failed");
    let seen = seen.problem("provision", "step-not-started");
    assert_eq!(
        seen.summary(),
        "failed: provision: step a cannot be started: nosuchprogram is not found"
    );
    assert_eq!(problem(&seen)["filed_under"], "a");
}

#[test]
fn a_step_whose_directory_is_not_there_says_so() {
    let steps = [step("a", "directory = \"/nonexistent\"", ":")];
    let seen = with(&steps).look().is("failed").problem("provision", "step-not-started");
    assert!(seen.summary().contains("its directory /nonexistent is not there"));
}

#[test]
fn a_step_starts_in_its_directory_else_in_the_home() {
    let note = |name: &str, more: &str| step(name, more, &format!("pwd > /mnt/out/{name}"));
    let sandbox = with(&[note("home", ""), note("own", "directory = \"/tmp\"")]);
    sandbox.look().is("complete");
    assert_eq!((sandbox.out("home").trim(), sandbox.out("own").trim()), ("/mnt/home", "/tmp"));
}

#[test]
fn an_earlier_step_may_make_the_account_of_a_later_one() {
    let make = "echo made:x:0:0::/tmp:/bin/sh >> /etc/passwd";
    let note = "echo $USER $HOME $PWD > /mnt/out/who";
    let sandbox = with(&[step("make", "", make), step("use", "user = \"made\"", note)]);
    sandbox.look().is("complete");
    assert_eq!(sandbox.out("who"), "made /tmp /tmp\n");
    let seen = with(&[step("use", "user = \"made\"", note)]).look().is("failed");
    let seen = seen.problem("provision", "step-not-started");
    assert!(seen.summary().contains("there is no user made in /etc/passwd"), "{}", seen.summary());
}

/// The agent as an ordinary user, as in the contract's container.
#[test]
fn a_step_for_root_needs_an_agent_that_is_root() {
    let look = |steps: &[String]| {
        let sandbox = with(steps);
        let shell = "agent status --json; exit $?";
        let unshare = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"];
        let agent = ["agent", "init", "--on-boot-failure", "hold", "--", "sh", "-c", shell];
        let ended = crate::util::run(sandbox.pid1(&[&unshare[..], &agent[..]].concat()));
        Seen { status: ended.json(), ended }
    };
    let seen = look(&[step("packages", "", "id -u > /mnt/out/id")]);
    let seen = seen.is("failed").problem("provision", "step-not-started");
    let message = "step packages cannot be started: it is to run as root, and the agent runs as ";
    assert!(seen.summary().contains(message), "{}", seen.summary());
    let seen = look(&[step("packages", "user = \"sandbox\"", "[ $(id -u) = 1000 ]")]);
    expect_states(&seen, &[("packages", "ok")]);
}

#[test]
fn a_stop_while_steps_run_ends_them_and_is_recorded() {
    let group = "group = \"g\"";
    let sandbox = with(&[
        step("a", group, "echo up > /mnt/out/a; sleep 300"),
        step("b", group, "echo up > /mnt/out/b; trap '' TERM; sleep 300"),
        step("c", "", ":"),
    ])
    .variable("AGENT__BOOT__GRACE", "500ms");
    let mut life = sandbox.start(&[], "echo the workload must not start");
    life.reaches(&sandbox, "a");
    life.reaches(&sandbox, "b");
    life.signal(15);
    let ended = life.end().expect(143);
    assert_eq!(ended.stdout, "", "{ended:#?}");
    let journal = fs::read_to_string(sandbox.path("home/.local/state/agent/test/journal")).unwrap();
    assert_eq!(journal.matches("\"result\":\"interrupted\"").count(), 3, "{journal}");
    assert!(journal.contains("step-interrupted"), "{journal}");
}

#[test]
fn a_drop_in_amends_a_step_by_its_name() {
    let sandbox = with(&[step("a", "", "echo main > /mnt/out/a; exit $CODE"), step("b", "", ":")])
        .config("conf.d/50.toml", "[[step]]\nname = \"a\"\nenvironment = { CODE = \"0\" }\n[[step]]\nname = \"c\"\ncommand = \":\"\n");
    let seen = sandbox.look().is("complete");
    assert_eq!(sandbox.out("a"), "main\n");
    expect_states(&seen, &[("a", "ok"), ("b", "ok"), ("c", "ok")]);
}

#[test]
fn a_drop_in_for_a_step_that_is_not_declared_is_an_error_with_its_place() {
    let seen = with(&[step("a", "", ":")])
        .config("conf.d/50.toml", "\n[[step]]\nname = \"aa\"\nrequired = false\n")
        .look()
        .is("failed")
        .problem("config", "config-invalid");
    let place = "/etc/agent/conf.d/50.toml:2:1: step aa has no `command`";
    assert!(seen.summary().contains(place), "{}", seen.summary());
}
