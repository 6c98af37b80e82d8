//! A machine that has lived is cleaned while it runs, as at the end of a bake, and starts as a new
//! one.

use crate::instance::Instance;
use crate::rig::{Variant, ready};

const CONFIG: &str = "[user]\nname = \"ubuntu\"\n[tools]\nenabled = \"off\"\n[idle]\nenabled = false\n\
                      [[step]]\nname = \"once\"\nrun = \"once\"\ncommand = \"echo ran >>/srv/steps\"\n";

#[test]
fn a_machine_that_was_cleaned_starts_as_another() {
    if !ready(Variant::Plain) {
        return;
    }
    let mut ec2 = Instance::new(CONFIG, "");
    let status = ec2.start();
    assert_eq!(status["state"], "complete", "{status:#}");
    ec2.machine.put("/home/ubuntu/.ssh/authorized_keys", "ssh-ed25519 AAAA baker\n", 0o600);
    ec2.machine.put("/root/.bash_history", "curl -u me:pw x\n", 0o600);
    ec2.machine.put("/etc/ssh/ssh_host_ed25519_key", "key\n", 0o600);
    ec2.machine.put("/var/lib/systemd/random-seed", "seed", 0o600);
    let id = ec2.machine.read("/etc/machine-id");
    assert!(!id.trim().is_empty());

    let listed = ec2.machine.run("agent clean --check").expect(1).stdout;
    for path in
        ["authorized_keys", "/root/.bash_history", "ssh_host_ed25519_key", "/etc/machine-id"]
    {
        assert!(listed.contains(path), "{path}: {listed}");
    }
    let cleaned = ec2.machine.run("agent clean --yes");
    let left =
        ec2.machine.run("agent clean --check; find /var/log/journal /var/lib/agent -mindepth 1");
    assert_eq!(cleaned.code(), 0, "{cleaned:#?}");
    assert_eq!(left.stdout, "nothing here would leak into an image\n", "{cleaned:#?}");
    assert_eq!(ec2.machine.read("/etc/machine-id"), "");

    ec2.machine.power_off();
    let status = ec2.start();
    assert_eq!(status["state"], "complete", "{status:#}");
    let again = ec2.machine.read("/etc/machine-id");
    assert!(again.trim().len() == 32 && again != id, "{again:?}");
    assert_eq!(
        ec2.machine.read("/srv/steps"),
        "ran\nran\n",
        "once an instance, and this is a new one"
    );
    ec2.machine.power_off();
}
