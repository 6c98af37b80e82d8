//! The idle stop on the machine image, with the timer and the units that it has: a real session
//! and an extension keep it up, then EC2 is told, and where that is configured the machine
//! switches itself off.

use crate::guest_duties::{login, make_key};
use crate::instance::{BOOT, Instance};
use crate::rig::machine::Machine;
use crate::rig::{Variant, patient, ready};
use crate::util::fresh;
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

const CONFIG: &str = "[idle]\ntimeout = \"10s\"\ngrace = \"1s\"\nstop = ";

/// In place of minutes.
const FAST: &str =
    "[Timer]\nOnBootSec=\nOnUnitActiveSec=\nOnActiveSec=1s\nOnUnitActiveSec=4s\nAccuracySec=1s\n";

const AS_ADMIN: &str = "setpriv --reuid=1000 --regid=1000 --init-groups env HOME=/home/admin";

#[test]
fn an_idle_machine_stops_itself_and_a_used_one_does_not() {
    if !ready(Variant::Ami) {
        return;
    }
    let keys = fresh();
    let key = make_key(keys.path(), "key");
    let mut ec2 = Instance::as_baked(Machine::with_agent(Variant::Ami), "");
    ec2.role("with-stop", &["ec2:CreateTags", "ec2:StopInstances"]);
    ec2.service.change(json!({"ssh_key": key}));
    ec2.machine.put("/root/key", fs::read(keys.path().join("key")).unwrap(), 0o600);
    ec2.machine.put("/etc/agent/conf.d/95-idle.toml", format!("{CONFIG}\"auto\"\n"), 0o644);
    let status = ec2.start();
    assert_eq!(status["state"], "complete", "{status:#}");
    ec2.machine.wait_for("systemctl -q is-active ssh.service agent-idle.timer", BOOT);

    // The shipped timer has minutes; the session comes before it has others.
    session(&mut ec2, "terminal", "-tt");
    ec2.machine.put("/etc/systemd/system/agent-idle.timer.d/fast.conf", FAST, 0o644);
    ec2.machine.run("systemctl daemon-reload && systemctl restart agent-idle.timer").expect(0);
    checks(&mut ec2, "active: ssh session of admin@pts/0", 4);
    session(&mut ec2, "command", "-T");
    ends(&mut ec2, "terminal");
    checks(&mut ec2, "active: ssh session of admin@notty", 4);
    // The user's requests have room of their own, and no more than that.
    let fill = format!("{AS_ADMIN} dd if=/dev/zero of=/run/agent/idle/ask/fill bs=64k count=4");
    ec2.machine.run(&fill).expect(1).says("No space left");
    let full = ec2.machine.run(&format!("{AS_ADMIN} agent idle extend 2h")).expect(1);
    assert!(full.stderr.contains("remove what is there"), "{full:?}");
    ec2.machine.run("rm /run/agent/idle/ask/fill; df -B1M --output=used /run | tail -1").expect(0);
    let asked = ec2.machine.run(&format!("{AS_ADMIN} agent idle extend 2h")).expect(0);
    assert!(asked.stdout.contains("the next check"), "{asked:?}");
    checks(&mut ec2, "active: extended by user 1000, for 120 min more, ssh session", 1);
    ends(&mut ec2, "command");
    checks(&mut ec2, "active: extended by user 1000, for 120 min more$", 4);
    assert_eq!(ec2.moto.state(&ec2.id), "running");
    let told = ec2.machine.run(&format!("{AS_ADMIN} agent idle --json")).expect(0).json();
    assert_eq!((&told["state"], &told["uses"][0]["kind"]), (&"active".into(), &"extension".into()));
    let other =
        ec2.machine.run("setpriv --reuid=65534 --clear-groups agent idle extend 2h").expect(1);
    assert!(other.stderr.contains("root and the sandbox user may extend"), "{other:?}");

    ec2.machine.run(&format!("{AS_ADMIN} agent idle extend --cancel")).expect(0);
    let limit = Instant::now() + patient(BOOT);
    while ec2.moto.state(&ec2.id) != "stopped" {
        assert!(Instant::now() < limit, "the instance is not stopped");
        std::thread::sleep(Duration::from_secs(1));
    }
    let id = ec2.id.clone();
    checks(&mut ec2, &format!("idle: EC2 stops {id}"), 1);
    let units = "systemctl is-failed agent-idle.service; systemd-analyze verify agent-idle.timer \
                 agent-idle.service 2>&1 | grep agent-idle; journalctl -b -t agent -o json | grep -c F_REMAINING";
    let told = ec2.machine.run(units);
    assert!(!told.stdout.contains("failed"), "{told:?}");
    let fields = told.stdout.lines().last().and_then(|line| line.parse::<u32>().ok());
    assert!(fields.is_some_and(|checks| checks > 8), "a structured line a check: {told:?}");

    let config = format!("{CONFIG}\"power-off\"\n");
    ec2.machine.put("/etc/agent/conf.d/95-idle.toml", config, 0o644);
    ec2.machine.wait_off(BOOT);
}

/// A session of the machine's own SSH server that goes on, of a client like any other.
#[track_caller]
fn session(ec2: &mut Instance, name: &str, terminal: &str) {
    let (known, client) = login("admin", "echo in; exec sleep 3600")
        .split_once("; ssh ")
        .map(|(known, client)| (known.to_owned(), client.to_owned()))
        .unwrap();
    ec2.machine.put(
        &format!("/root/{name}"),
        format!("#!/bin/sh\nexec ssh {terminal} {client}\n"),
        0o700,
    );
    let start = format!("{known}; systemd-run --quiet --unit {name} /root/{name}");
    ec2.machine.run(&start).expect(0);
    ec2.machine.wait_for(&format!("journalctl -b -u {name} -o cat | grep -q ^in"), BOOT);
}

/// The client goes; so does what it ran.
#[track_caller]
fn ends(ec2: &mut Instance, name: &str) {
    ec2.machine.run(&format!("systemctl stop {name}")).expect(0);
}

/// Waits until so many checks have said so.
#[track_caller]
fn checks(ec2: &mut Instance, said: &str, times: u32) {
    let count =
        format!("[ $(journalctl -b -t agent -o cat --no-pager | grep -cE '{said}') -ge {times} ]");
    ec2.machine.wait_for(&count, BOOT);
}
