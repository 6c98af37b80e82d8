//! Orphans are reaped, as PID 1 and as a subreaper below podman's own init.

use crate::engine::{ready, wait_for};
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe, Sandbox};
use std::time::Duration;

/// Processes that have ended and were not reaped.
pub(crate) fn defunct(sandbox: &Sandbox) -> usize {
    let line = "cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | cut -c1";
    sandbox.sh(line).good().lines().filter(|state| *state == "Z").count()
}

/// Makes this many orphans: each one's parent ends at once, and it lives a little longer. A
/// shell does not do: it may see its child's end before its own.
pub(crate) fn orphans(count: u32) -> String {
    format!(
        "perl -e 'for (1..{count}) {{
            if (!fork) {{ if (!fork) {{ select undef, undef, undef, 0.01 }} exit }}
            wait
        }}'"
    )
}

#[test]
fn ten_thousand_orphans_leave_none_defunct() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    sandbox.sh(&orphans(10_000)).good();
    wait_for("no defunct process", Duration::from_secs(20), || {
        (defunct(&sandbox) == 0).then_some(())
    });
    sandbox.stop().good();
    assert_eq!(sandbox.exit_status(), 143);
}

/// The control: the same line where PID 1 reaps nothing.
#[test]
fn a_first_process_that_does_not_reap_keeps_them_all() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).argument("--entrypoint=sleep").start(&["infinity"]);
    sandbox.sh(&orphans(50)).good();
    wait_for("defunct processes", Duration::from_secs(20), || {
        (defunct(&sandbox) == 50).then_some(())
    });
}

#[test]
fn below_podmans_init_the_agent_says_so_and_adopts() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    // The orphan outlives its parent and writes down what its parent is now.
    let orphan =
        "( ( sleep 1; self=$BASHPID; parent=$(awk '/^PPid/ { print $2 }' /proc/$self/status)
        cat /proc/$parent/comm >~/parent.new; mv ~/parent.new ~/parent ) & )
        exec sleep infinity";
    let sandbox = Recipe::on(&volume).argument("--init").start(&["bash", "-c", orphan]);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert!(sandbox.logs().contains("adopting orphans as a subreaper"), "{}", sandbox.logs());
    assert!(!sandbox.exec(&["cat", "/proc/1/comm"]).good().contains("agent"));
    sandbox.wait_for_file("/home/iteron/parent");
    assert_eq!(sandbox.exec(&["cat", "/home/iteron/parent"]).good().trim(), "agent");
    assert_eq!(defunct(&sandbox), 0);
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(3), "{:?}", stop.took);
    assert_eq!(sandbox.exit_status(), 143);
}

#[test]
fn below_podmans_init_orphans_of_the_workload_are_reaped() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = format!("{}; touch ~/done; exec sleep infinity", orphans(500));
    let sandbox = Recipe::on(&volume).argument("--init").start(&["bash", "-c", &line]);
    sandbox.wait_for_file("/home/iteron/done");
    wait_for("no defunct process", Duration::from_secs(20), || {
        (defunct(&sandbox) == 0).then_some(())
    });
}

#[test]
fn below_podmans_init_the_exit_status_is_the_workloads() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let (_sandbox, output) = Recipe::on(&volume).argument("--init").run(&["sh", "-c", "exit 7"]);
    assert_eq!(output.status, 7);
}
