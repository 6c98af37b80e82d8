//! The agent where cloud-init is too: beside the agent's units, and as the only one that
//! starts anything. Each cloud-init takes most of a minute on an emulated processor, so this is
//! a part of the full matrix only.

use crate::instance::{Instance, rendered};
use crate::rig::machine::Machine;
use crate::rig::{Variant, ready};
use serde_json::{Value, json};

const CONFIG: &str = "[user]\nname = \"ubuntu\"\n[tools]\nenabled = \"off\"\n";

const SCRIPT: &str = "#!/bin/sh\necho ran >>~/runs\n";

#[test]
#[ignore = "three boots with cloud-init: tests/run vm-full"]
fn one_boot_is_enough_whoever_starts_it() {
    if !ready(Variant::CloudInit) {
        return;
    }
    let machine = Machine::with_agent(Variant::CloudInit);
    let mut ec2 = Instance::of(machine, CONFIG, &rendered(SCRIPT, &[]));
    let status = ec2.start();
    beside_the_units(&mut ec2, &status);
    a_service_that_takes_its_time(&mut ec2);

    ec2.machine.run("systemctl disable agent-boot.service agent-complete.target").expect(0);
    let status = on_another_instance(&mut ec2);
    instead_of_the_units(&mut ec2, &status);

    ec2.user_data(rendered("#!/bin/sh\necho ran >>~/runs\nexit 3\n", &[]));
    let status = on_another_instance(&mut ec2);
    a_failure_is_cloud_inits_too(&mut ec2, &status);
    ec2.machine.power_off();
}

#[track_caller]
fn on_another_instance(ec2: &mut Instance) -> Value {
    ec2.machine.power_off();
    ec2.becomes_another();
    ec2.start()
}

/// cloud-init's end: its exit status and what it says.
#[track_caller]
fn cloud_init(ec2: &mut Instance) -> (i32, String) {
    let ended = ec2.machine.run_within("cloud-init status --wait --long", crate::instance::BOOT);
    (ended.code(), ended.all())
}

/// How often the script has run, on all instances.
#[track_caller]
fn runs(ec2: &mut Instance) -> usize {
    ec2.machine.read("/home/ubuntu/runs").lines().count()
}

/// What cloud-init's scripts said.
#[track_caller]
fn output(ec2: &mut Instance) -> String {
    ec2.machine.read("/var/log/cloud-init-output.log")
}

#[track_caller]
fn beside_the_units(ec2: &mut Instance, status: &Value) {
    assert_eq!(status["state"], "complete", "{status:#}");
    let (code, said) = cloud_init(ec2);
    assert!(code == 0 && said.contains("status: done"), "{said}");
    assert_eq!(runs(ec2), 1);
    let said = output(ec2);
    assert_eq!(said.matches("agent: one boot is enough").count(), 1, "{said}");
    assert_eq!(ec2.tags()["mint:bootstrap"], "complete");
    let units = "systemctl is-active agent-boot.service agent-complete.target cloud-final.service";
    ec2.machine.run(units).expect(0);
    // Each can be ordered among the others: systemd drops what would make it wait for itself.
    let order = ec2.machine.run("journalctl -b --no-pager | grep -iE 'ordering cycle|deadlock'");
    assert_eq!(order.stdout, "");
    // The script did not wait for cloud-init's end.
    let when = "systemctl show -P ActiveEnterTimestampMonotonic agent-boot cloud-final | grep .";
    let when = ec2.machine.run(when).stdout;
    let when: Vec<u64> = when.lines().map(|line| line.parse().unwrap()).collect();
    assert!(when[0] < when[1], "{when:?}");
}

/// Every answer takes two seconds; that is waited for, and the boot is whole.
#[track_caller]
fn a_service_that_takes_its_time(ec2: &mut Instance) {
    ec2.service.faults(json!([{"do": "slow", "seconds": 2}]));
    let status = ec2.boot();
    ec2.service.faults(json!([]));
    assert_eq!(status["state"], "complete", "{status:#}");
    let phases = status["phases"].as_array().unwrap();
    let asked = phases.iter().find(|phase| phase["name"] == "metadata").unwrap();
    assert!(asked["elapsed_ms"].as_u64().unwrap() > 8_000, "{asked:#}");
    assert_eq!(runs(ec2), 1, "the script ran at a later boot of its instance");
}

#[track_caller]
fn instead_of_the_units(ec2: &mut Instance, status: &Value) {
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(status["machine"]["instance"], ec2.id);
    let (code, said) = cloud_init(ec2);
    assert!(code == 0 && said.contains("status: done"), "{said}");
    assert_eq!(runs(ec2), 2);
    let units = ec2.machine.run("systemctl is-active agent-boot agent-tags agent-complete.target");
    assert_eq!(units.stdout, "inactive\ninactive\ninactive\n");
    let tags = ec2.tags();
    assert_eq!(
        (tags["mint:bootstrap"].as_str(), tags["mint:health"].as_str()),
        ("complete", "healthy")
    );
    assert!(ec2.text().contains("tag          mint:bootstrap = complete"));
}

#[track_caller]
fn a_failure_is_cloud_inits_too(ec2: &mut Instance, status: &Value) {
    assert_eq!(status["failure_phase"], "user-script", "{status:#}");
    let (code, said) = cloud_init(ec2);
    assert!(code == 1 && said.contains("status: error"), "{said}");
    assert_eq!(runs(ec2), 3);
    let tags = ec2.tags();
    assert_eq!(
        (tags["mint:bootstrap"].as_str(), tags["mint:bootstrap-failure-phase"].as_str()),
        ("failed", "user-script")
    );
}
