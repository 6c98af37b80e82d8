//! `agent tools policy`, with real releases of mise: what it lists, what it compares, and the
//! exit statuses that builds and CI go by.

use crate::readiness::{Readiness, layer_is_ready};
use crate::util::{Ended, NOBODY, agent, directory, file, fresh, run};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What the sandbox image sets.
const DENIED: &str = "aqua,asdf,cargo,conda,core,dotnet,forgejo,gem,gitlab,go,http,packslip,pipx,pkgx,pypi,s3,spm,ubi,vfox";
const PLUGINS: &str = "/usr/local/share/agent/no-plugins";

/// The releases, or nothing where they can't be had: they come from the npm registry once.
fn releases() -> Option<[PathBuf; 3]> {
    static READY: Readiness = Readiness::new();
    let path = |name: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/util/mise-env");
        let output = Command::new(script).arg(name).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let path = String::from_utf8(output.stdout).unwrap();
        if output.status.success() { Ok(PathBuf::from(path.trim())) } else { Err(said) }
    };
    let all = ["image", "middle", "older"];
    let ready = layer_is_ready("cli (agent tools policy)", &READY, || {
        all.iter().try_for_each(|name| path(name).map(|_| ()))
    });
    ready.then(|| all.map(|name| path(name).unwrap()))
}

/// A sandbox user's home, an image's mise config, and the agent's config for both.
struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = fresh();
        directory(dir.path(), "home");
        directory(dir.path(), "etc");
        let machine = Self { dir };
        let home = machine.home();
        // Somebody else, wherever that user could start the mise of this repository.
        let open = |p: &Path| p.metadata().is_ok_and(|m| m.mode() & 0o001 != 0);
        let reached = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().all(open);
        let id = if reached { NOBODY } else { 0 };
        let user = format!(
            "[user]\nname = \"somebody\"\nuid = {id}\ngid = {id}\nhome = \"{}\"\n",
            home.display()
        );
        file(
            machine.dir.path(),
            "agent.toml",
            user + "[tools]\nbackends = [\"npm\", \"github\"]\n",
        );
        machine
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The image's mise config.
    fn system(&self, text: &str) {
        file(&self.dir.path().join("etc"), "config.toml", text);
    }

    /// The command with the image's environment.
    fn policy(&self, mise: &Path, arguments: &[&str]) -> Command {
        let mut command = agent(&["tools", "policy", "--mise"]);
        command.arg(mise).arg("--config").arg(self.dir.path().join("agent.toml")).args(arguments);
        command.env("MISE_SYSTEM_CONFIG_DIR", self.dir.path().join("etc"));
        command.env("MISE_DISABLE_BACKENDS", DENIED).env("MISE_PLUGINS_DIR", PLUGINS);
        command
    }
}

fn list(json: &Value) -> Vec<&str> {
    json.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

#[test]
fn an_environment_that_denies_the_rest_is_content() {
    let Some([image, ..]) = releases() else { return };
    let machine = Machine::new();
    let ended = run(machine.policy(&image, &["--check"])).expect(0);
    for part in ["allowed      npm, github", "drift        none", "check        the policy holds"] {
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
    }
    assert!(ended.stdout.contains("a plugin's install was not run; without"), "{ended:#?}");
    assert_eq!(fs::read_dir(machine.home()).unwrap().count(), 0, "the trial leaves nothing");
}

#[test]
fn each_way_not_to_hold_is_told_and_fails_the_check_alone() {
    let Some([image, middle, older]) = releases() else { return };
    let machine = Machine::new();
    let refused = |command: Command, part: &str| {
        let ended = run(command).expect(1);
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
        assert!(ended.stdout.contains("commit:"), "{ended:#?}");
        assert!(ended.stdout.contains("disable_backends = [\"aqua\", "), "{ended:#?}");
    };
    let mut drift = machine.policy(&middle, &["--check"]);
    drift.env("MISE_DISABLE_BACKENDS", DENIED.replace("pkgx,", ""));
    refused(drift, "drift: mise 2026.6.14 has backends that nobody has decided on: pkgx");
    let mut bare = machine.policy(&image, &["--check"]);
    bare.env_remove("MISE_DISABLE_BACKENDS");
    refused(bare, "MISE_DISABLE_BACKENDS: is not set: configs decide");
    let mut plugins = machine.policy(&image, &["--check"]);
    plugins.env("MISE_PLUGINS_DIR", "/opt/plugins");
    refused(plugins, "plugins are taken from /opt/plugins");
    let mut tight = machine.policy(&image, &["--check"]);
    tight.env("MISE_DISABLE_BACKENDS", format!("{DENIED},npm"));
    refused(tight, "denies what is allowed: npm");
    refused(machine.policy(&older, &["--check"]), "mise 2026.2.16 does not refuse what is denied");
    machine.system("[settings]\ndisable_backends = [\"cargo\"]\n");
    refused(
        machine.policy(&image, &["--check"]),
        "config.toml: settings.disable_backends leaves out aqua",
    );
    machine.system("[tools]\n\"npm:a\" = \"1\"\n");
    refused(machine.policy(&image, &["--check"]), "lost its environment");
    // Told without --check, too, and no failure then.
    run(machine.policy(&image, &[])).expect(0);
}

#[test]
fn a_users_config_is_told_and_fails_nothing() {
    let Some([image, ..]) = releases() else { return };
    let machine = Machine::new();
    let mise = directory(&directory(&machine.home(), ".config"), "mise");
    let text = "[settings]\ndisable_backends = []\n[tools]\n\"cargo:x\" = \"1\"\n\"evil:y\" = \"1\"\n[plugins]\nother = \"https://x\"\n[env]\nMISE_DISABLE_BACKENDS = \"\"\n";
    file(&mise, "config.toml", text);
    let mut data = machine.home();
    for part in [".local", "share", "mise", "plugins", "third"] {
        data = directory(&data, part);
    }
    let json = run(machine.policy(&image, &["--check", "--json"])).expect(0).json();
    assert_eq!(json["schema"], "agent.tools.policy/1");
    assert_eq!(list(&json["plugins"]), ["evil", "other", "third"]);
    for name in ["evil", "other", "third", "cargo"] {
        assert!(list(&json["denied"]).contains(&name), "{name}: {json}");
    }
    let claims = json["claims"].as_array().unwrap();
    let user: Vec<_> = claims.iter().filter(|c| c["source"] == "user").collect();
    assert_eq!(user.iter().filter(|c| c["agrees"] == false).count(), 5, "{user:#?}");
    assert_eq!(json["faults"].as_array().unwrap().len(), 0, "{json}");
    assert_eq!(json["control"], true, "{json}");
}

fn compared(machine: &Machine, this: &Path, other: &Path, arguments: &[&str]) -> Ended {
    run(machine.policy(this, &[&["--compare", other.to_str().unwrap()], arguments].concat()))
}

#[test]
fn two_releases_are_compared_and_the_line_to_commit_is_printed() {
    let Some([image, middle, older]) = releases() else { return };
    let machine = Machine::new();
    let ended = compared(&machine, &image, &middle, &["--check"]).expect(0);
    for part in [
        "gained       pipx, pkgx\n",
        "lost         packslip, pypi\n",
        "\ndisable_backends = [\"aqua\", \"asdf\", \"cargo\", \"conda\", \"core\", \"dotnet\", \"forgejo\", \"gem\", \"gitlab\", \"go\", \"http\", \"packslip\", \"pipx\", \"pkgx\", \"pypi\", \"s3\", \"spm\", \"ubi\", \"vfox\"]\n",
        &format!("\nMISE_DISABLE_BACKENDS={DENIED}\n"),
    ] {
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
    }
    let json = compared(&machine, &middle, &image, &["--json"]).expect(0).json();
    assert_eq!(
        (list(&json["gained"]), list(&json["lost"])),
        (vec!["packslip", "pypi"], vec!["pipx", "pkgx"])
    );
    let ended = compared(&machine, &image, &older, &["--check"]).expect(1);
    assert!(ended.stdout.contains("does NOT refuse what is denied"), "{ended:#?}");
    // What nobody has decided on yet.
    let arguments = ["--check", "--compare", middle.to_str().unwrap()];
    let mut undecided = machine.policy(&image, &arguments);
    undecided.env("MISE_DISABLE_BACKENDS", DENIED.replace("pkgx,", ""));
    let ended = run(undecided).expect(1);
    assert!(ended.stdout.contains("undecided    pkgx\n"), "{ended:#?}");
}

#[test]
fn without_a_mise_it_says_so() {
    let machine = Machine::new();
    for mise in ["/nonexistent/mise", "/bin/false", "/etc/passwd"] {
        run(machine.policy(Path::new(mise), &["--check"])).expect(69).says(mise);
    }
    let mut none = agent(&["tools", "policy", "--config"]);
    none.arg(machine.dir.path().join("agent.toml")).env("PATH", "/nonexistent");
    run(none).expect(69).says("name one with --mise");
}

#[test]
fn without_a_policy_there_is_nothing_to_hold() {
    let dir = fresh();
    let config = file(dir.path(), "agent.toml", "[ec2]\nenabled = true\n");
    let mut command = agent(&["tools", "policy", "--check", "--config"]);
    command.arg(config);
    assert!(run(command).expect(0).stdout.starts_with("no policy: tools.backends is not set"));
}
