//! What a failed boot means for the workload: `exit` or `hold`, by config or command line.

use crate::sandbox::Sandbox;

const FAILING: &str = "#!/bin/sh\nexit 3\n";

#[test]
fn exit_is_the_default_and_says_why_in_one_line() {
    let ended = Sandbox::new().script(FAILING).init(&[], "echo started").expect(1);
    assert_eq!(ended.stdout, "", "the workload was started");
    let last = ended.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("agent: failed: user-script: the user script ended with status 3"),
        "{ended:#?}"
    );
}

#[test]
fn hold_by_config_starts_the_workload_and_the_status_stays_failed() {
    let ended = Sandbox::new()
        .script(FAILING)
        .config("agent.toml", "[boot]\non_failure = \"hold\"\n")
        .init(&[], "agent status --quiet; echo $?; exit 5")
        .expect(5);
    assert_eq!(ended.stdout, "1\n");
    assert!(ended.stderr.contains("the workload starts all the same"), "{ended:#?}");
}

#[test]
fn hold_by_environment_is_hold() {
    let sandbox = Sandbox::new().script(FAILING).variable("AGENT__BOOT__ON_FAILURE", "hold");
    sandbox.init(&[], "exit 5").expect(5);
}

#[test]
fn the_command_line_outranks_the_config() {
    let hold = "[boot]\non_failure = \"hold\"\n";
    let sandbox = Sandbox::new().script(FAILING).config("agent.toml", hold);
    sandbox.init(&["--on-boot-failure", "exit"], "exit 5").expect(1);
    let sandbox = Sandbox::new().script(FAILING);
    sandbox.init(&["--on-boot-failure", "hold"], "exit 5").expect(5);
}

#[test]
fn a_degraded_boot_starts_the_workload_under_either() {
    for policy in ["exit", "hold"] {
        let sandbox = Sandbox::new()
            .no_volume()
            .config("agent.toml", "[[volume]]\ntarget = \"~\"\nrequired = false\n");
        let ended = sandbox
            .init(&["--on-boot-failure", policy], "agent status --quiet; echo $?; agent status --quiet --allow-degraded; echo $?; exit 6")
            .expect(6);
        assert_eq!(ended.stdout, "2\n0\n", "{ended:#?}");
    }
}

#[test]
fn a_config_that_cannot_be_read_fails_the_boot_in_its_own_phase() {
    let seen = Sandbox::new()
        .config("agent.toml", "[boot]\n\n  deadlin = \"5m\"\n")
        .look()
        .is("failed")
        .problem("config", "config-invalid");
    let message = seen.phase("config")["problems"][0]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "/etc/agent/agent.toml:3:3: unknown key `deadlin`; did you mean `deadline`?"
    );
}

#[test]
fn a_policy_holds_although_another_file_is_broken() {
    Sandbox::new()
        .config("agent.toml", "[boot]\non_failure = \"hold\"\n")
        .config("conf.d/broken.toml", "[boot\n")
        .init(&[], "agent status --quiet; exit $?")
        .expect(1);
}

#[test]
fn no_boot_starts_the_workload_and_nothing_else() {
    let sandbox = Sandbox::new().script("#!/bin/sh\necho ran > /mnt/out/ran\n");
    sandbox.init(&["--no-boot"], "agent status --quiet; exit $?").expect(4);
    assert!(!sandbox.path("out/ran").exists());
    assert!(!sandbox.path("home/.local").exists(), "the volume was touched");
}

#[test]
fn log_lines_are_json_where_that_is_asked_for() {
    let sandbox = Sandbox::new().script(FAILING).variable("AGENT__LOG__FORMAT", "json");
    let ended = sandbox.init(&[], ":").expect(1);
    assert!(ended.stderr.lines().count() > 3, "{ended:#?}");
    for line in ended.stderr.lines() {
        let object: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(object["time"].is_string() && object["level"].is_string(), "{line}");
    }
}

#[test]
fn a_quiet_log_level_leaves_only_what_is_wrong() {
    let sandbox = Sandbox::new().variable("AGENT__LOG__LEVEL", "error");
    assert_eq!(sandbox.init(&[], ":").expect(0).stderr, "");
}
