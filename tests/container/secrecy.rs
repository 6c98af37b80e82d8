//! No byte of the user script gets anywhere but to its user.

use crate::engine::ready;
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe, Sandbox};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Never a part of anything else.
const SECRET: &str = "correct-horse-battery";

/// It prints the secret and lives until it is told to end.
fn script() -> String {
    format!("#!/bin/bash\necho {SECRET}\ntouch ~/ready; until test -e ~/go; do sleep 0.1; done\n")
}

/// What root with every capability finds in `/proc/PID/environ` and `/proc/PID/cmdline` of
/// PID 1 and all its descendants. Processes that podman put in from outside (`exec`) have no
/// parent in there; podman itself gives them the container's environment, payload included,
/// and no process inside can keep it from that.
fn in_processes(sandbox: &Sandbox, text: &str) -> Vec<String> {
    let line = r#"
        ours() {
            p=$1
            while [ "$p" -gt 1 ]; do p=$(awk '/^PPid/ { print $2 }' /proc/$p/status) || return 1; done
            [ "$p" = 1 ]
        }
        cd /proc
        for p in [0-9]*; do
            grep -a -q -F -e "$1" $p/environ $p/cmdline 2>/dev/null || continue
            if ours $p; then echo "ours $p"; else echo "podman's $p"; fi
        done"#;
    let found =
        sandbox.exec_with(&["--privileged", "--user=0"], &["sh", "-c", line, "sh", text]).stdout;
    found.lines().map(str::to_owned).collect()
}

#[test]
fn no_process_of_the_sandbox_shows_the_payload() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let payload = BASE64_STANDARD.encode(script());
    let sandbox = Recipe::on(&volume).script(&script()).start(IDLE);
    sandbox.wait_for_file("/home/iteron/ready");
    let ours = |when: &str| {
        for text in [payload.as_str(), SECRET] {
            let found = in_processes(&sandbox, text);
            assert!(!found.iter().any(|l| l.starts_with("ours")), "{when}: {found:?}");
        }
        // The control: what searches was given the payload by podman, and finds that.
        let found = in_processes(&sandbox, &payload);
        assert!(found.iter().any(|l| l.starts_with("podman's")), "{when}: {found:?}");
    };
    ours("while the script runs");
    sandbox.sh("touch ~/go").good();
    assert_eq!(sandbox.settled().state(), "complete");
    ours("while the workload runs");
}

#[test]
fn the_scripts_file_is_private_and_gone_afterwards() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).script(&script()).start(IDLE);
    sandbox.wait_for_file("/home/iteron/ready");
    let find = "find / -xdev -name 'agent-script-*' -printf '%m %U %p\\n' 2>/dev/null
        find /dev/shm /tmp /run /home -name 'agent-script-*' -printf '%m %U %p\\n' 2>/dev/null
        find /dev/shm /tmp /run /home -path '*/agent-script-*/*' -printf '%m %U %p\\n' 2>/dev/null";
    let during = sandbox.sh(find).stdout;
    assert!(during.contains("700 1000 ") && during.contains("500 1000 "), "{during}");
    sandbox.sh("touch ~/go").good();
    sandbox.settled();
    assert_eq!(sandbox.sh(find).stdout, "");
}

/// Also a failed script leaves no file behind.
#[test]
fn a_failed_scripts_file_is_gone_too() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).script("#!/bin/sh\nexit 3\n").hold().start(IDLE);
    assert_eq!(sandbox.settled().state(), "failed");
    let left = sandbox.sh("find /dev/shm /tmp /run /home -name 'agent-script-*' 2>/dev/null");
    assert_eq!(left.stdout, "");
}

/// What the script prints stays in its own log, which nobody but its user reads.
#[test]
fn the_scripts_output_is_in_its_log_alone() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let script = format!("#!/bin/sh\necho {SECRET}; echo {SECRET} >&2; exit 3\n");
    let sandbox = Recipe::on(&volume).script(&script).hold().start(IDLE);
    let status = sandbox.settled();
    assert_eq!(status.state(), "failed");
    let directory = status.journal().rsplit_once('/').unwrap().0.to_owned();
    let log = format!("{directory}/logs/user-script.log");
    let mode = sandbox.exec(&["stat", "--format=%a %u", &log]).good();
    assert_eq!(mode.trim(), "600 1000");
    let found = sandbox.sh(&format!("grep -rl {SECRET} {directory} /home/iteron /tmp /run")).stdout;
    assert!(found.lines().all(|l| l == log) && !found.is_empty(), "{found}");
    assert!(!sandbox.logs().contains(SECRET), "{}", sandbox.logs());
    for command in [["agent", "status"], ["agent", "plan"]] {
        let shown = sandbox.exec(&command);
        assert!(!(shown.stdout + &shown.stderr).contains(SECRET), "{command:?}");
    }
}
