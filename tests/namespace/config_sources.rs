//! The layers of the configuration as a boot reads them, in their order.

use crate::sandbox::Sandbox;

fn deadline(n: u32) -> String {
    format!("[boot]\ndeadline = \"{n}m\"\n")
}

/// The deadline of the boot that a plan shows, in minutes.
#[track_caller]
fn planned(sandbox: &Sandbox) -> u64 {
    let ended = sandbox.init(&["--no-boot"], "agent plan --json").expect(0);
    ended.json()["deadline"].as_u64().unwrap() / 60_000
}

#[test]
fn drop_ins_outrank_the_main_file_in_the_order_of_their_names() {
    let sandbox = Sandbox::new().config("agent.toml", &deadline(1));
    assert_eq!(planned(&sandbox), 1);
    let sandbox = sandbox.config("conf.d/20-b.toml", &deadline(3));
    assert_eq!(planned(&sandbox), 3);
    let sandbox = sandbox.config("conf.d/10-a.toml", &deadline(2));
    assert_eq!(planned(&sandbox), 3, "the last name wins, not the last file written");
    let sandbox = sandbox.config("conf.d/30-c.toml", "[boot]\non_failure = \"hold\"\n");
    assert_eq!(planned(&sandbox), 3, "a key that is not written leaves the lower one");
    let sandbox = sandbox.variable("AGENT__BOOT__DEADLINE", "4m");
    assert_eq!(planned(&sandbox), 4, "the environment is the highest");
}

#[test]
fn only_files_with_the_ending_toml_are_drop_ins() {
    let sandbox = Sandbox::new()
        .config("conf.d/10-a.toml", &deadline(2))
        .config("conf.d/20-b.toml.bak", &deadline(3))
        .config("conf.d/README", "not toml");
    assert_eq!(planned(&sandbox), 2);
}

#[test]
fn a_drop_in_amends_a_volume_by_its_target() {
    let sandbox = Sandbox::new()
        .config("agent.toml", "[[volume]]\ntarget = \"~\"\nmin_inodes = 5\n")
        .config("conf.d/a.toml", "[[volume]]\ntarget = \"~\"\nrequired = false\n");
    let json = sandbox.init(&["--no-boot"], "agent plan --json").expect(0).json();
    let volumes = json["phases"][0]["work"]["volumes"].as_array().unwrap().clone();
    assert_eq!(volumes.len(), 1, "{volumes:?}");
    assert_eq!((&volumes[0]["min_inodes"], &volumes[0]["required"]), (&5.into(), &false.into()));
    assert_eq!(volumes[0]["target"], "/mnt/home");
}

#[test]
fn a_named_file_replaces_the_standard_ones() {
    let sandbox = Sandbox::new()
        .config("agent.toml", &deadline(1))
        .config("conf.d/a.toml", &deadline(2))
        .config("other.toml", &deadline(7));
    let ended = sandbox.init(
        &["--config", "/etc/agent/other.toml"],
        "agent plan --json --config /etc/agent/other.toml",
    );
    assert_eq!(ended.expect(0).json()["deadline"], 7 * 60_000);
}

#[test]
fn init_boots_with_the_file_it_is_given() {
    let sandbox = Sandbox::new()
        .without("AGENT__BOOTSTRAP__INSTANCE")
        .config("other.toml", "[bootstrap]\ninstance = \"from-other\"\n");
    let ended =
        sandbox.init(&["--config", "/etc/agent/other.toml"], "agent status --json").expect(0);
    assert_eq!(ended.json()["boot"]["instance"], "from-other");
}

#[test]
fn a_named_file_that_is_missing_fails_the_boot() {
    let ended = Sandbox::new().init(&["--config", "/etc/agent/absent.toml"], "exit 5").expect(1);
    assert!(ended.stderr.contains("/etc/agent/absent.toml: cannot be read"), "{ended:#?}");
}

#[test]
fn config_check_without_a_file_checks_all_that_a_boot_reads() {
    let sandbox = Sandbox::new()
        .config("agent.toml", &deadline(1))
        .config("conf.d/a.toml", "[boot]\ndeadlin = \"1m\"\n")
        .config("conf.d/b.toml", "[lag]\n");
    let ended = sandbox.init(&["--no-boot"], "agent config check").expect(1);
    assert!(
        ended.stderr.contains("/etc/agent/conf.d/a.toml:2:1: unknown key `deadlin`"),
        "{ended:#?}"
    );
    assert!(ended.stderr.contains("/etc/agent/conf.d/b.toml:1:2: unknown key `lag`"), "{ended:#?}");
    let good = Sandbox::new().config("agent.toml", &deadline(1));
    let ended = good.init(&["--no-boot"], "agent config check").expect(0);
    assert!(ended.stdout.contains("/etc/agent/agent.toml"), "{ended:#?}");
}

#[test]
fn a_drop_in_that_cannot_be_read_is_an_error_and_never_passed_over() {
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink("/nowhere", sandbox.path("etc/agent/conf.d/a.toml")).unwrap();
    sandbox.look().is("failed").problem("config", "config-invalid");
}
