//! `agent status` beside a boot: while it runs, when it ends, and when there is a second one.

use crate::sandbox::Sandbox;
use serde_json::Value;

/// Waits until the test lets it go on.
const WAITING: &str =
    "#!/bin/sh\necho up > /mnt/out/up\nwhile [ ! -e /mnt/out/go ]; do sleep 0.05; done\n";

#[test]
fn a_boot_under_way_is_status_3_and_names_its_phase() {
    let sandbox = Sandbox::new().script(
        "#!/bin/sh\nagent status --json > /mnt/out/status; echo $? > /mnt/out/code\nagent status > /mnt/out/text\nexit 0\n",
    );
    sandbox.look().is("complete");
    assert_eq!(sandbox.out("code"), "3\n");
    let status: Value = serde_json::from_str(&sandbox.out("status")).unwrap();
    assert_eq!((&status["state"], &status["phase"]), (&"running".into(), &"user-script".into()));
    assert_eq!(status["schema"], "agent.status/1");
    assert!(sandbox.out("text").starts_with("running: user-script"), "{}", sandbox.out("text"));
}

#[test]
fn the_schema_holds_what_is_documented() {
    let seen = Sandbox::new().script("#!/bin/sh\nexit 0\n").look().is("complete");
    for key in ["schema", "state", "summary", "boot", "phases", "tools", "script", "journal"] {
        assert!(seen.status.get(key).is_some(), "{key}: {:#}", seen.status);
    }
    let names: Vec<&str> = seen.status["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["volume", "tools", "user-script"]);
    assert_eq!(seen.status["boot"]["instance"], "test");
    assert_eq!(seen.phase("tools")["state"], "skipped");
}

#[test]
fn a_wait_beside_a_boot_ends_with_its_end() {
    let sandbox = Sandbox::new().script(
        "#!/bin/sh\nsetsid sh -c 'agent status --wait --timeout 30s --quiet; echo $? > /mnt/out/waited' &\nsleep 0.5\n[ ! -e /mnt/out/waited ]\n",
    );
    sandbox.look_after("n=0; while [ ! -s /mnt/out/waited ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n+1)); done").is("complete");
    assert_eq!(sandbox.out("waited"), "0\n");
}

#[test]
fn a_wait_beside_a_boot_that_fails_ends_with_1() {
    let sandbox = Sandbox::new().script(
        "#!/bin/sh\nsetsid sh -c 'agent status --wait --timeout 30s --quiet; echo $? > /mnt/out/waited' &\nsleep 0.3\nexit 3\n",
    );
    sandbox.look_after("n=0; while [ ! -s /mnt/out/waited ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n+1)); done").is("failed");
    assert_eq!(sandbox.out("waited"), "1\n");
}

#[test]
fn a_wait_beside_a_boot_that_is_killed_does_not_hang() {
    // The boot is not PID 1's here, so nobody records its end.
    let sandbox = Sandbox::new()
        .script_file("#!/bin/sh\necho up > /mnt/out/up\nsleep 0.5\nkill -9 $PPID\nsleep 300\n");
    let script = "agent boot & while [ ! -e /mnt/out/up ]; do sleep 0.05; done
                  agent status --wait --timeout 30s --quiet; echo $? > /mnt/out/waited";
    let ended = sandbox.init(&["--no-boot"], script).expect(0);
    assert_eq!(sandbox.out("waited"), "1\n");
    assert!(ended.took.as_secs() < 25, "{ended:#?}");
}

#[test]
fn a_wait_that_takes_too_long_ends_with_3() {
    let sandbox = Sandbox::new().script(
        "#!/bin/sh\nagent status --wait --timeout 300ms --quiet; echo $? > /mnt/out/waited\n",
    );
    sandbox.look().is("complete");
    assert_eq!(sandbox.out("waited"), "3\n");
}

#[test]
fn a_second_boot_beside_the_first_is_refused_with_75_and_changes_nothing() {
    let sandbox = Sandbox::new().script_file(
        "#!/bin/sh\necho run >> /mnt/out/runs\nagent boot 2> /mnt/out/said; echo $? > /mnt/out/second\nagent status --quiet; echo $? > /mnt/out/code\n",
    );
    sandbox.look().is("complete");
    assert_eq!((sandbox.out("second").as_str(), sandbox.out("code").as_str()), ("75\n", "3\n"));
    assert_eq!(sandbox.out("runs"), "run\n");
    assert!(sandbox.out("said").contains("another boot of this instance is running"));
}

#[test]
fn a_boot_by_hand_gives_the_status_of_its_state() {
    let sandbox = Sandbox::new().script_file("#!/bin/sh\nexit 3\n");
    sandbox.init(&["--no-boot"], "agent boot; exit $?").expect(1);
    let sandbox = Sandbox::new();
    sandbox.init(&["--no-boot"], "agent boot && agent status --quiet; exit $?").expect(0);
    let sandbox = Sandbox::new().variable("AGENT__BOOT__NONSENSE", "1");
    sandbox.init(&["--no-boot"], "agent boot; exit $?").expect(1);
}

#[test]
fn the_newest_boot_counts() {
    let sandbox = Sandbox::new();
    let script = "AGENT__BOOTSTRAP__FILE=/nonexistent agent boot; agent status --quiet; echo $?; agent boot; agent status --quiet; echo $?";
    assert_eq!(sandbox.init(&[], script).expect(0).stdout, "1\n0\n");
}

/// What the caller's own environment spoils says nothing about the sandbox.
#[test]
fn a_boot_by_hand_that_is_refused_fails_and_is_not_recorded() {
    let sandbox = Sandbox::new();
    let script = "AGENT__BOOT__NONSENSE=1 agent boot; echo $?; agent status --quiet; echo $?";
    let ended = sandbox.init(&[], script).expect(0);
    assert_eq!(ended.stdout, "1\n0\n");
    assert!(ended.stderr.contains("AGENT__BOOT__NONSENSE"), "{ended:#?}");
}

#[test]
fn the_status_of_another_life_says_nothing_of_this_one() {
    let sandbox = Sandbox::new().no_run();
    sandbox.look().is("complete");
    let ended = sandbox.init(&["--no-boot"], "agent status --json").expect(4);
    assert_eq!(ended.json()["state"], "none", "{ended:#?}");
}

#[test]
fn a_status_is_found_where_the_read_only_container_let_it_be_written() {
    let on_the_volume = Sandbox::new().no_run().look().is("complete");
    let journal = on_the_volume.status["journal"].as_str().unwrap();
    assert!(journal.starts_with("/mnt/home/.local/state/agent/"), "{journal}");
    let in_run = Sandbox::new().look().is("complete");
    let journal = in_run.status["journal"].as_str().unwrap();
    assert!(journal.starts_with("/run/agent/"), "{journal}");
    let in_tmp = Sandbox::new().no_run().read_only_volume().look().is("failed");
    let journal = in_tmp.status["journal"].as_str().unwrap();
    assert!(journal.starts_with("/tmp/agent-"), "{journal}");
}

#[test]
fn the_timeline_draws_every_phase() {
    let ended = Sandbox::new().init(&[], "agent status --timeline").expect(0);
    for part in ["volume", "tools", "user-script", "whole boot", "|"] {
        assert!(ended.stdout.contains(part), "{part}: {ended:#?}");
    }
}

#[test]
fn the_status_can_be_asked_for_from_outside_of_the_boots_group() {
    let sandbox = Sandbox::new().script(WAITING);
    let mut life = sandbox.start(&[], "agent status --quiet; exit $?");
    life.reaches(&sandbox, "up");
    sandbox.put_out("go", "now");
    life.end().expect(0);
}
