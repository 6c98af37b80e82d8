//! `agent plan`: what a boot would do, without doing it and without a byte of the script.

use crate::util::{Ended, agent, directory, file, fresh, run};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::path::Path;

/// Stands for a secret in the script. Nothing else that is printed looks like it.
const TOKEN: &str = "ghp_0PlantedT0kenOfThePlan";

fn script() -> String {
    format!("#!/bin/sh\nexport GH_TOKEN={TOKEN}\n")
}

fn plan(text: &str, json: bool, payload: Option<&str>) -> Ended {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", text);
    let mut command = agent(&["plan", "--config", path.to_str().unwrap()]);
    command.args(json.then_some("--json"));
    command.envs(payload.map(|p| ("MINT_USER_BOOTSTRAP", p)));
    run(command)
}

/// Neither the token nor its base64 nor a part of either is in what was said.
#[track_caller]
fn shows_nothing(ended: &Ended, secret: &str) {
    let all = ended.all();
    let encoded = STANDARD.encode(script());
    for window in [secret, &encoded] {
        for start in (0..window.len().saturating_sub(12)).filter(|s| window.is_char_boundary(*s)) {
            let part = &window[start..start + 12];
            assert!(!all.contains(part), "{part:?} is shown: {ended:#?}");
        }
    }
}

#[test]
fn the_text_names_user_phases_and_policies() {
    let text = "[user]\nhome = \"/home/somebody\"\n[boot]\non_failure = \"hold\"\ndeadline = \"5m\"\n[tools]\nenabled = \"off\"\n[[volume]]\ntarget = \"/data\"\nrequired = false\n";
    let ended = plan(text, false, None).expect(0);
    for part in [
        "home /home/somebody",
        "deadline  5 min for the whole boot; a failed boot still starts the workload",
        "1. volume",
        "check /data: is a mount point, is writable by the user; otherwise the boot degrades",
        "2. tools",
        "skipped: tools.enabled is \"off\"",
        "3. user-script",
        "skipped: no user script is given",
    ] {
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
    }
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_json_has_a_schema_and_the_phases_in_order() {
    let json = plan("", true, None).expect(0).json();
    assert_eq!(json["schema"], "agent.plan/1");
    let names: Vec<&str> =
        json["phases"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["volume", "tools", "user-script"], "the user's script is last");
    assert_eq!(json["config_files"].as_array().unwrap().len(), 1);
}

#[test]
fn a_script_in_the_variable_is_told_by_length_and_hash_alone() {
    let script = script();
    let payload = STANDARD.encode(&script);
    for json in [false, true] {
        let ended = plan("", json, Some(&payload)).expect(0);
        assert!(ended.stdout.contains("MINT_USER_BOOTSTRAP"), "{ended:#?}");
        assert!(ended.stdout.contains(&script.len().to_string()), "{ended:#?}");
        shows_nothing(&ended, TOKEN);
    }
}

#[test]
fn a_script_in_a_file_is_told_by_length_and_hash_alone() {
    let dir = fresh();
    let path = file(dir.path(), "bootstrap.sh", script());
    let text = format!("[bootstrap]\nfile = \"{}\"\n", path.display());
    for json in [false, true] {
        let ended = plan(&text, json, None).expect(0);
        assert!(ended.stdout.contains(path.to_str().unwrap()), "{ended:#?}");
        assert!(ended.stdout.contains(&script().len().to_string()), "{ended:#?}");
        shows_nothing(&ended, TOKEN);
    }
}

#[test]
fn a_payload_that_cannot_be_decoded_is_refused_without_showing_it() {
    let damaged = format!("{}*{TOKEN}", STANDARD.encode(script()));
    for json in [false, true] {
        let ended = plan("", json, Some(&damaged)).expect(0);
        assert!(ended.stdout.contains("cannot be decoded: it is not base64 (byte "), "{ended:#?}");
        shows_nothing(&ended, TOKEN);
    }
}

#[test]
fn a_script_given_twice_is_refused() {
    let dir = fresh();
    let path = file(dir.path(), "bootstrap.sh", script());
    let text = format!("[bootstrap]\nfile = \"{}\"\n", path.display());
    let ended = plan(&text, false, Some(&STANDARD.encode(script()))).expect(0);
    assert!(ended.stdout.contains("hold a user script"), "{ended:#?}");
    shows_nothing(&ended, TOKEN);
}

#[test]
fn a_script_that_is_missing_or_no_file_is_refused_unless_it_is_optional() {
    let dir = fresh();
    let absent = dir.path().join("absent.sh");
    let text = |path: &Path| format!("[bootstrap]\nfile = \"{}\"\n", path.display());
    let ended = plan(&text(&absent), false, None).expect(0);
    assert!(ended.stdout.contains("cannot be read: No such file"), "{ended:#?}");
    let optional = format!("{}optional = true\n", text(&absent));
    let ended = plan(&optional, false, None).expect(0);
    assert!(ended.stdout.contains("no user script is given"), "{ended:#?}");
    let fifo = dir.path().join("fifo.sh");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let ended = plan(&text(&fifo), false, None).expect(0);
    assert!(ended.stdout.contains("not a regular file"), "and no hang: {ended:#?}");
    let other = directory(dir.path(), "directory.sh");
    let ended = plan(&format!("{}optional = true\n", text(&other)), false, None).expect(0);
    assert!(ended.stdout.contains("cannot be read"), "only a missing one is optional: {ended:#?}");
}

#[test]
fn an_empty_payload_is_no_script() {
    for payload in ["", " \n"] {
        let ended = plan("", false, Some(payload)).expect(0);
        assert!(ended.stdout.contains("skipped: no user script is given"), "{ended:#?}");
    }
}

#[test]
fn a_plan_changes_nothing() {
    let dir = fresh();
    let home = directory(dir.path(), "home");
    let text = format!("[user]\nhome = \"{}\"\n", home.display());
    plan(&text, false, Some(&STANDARD.encode(script()))).expect(0);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "the home is no longer empty");
}

#[test]
fn an_error_in_the_config_is_told_with_its_place_and_no_plan_is_printed() {
    let ended = plan("[boot]\ndeadlin = \"5m\"\n", true, None).expect(1);
    assert!(ended.stderr.contains("agent.toml:2:1: unknown key `deadlin`"), "{ended:#?}");
    assert_eq!(ended.stdout, "");
}
