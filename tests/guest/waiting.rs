//! `agent status --wait-phase`: what `agent-login.service` holds an SSH server back with.

use crate::machine::{Machine, ready};
use serde_json::json;

#[test]
fn it_ends_with_the_phase_and_not_with_the_boot() {
    if !ready() {
        return;
    }
    let step =
        "[[step]]\nname = \"a\"\ncommand = \"until [ -e /mnt/out/go ]; do sleep 0.05; done\"\n";
    let machine = Machine::new(step);
    let ended = machine.run(
        "agent status -q --wait-phase login --timeout 30s & waiter=$!\n\
         agent boot >/mnt/out/log 2>&1 & boot=$!\n\
         wait $waiter; echo $?; ls /home; agent status -q; echo $?; touch /mnt/out/go; wait $boot; echo $?",
    );
    assert_eq!(ended.stdout, "0\nubuntu\n3\n0\n", "{ended:#?}");
}

#[test]
fn it_ends_where_the_phase_is_not_come_to_or_not_there_and_when_the_time_is_up() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.service.faults(json!([{"do": "status", "status": 403}]));
    let wait = "agent status -q --timeout 30s --wait-phase";
    let ended = machine.run(&format!(
        "agent boot >/mnt/out/log 2>&1; {wait} login; echo $?; {wait} volume; echo $?; {wait} drift-check; echo $?"
    ));
    // The user is made without the metadata; after the failure no volume is seen to.
    assert_eq!(ended.stdout, "0\n1\n1\n", "{ended:#?}");
    let ended = machine.run("agent status -q --timeout 300ms --wait-phase login; echo $?");
    assert_eq!(ended.stdout, "4\n", "{ended:#?}");
}
