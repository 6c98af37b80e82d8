//! The idle stop on a machine: a session and an extension keep it up, then EC2 is told, and where
//! that is configured the machine switches itself off.

use crate::instance::{BOOT, Instance};
use crate::rig::{Variant, ready, repository};
use std::fs;
use std::time::{Duration, Instant};

const CONFIG: &str = "[user]\nname = \"ubuntu\"\n[tools]\nenabled = \"off\"\n\
                      [idle]\ntimeout = \"10s\"\ngrace = \"1s\"\nstop = ";

/// In place of minutes.
const FAST: &str =
    "[Timer]\nOnBootSec=\nOnUnitActiveSec=\nOnActiveSec=1s\nOnUnitActiveSec=4s\nAccuracySec=1s\n";

/// A session of the SSH server, by the title that it gives its processes; it has no terminal.
const SESSION: &str = "cp /bin/sleep /usr/local/bin/sshd && systemd-run --quiet --unit session \
    --uid ubuntu bash -c 'exec -a \"sshd: ubuntu@notty\" /usr/local/bin/sshd 3600'";

const AS_UBUNTU: &str = "setpriv --reuid=1000 --regid=1000 --init-groups env HOME=/home/ubuntu";

#[test]
fn an_idle_machine_stops_itself_and_a_used_one_does_not() {
    if !ready(Variant::Plain) {
        return;
    }
    let mut ec2 = Instance::new(&format!("{CONFIG}\"auto\"\n"), "");
    ec2.role("with-stop", &["ec2:CreateTags", "ec2:StopInstances"]);
    for unit in ["agent-idle.service", "agent-idle.timer", "run-agent-idle-ask.mount"] {
        let text = fs::read(repository().join("systemd").join(unit)).unwrap();
        ec2.machine.put(&format!("/etc/systemd/system/{unit}"), text, 0o644);
    }
    ec2.machine.put("/etc/systemd/system/agent-idle.timer.d/fast.conf", FAST, 0o644);
    let status = ec2.start();
    assert_eq!(status["state"], "complete", "{status:#}");

    ec2.machine.run(SESSION).expect(0);
    ec2.machine.run("systemctl start agent-idle.timer").expect(0);
    checks(&mut ec2, "active: ssh session of ubuntu@notty", 4);
    let asked = ec2.machine.run(&format!("{AS_UBUNTU} agent idle extend 2h")).expect(0);
    assert!(asked.stdout.contains("the next check"), "{asked:?}");
    checks(&mut ec2, "active: extended by user 1000, for 120 min more, ssh session", 1);
    ec2.machine.run("systemctl stop session").expect(0);
    checks(&mut ec2, "active: extended by user 1000, for 120 min more$", 4);
    assert_eq!(ec2.moto.state(&ec2.id), "running");
    let told = ec2.machine.run(&format!("{AS_UBUNTU} agent idle --json")).expect(0).json();
    assert_eq!((&told["state"], &told["uses"][0]["kind"]), (&"active".into(), &"extension".into()));
    let other =
        ec2.machine.run("setpriv --reuid=65534 --clear-groups agent idle extend 2h").expect(1);
    assert!(other.stderr.contains("root and the sandbox user may extend"), "{other:?}");

    ec2.machine.run(&format!("{AS_UBUNTU} agent idle extend --cancel")).expect(0);
    let limit = Instant::now() + BOOT;
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

    ec2.configure(&format!("{CONFIG}\"power-off\"\n"));
    ec2.machine.wait_off(BOOT);
}

/// Waits until so many checks have said so.
#[track_caller]
fn checks(ec2: &mut Instance, said: &str, times: u32) {
    let count =
        format!("[ $(journalctl -b -t agent -o cat --no-pager | grep -cE '{said}') -ge {times} ]");
    ec2.machine.wait_for(&count, BOOT);
}
