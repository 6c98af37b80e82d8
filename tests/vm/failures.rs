//! What goes wrong with the script, the user-data, the metadata service and the tags. All of it
//! on one machine that is on: each boot is the unit's, started as systemd starts it.

use crate::instance::{BOOT, Instance, problem, rendered};
use crate::rig::{Variant, ready};
use serde_json::json;

const CONFIG: &str = "[user]\nname = \"ubuntu\"\n[tools]\nenabled = \"off\"\n";

#[test]
fn every_failure_is_told_and_none_is_hidden() {
    if !ready(Variant::Plain) {
        return;
    }
    let mut ec2 = Instance::new(CONFIG, &rendered("#!/bin/sh\necho bye >&2\nexit 3\n", &[]));
    ec2.role("denied", &["ec2:DescribeTags"]);
    let status = ec2.start();

    failing_script_and_denied_tags(&mut ec2, &status);
    the_tags_are_mended(&mut ec2);
    a_success_takes_the_failure_phase_away(&mut ec2);
    another_user_cannot_boot(&mut ec2);
    a_role_that_comes_late(&mut ec2);
    a_corrupted_payload(&mut ec2);
    a_stub_that_was_cut_short(&mut ec2);
    a_service_that_is_off_away_or_too_far(&mut ec2);
    the_boot_is_killed(&mut ec2);
    the_boot_is_stopped(&mut ec2);
    the_end_of_an_older_boot_is_not_what_stays(&mut ec2);
    ec2.machine.power_off();
}

#[track_caller]
fn failing_script_and_denied_tags(ec2: &mut Instance, status: &serde_json::Value) {
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["failure_phase"], "user-script");
    assert_eq!(problem(status, "user-script"), "script-failed");
    let text = ec2.text();
    assert!(text.contains("mint:bootstrap should be failed; EC2 has not been told"), "{text}");
    assert!(text.contains("ec2:CreateTags"), "the permission is named: {text}");
    assert!(ec2.tags().is_empty());
    let units = ec2.machine.run("systemctl is-active agent-boot agent-complete.target agent-tags");
    assert_eq!(units.stdout, "failed\ninactive\nfailed\n");
}

#[track_caller]
fn the_tags_are_mended(ec2: &mut Instance) {
    ec2.role("allowed-now", &["ec2:CreateTags"]);
    ec2.machine.run_within("agent tags", BOOT).expect(0);
    let tags = ec2.tags();
    assert_eq!(tags["mint:bootstrap-failure-phase"], "user-script");
    assert_eq!(
        (tags["mint:bootstrap"].as_str(), tags["mint:health"].as_str()),
        ("failed", "degraded")
    );
    let text = ec2.text();
    assert!(text.contains("mint:bootstrap = failed"), "{text}");
}

#[track_caller]
fn a_success_takes_the_failure_phase_away(ec2: &mut Instance) {
    ec2.user_data(rendered("#!/bin/sh\necho well\n", &[]));
    let status = ec2.boot();
    assert_eq!(status["state"], "complete", "{status:#}");
    // The role may not delete: the tag is empty.
    let tags = ec2.tags();
    assert_eq!(tags["mint:bootstrap-failure-phase"], "");
    assert_eq!(
        (tags["mint:bootstrap"].as_str(), tags["mint:health"].as_str()),
        ("complete", "healthy")
    );
    ec2.machine.run("systemctl is-active agent-boot").expect(0);
}

/// Its end would be told to nobody: the status is root's.
#[track_caller]
fn another_user_cannot_boot(ec2: &mut Instance) {
    let boot = "setpriv --reuid=1000 --regid=1000 --init-groups env HOME=/home/ubuntu agent boot";
    let ended = ec2.machine.run_within(boot, BOOT).expect(1);
    assert!(ended.stderr.contains("run it as root"), "{ended:?}");
    assert!(ec2.text().starts_with("complete\n"));
}

#[track_caller]
fn a_role_that_comes_late(ec2: &mut Instance) {
    ec2.service.change(json!({"role": null}));
    let by_hand = ec2.machine.run_within("agent tags", BOOT).expect(1);
    assert!(by_hand.stderr.contains("no role"), "{by_hand:?}");
    ec2.machine.run("systemctl start --no-block agent-tags.service").expect(0);
    let waits = "journalctl -b -u agent-tags.service --no-pager | tail -3; systemctl show -P ActiveState agent-tags";
    ec2.machine.wait_for("systemctl show -P ActiveState agent-tags | grep -q ^activating", BOOT);
    ec2.machine.run("sleep 3").expect(0);
    ec2.role("attached-late", &["ec2:CreateTags"]);
    ec2.machine.wait_for("! systemctl show -P ActiveState agent-tags | grep -q ^activating", BOOT);
    let seen = ec2.machine.run(waits).stdout;
    assert!(seen.ends_with("inactive\n"), "{seen}");
    assert!(ec2.text().contains("mint:bootstrap = complete"));
}

#[track_caller]
fn a_corrupted_payload(ec2: &mut Instance) {
    let stub = rendered("#!/bin/sh\ntouch /tmp/ran\n", &[]);
    ec2.user_data(stub.replacen("MINT_USER_BOOTSTRAP='IyEv", "MINT_USER_BOOTSTRAP='Iy*v", 1));
    let status = ec2.boot();
    assert_eq!(status["failure_phase"], "user-script", "{status:#}");
    assert_eq!(problem(&status, "user-script"), "payload-undecodable");
    assert_eq!(ec2.tags()["mint:bootstrap-failure-phase"], "user-script");
    ec2.machine.run("test ! -e /tmp/ran").expect(0);
}

#[track_caller]
fn a_stub_that_was_cut_short(ec2: &mut Instance) {
    let stub = rendered("#!/bin/sh\ntouch /tmp/ran\n", &[]);
    ec2.user_data(&stub[..stub.len() - 40]);
    let status = ec2.boot();
    assert_eq!(problem(&status, "user-data"), "user-data-damaged", "{status:#}");
    assert_eq!(ec2.tags()["mint:bootstrap-failure-phase"], "config");
    ec2.machine.run("test ! -e /tmp/ran").expect(0);
}

#[track_caller]
fn a_service_that_is_off_away_or_too_far(ec2: &mut Instance) {
    let short = format!("{CONFIG}[ec2]\n").replace("[ec2]\n", "");
    ec2.configure(&short);
    ec2.user_data(rendered("#!/bin/sh\ntouch /tmp/ran\n", &[]));
    for (fault, code) in [
        (json!([{"do": "status", "status": 403, "only": "PUT"}]), "metadata-off"),
        (json!([{"do": "hang", "only": "PUT"}]), "metadata-hop-limit"),
        (json!([{"do": "reset"}]), "metadata-"),
    ] {
        ec2.service.faults(fault);
        let boot = "AGENT__EC2__DEADLINE=15s AGENT__EC2__REQUEST_DEADLINE=5s agent boot --no-tags";
        let ended = ec2.machine.run_within(boot, BOOT).expect(1);
        let status = ec2.machine.run("agent status --json").json();
        assert_eq!(status["state"], "failed", "{status:#}");
        assert!(problem(&status, "metadata").starts_with(code), "{ended:?}\n{status:#}");
        let text = ec2.text();
        assert!(
            text.contains("mint:bootstrap-failure-phase should be config")
                || text.contains("mint:bootstrap should be failed"),
            "EC2 has not been told of this boot: {text}"
        );
    }
    ec2.service.faults(json!([]));
    // Nobody is there at all.
    ec2.machine.run("ip route add unreachable 169.254.169.254/32").expect(0);
    ec2.machine.run_within("AGENT__EC2__DEADLINE=5s agent boot --no-tags", BOOT).expect(1);
    let status = ec2.machine.run("agent status --json").json();
    assert_eq!(problem(&status, "metadata"), "metadata-absent", "{status:#}");
    ec2.machine.run("ip route del unreachable 169.254.169.254/32").expect(0);
    ec2.machine.run("test ! -e /tmp/ran").expect(0);
}

/// The unit's process is killed: nobody writes its end, and EC2 is told all the same.
#[track_caller]
fn the_boot_is_killed(ec2: &mut Instance) {
    ec2.user_data(rendered("#!/bin/sh\ntouch /tmp/began; sleep 600\n", &[]));
    ec2.machine.run("systemctl restart --no-block agent-boot.service").expect(0);
    ec2.machine.wait_for("test -e /tmp/began", BOOT);
    let running = ec2.text();
    assert!(running.starts_with("running: user-script"), "{running}");
    ec2.machine.run("systemctl kill --kill-whom=main -s KILL agent-boot.service").expect(0);
    ec2.machine.wait_for("systemctl is-failed -q agent-boot.service && systemctl show -P ActiveState agent-tags | grep -q inactive", BOOT);
    let status = ec2.machine.run("agent status --json").json();
    assert_eq!(
        (&status["state"], &status["failure_phase"]),
        (&json!("failed"), &json!("user-script"))
    );
    assert_eq!(status["interrupted"], "runner gone", "{status:#}");
    let tags = ec2.tags();
    assert_eq!(
        (tags["mint:bootstrap"].as_str(), tags["mint:bootstrap-failure-phase"].as_str()),
        ("failed", "user-script")
    );
    ec2.machine.run("! pgrep -x sleep").expect(0);
}

/// Told also of a boot that somebody stops.
#[track_caller]
fn the_boot_is_stopped(ec2: &mut Instance) {
    ec2.user_data(rendered("#!/bin/sh\nexit 0\n", &[]));
    ec2.boot();
    assert_eq!(ec2.tags()["mint:bootstrap"], "complete");
    ec2.user_data(rendered("#!/bin/sh\ntouch /tmp/stopping; sleep 600\n", &[]));
    ec2.machine.run("systemctl restart --no-block agent-boot.service").expect(0);
    ec2.machine.wait_for("test -e /tmp/stopping", BOOT);
    ec2.machine.run("systemctl stop agent-boot.service").expect(0);
    let status = ec2.settled();
    assert_eq!(status["interrupted"], "SIGTERM", "{status:#}");
    let tags = ec2.tags();
    assert_eq!(
        (tags["mint:bootstrap"].as_str(), tags["mint:bootstrap-failure-phase"].as_str()),
        ("failed", "user-script")
    );
}

/// The API is away while a boot fails and the next one ends well: the process that still tries
/// to tell of the first tells of the second too.
#[track_caller]
fn the_end_of_an_older_boot_is_not_what_stays(ec2: &mut Instance) {
    let host = ec2.api.rsplit_once(':').unwrap().0.trim_start_matches("http://").to_owned();
    ec2.user_data(rendered("#!/bin/sh\nexit 4\n", &[]));
    ec2.machine.run(&format!("ip route add blackhole {host}/32")).expect(0);
    ec2.machine.run_within("systemctl restart agent-boot.service", BOOT).expect(1);
    ec2.machine.wait_for("systemctl is-active agent-tags | grep -q activating", BOOT);
    ec2.user_data(rendered("#!/bin/sh\nexit 0\n", &[]));
    ec2.machine.run_within("systemctl restart agent-boot.service", BOOT).expect(0);
    ec2.machine.run("systemctl is-active agent-tags | grep -q activating").expect(0);
    ec2.machine.run(&format!("ip route del blackhole {host}/32")).expect(0);
    let status = ec2.settled();
    assert_eq!(status["state"], "complete", "{status:#}");
    let tags = ec2.tags();
    assert_eq!(
        (tags["mint:bootstrap"].as_str(), tags["mint:bootstrap-failure-phase"].as_str()),
        ("complete", "")
    );
    let log = ec2.machine.run("journalctl -u agent-tags -o cat --no-pager").stdout;
    assert!(log.contains("another boot has begun meanwhile"), "{log}");
}
