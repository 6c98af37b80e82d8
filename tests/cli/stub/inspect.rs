//! `agent-stub inspect` and `plan --user-data`: what a user-data is and would do, without a
//! byte of the script unless it is asked for.

use super::{SHA256, TOKEN, any_parameters, fetching, launch, rendered, seeded};
use crate::util::{Ended, clean, file, fresh, run};
use agent::stub::{Launch, Parameters};
use std::path::Path;
use std::process::{Command, Stdio};

fn script() -> String {
    format!("#!/bin/sh\nexport GH_TOKEN={TOKEN}\n")
}

fn with_parameters() -> Launch {
    let parameters = Parameters {
        efs_id: Some("fs-0123456789abcdef0".into()),
        project_dev: Some("/dev/sdf".into()),
        vm_name: Some("my vm".into()),
        idle_timeout: Some(90),
    };
    Launch { parameters, ..launch(script().as_bytes()) }
}

fn on(user_data: &[u8], arguments: &[&str]) -> Ended {
    let dir = fresh();
    let path = file(dir.path(), "user-data", user_data);
    let arguments: Vec<&str> =
        arguments.iter().map(|a| if *a == "FILE" { path.to_str().unwrap() } else { a }).collect();
    run(super::stub(Path::new("/nonexistent"), &arguments))
}

fn inspect(user_data: &[u8]) -> Ended {
    on(user_data, &["inspect", "FILE"])
}

#[track_caller]
fn shows(ended: &Ended, parts: &[&str]) {
    for part in parts {
        assert!(ended.stdout.contains(part), "{part:?} is not shown: {ended:#?}");
    }
    assert!(!ended.all().contains(TOKEN), "the script is shown: {ended:#?}");
}

#[test]
fn a_stub_is_told_in_full_less_the_script() {
    let user_data = rendered(&with_parameters());
    let ended = inspect(&user_data).expect(0);
    let length = format!("{} bytes, sha256 ", script().len());
    shows(&ended, &["stub, protocol 1, template baked", "MINT_EFS_ID=fs-0123456789abcdef0"]);
    shows(&ended, &["MINT_PROJECT_DEV=/dev/sdf", "MINT_VM_NAME=my vm", "MINT_IDLE_TIMEOUT=90"]);
    shows(&ended, &[&length, "starts `/usr/local/bin/agent boot`", "left of 16384"]);
    assert!(!ended.stdout.contains("changed by hand"), "{ended:#?}");

    let ended = inspect(&rendered(&fetching(with_parameters()))).expect(0);
    shows(&ended, &["template fetch", "https://example.com/agent?…", SHA256, "if its SHA-256 is"]);
    assert!(!ended.stdout.contains("a=b"), "a signature may stand there: {ended:#?}");
}

#[test]
fn only_on_request_is_the_script_shown() {
    let user_data = rendered(&with_parameters());
    let ended = on(&user_data, &["inspect", "--show-script", "FILE"]).expect(0);
    assert_eq!(ended.stdout, script());
    let none = rendered(&Launch::default());
    on(&none, &["inspect", "--show-script", "FILE"]).expect(1).says("no user script");
}

#[test]
fn every_kind_is_named() {
    let cases: &[(&[u8], &str, &str)] = &[
        (b"", "empty", "boots without parameters and without a script"),
        (b" \n", "empty", "nothing"),
        (
            b"#!/usr/bin/env python3\nprint()\n",
            "plain script",
            "the whole of it as the user's script",
        ),
        (b"#cloud-config\npackages: [git]\n", "cloud-config", "as root: packages: git"),
        (b"#cloud-boothook\n#!/bin/sh\n", "cloud-boothook", "as root: run boothook (10 bytes"),
        (
            b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n:\n--x--",
            "MIME message, 1 part",
            "the user's script is run last",
        ),
    ];
    for (user_data, kind, does) in cases {
        shows(&inspect(user_data).expect(0), &[&format!("kind        {kind}\n"), does]);
    }
}

#[test]
fn what_is_not_understood_is_named_with_the_next_step() {
    let cases: &[(&[u8], &str)] = &[
        (b"#cloud-config\nusers: [default]\n", "line 2: `users` is not among the keys"),
        (
            b"Content-Type: multipart/mixed; boundary=x\n\n--x",
            "the MIME message has no closing line",
        ),
        (b"#include\nhttps://example.org/x\n", "it is a cloud-init include file"),
        (b"\x7fELF\x02\x01", "it is an ELF program"),
        (b"\0\x01\x02", "it is binary data"),
        (b"echo hi\n", "it is text without a #! line"),
        (b"\n#!/bin/sh\n", "behind blank space"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "byte order mark"),
        (b"IyEvYmluL3NoCmVjaG8K\n", "it was encoded twice"),
        (b"\x1f\x8b\x08\0nothing", "its gzip data is damaged"),
    ];
    for (user_data, what) in cases {
        let ended = inspect(user_data).expect(1).says(what);
        assert!(ended.stderr.contains("; "), "no next step: {ended:#?}");
        assert_eq!(ended.stdout, "");
        let json = on(user_data, &["inspect", "--json", "FILE"]).expect(1).json();
        assert!(json["problem"]["message"].as_str().unwrap().contains(what), "{json}");
        assert!(!json["problem"]["next"].as_str().unwrap().is_empty());
    }
}

#[test]
fn damage_to_a_stub_is_named_without_a_byte_of_the_script() {
    let good = String::from_utf8(rendered(&fetching(with_parameters()))).unwrap();
    let payload = good.split("\nMINT_USER_BOOTSTRAP='").nth(1).unwrap();
    let payload = payload.split('\'').next().unwrap();
    let cases: &[(&str, &str, &str)] = &[
        ("protocol=1", "protocol=7", "a stub of protocol 7, and this agent"),
        ("protocol=1", "protocol=x", "the stub's marker, its second line, is damaged"),
        ("template=fetch", "template=other", "the stub's marker, its second line, is damaged"),
        ("# agent-user-data end", "", "cut short"),
        (
            "VM_NAME='my vm'",
            "VM_NAME=\"$(hostname)\"",
            "MINT_VM_NAME in line 6 is one that a shell",
        ),
        ("VM_NAME='my vm'", "VM_NAME='my vm", "line 6"),
        ("export MINT_VM_NAME", "export MINT_VMNAME", "line 6 sets a MINT_ variable"),
        ("/dev/sdf", "../../etc/passwd", "MINT_PROJECT_DEV (16 bytes) is not what it must be"),
        ("fs-0123", "__MINT_EFS_ID__", "MINT_EFS_ID still holds a placeholder"),
        (
            payload,
            "__MINT_USER_BOOTSTRAP__",
            "placeholder (__MINT_…__) was left unfilled in line 11",
        ),
        (payload, &payload[2..], "MINT_USER_BOOTSTRAP in line 11 cannot be decoded"),
        (&payload[..4], "I*E=", "not base64 (byte 1)"),
        ("\nMINT_USER_BOOTSTRAP=", "\n# MINT_USER_BOOTSTRAP=", "but not MINT_USER_BOOTSTRAP"),
        (
            "{\n",
            "{\nMINT_USER_BOOTSTRAP=''\n",
            "MINT_USER_BOOTSTRAP is set twice, in line 4 and line 12",
        ),
        ("MINT_BOOTSTRAP_SHA256='", "SHA256='", "doesn't set MINT_BOOTSTRAP_SHA256"),
        ("https://example", "http://example", "MINT_BOOTSTRAP_URL"),
    ];
    for (from, to, what) in cases {
        assert!(good.contains(from), "{from}");
        let ended = inspect(good.replacen(from, to, 1).as_bytes()).expect(1).says(what);
        assert!(!ended.stderr.contains(&payload[4..12]), "{ended:#?}");
        assert!(!ended.stderr.contains(TOKEN), "{ended:#?}");
    }
    inspect(good.replacen('\n', "\nset -x\n", 1).as_bytes()).expect(1).says("displaced");
    let windows = good.replace('\n', "\r\n");
    inspect(windows.as_bytes()).expect(1).says("carriage returns").says("plain line feeds");
    inspect(good.replace("protocol=1", "protocol=7").as_bytes()).says("knows 1 alone");
}

#[test]
fn a_stub_that_was_changed_by_hand_is_said_to_be() {
    let good = String::from_utf8(rendered(&with_parameters())).unwrap();
    let changed = [
        good.replace("exec \"$agent\"", "rm -rf /; exec \"$agent\""),
        good.replace("{\n", "{\nid\n"),
        good.replace("'my vm'", "\"my vm\""),
    ];
    for text in changed {
        shows(&inspect(text.as_bytes()).expect(0), &["changed by hand"]);
        let json = on(text.as_bytes(), &["inspect", "FILE", "--json"]).expect(0).json();
        assert_eq!(json["unchanged"], false);
    }
}

#[test]
fn standard_input_and_json_are_understood() {
    let dir = fresh();
    let path = file(dir.path(), "user-data", rendered(&with_parameters()));
    let mut command = super::stub(Path::new("/nonexistent"), &["inspect", "-", "--json"]);
    command.stdin(std::fs::File::open(path).unwrap());
    let out = command.output().unwrap();
    assert!(out.status.success());
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["schema"], "agent.user-data/1");
    assert_eq!(json["kind"], "stub");
    assert_eq!(json["protocol"], 1);
    assert_eq!(json["template"], "baked");
    assert_eq!(json["unchanged"], true);
    assert_eq!(json["gzip"], false);
    assert_eq!(json["parameters"]["project_dev"], "/dev/sdf");
    assert_eq!(json["script"]["bytes"], script().len());
    assert!(!String::from_utf8_lossy(&out.stdout).contains(TOKEN));
}

#[test]
fn gzip_of_a_stub_is_the_stub() {
    let mut rng = seeded();
    let launch = Launch { parameters: any_parameters(&mut rng), ..with_parameters() };
    let dir = fresh();
    let path = file(dir.path(), "user-data", rendered(&launch));
    let mut command = Command::new("gzip");
    clean(&mut command);
    assert!(command.arg(&path).stdin(Stdio::null()).status().unwrap().success());
    let packed = std::fs::read(dir.path().join("user-data.gz")).unwrap();
    let mut json = on(&packed, &["inspect", "FILE", "--json"]).expect(0).json();
    let mut plain = on(&rendered(&launch), &["inspect", "FILE", "--json"]).expect(0).json();
    assert_eq!(json["gzip"].take(), true);
    assert_eq!(plain["gzip"].take(), false);
    assert_ne!(json["bytes"].take(), plain["bytes"].take());
    assert_eq!(json, plain);
}

#[test]
fn the_plan_is_that_of_a_machine() {
    let user_data = rendered(&with_parameters());
    let ended = on(&user_data, &["plan", "--user-data", "FILE"]).expect(0);
    let line = format!("run the script in user-data ({} bytes, sha256 ", script().len());
    shows(&ended, &["user      ubuntu (1000:1000), home /home/ubuntu", &line]);
    let json = on(&user_data, &["plan", "--user-data", "FILE", "--json"]).expect(0).json();
    assert_eq!(json["schema"], "agent.plan/1");
    let phases = json["phases"].as_array().unwrap();
    assert_eq!(phases.last().unwrap()["name"], "user-script", "the user's script is last");

    let dir = fresh();
    let config = file(
        dir.path(),
        "agent.toml",
        "volume = []\n[user]\nname = \"dev\"\n[tools]\nenabled = \"off\"\n",
    );
    let config = config.to_str().unwrap();
    let ended = on(&user_data, &["plan", "--config", config, "--user-data", "FILE"]).expect(0);
    shows(&ended, &["home /home/dev", "skipped: tools.enabled is \"off\""]);
    // As in the guest, what doesn't decode fails last.
    let text = String::from_utf8(user_data.clone()).unwrap();
    let damaged = text.replace("\nMINT_USER_BOOTSTRAP='", "\nMINT_USER_BOOTSTRAP='*");
    let ended = on(damaged.as_bytes(), &["plan", "--user-data", "FILE"]).expect(0);
    shows(&ended, &["the user script in user-data cannot be decoded: it is not base64 (byte 0)"]);
    on(b"#include\n", &["plan", "--user-data", "FILE"]).expect(1).says("include file");
    on(&user_data, &["plan", "--user-data", "FILE", "--bootstrap", "x"]).expect(64);
}
