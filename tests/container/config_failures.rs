//! A configuration that cannot be used: named with its place, and never half obeyed.

use crate::engine::{podman, ready, wait_for};
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe};
use std::time::Duration;

const BROKEN: &str = "[boot]\non_failur = \"hold\"\n";

fn with_file(volume: &Volume, file: &Files) -> Recipe {
    Recipe::on(volume).argument(&file.mounted("50.toml", "/etc/agent/conf.d/50.toml", "ro"))
}

#[test]
fn a_broken_file_ends_the_sandbox_with_its_line_and_column() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("50.toml", BROKEN);
    let (sandbox, output) = with_file(&volume, &file).run(&["echo", "workload"]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""));
    let last = output.stderr.lines().last().unwrap();
    assert_eq!(
        last,
        "agent: failed: config: /etc/agent/conf.d/50.toml:2:1: unknown key `on_failur`; \
         did you mean `on_failure`?"
    );
    assert!(sandbox.logs().contains("/etc/agent/conf.d/50.toml:2:1"));
}

#[test]
fn a_broken_file_leaves_hold_of_another_source_in_force() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("50.toml", BROKEN);
    let sandbox = with_file(&volume, &file).hold().start(IDLE);
    let (seen, text) = sandbox.shows("failed", "config-invalid");
    assert!(text.contains("50.toml:2:1"), "{text}");
    assert_eq!(seen.phase("config"), "failed");
    // Nothing of the boot was done with a half-understood configuration.
    assert_ne!(seen.phase("volume"), "ok");
}

#[test]
fn a_broken_variable_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).env("AGENT__TOOLS__DEADLINE", "soon").hold().start(IDLE);
    let (seen, _) = sandbox.expects("failed", "config-invalid");
    let problem = seen.problem("config-invalid");
    assert!(problem.contains("AGENT__TOOLS__DEADLINE") && problem.contains("soon"), "{problem}");
}

/// One start names all that is wrong.
#[test]
fn every_broken_source_is_named_at_once() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("50.toml", BROKEN);
    let sandbox =
        with_file(&volume, &file).env("AGENT__TOOLS__ENABLED", "perhaps").hold().start(IDLE);
    let (seen, _) = sandbox.expects("failed", "config-invalid");
    let problem = seen.problem("config-invalid");
    for part in ["50.toml:2:1", "AGENT__TOOLS__ENABLED", "perhaps"] {
        assert!(problem.contains(part), "{part}: {problem}");
    }
}

#[test]
fn files_of_the_directory_amend_the_images_own() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("50.toml", "[[volume]]\ntarget = \"~\"\ndirectories = [\"own\"]\n");
    let sandbox = with_file(&volume, &file).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox.sh("test -d ~/own && test ! -d ~/.local/bin").good();
    let check = sandbox.exec(&["agent", "config", "check"]).good();
    assert!(check.contains("/etc/agent/conf.d/50.toml"), "{check}");
}

/// Kubernetes shows this file's content as the reason of termination.
#[test]
fn the_reason_is_left_where_a_cluster_looks_for_it() {
    if !ready() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let volume = Volume::new();
    let reason = Files::one("reason", "an older and longer reason ".repeat(40).as_str());
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(reason.path("reason"), open).unwrap();
    let (_sandbox, output) = Recipe::on(&volume)
        .argument(&reason.mounted("reason", "/dev/termination-log", "rw"))
        .script("#!/bin/sh\nexit 3\n")
        .run(IDLE);
    assert_eq!(output.status, 1);
    let left = std::fs::read_to_string(reason.path("reason")).unwrap();
    assert_eq!(left, "failed: user-script: the user script ended with status 3 (attempt 1)");
}

/// With `hold` the workload runs in spite of the failure, the status stays `failed`, and the
/// log says both.
#[test]
fn hold_starts_the_workload_and_stays_failed() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "echo workload; exec sleep infinity";
    let sandbox = Recipe::on(&volume)
        .script("#!/bin/sh\nexit 3\n")
        .argument("--env=AGENT__BOOT__ON_FAILURE=hold")
        .start(&["sh", "-c", line]);
    assert_eq!(sandbox.settled().state(), "failed");
    wait_for("the workload", Duration::from_secs(10), || {
        sandbox.logs().contains("workload\n").then_some(())
    });
    assert!(sandbox.logs().contains("the workload starts all the same"), "{}", sandbox.logs());
    assert_eq!(sandbox.status().state(), "failed");
    sandbox.stop().good();
    assert_eq!(sandbox.exit_status(), 143);
}

#[test]
fn a_log_in_json_is_json_line_for_line() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (sandbox, output) = Recipe::on(&volume)
        .env("AGENT__LOG__FORMAT", "json")
        .script("#!/bin/sh\nexit 3\n")
        .run(IDLE);
    assert_eq!(output.status, 1);
    let lines = podman(&["logs", &sandbox.name]).stderr;
    assert!(lines.lines().count() > 3, "{lines}");
    for line in lines.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object.is_object(), "{line}");
    }
}
