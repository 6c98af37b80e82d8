//! Every way in which a user script ends badly has a name, an exit status, a next step.

use crate::engine::ready;
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe};

/// Boots with `script`, expects `failed` with `code`, and returns what a person reads.
#[track_caller]
fn fails(recipe: Recipe, code: &str) -> String {
    let sandbox = recipe.hold().start(IDLE);
    let (seen, text) = sandbox.shows("failed", code);
    assert_eq!(seen.phase("user-script"), "failed", "{text}");
    assert_eq!(seen.phase("tools"), "ok", "{text}");
    assert!(text.contains("next: "), "{text}");
    text
}

#[test]
fn a_non_zero_exit_is_named_with_its_status() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let text = fails(Recipe::on(&volume).script("#!/bin/sh\nexit 3\n"), "script-failed");
    assert!(text.contains("ended with status 3 (attempt 1)"), "{text}");
    assert!(text.contains("user-script.log"), "{text}");
}

#[test]
fn a_killed_script_is_named_with_the_signal() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let text = fails(Recipe::on(&volume).script("#!/bin/sh\nkill -KILL $$\n"), "script-killed");
    assert!(text.contains("SIGKILL"), "{text}");
}

/// The kernel kills what outgrows the sandbox's memory: the script, not the first process.
#[test]
fn a_script_beyond_the_memory_limit_is_named_and_the_sandbox_lives() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let script = "#!/bin/bash\nx=$(head -c 400M /dev/zero | tr '\\0' x)\n";
    let sandbox = Recipe::on(&volume)
        .argument("--memory=128m")
        .argument("--memory-swap=128m")
        .script(script)
        .hold()
        .start(IDLE);
    let (_, text) = sandbox.expects("failed", "script-killed");
    assert!(text.contains("memory limit"), "{text}");
}

/// The deadline ends the whole process group, a child that ignores TERM included.
#[test]
fn a_script_past_its_deadline_is_ended_with_all_its_children() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let script = "#!/bin/bash\n(trap '' TERM; sleep 1000) &\nsleep 1000\n";
    let sandbox = Recipe::on(&volume)
        .script(script)
        .env("AGENT__BOOTSTRAP__DEADLINE", "1s")
        .env("AGENT__BOOT__GRACE", "1s")
        .hold()
        .start(&["sleep", "infinity"]);
    let (_, text) = sandbox.shows("failed", "script-deadline");
    assert!(text.contains("did not end within 1.0 s"), "{text}");
    let left = sandbox.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").good();
    assert!(!left.contains("sleep 1000"), "{left}");
}

#[test]
fn a_payload_that_does_not_decode_is_a_failure_and_never_skipped() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let text = fails(
        Recipe::on(&volume).env("MINT_USER_BOOTSTRAP", "hunter2 is no base64!"),
        "payload-undecodable",
    );
    assert!(!text.contains("hunter2"), "{text}");
    // gzip, cut short
    fails(Recipe::on(&volume).env("MINT_USER_BOOTSTRAP", "H4sIAAAAAAAA"), "payload-undecodable");
}

#[test]
fn a_script_file_that_is_missing_or_closed_is_a_failure() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let named = || Recipe::on(&volume).env("AGENT__BOOTSTRAP__FILE", "/etc/shadow");
    let text = fails(named(), "payload-unreadable");
    assert!(text.contains("Permission denied"), "{text}");
    let text = fails(
        Recipe::on(&volume).env("AGENT__BOOTSTRAP__FILE", "/run/no-such-secret"),
        "payload-unreadable",
    );
    assert!(text.contains("/run/no-such-secret"), "{text}");
}

#[test]
fn two_scripts_are_one_too_many() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("s", "#!/bin/sh\n");
    let recipe = Recipe::on(&volume)
        .argument(&file.mounted("s", "/etc/user-script", "ro"))
        .env("AGENT__BOOTSTRAP__FILE", "/etc/user-script")
        .script("#!/bin/sh\n");
    fails(recipe, "payload-ambiguous");
}

#[test]
fn a_first_line_that_names_no_interpreter_is_told() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let text = fails(Recipe::on(&volume).script("echo no first line\n"), "script-first-line");
    assert!(text.contains("no #! line"), "{text}");
    let text = fails(Recipe::on(&volume).script("#!/bin/sh\r\necho\r\n"), "script-first-line");
    assert!(text.contains("Windows line ends"), "{text}");
    let text = fails(Recipe::on(&volume).script("#!sh\necho\n"), "script-first-line");
    assert!(text.contains("absolute path"), "{text}");
}

/// The interpreter's name is a byte of the script: it is told in the private log alone.
#[test]
fn a_missing_interpreter_is_told_without_its_name() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).script("#!/opt/absent/python\n").hold().start(IDLE);
    let (_, text) = sandbox.shows("failed", "script-interpreter");
    assert!(!text.contains("absent") && !sandbox.logs().contains("absent"), "{text}");
    let log = text.lines().find_map(|l| l.trim().strip_prefix("log: ")).unwrap();
    assert!(sandbox.exec(&["cat", log]).good().contains("/opt/absent/python"));
}

#[test]
fn an_interpreter_that_cannot_be_executed_is_told() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    fails(Recipe::on(&volume).script("#!/etc/passwd\n"), "script-not-started");
}

/// Without `hold` the sandbox ends: status 1, and one line that says why.
#[test]
fn a_failed_script_ends_the_sandbox_before_the_workload() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_sandbox, output) =
        Recipe::on(&volume).script("#!/bin/sh\nexit 3\n").run(&["echo", "workload"]);
    assert_eq!(output.status, 1);
    assert!(!output.stdout.contains("workload"), "{}", output.stdout);
    let last = output.stderr.lines().last().unwrap();
    assert_eq!(last, "agent: failed: user-script: the user script ended with status 3 (attempt 1)");
}
