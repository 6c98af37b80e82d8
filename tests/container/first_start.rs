//! The first start: an empty volume becomes a ready sandbox.

use crate::engine::{podman, ready};
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe};
use crate::seen::keep_sample;

/// Also the one test whose flags are the contract's with nothing left out, the default
/// network included.
#[test]
fn a_fresh_volume_becomes_a_ready_sandbox() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let status = sandbox.settled();
    assert_eq!(status.state(), "complete", "{}", sandbox.logs());
    assert_eq!(status.instance().len(), 12, "the container's id, as podman shows it");
    keep_sample("complete", &sandbox.exec(&["agent", "status"]).stdout);
    // A tool of the baseline runs without a shell, a login or an activation.
    assert!(sandbox.exec(&["cowsay", "ready"]).good().contains("ready"));
    sandbox.sh("test -d ~/.local/bin && test -e ~/.bashrc").good();
}

/// What the flags promise is what the sandbox has: the tests below lean on it.
#[test]
fn neither_pid_1_nor_the_workload_has_any_privilege() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "cat /proc/1/status /proc/self/status; touch /etc/x || echo read-only";
    let (_sandbox, output) = Recipe::on(&volume).run(&["sh", "-c", line]);
    let status = output.good();
    assert_eq!(status.matches("CapEff:\t0000000000000000").count(), 2, "{status}");
    assert_eq!(status.matches("NoNewPrivs:\t1").count(), 2, "{status}");
    assert_eq!(status.matches("Uid:\t1000\t1000\t1000\t1000").count(), 2, "{status}");
    assert!(status.contains("read-only"), "{status}");
}

/// `nocopy` leaves the image's files out: the agent fills the home from the skeleton.
#[test]
fn an_empty_volume_gets_the_skeleton_and_the_users_directory_for_programs() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::bare()
        .argument(&format!("--volume={}", volume.at_home_with("U,nocopy")))
        .start(IDLE);
    let status = sandbox.settled();
    assert_eq!(status.state(), "complete", "{}", sandbox.logs());
    assert!(status.notes().contains("skeleton files"), "{}", status.notes());
    sandbox.sh("cmp ~/.bashrc /etc/skel/.bashrc && test -w ~/.local/bin").good();
}

/// The user's own programs come first, then the image's tools, then the user's, then the
/// image's programs.
#[test]
fn the_workload_finds_programs_in_the_contracts_order() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_sandbox, output) = Recipe::on(&volume).run(&["sh", "-c", "echo PATH=$PATH HOME=$HOME"]);
    let expected = "PATH=/home/iteron/.local/bin:/home/iteron/.local/share/agent/baseline/bin:\
        /usr/local/share/agent/baseline/bin:/home/iteron/.local/share/mise/shims:/usr/local/sbin:";
    let said = output.good();
    assert!(said.contains(expected) && said.contains("HOME=/home/iteron"), "{said}");
}

/// Login shells too (tmux starts those), although `/etc/profile` sets a PATH of its own.
#[test]
fn a_login_shell_finds_the_tools() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    let path = sandbox.exec(&["bash", "-lc", "cowsay moo && echo $PATH"]).good();
    assert!(path.contains("moo") && path.contains("/home/iteron/.local/bin:"), "{path}");
}

/// `--tmpfs /tmp:noexec` and no other tmpfs: the script has no place to be executed from.
#[test]
fn a_script_runs_where_nothing_can_be_executed() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::with(&[
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--read-only",
        "--read-only-tmpfs=false",
        "--tmpfs=/tmp:noexec",
    ])
    .argument(&format!("--volume={}", volume.at_home()))
    .script("#!/bin/bash\necho \"$BASH_VERSION\" >~/ran\n")
    .start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert_ne!(sandbox.exec(&["cat", "/home/iteron/ran"]).good().trim(), "");
    // The control: this /tmp refuses indeed.
    let refused = sandbox.sh("cp /bin/true /tmp/true && /tmp/true");
    assert_eq!(refused.status, 126, "{}", refused.stderr);
}

#[test]
fn settings_and_script_come_by_an_env_file() {
    if !ready() {
        return;
    }
    // `#!/bin/sh`, `touch ~/ran`
    let file = Files::one(
        "sandbox.env",
        "MINT_USER_BOOTSTRAP=IyEvYmluL3NoCnRvdWNoIH4vcmFuCg==\nAGENT__BOOTSTRAP__INSTANCE=named\n",
    );
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume)
        .argument(&format!("--env-file={}", file.path("sandbox.env").display()))
        .start(IDLE);
    let status = sandbox.settled();
    assert_eq!((status.state(), status.instance()), ("complete", "named"));
    sandbox.exec(&["test", "-e", "/home/iteron/ran"]).good();
}

/// Nothing is waited for between start and question: the waiter may be there first.
#[test]
fn waiting_may_begin_before_the_boot() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).script("#!/bin/sh\nsleep 2; touch ~/ran\n").start(IDLE);
    let waited = sandbox.exec(&["agent", "status", "--wait", "--timeout", "60s", "--quiet"]);
    assert_eq!((waited.status, waited.stdout.as_str()), (0, ""));
    sandbox.exec(&["test", "-e", "/home/iteron/ran"]).good();
}

/// A wait has an end of its own, and says what it saw at it.
#[test]
fn a_wait_that_is_too_short_says_running() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).script("#!/bin/sh\ntouch ~/ran; sleep 60\n").start(IDLE);
    sandbox.wait_for_file("/home/iteron/ran");
    let waited = sandbox.exec(&["agent", "status", "--wait", "--timeout", "300ms"]);
    assert_eq!(waited.status, 3, "{}", waited.stdout);
    keep_sample("running", &waited.stdout);
    assert!(waited.stdout.contains("running: user-script"), "{}", waited.stdout);
}

#[test]
fn the_health_check_follows_the_status() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let well = Recipe::on(&volume).start(IDLE);
    well.settled();
    assert_eq!(podman(&["healthcheck", "run", &well.name]).status, 0);
    let ill = Recipe::on(&volume).script("#!/bin/sh\nexit 3\n").hold().start(IDLE);
    assert_eq!(ill.settled().state(), "failed");
    assert_eq!(podman(&["healthcheck", "run", &ill.name]).status, 1);
}

/// A degraded sandbox is usable, so it is healthy.
#[test]
fn a_degraded_sandbox_is_healthy() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).env("AGENT__TOOLS__MISE", "/nowhere/mise").start(IDLE);
    assert_eq!(sandbox.settled().state(), "degraded");
    assert_eq!(podman(&["healthcheck", "run", &sandbox.name]).status, 0);
}
