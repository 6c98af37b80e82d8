//! The health check: all that is missing in one report; a failure at first, drift later.

use crate::sandbox::Sandbox;
use std::fs;

/// Answers as systemctl does, from `out/states`: a word for each unit. With `out/next` there, that
/// is the next answer.
const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$1 $2" = "is-active --" ] || { echo "unexpected: $*"; exit 9; }
echo "$*" >> /mnt/out/asked
cat /mnt/out/states
[ ! -e /mnt/out/next ] || cp /mnt/out/next /mnt/out/states
exit 3
"#;

/// A machine whose systemd says `states`, with what `[health]` says.
fn machine(health: &str, states: &str) -> Sandbox {
    let booted = "[[step]]\nname = \"booted\"\ncommand = \"mkdir -p /run/systemd/system\"\n";
    let sandbox = Sandbox::new().config("agent.toml", &format!("{booted}[health]\n{health}"));
    let bin = sandbox.path("bin/systemctl");
    fs::write(&bin, SYSTEMCTL).unwrap();
    sandbox.mode("bin/systemctl", 0o755);
    sandbox.put_out("states", states);
    sandbox.mode("out/states", 0o666);
    sandbox
}

fn put_program(sandbox: &Sandbox, name: &str, mode: u32) {
    let below = format!("home/.local/bin/{name}");
    fs::create_dir_all(sandbox.path("home/.local/bin")).unwrap();
    sandbox.mode("home/.local", 0o755);
    sandbox.mode("home/.local/bin", 0o755);
    fs::write(sandbox.path(&below), "#!/bin/sh\n").unwrap();
    sandbox.mode(&below, mode);
}

#[test]
fn everything_that_is_missing_is_named_at_once_and_the_script_does_not_run() {
    let sandbox = machine(
        "commands = [\"sh\", \"nosuch\", \"plain\", \"/bin/sh\", \"/opt/absent\"]\n\
         services = [\"ssh.service\", \"docker.service\", \"idle.timer\"]\n\
         files = [\"/etc/passwd\", \"/etc/absent\", \"~/.profile\"]\n\
         mounts = [\"~\", \"/mint/projects\"]\n",
        "active\nfailed\ninactive\n",
    )
    .script("#!/bin/sh\necho ran > /mnt/out/script\n");
    put_program(&sandbox, "plain", 0o644);
    let seen = sandbox.look().is("failed").problem("drift-check", "health-missing");
    assert_eq!(
        seen.summary(),
        "failed: drift-check: missing: commands nosuch, plain, /opt/absent; \
         services docker.service (failed), idle.timer (inactive); \
         files /mnt/home/.profile, /etc/absent; mount /mint/projects"
    );
    assert_eq!(seen.phase("drift-check")["problems"].as_array().unwrap().len(), 1);
    assert_eq!(seen.phase("user-script")["state"], "not-run");
    assert!(!sandbox.path("out/script").exists());
    let asked = sandbox.out("asked");
    assert_eq!(asked, "is-active -- ssh.service docker.service idle.timer\n", "one question");
}

#[test]
fn a_machine_that_has_everything_is_complete() {
    let sandbox = machine(
        "commands = [\"sh\", \"own\"]\nservices = [\"ssh.service\"]\nfiles = [\"~/.local/bin/own\"]\nmounts = [\"~\"]\n",
        "active\n",
    );
    put_program(&sandbox, "own", 0o755);
    let seen = sandbox.look().is("complete");
    assert_eq!(seen.phase("drift-check")["state"], "ok");
}

#[test]
fn a_check_that_is_not_required_degrades_and_the_script_runs() {
    let sandbox = machine("commands = [\"nosuch\"]\nrequired = false\n", "")
        .script("#!/bin/sh\necho ran > /mnt/out/script\n");
    sandbox.look().is("degraded").problem("drift-check", "health-missing");
    assert_eq!(sandbox.out("script"), "ran\n");
}

#[test]
fn a_service_that_is_starting_is_waited_for() {
    let sandbox = machine("services = [\"docker.service\"]\n", "activating\n");
    sandbox.put_out("next", "active\n");
    sandbox.look().is("complete");
    assert_eq!(sandbox.out("asked").lines().count(), 2);
}

#[test]
fn a_service_that_keeps_starting_is_waited_for_no_longer_than_the_deadline() {
    let sandbox = machine("services = [\"docker.service\"]\ndeadline = \"3s\"\n", "activating\n");
    let seen = sandbox.look().is("failed").problem("drift-check", "health-missing");
    assert!(seen.summary().contains("docker.service (activating)"), "{}", seen.summary());
    assert!(seen.phase("drift-check")["elapsed_ms"].as_u64().unwrap() < 5_000);
}

#[test]
fn services_where_no_systemd_runs_are_a_problem_of_their_own_beside_what_is_missing() {
    let health = "[health]\ncommands = [\"nosuch\"]\nservices = [\"docker.service\"]\n";
    let seen = Sandbox::new().config("agent.toml", health).look().is("failed");
    let codes: Vec<&str> = seen.phase("drift-check")["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["health-missing", "health-no-systemd"]);
}

#[test]
fn an_answer_that_is_none_is_told_with_what_systemctl_said() {
    let sandbox = machine("services = [\"docker.service\"]\n", "Failed to connect to bus\n");
    let seen = sandbox.look().is("failed").problem("drift-check", "health-unchecked");
    assert!(seen.summary().contains("Failed to connect to bus"), "{}", seen.summary());
}

#[test]
fn what_is_lost_after_the_instance_was_complete_is_drift_and_only_degrades() {
    let sandbox = machine("commands = [\"own\"]\n", "");
    put_program(&sandbox, "own", 0o755);
    sandbox.look().is("complete");
    fs::remove_file(sandbox.path("home/.local/bin/own")).unwrap();
    let seen = sandbox.look().is("degraded").problem("drift-check", "health-drift");
    assert_eq!(
        seen.summary(),
        "degraded: drift-check: drift, missing since this instance was complete: command own"
    );
    assert!(!sandbox.path("home/.local/bin/own").exists(), "reported, never repaired");
    // Another instance on the same volume is at its first boot.
    let sandbox = sandbox.variable("AGENT__BOOTSTRAP__INSTANCE", "recreated");
    sandbox.look().is("failed").problem("drift-check", "health-missing");
}

/// The script must not run on a machine that has never been whole.
#[test]
fn an_instance_that_was_never_complete_still_fails() {
    let sandbox =
        machine("commands = [\"own\"]\n", "").script_file("#!/bin/sh\nexit $(cat /mnt/out/code)\n");
    sandbox.put_out("code", "3");
    put_program(&sandbox, "own", 0o755);
    sandbox.look().is("failed").problem("user-script", "script-failed");
    fs::remove_file(sandbox.path("home/.local/bin/own")).unwrap();
    sandbox.look().is("failed").problem("drift-check", "health-missing");
    sandbox.look().is("failed").problem("drift-check", "health-missing");
}

#[test]
fn a_check_that_hangs_ends_at_its_deadline() {
    let sandbox = machine("services = [\"docker.service\"]\ndeadline = \"1s\"\n", "");
    fs::write(sandbox.path("bin/systemctl"), "#!/bin/sh\nsleep 300\n").unwrap();
    let seen = sandbox.look().is("failed").problem("drift-check", "health-unchecked");
    assert!(seen.summary().contains("no answer within 1.0 s"), "{}", seen.summary());
}
