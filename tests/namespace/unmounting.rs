//! What the boot has mounted is unmounted as the agent ends, and nobody keeps it in use by being
//! in it.

use crate::sandbox::Sandbox;
use crate::util::{Ended, run};

const SCRATCH: &str = "[[volume]]\ntarget = \"/tmp/scratch\"\n\
    mount = { source = \"tmpfs\", fstype = \"tmpfs\", options = [\"size=1m\", \"mode=1777\"] }\nmin_free = 0\nmin_inodes = 0\n\
    [[volume]]\ntarget = \"/tmp/scratch/inner\"\n\
    mount = { source = \"tmpfs\", fstype = \"tmpfs\", options = [\"size=1m\", \"mode=1777\"] }\nmin_free = 0\nmin_inodes = 0\n";

/// Prints what of the above is mounted.
const TABLE: &str = "grep -o ' /tmp/scratch[a-z/]* ' /proc/self/mountinfo";

/// The agent isn't PID 1, so that somebody sees what it leaves: `before` and `after` it.
fn around(before: &str, workload: &str, after: &str) -> Ended {
    let sandbox = Sandbox::new().config("agent.toml", SCRATCH);
    let outer = format!("{before}\n agent init -- sh -c '{workload}'; echo $?; {after}; exit 0");
    run(sandbox.pid1(&["sh", "-c", &outer])).expect(0)
}

#[test]
fn what_was_mounted_is_there_for_the_workload_and_gone_after_it() {
    let table = TABLE.replace('\'', "\"");
    let ended = around("true", &format!("{table}; exit 3"), &format!("{TABLE} || echo none"));
    assert_eq!(ended.stdout, " /tmp/scratch \n /tmp/scratch/inner \n3\nnone\n", "{ended:#?}");
    assert!(!ended.stderr.contains("unmount"), "{ended:#?}");
}

#[test]
fn one_that_is_still_in_use_is_told_and_taken_out_of_the_tree() {
    // A neighbour that the agent may not end is in it.
    let before = "mkdir /tmp/scratch; (while ! cd /tmp/scratch/inner 2>/dev/null; do sleep 0.02; done; touch here; exec sleep 30) &";
    let workload = "while [ ! -e /tmp/scratch/inner/here ]; do sleep 0.02; done";
    let ended = around(before, workload, &format!("{TABLE} || echo none"));
    assert!(ended.stdout.ends_with("0\nnone\n"), "{ended:#?}");
    assert!(ended.stderr.contains("/tmp/scratch/inner was still in use"), "{ended:#?}");
}

#[test]
fn what_was_mounted_before_stays() {
    let before = "mkdir -p /tmp/scratch; mount -t tmpfs -o mode=1777 tmpfs /tmp/scratch";
    let ended = around(before, "true", TABLE);
    assert_eq!(ended.stdout, "0\n /tmp/scratch \n", "{ended:#?}");
}

#[test]
fn a_boot_that_is_cut_off_leaves_nothing_mounted() {
    let sandbox = Sandbox::new()
        .config("agent.toml", SCRATCH)
        .script("#!/bin/sh\necho up >/mnt/out/up\nsleep 60\n");
    let outer = format!(
        "agent init -- true & while [ ! -e /mnt/out/up ]; do sleep 0.05; done; {TABLE} | wc -l; kill $!; wait $!; echo $?; {TABLE} || echo none"
    );
    let ended = run(sandbox.pid1(&["sh", "-c", &outer]));
    assert_eq!(ended.stdout, "2\n143\nnone\n", "{ended:#?}");
}

/// The directory that an image starts its processes in may be what is mounted over.
#[test]
fn the_workload_starts_in_the_mounted_directory_and_the_agent_is_in_none() {
    let sandbox = Sandbox::new().config("agent.toml", SCRATCH);
    let look = "pwd; stat -f -c %T .; readlink /proc/$PPID/cwd";
    let outer = format!("mkdir /tmp/scratch; cd /tmp/scratch; agent init -- sh -c '{look}'");
    let ended = run(sandbox.pid1(&["sh", "-c", &outer])).expect(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines, ["/tmp/scratch", "tmpfs", "/"], "{ended:#?}");
}
