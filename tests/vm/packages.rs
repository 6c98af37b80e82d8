//! What the image's package manager cannot do: it is told in its own words with what to do about
//! it, ends at its deadline, and is tried again at the next boot.

use crate::archive::Archive;
use crate::instance::{Instance, problem};
use crate::rig::machine::Machine;
use crate::rig::{Variant, ready};

const SOURCES: &str = "/etc/apt/sources.list";

const USER_DATA: &str = "#cloud-config\npackages: [greeter]\nruncmd:\n- greeter >>/srv/order || echo none >>/srv/order\n";

#[test]
fn packages_that_cannot_be_had_are_told_in_apts_words_and_tried_again() {
    if !ready(Variant::Ami) {
        return;
    }
    let mut archive = Archive::start();
    archive.add("other", "1.0", "", "other", "");
    let mut ec2 = Instance::as_baked(Machine::with_agent(Variant::Ami), USER_DATA);
    let url = ec2.machine.network().reach(archive.port());
    let silent = ec2.machine.network().silent(80);
    ec2.machine.put(SOURCES, Archive::source(&url), 0o644);

    let status = ec2.start();
    fails(&mut ec2, &status, "packages-failed", &["E: Unable to locate package greeter"]);
    assert_eq!(ec2.tags()["mint:bootstrap-failure-phase"], "packages");

    // It is there, and cannot be installed.
    archive.add("greeter", "1.0", "Depends: absent\n", "one", "");
    let status = ec2.boot();
    fails(&mut ec2, &status, "packages-failed", &["Depends: absent but it is not installable"]);
    archive.add("greeter", "1.1", "", "two", "echo no disk >&2; exit 7");
    let status = ec2.boot();
    let words = ["subprocess returned error exit status 7", "no disk"];
    fails(&mut ec2, &status, "packages-failed", &words);
    archive.add("greeter", "1.2", "", "three", "");
    let status = ec2.boot();
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(ec2.machine.read("/srv/order"), "three\n");

    an_archive_that_is_away(&mut ec2, &url, &silent);
    ec2.machine.power_off();
}

#[track_caller]
fn an_archive_that_is_away(ec2: &mut Instance, url: &str, silent: &str) {
    ec2.machine
        .run("apt-get -qy purge greeter; rm -r /var/lib/apt/lists/*; rm /srv/order")
        .expect(0);
    ec2.becomes_another();
    // No way there: apt-get update would end well.
    ec2.machine.run("ip route add unreachable 203.0.113.0/24").expect(0);
    ec2.machine.put(SOURCES, Archive::source("http://203.0.113.7"), 0o644);
    let status = ec2.boot();
    let words = ["http://203.0.113.7", "Unable to locate package greeter"];
    fails(ec2, &status, "packages-failed", &words);

    ec2.machine.put(SOURCES, Archive::source(&format!("http://{silent}")), 0o644);
    ec2.machine.put("/etc/agent/conf.d/95-short.toml", "[user_data]\ndeadline = \"20s\"\n", 0o644);
    let status = ec2.boot();
    let words = ["apt-get update did not end within 20 s", "user_data.deadline"];
    fails(ec2, &status, "packages-deadline", &words);
    ec2.machine.run("! pgrep -x apt-get").expect(0);

    // What the image has of the indexes may be enough, and then it is.
    let two = Archive::source(url) + &Archive::source("http://203.0.113.7");
    ec2.machine.put(SOURCES, two, 0o644);
    ec2.machine.run("rm /etc/agent/conf.d/95-short.toml").expect(0);
    let status = ec2.boot();
    assert_eq!(status["state"], "degraded", "{status:#}");
    assert_eq!(problem(&status, "user-data"), "packages-indexes");
    assert_eq!(ec2.machine.read("/srv/order"), "three\n");
}

/// It failed with this problem, and a person is told so; nothing behind the packages was done.
#[track_caller]
fn fails(ec2: &mut Instance, status: &serde_json::Value, code: &str, words: &[&str]) {
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["failure_phase"], "packages", "{status:#}");
    assert_eq!(problem(status, "user-data"), code, "{status:#}");
    let text = ec2.text();
    for part in words.iter().chain(&["next:"]) {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    ec2.machine.run("test ! -e /srv/order").expect(0);
}
