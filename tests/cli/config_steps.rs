//! `[[step]]` and `[health]`: what they refuse, each at its place, how they read as a plan, and
//! the example for a machine image.

use super::config_files::{accepted, refused};
use crate::util::{Ended, agent, file, fresh, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const STEP: &str = "[[step]]\nname = \"a\"\ncommand = \"true\"\n";

fn plan(text: &str, json: bool) -> Ended {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", text);
    let mut command = agent(&["plan", "--config", path.to_str().unwrap()]);
    command.args(json.then_some("--json"));
    run(command)
}

#[test]
fn a_step_needs_a_name_and_a_command() {
    refused("\n[[step]]\ncommand = \"true\"\n", Some((2, 1)), &["a [[step]] has no `name`"]);
    refused(
        &format!("{STEP}\n  [[step]]\n  name = \"b\"\n"),
        Some((5, 3)),
        &["step b has no `command`", "`agent config check`"],
    );
}

#[test]
fn a_step_is_declared_once_in_a_file() {
    refused(&format!("{STEP}{STEP}"), Some((4, 1)), &["step a is declared twice; join"]);
}

#[test]
fn names_are_small_letters_digits_and_hyphens() {
    let long = "a".repeat(65);
    for bad in ["", "A", "a b", "a_b", "ä", "a/b", "../a", &long] {
        for key in ["name", "failure_phase"] {
            refused(
                &format!("[[step]]\n{key} = \"{bad}\"\n"),
                Some((2, key.len() + 4)),
                &["is no name; use 1 to 64 small letters, digits and the sign -"],
            );
        }
    }
    refused("[[step]]\ngroup = \"A\"\n", Some((2, 9)), &["is no name"]);
    accepted(&format!("{STEP}group = \"\"\nfailure_phase = \"{}\"\n", "a".repeat(64)));
}

#[test]
fn a_command_is_something_that_can_be_run() {
    for bad in ["[]", "\"\"", "\"  \"", "[\"\"]"] {
        refused(
            &format!("[[step]]\nname = \"a\"\ncommand = {bad}\n"),
            Some((3, 11)),
            &["the command is empty"],
        );
    }
    refused("[[step]]\ncommand = [\"a\", \"\\u0000\"]\n", Some((2, 11)), &["zero byte"]);
}

#[test]
fn a_user_is_a_login_name() {
    for bad in ["", "a:b", "a b", "-u", "../x"] {
        refused(
            &format!("[[step]]\nuser = \"{bad}\"\n"),
            Some((2, 8)),
            &["is no login name; write \"root\", \"sandbox\" or a name of /etc/passwd"],
        );
    }
    accepted(&format!("{STEP}user = \"ubuntu\"\n"));
}

#[test]
fn attempts_are_between_one_and_twenty() {
    for bad in [0, 21] {
        refused(
            &format!("{STEP}attempts = {bad}\n"),
            Some((1, 1)),
            &[&format!("step a: attempts is {bad}; write a number from 1 to 20")],
        );
    }
    accepted(&format!("{STEP}attempts = 20\n"));
}

#[test]
fn a_directory_is_absolute() {
    refused(&format!("{STEP}directory = \"x\"\n"), Some((1, 1)), &["\"x\" is relative"]);
}

#[test]
fn a_variable_has_a_name_and_the_payload_is_none() {
    for bad in ["1A", "A-B", "", "MINT_USER_BOOTSTRAP"] {
        refused(
            &format!("{STEP}environment = {{ \"{bad}\" = \"x\" }}\n"),
            Some((1, 1)),
            &[&format!("step a: {bad:?} cannot be set")],
        );
    }
}

#[test]
fn the_steps_of_a_group_stand_together() {
    let step = |name: &str, group: &str| {
        format!("[[step]]\nname = \"{name}\"\ncommand = \"true\"\ngroup = \"{group}\"\n")
    };
    let torn = [step("a", "g"), step("b", "h"), step("c", "g")].concat();
    refused(
        &torn,
        Some((9, 1)),
        &["step c: the other steps of group g do not stand next to it; let the steps"],
    );
    let torn = [step("a", "g"), step("b", ""), step("c", "g")].concat();
    refused(&torn, Some((9, 1)), &["step c"]);
    accepted(
        &[step("a", "g"), step("b", "g"), step("c", ""), step("d", ""), step("e", "h")].concat(),
    );
}

#[test]
fn what_can_never_be_found_is_refused() {
    for (key, bad, part) in [
        ("commands", "", "is no program"),
        ("commands", "bin/git", "is no program; write a name, or an absolute path"),
        ("services", "docker", "is no unit; write one such as \"docker.service\""),
        ("services", "-H.service", "is no unit"),
        ("services", "a*.service", "is no unit"),
        ("files", "etc/passwd", "is relative"),
        ("mounts", "mint", "is relative"),
        ("files", "~other/x", "is relative"),
    ] {
        refused(
            &format!("[health]\n{key} = [\"{bad}\"]\n"),
            None,
            &[&format!("health.{key}: \"{bad}\" {part}")],
        );
    }
    accepted("[health]\nservices = [\"getty@tty1.service\", \"apt-daily.timer\"]\n");
}

#[test]
fn the_plan_tells_the_steps_and_the_check_in_words() {
    let text = "[[step]]\nname = \"packages\"\ncommand = [\"apt-get\", \"update\"]\nattempts = 3\n\
        [[step]]\nname = \"docker\"\ncommand = \"\"\"\n# on\nset -e\n\nsystemctl enable --now docker\nsystemctl status docker\"\"\"\ngroup = \"g\"\nfailure_phase = \"services\"\n\
        [[step]]\nname = \"dotfiles\"\ncommand = \"true\"\ngroup = \"g\"\nuser = \"sandbox\"\nrequired = false\nrun = \"once\"\n\
        [health]\ncommands = [\"git\", \"gh\"]\nservices = [\"docker.service\"]\nfiles = [\"~/.ssh\"]\n\
        [user]\nhome = \"/home/somebody\"\n";
    let ended = plan(text, false).expect(0);
    for part in [
        "1. provision  (deadline 20 min 16 s)\n",
        "   step packages: run apt-get update as root, within 10 min, up to 3 attempts; otherwise the boot fails as packages\n",
        "   side by side: docker, dotfiles\n",
        "   step docker: run /bin/sh -c systemctl enable --now docker; systemctl status docker as root, within 10 min; otherwise the boot fails as services\n",
        "   step dotfiles: run /bin/sh -c true as the sandbox user, once on this instance, within 10 min; otherwise the boot degrades\n",
        "4. drift-check  (deadline 30 s)\n",
        "   look for commands on the user's PATH: git, gh\n",
        "   look for active services: docker.service\n",
        "   look for files: /home/somebody/.ssh\n",
        "   what is missing fails the boot; once the instance has been complete, it degrades it\n",
        "5. user-script",
    ] {
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
    }
}

#[test]
fn the_plan_in_json_has_the_steps_with_their_environment_and_no_more() {
    let json = plan(STEP, true).expect(0).json();
    let step = &json["phases"][0]["work"]["steps"][0];
    assert_eq!(json["phases"][0]["work"]["kind"], "provision");
    assert_eq!(step["argv"], serde_json::json!(["/bin/sh", "-c", "true"]));
    assert_eq!((&step["user"], &step["run"]), (&"root".into(), &"every-boot".into()));
    assert_eq!(step["environment"]["pass"], serde_json::json!(["LANG", "LC_*"]));
    assert_eq!(step["definition"].as_str().unwrap().len(), 64);
}

/// The plan of the example for a machine image, as the host sees it.
fn example() -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent-stub"));
    command.args(["plan", "--json", "--config"]).arg(example_path());
    run(command).expect(0).json()
}

fn example_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mint.toml")
}

fn work(plan: &Value, phase: &str) -> Value {
    let phases = plan["phases"].as_array().unwrap();
    phases.iter().find(|p| p["name"] == phase).unwrap()["work"].clone()
}

#[test]
fn the_example_for_a_machine_image_is_accepted_and_names_the_contracts_phases() {
    let path = example_path();
    let name = path.to_str().unwrap();
    let ended = run(agent(&["config", "check", name])).expect(0);
    assert_eq!(ended.stdout, format!("{name}: ok\n"));
    let plan = example();
    assert_eq!(plan["user"]["name"], "ubuntu");
    let steps = work(&plan, "provision")["steps"].as_array().unwrap().clone();
    let filed: Vec<&str> = steps.iter().map(|s| s["failure_phase"].as_str().unwrap()).collect();
    for name in ["packages", "docker", "ssh-known-hosts", "systemd-units"] {
        assert!(filed.contains(&name), "{name}: {filed:?}");
    }
    let health = work(&plan, "drift-check");
    for name in ["git", "curl", "docker", "tmux", "mosh-server", "mise", "gh"] {
        assert!(health["commands"].as_array().unwrap().contains(&name.into()), "{name}");
    }
    assert_eq!(health["services"], serde_json::json!(["docker.service", "ssh.service"]));
    assert_eq!(health["required"], true);
}

/// What the example's shell texts say is shell.
#[test]
fn the_examples_commands_are_shell_that_parses() {
    let steps = work(&example(), "provision")["steps"].as_array().unwrap().clone();
    let mut texts = 0;
    for argv in steps.iter().map(|s| s["argv"].as_array().unwrap()) {
        if argv[0] == "/bin/sh" {
            let mut command = Command::new("/bin/sh");
            command.args(["-n", "-c", argv[2].as_str().unwrap()]);
            run(command).expect(0);
            texts += 1;
        }
    }
    assert!(texts > 0);
}
