//! Where `agent clean` refuses to clean the machine that it runs on. Whatever it could remove lies
//! in memory here.

use crate::sandbox::Sandbox;
use crate::util::{Ended, run};

/// A machine with something to remove.
const STAGE: &str =
    "for d in /var/tmp /var/log /var/mail /home /root; do mount -t tmpfs none $d; done
    echo id >/etc/machine-id; clean() { agent clean --yes; echo $?; cat /etc/machine-id; }\n";

#[track_caller]
fn refused(sandbox: &Sandbox, script: &str, why: &str) {
    let ended: Ended = run(sandbox.pid1(&["sh", "-c", &format!("{STAGE}{script}")]));
    assert_eq!(ended.stdout, "1\nid\n", "{ended:#?}");
    assert!(ended.stderr.contains(why) && ended.stderr.contains("next: "), "{ended:#?}");
}

#[test]
fn a_machine_whose_boot_runs_is_not_cleaned() {
    let step = "[[step]]\nname = \"long\"\ncommand = \"sleep 30\"\n";
    let sandbox = Sandbox::new().config("agent.toml", step);
    refused(
        &sandbox,
        "agent boot >/dev/null 2>&1 & until agent status | grep -q running; do sleep 0.1; done
         clean; kill $!; wait",
        "the agent boots",
    );
}

#[test]
fn a_container_is_not_cleaned() {
    refused(&Sandbox::new(), "echo >/run/.containerenv; clean", "this is a container");
    let sandbox = Sandbox::new();
    let ended = sandbox.init(&["--no-boot"], &format!("{STAGE}clean"));
    assert!(ended.stdout.ends_with("1\nid\n"), "{ended:#?}");
    assert!(ended.stderr.contains("this is a container"), "{ended:#?}");
}
