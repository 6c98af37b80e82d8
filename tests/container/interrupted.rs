//! Boots that are cut off: by a stop, by KILL, by the death of a process. None of them may
//! leave a `complete` that was not, a `failed` that is lost, or a `running` for ever.

use crate::engine::{podman, ready, wait_for};
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox};
use crate::seen::keep_sample;
use std::time::Duration;

/// Its first run never ends; later ones wait for a file.
const STUCK: &str = "#!/bin/bash
echo run >>~/runs
if [ $(wc -l <~/runs) = 1 ]; then sleep 1000; else until test -e ~/go; do sleep 0.1; done; fi
";

fn in_the_script(volume: &Volume) -> Sandbox {
    let sandbox = Recipe::on(volume).script(STUCK).start(IDLE);
    sandbox.wait_for_file("/home/iteron/runs");
    sandbox
}

/// The second life repeats the script, and says so; nothing of the first is taken for it.
#[track_caller]
fn is_repeated(sandbox: &Sandbox) {
    sandbox.start_again();
    wait_for("the second run", Duration::from_secs(30), || {
        let status = sandbox.status();
        assert!(["none", "running"].contains(&status.state()), "{}", status.summary());
        (status.attempt() == 2).then_some(())
    });
    sandbox.sh("touch ~/go").good();
    let status = sandbox.settled();
    assert_eq!((status.state(), status.attempt()), ("complete", 2), "{}", sandbox.logs());
    assert!(status.notes().contains("attempt 1 was cut off before its end"), "{}", status.notes());
}

#[test]
fn a_stop_during_the_script_cancels_the_boot_and_the_next_start_repeats_it() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = in_the_script(&volume);
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(10), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143);
    is_repeated(&sandbox);
}

/// podman's own init passes the signal on; the outcome is the same.
#[test]
fn below_podmans_init_a_stop_cancels_the_boot_too() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).argument("--init").script(STUCK).start(IDLE);
    sandbox.wait_for_file("/home/iteron/runs");
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(10), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143);
    is_repeated(&sandbox);
}

/// A script that ignores TERM is killed within the grace; the stop stays inside podman's
/// default patience.
#[test]
fn a_script_that_ignores_term_does_not_delay_the_stop() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let script = "#!/bin/bash\ntrap '' TERM\ntouch ~/runs\nwhile :; do sleep 1; done\n";
    let sandbox = Recipe::on(&volume).script(script).start(IDLE);
    sandbox.wait_for_file("/home/iteron/runs");
    let stop = podman(&["stop", &sandbox.name]);
    assert_eq!(sandbox.exit_status(), 143, "podman had to kill it: {}", sandbox.logs());
    assert!(stop.took < Duration::from_secs(12), "{:?}", stop.took);
}

#[test]
fn a_kill_during_the_script_is_no_complete_and_the_next_start_repeats_it() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = in_the_script(&volume);
    podman(&["kill", "--signal", "KILL", &sandbox.name]).good();
    assert_eq!(sandbox.ended(), 137);
    is_repeated(&sandbox);
}

/// A stop before the workload ran: status 143, and mise ends with it.
#[test]
fn a_stop_during_the_tools_ends_mise_too() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = executable("#!/bin/sh\ntouch ~/asked\nexec sleep 1000\n");
    let sandbox = Recipe::on(&volume)
        .argument(&file.mounted("mise", "/opt/mise", "ro"))
        .env("AGENT__TOOLS__MISE", "/opt/mise")
        .start(IDLE);
    sandbox.wait_for_file("/home/iteron/asked");
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(10), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143);
}

fn executable(text: &str) -> Files {
    use std::os::unix::fs::PermissionsExt;
    let file = Files::one("mise", text);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(file.path("mise"), mode).unwrap();
    file
}

/// The boot process dies without a word: PID 1 records its end.
#[test]
fn a_boot_that_is_killed_is_recorded_by_the_first_process() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).script(STUCK).hold().start(IDLE);
    sandbox.wait_for_file("/home/iteron/runs");
    kill_boot(&sandbox);
    // Until PID 1 has written it, a status sees no more than that the runner is gone.
    wait_for("the record of the boot's end", Duration::from_secs(20), || {
        sandbox.status().codes().contains(&"boot-died".to_owned()).then_some(())
    });
    let (seen, text) = sandbox.shows("failed", "boot-died");
    assert!(seen.summary().contains("interrupted in user-script"), "{text}");
    // What the boot had started is gone with it, its private file too.
    let left = sandbox.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls -d /dev/shm/agent-*").stdout;
    assert!(!left.contains("sleep 1000") && !left.contains("agent-script-"), "{left}");
    sandbox.stop().good();
    is_repeated(&sandbox);
}

#[test]
fn a_boot_that_is_killed_ends_the_sandbox() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = in_the_script(&volume);
    kill_boot(&sandbox);
    assert_eq!(sandbox.ended(), 1);
    assert!(sandbox.logs().contains("was ended by SIGKILL"), "{}", sandbox.logs());
}

/// A boot by hand has no PID 1 to record its end: the status sees that its runner is gone.
#[test]
fn a_boot_without_an_end_whose_runner_is_gone_reads_failed() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox =
        Recipe::on(&volume).argument("--entrypoint=sleep").script(STUCK).start(&["infinity"]);
    sandbox.exec_with(&["--detach"], &["agent", "boot"]).good();
    sandbox.wait_for_file("/home/iteron/runs");
    assert_eq!(sandbox.status().state(), "running");
    kill_boot(&sandbox);
    let status = sandbox.settled();
    assert_eq!(status.state(), "failed");
    assert!(
        status.summary().contains("failed: interrupted in user-script"),
        "{}",
        status.summary()
    );
    keep_sample("interrupted", &sandbox.exec(&["agent", "status"]).stdout);
}

/// A boot that ends between the reading of its journal and the look for its process has not died.
#[test]
fn a_boot_that_ends_while_it_is_asked_for_is_not_taken_for_dead() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    let line = "(for i in $(seq 30); do agent boot >/dev/null 2>&1; done; touch ~/stop) &
        while ! test -e ~/stop; do agent status | grep -m1 ^failed; done; true";
    assert_eq!(sandbox.sh(line).good(), "");
}

/// One boot at a time: a second one keeps its hands off.
#[test]
fn a_second_boot_of_the_same_instance_is_refused() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = in_the_script(&volume);
    let second = sandbox.exec(&["agent", "boot"]);
    assert_eq!(second.status, 75, "{}", second.stderr);
    assert!(
        second.stderr.contains("another boot of this instance is running"),
        "{}",
        second.stderr
    );
    assert_eq!(sandbox.status().state(), "running");
}

fn kill_boot(sandbox: &Sandbox) {
    let line = "for p in /proc/[0-9]*; do
        case $(tr '\\0' ' ' <$p/cmdline) in 'agent boot'*) kill -KILL ${p#/proc/};; esac
    done";
    sandbox.sh(line);
}

/// Wherever the power goes: `complete` is only ever said of a script that ran to its end.
#[test]
fn a_kill_at_any_moment_leaves_a_true_status_and_a_next_start_that_completes() {
    if !ready() {
        return;
    }
    let script = "#!/bin/sh\nrm -f ~/done; echo run >>~/runs; sleep 0.2; touch ~/done\n";
    for delay in [0, 20, 40, 80, 160, 320] {
        let volume = Volume::new();
        let sandbox = Recipe::on(&volume).script(script).start(IDLE);
        std::thread::sleep(Duration::from_millis(delay));
        podman(&["kill", "--signal", "KILL", &sandbox.name]).good();
        assert_eq!(sandbox.ended(), 137);
        sandbox.start_again();
        let (before, done) = (sandbox.status(), sandbox.exec(&["ls", "/home/iteron/done"]).status);
        // Looked at after the status, so it may be there although the status says running.
        assert!(before.state() != "complete" || done == 0, "{delay} ms: {}", before.summary());
        let after = sandbox.settled();
        assert_eq!(after.state(), "complete", "{delay} ms: {}", sandbox.logs());
        sandbox.exec(&["ls", "/home/iteron/done"]).good();
        let runs = sandbox.exec(&["cat", "/home/iteron/runs"]).good().lines().count();
        assert!(u64::try_from(runs).unwrap() <= after.attempt(), "{delay} ms: {runs} runs");
    }
}

/// Nor is there a moment at which a stop is not heard.
#[test]
fn a_stop_at_any_moment_is_heard() {
    if !ready() {
        return;
    }
    for delay in [0, 20, 40, 80, 160] {
        let volume = Volume::new();
        let sandbox = Recipe::on(&volume).script("#!/bin/sh\nsleep 0.1\n").start(IDLE);
        std::thread::sleep(Duration::from_millis(delay));
        let stop = sandbox.stop();
        assert!(stop.took < Duration::from_secs(9), "{delay} ms: {:?}", stop.took);
        assert_eq!(sandbox.exit_status(), 143, "{delay} ms: {}", sandbox.logs());
        sandbox.start_again();
        assert_eq!(sandbox.settled().state(), "complete", "{delay} ms: {}", sandbox.logs());
    }
}
