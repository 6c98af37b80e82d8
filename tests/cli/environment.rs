//! Variables `AGENT__SECTION__KEY` say what a file can say, above every file.

use crate::util::{Ended, agent, file, fresh, run};
use serde_json::Value;

/// The plan that a boot would follow under `text` and `variables`.
#[track_caller]
fn plan(text: &str, variables: &[(&str, &str)]) -> Ended {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", text);
    let mut command = agent(&["plan", "--json", "--config", path.to_str().unwrap()]);
    command.envs(variables.iter().copied());
    run(command)
}

fn phase<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let phases = plan["phases"].as_array().unwrap();
    phases.iter().find(|p| p["name"] == name).unwrap()
}

#[test]
fn a_variable_outranks_the_file_and_leaves_its_other_keys() {
    let text = "[boot]\non_failure = \"exit\"\ndeadline = \"5m\"\n";
    let json = plan(text, &[("AGENT__BOOT__ON_FAILURE", "hold")]).expect(0).json();
    assert_eq!((&json["on_failure"], &json["deadline"]), (&"hold".into(), &300_000.into()));
    let json = plan(text, &[]).expect(0).json();
    assert_eq!(json["on_failure"], "exit", "without the variable the file holds");
}

#[test]
fn numbers_lists_tables_and_truth_values_are_read_as_toml() {
    let json = plan(
        "",
        &[
            ("AGENT__TOOLS__ATTEMPTS", "7"),
            ("AGENT__TOOLS__PASS_ENVIRONMENT", "[\"FOO_*\"]"),
            ("AGENT__TOOLS__ENABLED", "on"),
            ("AGENT__BOOT__DEADLINE", "2m"),
            ("AGENT__BOOTSTRAP__OPTIONAL", "true"),
            ("AGENT__BOOTSTRAP__FILE", "/nonexistent/script"),
        ],
    )
    .expect(0)
    .json();
    let tools = &phase(&json, "tools")["work"];
    assert_eq!(tools["attempts"], 7);
    let passed = tools["install"]["environment"]["pass"].as_array().unwrap();
    assert!(passed.contains(&"FOO_*".into()), "{passed:?}");
    assert_eq!(json["deadline"], 120_000);
    assert!(phase(&json, "user-script")["work"]["problem"].is_null(), "it is optional: {json}");
}

#[test]
fn a_text_that_looks_like_a_number_is_still_a_text() {
    let json = plan("", &[("AGENT__BOOTSTRAP__INSTANCE", "4711")]).expect(0).json();
    assert_eq!(json["instance"]["id"], "4711");
}

#[test]
fn a_quoted_text_means_what_it_says() {
    let json = plan("", &[("AGENT__BOOTSTRAP__INSTANCE", "\"quoted\"")]).expect(0).json();
    assert_eq!(json["instance"]["id"], "quoted");
}

#[test]
fn an_unknown_key_of_a_variable_is_an_error_and_the_nearest_is_offered() {
    let ended = plan("", &[("AGENT__BOOT__DEADLIN", "5m")]).expect(1);
    assert_eq!(
        ended.stderr,
        "environment variable AGENT__BOOT__DEADLIN: unknown key `deadlin`; did you mean `deadline`?\n"
    );
    assert_eq!(ended.stdout, "");
}

#[test]
fn an_unknown_section_of_a_variable_is_an_error() {
    plan("", &[("AGENT__BOOTT__DEADLINE", "5m")]).expect(1).says(
        "environment variable AGENT__BOOTT__DEADLINE: unknown key `boott`; did you mean `boot`?",
    );
}

#[test]
fn a_variable_of_another_form_is_an_error() {
    for name in ["AGENT__BOOT", "AGENT__", "AGENT__A__B__C"] {
        plan("", &[(name, "1")])
            .expect(1)
            .says(&format!("environment variable {name}: is not of the form AGENT__SECTION__KEY"));
    }
}

#[test]
fn steps_and_volumes_are_no_matter_for_a_variable() {
    for name in ["AGENT__STEP__NAME", "AGENT__VOLUME__TARGET"] {
        plan("", &[(name, "x")]).expect(1).says("cannot be set by a variable");
    }
}

#[test]
fn health_can_be_said_by_a_variable() {
    let json = plan("", &[("AGENT__HEALTH__COMMANDS", "[\"git\"]")]).expect(0).json();
    assert_eq!(phase(&json, "drift-check")["work"]["commands"], serde_json::json!(["git"]));
}

#[test]
fn a_bad_value_of_a_variable_is_an_error() {
    let cases = [
        ("AGENT__BOOT__DEADLINE", "soon", "is not a length of time"),
        ("AGENT__BOOT__ON_FAILURE", "panic", "unknown value `panic`; valid here: exit, hold"),
        ("AGENT__TOOLS__ATTEMPTS", "many", "whole number"),
        ("AGENT__USER__UID", "-1", "whole number"),
    ];
    for (name, value, part) in cases {
        plan("", &[(name, value)])
            .expect(1)
            .says(&format!("environment variable {name}: "))
            .says(part);
    }
}

#[test]
fn what_a_variable_makes_of_the_whole_is_checked_too() {
    plan("", &[("AGENT__TOOLS__ATTEMPTS", "0")]).expect(1).says("tools.attempts is 0");
    plan("[init]\ngrace = \"20s\"\n", &[("AGENT__INIT__LEFTOVER_GRACE", "20s")])
        .expect(1)
        .says("make 40 s together");
}

#[test]
fn every_variable_with_an_error_is_told() {
    let ended = plan("", &[("AGENT__BOOT__A1", "1"), ("AGENT__LOG__B2", "1")]).expect(1);
    assert!(ended.stderr.contains("`a1`") && ended.stderr.contains("`b2`"), "{ended:#?}");
}

/// Clusters set `AGENT_SERVICE_HOST` and the like where a service is called "agent".
#[test]
fn variables_with_one_underscore_are_not_ours() {
    plan("", &[("AGENT_SERVICE_HOST", "10.0.0.1"), ("AGENT_PORT", "tcp://10.0.0.1:80")]).expect(0);
}
