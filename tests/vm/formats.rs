//! Each form of user-data on the machine image, with the package manager, the SSH server and the
//! sudo that it has: what it says is done in its order, once an instance; what is refused does
//! nothing, and who launched the machine can still log in and read why.

use crate::archive::Archive;
use crate::guest_duties::{login, make_key};
use crate::instance::{BOOT, Instance, problem, rendered};
use crate::rig::machine::Machine;
use crate::rig::{Variant, ready};
use crate::util::fresh;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;

/// Where everything notes that it was there.
const NOTE: &str = "sudo tee -a /srv/order >/dev/null";

#[test]
fn every_form_of_user_data_does_what_it_says_and_a_refused_one_nothing() {
    if !ready(Variant::Ami) {
        return;
    }
    let keys = fresh();
    let (key, other) = (make_key(keys.path(), "key"), make_key(keys.path(), "other"));
    let archive = archive();
    let mut ec2 = Instance::as_baked(Machine::with_agent(Variant::Ami), "");
    let url = ec2.machine.network().reach(archive.port());
    for name in ["key", "other"] {
        let private = fs::read(keys.path().join(name)).unwrap();
        ec2.machine.put(&format!("/root/{name}"), private, 0o600);
    }
    ec2.service.change(json!({"ssh_key": key}));

    everything_in_one_message(&mut ec2, &Archive::source(&url), &other);
    a_reboot_runs_the_boothook_alone(&mut ec2);
    every_other_form(&mut ec2);
    an_upgrade(&mut ec2);
    a_refused_one_leaves_the_way_in(&mut ec2);
    ec2.machine.power_off();
}

/// A package with a user of its own that needs another, and one of two versions.
fn archive() -> Archive {
    let mut archive = Archive::start();
    let user = "useradd --system greeter; echo \"asks $DEBIAN_FRONTEND\" >>/srv/order";
    archive.add("greeter", "1.0", "Depends: words (>= 2)\n", "hello", user);
    archive.add("words", "2.1", "", "words", "");
    archive.add("pinned", "1.0", "", "old", "");
    archive.add("pinned", "2.0", "", "new", "");
    archive
}

/// cloud-config with every key, a boothook, a script as it is and one in gzip; the whole in gzip.
#[track_caller]
fn everything_in_one_message(ec2: &mut Instance, source: &str, key: &str) {
    let packed = STANDARD.encode(gzip("packed\n"));
    let config = format!(
        r#"#cloud-config
hostname: web-1
fqdn: web-1.example.org
preserve_hostname: false
ssh_authorized_keys:
  - {key}
package_update: true
packages:
  - greeter
  - [pinned, '1.0']
write_files:
  - path: /etc/apt/sources.list
    content: |
      {source}
  - path: /etc/greeter.d/packed
    encoding: gz+b64
    content: {packed}
    permissions: '0600'
  - path: /etc/motd
    content: "one more line\n"
    append: true
  - path: /etc/greeter.d/word
    content: word
    owner: greeter:greeter
    permissions: '0640'
    defer: true
runcmd:
  - cd /etc/greeter.d
  - [sh, -c, 'echo "runcmd $(id -u) $(stat -c "%U %a" word packed | xargs) $(greeter) $(pinned)" >>/srv/order']
"#
    );
    let hook = "#cloud-boothook\n#!/bin/sh\n\
                echo \"hook $(id -u) $INSTANCE_ID $(command -v greeter)\" >>/srv/order\n";
    let message = mime(&[
        ("text/x-shellscript", "one.sh", script("one $(id -un) $(hostname)").as_bytes()),
        ("text/cloud-config", "config.yaml", config.as_bytes()),
        ("text/cloud-boothook", "hook.sh", hook.as_bytes()),
        ("application/gzip", "two.sh.gz", &gzip(&script("two $(id -un)"))),
    ]);
    ec2.user_data(gzip(&message));
    let status = ec2.start();
    is(ec2, &status, "complete");
    let id = ec2.id.clone();
    let said = format!(
        "hook 0 {id} \nasks noninteractive\nruncmd 0 greeter 640 root 600 hello old\n\
         one admin web-1\ntwo admin\n"
    );
    assert_eq!(ec2.machine.read("/srv/order"), said, "{status:#}");
    let seen = ec2.machine.run(
        "hostname; hostname -f; cat /etc/greeter.d/packed; tail -n 1 /etc/motd; words; \
         stat -c '%U:%G' /etc/greeter.d/word",
    );
    let expected =
        "web-1\nweb-1.example.org\npacked\none more line\nwords\ngreeter:greeter\n".to_owned();
    assert_eq!(seen.stdout, expected, "{seen:?}");
    for key in ["/root/key", "/root/other"] {
        logs_in(ec2, key);
    }
}

#[track_caller]
fn a_reboot_runs_the_boothook_alone(ec2: &mut Instance) {
    let before = ec2.machine.read("/srv/order");
    ec2.machine.reboot();
    let status = ec2.settled();
    is(ec2, &status, "complete");
    let hook = format!("hook 0 {} /usr/bin/greeter\n", ec2.id);
    assert_eq!(ec2.machine.read("/srv/order"), before + &hook);
    let motd = ec2.machine.run("grep -c 'one more line' /etc/motd");
    assert_eq!(motd.stdout, "1\n");
}

/// A launch each, on the machine as it runs.
#[track_caller]
fn every_other_form(ec2: &mut Instance) {
    let text = |kind, name, text: &'static str| (kind, name, text.as_bytes());
    let scripts = [script("first ${PWD##*/}"), script("second"), script("third")];
    let [first, second, third] = scripts.each_ref().map(String::as_bytes);
    let forms: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), ""),
        (
            "a stub",
            rendered(&script("stub $MINT_VM_NAME"), &["--vm-name", "box"]).into(),
            "stub box\n",
        ),
        ("a script", script("script").into(), "script\n"),
        ("its gzip", gzip(&script("unpacked")), "unpacked\n"),
        (
            "scripts in order",
            mime(&[
                ("text/x-shellscript", "z.sh", first),
                ("text/x-shellscript", "a.sh", second),
                ("text/plain", "m.sh", third),
                text("text/cloud-boothook", "hook", "#!/bin/sh\necho hook >>/srv/order\n"),
            ])
            .into(),
            "hook\nfirst admin\nsecond\nthird\n",
        ),
        (
            "cloud-config alone",
            "#cloud-config\nruncmd:\n- echo config >>/srv/order\n".into(),
            "config\n",
        ),
        (
            "its gzip",
            gzip("#cloud-config\nruncmd: [[sh, -c, 'echo packed >>/srv/order']]\n"),
            "packed\n",
        ),
    ];
    for (form, user_data, expected) in forms {
        let status = launched_again(ec2, user_data);
        is(ec2, &status, "complete");
        assert_eq!(ec2.machine.read("/srv/order"), expected, "{form}: {status:#}");
        // Once an instance, and the boothook at every boot.
        let hook = expected.starts_with("hook");
        if hook || form == "a script" {
            let again = ec2.boot();
            is(ec2, &again, "complete");
            let expected = expected.to_owned() + if hook { "hook\n" } else { "" };
            assert_eq!(ec2.machine.read("/srv/order"), expected, "{form}, again");
        }
    }
    for (form, user_data) in [
        ("include file", "#include\nhttps://example.org/setup.sh\n"),
        ("template", "## template: jinja\n#!/bin/sh\necho ran >>/srv/order\n"),
    ] {
        let status = launched_again(ec2, user_data);
        is(ec2, &status, "failed");
        assert_eq!(problem(&status, "user-data"), "user-data-unsupported", "{status:#}");
        assert_eq!(status["failure_phase"], "config");
        let text = ec2.text();
        assert!(text.contains(form) && text.contains("next:"), "{text}");
        assert_eq!(ec2.machine.read("/srv/order"), "", "{form}");
    }
}

#[track_caller]
fn an_upgrade(ec2: &mut Instance) {
    let status = launched_again(
        ec2,
        "#cloud-config\npackage_upgrade: true\nruncmd: [pinned >>/srv/order]\n",
    );
    is(ec2, &status, "complete");
    assert_eq!(ec2.machine.read("/srv/order"), "new\n", "{status:#}");
}

/// A start of the machine, as another instance, with a key that isn't read.
#[track_caller]
fn a_refused_one_leaves_the_way_in(ec2: &mut Instance) {
    ec2.user_data(
        "#cloud-config\nhostname: never\nruncmd: [touch /srv/never]\nusers:\n- default\n\
         package_reboot_if_required: true\n",
    );
    ec2.machine.power_off();
    ec2.becomes_another();
    let status = ec2.start();
    is(ec2, &status, "failed");
    assert_eq!(problem(&status, "user-data"), "user-data-unsupported");
    assert_eq!(ec2.tags()["mint:bootstrap-failure-phase"], "config");
    logs_in(ec2, "/root/key");
    let seen = as_admin(ec2, "/root/key", "agent status; hostname; ls /srv");
    for part in [
        "failed",
        "line 4: `users` is not among the keys that are read",
        "line 6: `package_reboot_if_required` is not among the keys that are read",
        "make others by runcmd",
    ] {
        assert!(seen.contains(part), "{part:?}: {seen}");
    }
    assert!(!seen.contains("never"), "something of it was done: {seen}");
}

/// The unit's boot of another instance on this disk; what was noted before is gone.
#[track_caller]
fn launched_again(ec2: &mut Instance, user_data: impl AsRef<[u8]>) -> Value {
    ec2.machine.run("truncate -s 0 /srv/order").expect(0);
    ec2.user_data(user_data);
    ec2.becomes_another();
    ec2.boot()
}

#[track_caller]
fn is(ec2: &mut Instance, status: &Value, state: &str) {
    if status["state"] != state {
        panic!("not {state}: {status:#}\n{}", ec2.text());
    }
}

#[track_caller]
fn logs_in(ec2: &mut Instance, key: &str) {
    ec2.machine.wait_for("systemctl -q is-active ssh.service", BOOT);
    assert_eq!(as_admin(ec2, key, "id -un"), "admin\n", "{key}");
}

/// What a command says to the launch's user who comes with this key.
#[track_caller]
fn as_admin(ec2: &mut Instance, key: &str, command: &str) -> String {
    let command = login("admin", command).replace("/root/key", key);
    let ended = ec2.machine.run(&command);
    assert!(!ended.stderr.contains("Permission denied"), "{ended:#?}");
    ended.stdout
}

/// A script that notes this.
fn script(note: &str) -> String {
    format!("#!/bin/sh\necho \"{note}\" | {NOTE}\n")
}

/// A message of these parts: type, file name, content.
fn mime(parts: &[(&str, &str, &[u8])]) -> String {
    let parts = parts.iter().map(|(kind, name, content)| {
        format!(
            "--==B==\nContent-Type: {kind}\nContent-Transfer-Encoding: base64\n\
             Content-Disposition: attachment; filename=\"{name}\"\n\n{}\n",
            STANDARD.encode(content)
        )
    });
    let parts: String = parts.collect();
    format!(
        "Content-Type: multipart/mixed; boundary=\"==B==\"\nMIME-Version: 1.0\n\n{parts}--==B==--\n"
    )
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = Vec::new();
    GzEncoder::new(text.as_bytes(), Compression::best()).read_to_end(&mut packed).unwrap();
    packed
}
