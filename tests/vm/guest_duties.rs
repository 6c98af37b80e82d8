//! The image without cloud-init: from its first boot to a login by SSH with the launch's key, and
//! what becomes of it on later boots and on a copy of its disk.

use crate::instance::{DUTIES, Instance};
use crate::rig::{Variant, ready, repository};
use crate::util::{self, fresh};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

const CONFIG: &str = "[user]\nname = \"dev\"\n[tools]\nenabled = \"off\"\n";

const NETWORK: &str = "90-agent-wired.network";

/// A login as a client sees it: with the key, and with no server but this instance's.
pub(crate) fn login(user: &str, command: &str) -> String {
    format!(
        "printf '127.0.0.1 %s\\n' \"$(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)\" >/root/known; \
         ssh -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/root/known \
         -o HostKeyAlgorithms=ssh-ed25519 {user}@127.0.0.1 '{command}'"
    )
}

#[test]
fn the_image_becomes_an_instance_that_its_owner_can_log_into() {
    if !ready(Variant::Plain) {
        return;
    }
    let way_in = login("dev", "id -un; sudo -n id -u");
    let keys = fresh();
    let (key, other) = (make_key(keys.path(), "key"), make_key(keys.path(), "other"));
    let mut ec2 = Instance::new(CONFIG, "");
    // An emulated processor looks for an RSA key for a minute, or two.
    ec2.machine.put(DUTIES, "[guest]\nhost_key_types = [\"ed25519\", \"ecdsa\"]\n", 0o644);
    ec2.machine.put("/root/key", fs::read(keys.path().join("key")).unwrap(), 0o600);
    ec2.machine.put("/root/other", fs::read(keys.path().join("other")).unwrap(), 0o600);
    // The shipped network is the only one that fits.
    let network = fs::read(repository().join("systemd").join(NETWORK)).unwrap();
    ec2.machine.put(&format!("/etc/systemd/network/{NETWORK}"), network, 0o644);
    ec2.machine.put("/etc/systemd/network/10-en.network", "[Match]\nName=none\n", 0o644);
    ec2.machine.grow_root(3072);
    ec2.service.change(json!({"ssh_key": key}));

    let status = ec2.start();
    let log = ec2.machine.run("journalctl -b -t agent --no-pager -o cat").stdout;
    assert_eq!(status["state"], "complete", "{status:#}\n{log}");
    logs_in(&mut ec2, &way_in);
    let size = ec2.machine.run("df --output=size -BM / | tail -1 | tr -dc 0-9").stdout;
    assert!(size.parse::<u32>().unwrap() > 2800, "the disk has not grown: {size}\n{status:#}");
    let name =
        ec2.machine.run("hostname; hostname -f; getent hosts $(hostname) | tr -s ' '").stdout;
    let full = format!("ip-169-254-10-15.{}.compute.internal", crate::util::moto::REGION);
    let expected = format!("ip-169-254-10-15\n{full}\n127.0.1.1 {full} ip-169-254-10-15\n");
    assert_eq!(name, expected);
    let units = ec2.machine.run(
        "systemd-analyze verify agent-login.service 2>&1 | grep agent-login; \
         cat /run/systemd/netif/links/* | grep -c 'NETWORK_FILE=.*/90-agent-wired.network'",
    );
    assert_eq!(units.stdout, "1\n", "{units:?}");
    server_waited(&mut ec2);
    let first = identity(&mut ec2);
    assert_ne!(first[1], "00112233445566778899aabbccddeeff", "the image's own");

    ec2.machine.reboot();
    let status = ec2.settled();
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(identity(&mut ec2), first, "a reboot");
    logs_in(&mut ec2, &way_in);

    // A copy of the disk.
    ec2.machine.power_off();
    ec2.becomes_another();
    ec2.service.change(json!({"ssh_key": other}));
    let status = ec2.start();
    assert_eq!(status["state"], "complete", "{status:#}");
    let second = identity(&mut ec2);
    assert!(first.iter().zip(&second).all(|(a, b)| a != b), "{first:?} {second:?}");
    logs_in(&mut ec2, &way_in.replace("/root/key", "/root/other"));
    server_waited(&mut ec2);

    // The service is away: who could log in still can.
    ec2.service.faults(json!([{"do": "status", "status": 403}]));
    ec2.machine.reboot();
    let status = ec2.settled();
    assert_eq!((&status["state"], &status["phase"]), (&json!("failed"), &json!("metadata")));
    assert_eq!(identity(&mut ec2), second);
    logs_in(&mut ec2, &way_in);
    ec2.machine.power_off();
}

#[track_caller]
fn logs_in(ec2: &mut Instance, how: &str) {
    ec2.machine.wait_for("systemctl -q is-active ssh.service", crate::instance::BOOT);
    let ended = ec2.machine.run(how);
    assert_eq!(ended.stdout, "dev\n0\n", "{ended:#?}");
}

/// The server was started once, after the keys and the user were there.
#[track_caller]
fn server_waited(ec2: &mut Instance) {
    let shown = ec2.machine.run(
        "systemctl show -P ExecMainStartTimestampMonotonic ssh.service; \
         systemctl show -P ExecMainExitTimestampMonotonic agent-login.service; \
         systemctl show -P ActiveEnterTimestampMonotonic agent-boot.service; \
         journalctl -b -u ssh.service --no-pager -o cat | grep -c 'Server listening on 0.0.0.0'",
    );
    let lines: Vec<u64> = shown.stdout.lines().map(|l| l.parse().unwrap()).collect();
    let [server, login, boot, starts] = lines[..] else { panic!("{shown:#?}") };
    eprintln!(
        "seconds from the kernel: login {}, sshd {}, boot {}",
        login / 1_000_000,
        server / 1_000_000,
        boot / 1_000_000
    );
    assert!(login > 0 && server >= login && starts == 1, "{shown:#?}");
}

/// What tells this machine from another: its host key and its machine id.
#[track_caller]
pub(crate) fn identity(ec2: &mut Instance) -> [String; 2] {
    let shown =
        ec2.machine.run("cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub; cat /etc/machine-id");
    let lines: Vec<&str> = shown.stdout.lines().collect();
    let [key, id] = lines[..] else { panic!("{shown:#?}") };
    [key.to_owned(), id.to_owned()]
}

#[track_caller]
pub(crate) fn make_key(directory: &Path, name: &str) -> String {
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(directory.join(name));
    util::run(make).expect(0);
    fs::read_to_string(directory.join(format!("{name}.pub"))).unwrap().trim().to_owned()
}
