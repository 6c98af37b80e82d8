//! How the user's script can end, and what the status says of each.

use crate::rehearse::Rehearsal;
use crate::sandbox::Sandbox;
use serde_json::{Value, json};

/// Rehearses `script` and returns the status as it is seen afterwards from inside.
#[track_caller]
fn status_of(script: impl AsRef<[u8]>, config: &str) -> Value {
    let ended = Rehearsal::of(script).config(config).then("agent status --json");
    let status = ended.json();
    let code = if status["state"] == "complete" { 0 } else { 1 };
    assert_eq!(ended.code(), code, "{ended:#?}");
    status
}

#[track_caller]
fn fails(script: impl AsRef<[u8]>, config: &str, code: &str, message: &str) -> Value {
    let status = status_of(script, config);
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["phase"], "user-script", "{status:#}");
    let phase = status["phases"].as_array().unwrap().last().unwrap();
    assert_eq!(phase["name"], "user-script");
    assert_eq!(phase["state"], "failed");
    let problem = &phase["problems"][0];
    assert_eq!(problem["code"], code, "{status:#}");
    assert!(problem["message"].as_str().unwrap().contains(message), "{status:#}");
    assert!(!problem["next"].as_str().unwrap().is_empty());
    assert!(status["summary"].as_str().unwrap().starts_with("failed: "), "{status:#}");
    status
}

#[test]
fn a_script_that_ends_well_makes_the_boot_complete() {
    let status = status_of("#!/bin/sh\nexit 0\n", "");
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(status["script"]["end"], json!({"how": "exit", "value": 0}));
    assert_eq!(status["script"]["attempt"], 1);
}

#[test]
fn a_script_that_ends_with_a_status_fails_the_boot_with_that_status() {
    let status =
        fails("#!/bin/sh\nexit 3\n", "", "script-failed", "ended with status 3 (attempt 1)");
    assert_eq!(status["script"]["end"], json!({"how": "exit", "value": 3}));
}

#[test]
fn a_script_that_is_killed_fails_the_boot_and_names_the_signal() {
    fails("#!/bin/sh\nkill -9 $$\n", "", "script-killed", "killed by SIGKILL (attempt 1)");
    fails("#!/bin/sh\nkill -6 $$\n", "", "script-killed", "killed by SIGABRT");
}

#[test]
fn a_script_past_its_deadline_is_ended_with_all_it_started() {
    let rehearsal = Rehearsal::of("#!/bin/sh\nsleep 300 &\nsleep 301\n")
        .config("[bootstrap]\ndeadline = \"500ms\"\n");
    let ended = rehearsal.then("cat /proc/[0-9]*/comm | grep -c sleep; agent status --json");
    let (sleeping, status) = ended.stdout.split_once('\n').unwrap();
    assert_eq!(sleeping, "0", "{ended:#?}");
    let status: Value = serde_json::from_str(status).unwrap();
    assert_eq!(status["state"], "failed");
    assert_eq!(status["script"]["end"], json!({"how": "deadline", "value": 500}));
    assert!(
        status["summary"].as_str().unwrap().contains("did not end within 500 ms"),
        "{status:#}"
    );
}

#[test]
fn a_script_that_ignores_term_is_killed_at_its_deadline() {
    let config = "[boot]\ngrace = \"300ms\"\n[bootstrap]\ndeadline = \"300ms\"\n";
    let script = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n";
    fails(script, config, "script-deadline", "did not end within 300 ms");
}

#[test]
fn the_deadline_of_the_whole_boot_holds_for_the_script_too() {
    let config = "[boot]\ndeadline = \"1s\"\n";
    fails("#!/bin/sh\nsleep 300\n", config, "script-deadline", "did not end within");
}

#[test]
fn a_script_without_a_first_line_is_told_so() {
    fails("echo hello\n", "", "script-first-line", "has no #! line");
}

#[test]
fn a_script_with_windows_line_ends_is_told_so() {
    fails("#!/bin/sh\r\necho hello\r\n", "", "script-first-line", "Windows line ends");
}

#[test]
fn a_first_line_that_the_kernel_cannot_run_is_told_so() {
    for script in ["#!\n", "#!sh\n", &format!("#!/{}\n", "x".repeat(400))] {
        fails(script, "", "script-first-line", "names no interpreter that the kernel can run");
    }
}

#[test]
fn a_missing_interpreter_is_told_without_a_byte_of_the_script() {
    let script = "#!/opt/secret-interpreter-name\n";
    let status = fails(script, "", "script-interpreter", "not in this image");
    assert!(!status.to_string().contains("secret-interpreter-name"), "{status:#}");
}

#[test]
fn an_interpreter_that_cannot_be_executed_is_told_so() {
    fails("#!/etc/passwd\n", "", "script-not-started", "cannot be started");
}

#[test]
fn a_payload_that_is_no_base64_fails_the_boot_and_shows_no_byte_of_it() {
    let seen = Sandbox::new().variable("MINT_USER_BOOTSTRAP", "IyEvYmlu*PlantedSecret").look();
    let seen = seen.is("failed").problem("user-script", "payload-undecodable");
    assert!(!seen.ended.all().contains("PlantedSecret"), "{:#?}", seen.ended);
}

#[test]
fn a_payload_of_damaged_gzip_fails_the_boot() {
    Sandbox::new()
        .script([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])
        .look()
        .is("failed")
        .problem("user-script", "payload-undecodable");
}

#[test]
fn an_empty_payload_is_skipped_and_the_boot_complete() {
    let seen = Sandbox::new().variable("MINT_USER_BOOTSTRAP", "").look().is("complete");
    assert_eq!(seen.phase("user-script")["state"], "skipped");
    assert!(seen.status.get("script").is_none());
}

#[test]
fn a_daemon_that_the_script_leaves_is_no_reason_to_wait() {
    let script = "#!/bin/sh\nsetsid sleep 300 &\nsleep 0.5\nexit 0\n";
    let ended = Rehearsal::of(script).then("cat /proc/[0-9]*/comm | grep -c sleep").expect(0);
    assert_eq!(ended.stdout, "1\n", "it lives on beside the workload");
}
