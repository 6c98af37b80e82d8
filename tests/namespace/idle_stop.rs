//! The idle stop with real processes: who counts as use, what an extension does, and that
//! nothing is stopped where it cannot be told. `systemctl` is the test's own and notes what it
//! is asked.

use crate::sandbox::Sandbox;
use crate::util::{Ended, file, give, run};
use serde_json::Value;

/// Short enough that two checks a second apart are past it.
const CONFIG: &str = "[idle]\nenabled = true\ntimeout = \"1s\"\ngrace = \"1ms\"\n\
                      stop = \"power-off\"\n";

/// Programs under the names that count; each runs for the whole test.
const STAGE: &str = "
    for name in claude mosh-server worker; do cp /bin/sleep /tmp/$name; done
    check() { agent idle check 2>>/mnt/out/log; echo \"check $?\"; }
    used() { agent idle --json | jq -r '.state, .uses[].kind' | paste -sd' '; }
    off() { cat /mnt/out/off 2>/dev/null || echo on; }
";

fn sandbox(config: &str) -> Sandbox {
    let sandbox = Sandbox::new().config("agent.toml", config);
    let systemctl =
        file(&sandbox.path("bin"), "systemctl", "#!/bin/sh\necho \"$@\" >>/mnt/out/off\n");
    give(&systemctl, 0o755);
    sandbox
}

#[track_caller]
fn lived(sandbox: &Sandbox, script: &str) -> Ended {
    run(sandbox.pid1(&["sh", "-c", &format!("{STAGE}{script}")]))
}

#[track_caller]
fn says(config: &str, script: &str, lines: &[&str]) -> Sandbox {
    let sandbox = sandbox(config);
    let ended = lived(&sandbox, script);
    let said: Vec<&str> = ended.stdout.lines().collect();
    let log = std::fs::read_to_string(sandbox.path("out/log")).unwrap_or_default();
    assert_eq!(said, lines, "{ended:#?}\n{log}");
    sandbox
}

#[test]
fn an_unused_machine_is_switched_off_once_its_time_is_over_and_not_before() {
    let script = "sleep 0.1; check; used; off; sleep 1.2; check; off; agent idle";
    let sandbox = sandbox(CONFIG);
    let ended = lived(&sandbox, script);
    let said: Vec<&str> = ended.stdout.lines().collect();
    let expected = ["check 0", "idle", "on", "check 0", "--no-block poweroff"];
    assert_eq!(said[..5], expected, "{ended:#?}");
    let log = sandbox.out("log");
    assert_eq!(log.lines().count(), 3, "a line a check, and one for the stop: {log}");
    assert!(log.contains("agent: idle: idle: nobody for 0 s of 1 s; 1 s left\n"), "{log}");
    assert!(log.contains("agent: idle: due: nobody for 2 s of 1 s; 0 s left\n"), "{log}");
}

#[test]
fn whoever_works_on_the_machine_keeps_it_up_and_leaving_lets_it_go() {
    let long = "sleep 0.1; check; sleep 1.2";
    says(
        CONFIG,
        &format!(
            "/tmp/claude 60 & c=$!; {long}; check; used; off; kill $c; wait $c
             /tmp/mosh-server 60 & m=$!; {long}; check; used; off; kill $m; wait $m
             check; sleep 1.2; check; off"
        ),
        &[
            "check 0",
            "check 0",
            "active claude",
            "on",
            "check 0",
            "check 0",
            "active mosh",
            "on",
            "check 0",
            "check 0",
            "--no-block poweroff",
        ],
    );
}

/// The container is a pid namespace below the machine's; the title is the SSH server's own.
#[test]
fn a_container_and_a_session_without_a_terminal_are_seen() {
    says(
        CONFIG,
        "cp /bin/sleep /tmp/sshd
         unshare --pid --fork /tmp/claude 60 & sleep 0.3; used
         agent idle | grep claude | cut -d' ' -f3-5
         pkill -9 -x claude; wait
         bash -c \"exec -a 'sshd: dev@notty' /tmp/sshd 60\" & s=$!; sleep 0.3; used; kill $s; wait $s
         bash -c \"exec -a 'sshd: dev [priv]' /tmp/sshd 60\" & s=$!; sleep 0.3; used; kill $s",
        &["active claude", "claude in a", "active ssh", "idle"],
    );
}

#[test]
fn every_users_tmux_counts_while_a_client_is_attached() {
    says(
        CONFIG,
        "export TERM=xterm; export TMUX_TMPDIR=/tmp
         tmux -f /dev/null new-session -d -s work 'sleep 60'; used
         script -qec 'tmux attach' /dev/null >/dev/null </dev/zero & sleep 1; used
         tmux detach-client -s work; sleep 0.5; used; tmux kill-server",
        &["idle", "active tmux", "idle"],
    );
}

#[test]
fn the_operators_processes_count() {
    let config = format!("{CONFIG}processes = [\"worker\"]\n");
    says(&config, "/tmp/worker 60 & used; kill $!; wait; used", &["active process", "idle"]);
}

#[test]
fn a_fresh_machine_has_its_grace_and_a_boot_gives_it_again() {
    // Of the start of the kernel, which was long ago: then the boot's own.
    let config =
        "[idle]\nenabled = true\ntimeout = \"1s\"\ngrace = \"10m\"\nstop = \"power-off\"\n";
    let up = std::fs::read_to_string("/proc/uptime").unwrap();
    let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
    let first = if up < 600.0 { "active grace" } else { "idle" };
    says(
        config,
        "check; used; agent boot >/dev/null 2>&1; check; used; sleep 1.2; check; off",
        &["check 0", first, "check 0", "active grace", "check 0", "on"],
    );
}

#[test]
fn a_boot_that_runs_is_use() {
    let config = format!("{CONFIG}[[step]]\nname = \"long\"\ncommand = \"sleep 5\"\n");
    says(
        &config,
        "agent boot >/dev/null 2>&1 & sleep 1; used; check; sleep 1.2; check; off; kill $!; wait",
        &["active boot", "check 0", "check 0", "on"],
    );
}

#[test]
fn an_extension_keeps_it_up_and_can_be_taken_back() {
    says(
        CONFIG,
        "agent idle extend 2h; check; sleep 1.2; check; used; off
         agent idle extend --cancel; check; sleep 1.2; check; off",
        &[
            "this machine does not stop itself for 120 min",
            "check 0",
            "check 0",
            "active extension",
            "on",
            "no extension any more",
            "check 0",
            "check 0",
            "--no-block poweroff",
        ],
    );
}

#[test]
fn an_extension_has_a_limit_and_a_form() {
    let config = format!("{CONFIG}extension_max = \"3h\"\n");
    let sandbox = sandbox(&config);
    let ended = lived(
        &sandbox,
        "agent idle extend 4h; echo $?; agent idle extend; echo $?; agent idle extend x; echo $?
         agent idle extend 1h --cancel; echo $?",
    );
    assert_eq!(ended.stdout, "1\n64\n64\n64\n", "{ended:#?}");
    assert!(ended.stderr.contains("longer than idle.extension_max"), "{ended:#?}");
}

/// What lies in the sandbox user's directory is that user's: it is believed to be a wish, and
/// nothing else of it is followed.
#[test]
fn a_forged_request_gives_no_more_than_an_honest_one() {
    let sandbox = sandbox(CONFIG);
    let ended = lived(
        &sandbox,
        r#"check; cd /run/agent/idle/ask; b=$(cat /proc/sys/kernel/random/boot_id)
           forge() { printf '%s' "$1" >request; check; agent idle --json | jq -c '[.uses[].what]'; }
           forge "{\"start\":\"$b\",\"asked_ms\":18446744073709551615,\"for_ms\":18446744073709551615}"
           forge "{\"start\":\"$b\",\"asked_ms\":0,\"for_ms\":1}"
           forge "{\"start\":\"another\",\"asked_ms\":9,\"for_ms\":18446744073709551615}"
           forge "no json"; ln -s /etc/passwd request; check; mkfifo request; check; ls -A
           rm -rf request; mkdir request; check; head -1 /etc/passwd"#,
    );
    let said: Vec<&str> = ended.stdout.lines().filter(|l| *l != "check 0").collect();
    assert!(said[0].contains("for 24 h 0 min more"), "{ended:#?}");
    assert_eq!(said[1..], ["[]", "[]", "[]", "dev:x:0:0::/mnt/home:/bin/sh"], "{ended:#?}");
}

#[test]
fn the_account_begins_anew_where_its_file_is_damaged_or_of_another_start() {
    says(
        CONFIG,
        "check; sleep 1.2; echo '{broken' >/run/agent/idle/account; check; off
         echo '{\"start\":\"x\",\"looked_ms\":0,\"away_ms\":0,\"nobody\":true,\"idle_ms\":99999999,\"grace_until_ms\":0}' \
           >/run/agent/idle/account; check; off; sleep 1.2; check; off",
        &["check 0", "check 0", "on", "check 0", "on", "check 0", "--no-block poweroff"],
    );
}

#[test]
fn where_not_everybody_is_to_be_seen_nothing_is_stopped_and_it_is_said() {
    let sandbox = sandbox(CONFIG);
    let ended = lived(
        &sandbox,
        "check; sleep 1.2; mount -t tmpfs none /proc; check; off; agent idle; echo $?",
    );
    let said: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!((said[1], said[2]), ("check 1", "on"), "{ended:#?}");
    let log = sandbox.out("log");
    assert!(log.contains("idle: unknown: not everybody is to be seen"), "{log}");
    assert!(log.contains("the machine is not stopped"), "{log}");
    assert_eq!(said.last(), Some(&"1"), "{ended:#?}");
}

#[test]
fn a_configuration_with_errors_stops_nothing() {
    let config = format!("{CONFIG}colour = 1\n");
    let sandbox = sandbox(&config);
    let ended =
        lived(&sandbox.variable("AGENT__IDLE__ENABLED", "true"), "check; sleep 1.2; check; off");
    assert_eq!(ended.stdout, "check 1\ncheck 1\non\n", "{ended:#?}");
}

#[test]
fn never_is_never_whoever_says_it() {
    for (config, variable, who) in [
        ("[idle]\nenabled = false\ntimeout = \"1s\"\ngrace = \"1ms\"\n", "60", "idle.enabled"),
        ("[idle]\nenabled = true\ngrace = \"1ms\"\n", "0", "MINT_IDLE_TIMEOUT"),
        ("", "1", "idle.enabled"),
    ] {
        let sandbox = sandbox(config).variable("MINT_IDLE_TIMEOUT", variable);
        let ended = lived(&sandbox, "check; sleep 1.2; check; off; agent idle --json");
        let (checks, json) =
            ended.stdout.split_once("on\n").unwrap_or_else(|| panic!("{ended:#?}"));
        assert_eq!(checks, "check 0\ncheck 0\n");
        let report: Value = serde_json::from_str(json).unwrap();
        assert_eq!((&report["state"], &report["timeout_from"]), (&"never".into(), &who.into()));
    }
}

#[test]
fn the_launch_fills_what_the_configuration_leaves_and_sixty_minutes_are_the_default() {
    let asked = |timeout: &str, variable: &str| {
        let config = format!("[idle]\nenabled = true\n{timeout}");
        let sandbox = sandbox(&config).variable("MINT_IDLE_TIMEOUT", variable);
        let report = lived(&sandbox, "agent idle --json").json();
        let minutes = report["timeout_ms"].as_u64().unwrap() / 60_000;
        (minutes, report["timeout_from"].as_str().unwrap().to_owned())
    };
    assert_eq!(asked("", "7"), (7, "MINT_IDLE_TIMEOUT".into()));
    assert_eq!(asked("timeout = \"20m\"\n", "7"), (20, "idle.timeout".into()));
    assert_eq!(asked("", ""), (60, "default".into()));
}

#[test]
fn a_machine_that_cannot_be_switched_off_says_so_at_each_check() {
    let sandbox = sandbox(CONFIG);
    let broken = "#!/bin/sh\necho 'no bus' >&2; exit 1\n";
    give(&file(&sandbox.path("bin"), "systemctl", broken), 0o755);
    let ended = lived(&sandbox, "check; sleep 1.2; check; agent idle; sleep 0.1; check");
    assert!(ended.stdout.contains("check 1\ndue: "), "{ended:#?}");
    assert!(ended.stdout.contains("problem: the idle machine was not stopped"), "{ended:#?}");
    let log = sandbox.out("log");
    assert_eq!(log.matches("no bus").count(), 2, "{log}");
}

/// Without a role there is nobody to ask EC2, and to switch off might terminate: it stays up.
#[test]
fn an_instance_whose_api_cannot_be_asked_stays_up_and_says_what_to_do() {
    let config = "[ec2]\nenabled = true\nendpoints = [\"http://127.0.0.1:9\"]\nrequest_deadline = \"200ms\"\n\
                  deadline = \"500ms\"\n[idle]\ntimeout = \"1s\"\ngrace = \"1ms\"\n";
    let sandbox = sandbox(config);
    let ended = lived(&sandbox, "check; sleep 1.2; check; off");
    assert_eq!(ended.stdout, "check 0\ncheck 1\non\n", "{ended:#?}");
    let log = sandbox.out("log");
    assert!(log.contains("the idle machine was not stopped: "), "{log}");
    assert!(log.contains("idle.stop = \"power-off\""), "{log}");
}
