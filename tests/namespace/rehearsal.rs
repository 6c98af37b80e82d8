//! `agent try`: a whole boot without root, thrown away afterwards.

use crate::rehearse::Rehearsal;
use crate::util::{
    Running, agent, child_of, children, eventually, file, fresh, is_root, reachable, run, signal,
    unprivileged,
};
use std::path::Path;

/// As a user would write it.
const SCRIPT: &str = "#!/bin/sh\necho 'from the script' > ~/made\nmkdir -p ~/projects\n";

#[test]
fn a_rehearsal_of_a_good_script_is_complete_and_shows_every_phase() {
    let ended = Rehearsal::of(SCRIPT).alone().expect(0);
    assert!(ended.stdout.contains("complete"), "{ended:#?}");
    for phase in ["volume", "tools", "user-script"] {
        assert!(ended.stdout.contains(phase), "{phase}: {ended:#?}");
    }
    assert!(ended.stdout.contains("whole boot"), "no timeline: {ended:#?}");
}

#[test]
fn a_rehearsal_without_a_script_is_complete_and_says_that_there_was_none() {
    let ended = Rehearsal::new().alone().expect(0);
    assert!(ended.stdout.contains("no user script is given"), "{ended:#?}");
}

/// Negative control of the two above: the status is not always 0.
#[test]
fn a_rehearsal_of_a_bad_script_is_failed() {
    let ended = Rehearsal::of("#!/bin/sh\nexit 3\n").alone().expect(1);
    assert!(ended.stdout.contains("ended with status 3"), "{ended:#?}");
}

#[test]
fn the_command_runs_after_the_boot_in_the_same_sandbox_and_its_status_counts() {
    let ended = Rehearsal::of(SCRIPT).then("cat ~/made; ls -d ~/projects; exit 42").expect(42);
    assert_eq!(ended.stdout, "from the script\n/home/iteron/projects\n");
    assert!(ended.stderr.contains("complete"), "the report goes to standard error: {ended:#?}");
}

#[test]
fn a_command_after_a_failed_boot_sees_the_failure() {
    let ended = Rehearsal::of("#!/bin/sh\nexit 3\n").then("agent status --json").expect(1);
    assert_eq!(ended.json()["state"], "failed");
}

#[test]
fn the_sandbox_has_the_contracts_user_and_no_privilege() {
    let ended = Rehearsal::new()
        .then(
            "id -u; id -g; id -un; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; cat /proc/1/comm",
        )
        .expect(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[..3], ["1000", "1000", "iteron"]);
    let zero = |name: &str| format!("{name}:\t{:016}", 0);
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(lines.contains(&zero(name).as_str()), "{name}: {ended:#?}");
    }
    assert!(lines.contains(&"NoNewPrivs:\t1"), "{ended:#?}");
}

#[test]
fn the_machine_is_read_only_and_its_private_places_are_empty() {
    let marker = fresh();
    file(marker.path(), "marker", "of this machine");
    let ended = Rehearsal::new()
        .then(&format!(
            "for d in /etc /usr / /var; do touch $d/x 2>/dev/null && echo writable: $d; done
             ls {} 2>/dev/null && echo seen; ls -A /tmp /var/tmp /dev/shm | grep -v ':$' | grep . | head; echo end",
            marker.path().display()
        ))
        .expect(0);
    assert_eq!(ended.stdout, "end\n", "{ended:#?}");
}

#[test]
fn what_a_rehearsal_makes_is_gone_with_it() {
    let rehearsal = Rehearsal::of(SCRIPT);
    let before = rehearsal.then("[ -e ~/made ] && touch /tmp/left ~/left /dev/shm/left").expect(0);
    let after =
        rehearsal.then("ls /tmp/left ~/left /dev/shm/left 2>/dev/null; echo none").expect(0);
    assert_eq!((before.stdout.as_str(), after.stdout.as_str()), ("", "none\n"));
}

#[test]
fn what_cannot_be_read_is_66_with_one_line() {
    let missing = run(agent(&["try", "--bootstrap", "/no/such/script"])).expect(66);
    assert!(missing.stderr.contains("/no/such/script: No such file"), "{missing:#?}");
    let directory = run(agent(&["try", "--bootstrap", "/usr"])).expect(66);
    assert!(directory.stderr.contains("/usr: it is not a regular file"), "{directory:#?}");
    let dir = fresh();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    for option in ["--bootstrap", "--config"] {
        let ended = run(agent(&["try", option, fifo.to_str().unwrap()])).expect(66);
        assert!(ended.stderr.contains("not a regular file"), "and no hang: {ended:#?}");
    }
}

#[test]
fn an_error_in_the_config_is_told_with_its_place_before_anything_starts() {
    let ended = Rehearsal::new().config("[boot]\ndeadlin = \"5m\"\n").alone().expect(66);
    assert!(ended.stderr.contains("agent.toml:2:1: unknown key `deadlin`"), "{ended:#?}");
}

#[test]
fn a_command_that_is_not_found_is_127() {
    let dir = fresh();
    let mut command = unprivileged(reachable(dir.path()));
    command.args(["try", "--", "no-such-program"]);
    run(command).expect(127).says("no-such-program");
}

/// A rehearsal whose workload is up, and its PID 1 as the machine sees it.
fn up() -> (Running, i32) {
    let running = Rehearsal::new().start("sleep 300 & sleep 301");
    let pid1 = child_of(running.pid());
    eventually("the workload is up", || {
        let workload = children(pid1).first().copied()?;
        (children(workload).len() == 2).then_some(())
    });
    (running, pid1)
}

fn gone(pid: i32) -> Option<()> {
    (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
}

#[test]
fn a_stop_of_the_rehearsal_ends_everything_in_it() {
    let (running, pid1) = up();
    signal(running.pid(), 15);
    running.end().expect(143);
    eventually("PID 1 is gone", || gone(pid1));
}

#[test]
fn a_rehearsal_that_is_killed_takes_everything_in_it_along() {
    let (running, pid1) = up();
    signal(running.pid(), 9);
    running.end();
    eventually("PID 1 is gone", || gone(pid1));
}

/// Root gives itself up: what a rehearsal maps must not own the machine's files.
#[test]
fn root_rehearses_as_nobody() {
    if !is_root() {
        return;
    }
    let ended = run(agent(&["try", "--", "sh", "-c", "cat /proc/self/uid_map; cat /etc/shadow"]));
    assert!(ended.stdout.split_whitespace().eq(["1000", "65534", "1"]), "{ended:#?}");
    assert!(ended.stderr.contains("Permission denied"), "{ended:#?}");
}
