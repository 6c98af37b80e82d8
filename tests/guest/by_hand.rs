//! `agent boot --only`: one phase by hand, and the truth about the whole.

use crate::machine::{KEY, Machine, OTHER, phase, ready};
use serde_json::Value;
use std::fs;

/// Boots whole, and then does what `script` says in the same life of the machine.
#[track_caller]
fn after(machine: &Machine, script: &str) -> (String, Value) {
    let script = format!(
        "agent boot >/mnt/out/log 2>&1\n({script}) 2>>/mnt/out/log >&2\nagent status --json"
    );
    let ended = machine.run(&script);
    let status = ended.json();
    (ended.stderr, status)
}

#[test]
fn one_phase_is_repeated_and_nothing_else_and_the_whole_stays_complete() {
    if !ready() {
        return;
    }
    let machine = Machine::new("[[step]]\nname = \"a\"\ncommand = \"echo ran >>/mnt/out/steps\"\n");
    machine.boots();
    let (keys, id) = (machine.host_keys(), machine.read("etc/machine-id"));
    let (_, status) = after(&machine, "agent boot --only host-keys; echo $? >/mnt/out/code");
    assert_eq!((machine.read("out/code").as_str(), &status["state"]), ("0\n", &"complete".into()));
    assert_eq!(machine.host_keys(), keys, "done is done");
    let (_, status) =
        after(&machine, "agent boot --only host-keys --again; echo $? >/mnt/out/code");
    assert_eq!((machine.read("out/code").as_str(), &status["state"]), ("0\n", &"complete".into()));
    assert!(machine.host_keys() != keys && machine.read("etc/machine-id") == id);
    assert_eq!(machine.read("out/steps").lines().count(), 3, "one a whole boot");
    let notes = phase(&status, "host-keys")["notes"].to_string();
    assert!(notes.contains("asked for") && notes.contains("run by hand"), "{status:#}");
    assert_eq!(phase(&status, "provision")["state"], "ok", "{status:#}");
}

#[test]
fn several_phases_may_be_named_and_keys_come_back() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.boots();
    fs::write(machine.path("home/ubuntu/.ssh/authorized_keys"), format!("{OTHER}\n")).unwrap();
    fs::write(machine.path("etc/hostname"), "mine\n").unwrap();
    let (_, status) = after(&machine, "agent boot --again --only login --only hostname");
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(machine.authorized(), [OTHER, KEY]);
    assert!(machine.read("etc/hostname").starts_with("ip-"));
}

#[test]
fn a_phase_that_fails_by_hand_is_a_failure_until_it_ends_well() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.boots();
    let home = machine.path("home/ubuntu");
    let broken =
        "mv /home/ubuntu /home/away; agent boot --only login --again; echo $? >/mnt/out/code";
    let (_, status) = after(&machine, broken);
    assert_eq!(machine.read("out/code"), "1\n");
    assert_eq!(
        (&status["state"], &status["phase"]),
        (&"failed".into(), &"login".into()),
        "{status:#}"
    );
    fs::rename(machine.path("home/away"), &home).unwrap();
    let mended = "mv /home/ubuntu /home/away; agent boot --only login --again; \
                  mv /home/away /home/ubuntu; agent boot --only login; echo $? >/mnt/out/code";
    let (_, status) = after(&machine, mended);
    assert_eq!(
        (machine.read("out/code").as_str(), &status["state"]),
        ("0\n", &"complete".into()),
        "{status:#}"
    );
}

#[test]
fn a_failed_boot_is_not_made_complete_by_hand() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.program(
        "usr/bin/ssh-keygen",
        "#!/bin/sh\n[ -e /mnt/out/good ] && exec /mnt/out/ssh-keygen \"$@\"\nexit 3\n",
    );
    fs::copy("/usr/bin/ssh-keygen", machine.path("out/ssh-keygen")).unwrap();
    let (_, status) =
        after(&machine, "touch /mnt/out/good; agent boot --only host-keys; echo $? >/mnt/out/code");
    assert_eq!(machine.read("out/code"), "0\n");
    assert_eq!(phase(&status, "host-keys")["state"], "ok", "{status:#}");
    assert_eq!(
        (&status["state"], &status["phase"]),
        (&"failed".into(), &"host-keys".into()),
        "{status:#}"
    );
    assert!(status["summary"].as_str().unwrap().contains("`agent boot`"), "{status:#}");
    assert_eq!(phase(&status, "volume")["state"], "not-run", "{status:#}");
}

#[test]
fn phases_by_hand_are_no_boot_and_a_phase_that_there_is_not_is_refused() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    let ended = machine.run("agent boot --only hostname >&2; echo $?; agent status; echo $?");
    assert!(ended.stdout.starts_with("0\n") && ended.stdout.ends_with("\n4\n"), "{ended:#?}");
    assert!(ended.stdout.contains("hostname     ok"), "{ended:#?}");
    assert!(ended.stdout.contains("not asked for"), "{ended:#?}");
    assert!(!machine.read("etc/passwd").contains("ubuntu"), "only what was asked for is done");
    let ended =
        machine.run("agent boot --only provision; echo $?; agent boot --only nonsense; echo $?");
    assert_eq!(ended.stdout, "64\n64\n", "{ended:#?}");
    assert!(
        ended.stderr.contains("no phase provision")
            && ended.stderr.contains("no phase is called so"),
        "{ended:#?}"
    );
}

#[test]
fn what_steps_do_once_is_repeated_by_hand_where_it_is_asked_for() {
    if !ready() {
        return;
    }
    let machine = Machine::new(
        "[[step]]\nname = \"a\"\nrun = \"once\"\ncommand = \"echo ran >>/mnt/out/steps\"\n",
    );
    machine.boots();
    let ran = || machine.read("out/steps").lines().count();
    after(&machine, "agent boot --only provision; agent boot --again");
    assert_eq!(ran(), 1);
    let (_, status) = after(&machine, "agent boot --only provision --again");
    assert_eq!((ran(), &status["state"]), (2, &"complete".into()), "{status:#}");
}
