//! The boot of an EC2 machine: instance metadata, user-data, and what follows from them.
//! The metadata service is the tests' own, as strict as the real one.

use crate::sandbox::Sandbox;
use crate::util::metadata::Service;
use crate::util::{Ended, eventually, run};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzEncoder;
use serde_json::{Value, json};
use std::io::Read;
use std::os::unix::net::UnixDatagram;

const SCRIPT: &str = "#!/bin/sh\necho \"$MINT_VM_NAME\" >>/mnt/out/ran\n";

/// A stub as the parent system fills it.
fn stub(payload: &str) -> String {
    format!(
        "#!/bin/bash\nset -euo pipefail\nexport MINT_EFS_ID=\"\"\nexport MINT_PROJECT_DEV=\"\"\nexport MINT_VM_NAME=\"box\"\n\
         export MINT_IDLE_TIMEOUT=\"45\"\nexport MINT_USER_BOOTSTRAP=\"{payload}\"\n\
         exec /usr/local/sbin/mint-bootstrap\n"
    )
}

fn stub_of(script: &str) -> String {
    stub(&STANDARD.encode(script))
}

pub(crate) struct Machine {
    pub(crate) sandbox: Sandbox,
    pub(crate) service: Service,
}

impl Machine {
    #[track_caller]
    pub(crate) fn with(user_data: impl AsRef<[u8]>, more: &str) -> Self {
        let service = Service::start(&[]);
        service.change(json!({
            "instance_id": "i-0123456789abcdef0",
            "user_data_base64": STANDARD.encode(user_data),
        }));
        let config = format!(
            "[ec2]\nenabled = true\nendpoints = [\"{}\"]\nrequest_deadline = \"1s\"\ndeadline = \"10s\"\n{more}",
            service.url()
        );
        let sandbox = Sandbox::new()
            .without("AGENT__BOOTSTRAP__INSTANCE")
            .machine()
            .config("agent.toml", &config);
        Self { sandbox, service }
    }

    /// Runs `script` as the machine's first process.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Ended {
        run(self.sandbox.pid1(&["sh", "-c", script]))
    }

    /// Boots, and tells the status.
    #[track_caller]
    pub(crate) fn boot(&self) -> Value {
        let ended = self.run("agent boot --no-tags >/mnt/out/log 2>&1; agent status --json");
        ended.json()
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.sandbox.path("out/ran")).unwrap_or_default().lines().count()
    }
}

#[track_caller]
pub(crate) fn problem<'a>(status: &'a Value, phase: &str) -> &'a str {
    let phases = status["phases"].as_array().unwrap();
    let found = phases.iter().find(|p| p["name"] == phase).unwrap();
    found["problems"][0]["code"].as_str().unwrap_or_else(|| panic!("{status:#}"))
}

#[test]
fn a_stub_in_the_user_data_is_the_boot() {
    let machine = Machine::with(stub_of(SCRIPT), "");
    let status = machine.boot();
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(machine.sandbox.out("ran"), "box\n", "the script has the launch's parameters");
    assert_eq!(status["boot"]["instance"], "i-0123456789abcdef0");
    assert_eq!(status["machine"]["parameters"]["idle_timeout"], 45);
    assert!(status["machine"]["region"].as_str().unwrap().contains('-'), "{status:#}");
    assert!(machine.service.requests().iter().all(|r| !r.ends_with(" 401")));
}

#[test]
fn a_later_boot_does_not_repeat_the_script_and_another_instance_does() {
    let machine = Machine::with(stub_of(SCRIPT), "");
    machine.boot();
    let again = machine.boot();
    assert_eq!(again["state"], "complete", "{again:#}");
    assert_eq!(machine.runs(), 1);
    machine.service.change(json!({"instance_id": "i-0fedcba9876543210"}));
    assert_eq!(machine.boot()["boot"]["instance"], "i-0fedcba9876543210");
    assert_eq!(machine.runs(), 2);
}

#[test]
fn a_plain_script_and_none_are_user_data_too() {
    let plain = Machine::with(SCRIPT, "");
    assert_eq!(plain.boot()["state"], "complete");
    assert_eq!(plain.runs(), 1);
    let none = Machine::with("", "");
    let status = none.boot();
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(status["machine"]["user_data"], "none");
}

#[test]
fn user_data_may_be_gzip() {
    for user_data in [stub_of(SCRIPT), SCRIPT.to_owned()] {
        let mut packed = Vec::new();
        GzEncoder::new(user_data.as_bytes(), Compression::best()).read_to_end(&mut packed).unwrap();
        let machine = Machine::with(&packed, "");
        assert_eq!(machine.boot()["state"], "complete");
        assert_eq!(machine.runs(), 1);
    }
}

#[test]
fn a_payload_that_does_not_decode_fails_last() {
    let status = Machine::with(stub("aGVsbG8*"), "").boot();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["failure_phase"], "user-script");
    assert_eq!(problem(&status, "user-script"), "payload-undecodable");
}

#[test]
fn user_data_that_is_none_fails_before_anything_is_done() {
    let machine = Machine::with("echo hi\n", "");
    let status = machine.boot();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(
        (&status["phase"], &status["failure_phase"]),
        (&json!("user-data"), &json!("config"))
    );
    assert!(problem(&status, "user-data").starts_with("user-data-"), "{status:#}");
    assert_eq!(machine.runs(), 0);
}

#[test]
fn two_scripts_are_one_too_many() {
    let machine = Machine::with(stub_of(SCRIPT), "[bootstrap]\nfile = \"/etc/bootstrap\"\n");
    std::fs::write(machine.sandbox.path("etc/bootstrap"), SCRIPT).unwrap();
    let status = machine.boot();
    assert_eq!(problem(&status, "user-script"), "payload-ambiguous");
    assert_eq!(machine.runs(), 0);
}

#[test]
fn without_the_service_the_boot_fails_in_time_and_says_why() {
    let machine = Machine::with(SCRIPT, "");
    machine.service.faults(json!([{"do": "reset"}]));
    let ended = machine.run(
        "AGENT__EC2__DEADLINE=2s agent boot 2>/dev/null; agent status; agent status --json >/mnt/out/s",
    );
    let status: Value = serde_json::from_str(&machine.sandbox.out("s")).unwrap();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["phase"], "metadata");
    assert!(ended.stdout.contains("next: "), "{ended:#?}");
    assert_eq!(machine.runs(), 0);
}

#[test]
fn the_status_says_running_while_the_service_is_slow() {
    let machine = Machine::with(SCRIPT, "");
    machine.service.faults(json!([{"do": "slow", "seconds": 0.9, "only": "PUT"}]));
    let ended = machine.run(
        "agent boot --no-tags 2>/dev/null & \
         for i in 1 2 3 4 5 6 7 8; do agent status | head -1; sleep .1; done; wait; agent status -q",
    );
    assert!(ended.stdout.contains("running: metadata"), "{ended:#?}");
    assert_eq!(ended.code(), 0, "{ended:#?}");
}

#[test]
fn the_stubs_own_file_is_the_user_data_and_one_boot_is_enough() {
    let machine = Machine::with("", "");
    std::fs::write(machine.sandbox.path("etc/part-001"), stub_of(SCRIPT)).unwrap();
    let ended = machine.run(
        "agent boot --no-tags --user-data /etc/part-001 2>/mnt/out/1; echo $?\n\
         agent boot --no-tags --user-data /etc/part-001 2>/mnt/out/2; echo $?\n\
         agent status -q",
    );
    assert_eq!((ended.stdout.as_str(), ended.code()), ("0\n0\n", 0), "{ended:#?}");
    assert!(
        machine.sandbox.out("2").contains("one boot is enough"),
        "{}",
        machine.sandbox.out("2")
    );
    assert_eq!(machine.runs(), 1);
}

#[test]
fn two_at_once_are_one_boot_and_both_tell_its_end() {
    let script = format!("{SCRIPT}sleep 1; exit 3\n");
    let machine = Machine::with("", "");
    std::fs::write(machine.sandbox.path("etc/part-001"), stub_of(&script)).unwrap();
    let boot = "agent boot --no-tags --user-data /etc/part-001 2>/dev/null; echo $?";
    let ended = machine.run(&format!("({boot}) & ({boot}); wait"));
    assert_eq!(ended.stdout, "1\n1\n", "{ended:#?}");
    assert_eq!(machine.runs(), 1);
}

#[test]
fn the_service_manager_hears_of_progress_and_readiness_and_the_script_cannot_speak_to_it() {
    let script = "#!/bin/sh\necho \"${NOTIFY_SOCKET-none}\" >/mnt/out/socket\n";
    let machine = Machine::with(stub_of(script), "");
    let heard = |machine: &Machine, then: &str| {
        let path = machine.sandbox.path("out/notify");
        let _ = std::fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path).unwrap();
        crate::util::give(&path, 0o777);
        manager.set_nonblocking(true).unwrap();
        machine.run(&format!("NOTIFY_SOCKET=/mnt/out/notify agent boot --no-tags {then}"));
        let mut buffer = [0; 4096];
        let mut all = Vec::new();
        while let Ok(n) = manager.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
        }
        all
    };
    let all = heard(&machine, "");
    assert_eq!(all.first().map(String::as_str), Some("STATUS=metadata …"), "{all:?}");
    assert_eq!(all.last().map(String::as_str), Some("READY=1\nSTATUS=complete"), "{all:?}");
    assert_eq!(machine.sandbox.out("socket"), "none\n");
    machine.service.change(json!({"user_data_base64": STANDARD.encode("#!/bin/sh\nexit 4\n")}));
    let all = heard(&machine, "--again");
    assert!(all.last().unwrap().contains("failed: user-script"), "{all:?}");
    assert!(!all.iter().any(|m| m.contains("READY")), "{all:?}");
}

#[test]
fn the_plan_reads_the_metadata_and_shows_no_byte_of_the_script() {
    let machine = Machine::with(stub_of("#!/bin/sh\n# token-4711\n"), "");
    let ended = machine.run("agent plan").expect(0);
    assert!(ended.stdout.contains("MINT_VM_NAME=box"), "{ended:#?}");
    assert!(ended.stdout.contains("user-data (23 bytes"), "{ended:#?}");
    assert!(!ended.all().contains("4711"), "{ended:#?}");
    machine.service.faults(json!([{"do": "status", "status": 403}]));
    let ended = machine.run("agent plan").expect(0);
    assert!(ended.stdout.contains("instance metadata is not in this plan"), "{ended:#?}");
}

#[test]
fn tags_that_cannot_be_written_are_told_and_change_nothing() {
    let machine = Machine::with(stub_of(SCRIPT), "");
    // No role, so no credentials.
    let ended =
        machine.run("agent boot 2>/mnt/out/log; echo $?; agent status; agent tags; echo $?");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!((lines[0], lines[1]), ("0", "complete"), "{ended:#?}");
    assert!(ended.stdout.contains("mint:bootstrap should be complete"), "{ended:#?}");
    assert_eq!(lines.last(), Some(&"1"), "{ended:#?}");
    eventually("log", || machine.sandbox.out("log").contains("tags:").then_some(()));
}
