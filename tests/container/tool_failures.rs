//! A tool that cannot be installed is named with mise's reason; whether that degrades or
//! fails is config.

use crate::engine::ready;
use crate::guard::{Files, Image, Volume};
use crate::sandbox::{IDLE, Recipe, seed};

const MANIFEST: &str = ".config/mise/config.toml";

/// Without a network: the baseline is in the image.
#[test]
fn the_baseline_needs_no_network() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    let routes = sandbox.exec(&["cat", "/proc/net/route"]).good();
    assert_eq!(routes.lines().count(), 1, "there is indeed none: {routes}");
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert!(sandbox.exec(&["cowsay", "moo"]).good().contains("moo"));
}

#[test]
fn a_denied_backend_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    // A user's config replaces the list of the image's config; the environment outranks both.
    let manifest = "[settings]\ndisable_backends = []\n[tools]\n\"cargo:ripgrep\" = \"14.1.1\"\n";
    seed(&volume, MANIFEST, manifest);
    let sandbox = Recipe::on(&volume).start(IDLE);
    let (seen, _) = sandbox.shows("degraded", "tool-backend-denied");
    let problem = seen.problem("tool-backend-denied");
    assert!(problem.contains("cargo:ripgrep@14.1.1"), "{problem}");
    assert!(problem.contains("backend cargo is disabled"), "{problem}");
    assert!(seen.installed("npm:cowsay"));
}

#[test]
fn a_malformed_manifest_is_named_with_its_line() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, "[tools]\n\"npm:semver\" = \n");
    let sandbox = Recipe::on(&volume).start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "mise-config-malformed");
    let problem = seen.problem("mise-config-malformed");
    assert!(problem.contains(".config/mise/config.toml:2:"), "{text}");
    // The user's text is left as it was.
    let kept = sandbox.exec(&["cat", "/home/iteron/.config/mise/config.toml"]).good();
    assert_eq!(kept, "[tools]\n\"npm:semver\" = \n");
}

#[test]
fn a_version_that_does_not_exist_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, "[tools]\n\"npm:semver\" = \"99.9.9\"\n");
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let (seen, _) = sandbox.shows("degraded", "tool-not-installed");
    let problem = seen.problem("tool-not-installed");
    assert!(problem.contains("npm:semver@99.9.9"), "{problem}");
    assert!(problem.contains("no version of semver matches"), "{problem}");
}

/// An unknown name stops mise before it installs anything: that is an error of its own.
#[test]
fn a_name_that_mise_does_not_know_is_told() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, "[tools]\nnosuchtool = \"1\"\n");
    let sandbox = Recipe::on(&volume).start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "mise-error");
    assert!(seen.problem("mise-error").contains("nosuchtool"), "{text}");
}

#[test]
fn a_tool_fails_the_boot_where_the_config_says_so() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, "[tools]\n\"cargo:ripgrep\" = \"14.1.1\"\n");
    let strict = || Recipe::on(&volume).env("AGENT__TOOLS__ON_FAILURE", "fail");
    let (_sandbox, output) = strict().run(&["echo", "workload"]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    let last = output.stderr.lines().last().unwrap();
    assert!(last.starts_with("agent: failed: tools: cargo:ripgrep@14.1.1"), "{last}");
    let sandbox = strict().hold().start(IDLE);
    let seen = sandbox.settled();
    assert_eq!((seen.state(), seen.phase("tools")), ("failed", "failed"));
    assert_eq!(seen.phase("user-script"), "not-run");
}

#[test]
fn a_mise_that_is_not_where_the_config_says_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).env("AGENT__TOOLS__MISE", "/opt/mise").start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "mise-absent");
    assert!(seen.problem("mise-absent").contains("/opt/mise"), "{text}");
}

#[test]
fn an_image_without_mise_is_named_and_its_absence_can_be_meant() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let image = Image::derived("USER root\nRUN rm /usr/local/bin/mise\nUSER iteron", &[]);
    let recipe = || Recipe::on(&volume).image(&image.name);
    let sandbox = recipe().start(IDLE);
    assert_eq!(sandbox.settled().codes(), ["mise-absent"]);
    assert_eq!(sandbox.status().state(), "degraded");
    for meant in ["off", "auto"] {
        let sandbox = recipe().env("AGENT__TOOLS__ENABLED", meant).start(IDLE);
        let seen = sandbox.settled();
        assert_eq!((seen.state(), seen.phase("tools")), ("complete", "skipped"), "{meant}");
    }
}

#[test]
fn a_mise_that_cannot_be_executed_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let file = Files::one("mise", "not executable");
    let sandbox = Recipe::on(&volume)
        .argument(&file.mounted("mise", "/opt/mise", "ro"))
        .env("AGENT__TOOLS__MISE", "/opt/mise")
        .start(IDLE);
    let (_, text) = sandbox.shows("degraded", "mise-not-started");
    assert!(text.contains("Permission denied"), "{text}");
}

/// A registry that takes the connection and never answers: the phase's deadline ends mise.
#[test]
fn a_registry_that_hangs_ends_at_the_deadline() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    sandbox
        .sh(r#"mkdir -p ~/.config/mise; echo '[tools]
        "npm:semver" = "7.6.3"' >~/.config/mise/config.toml"#)
        .good();
    let silent = "require('net').createServer(() => {}).listen(4873, '127.0.0.1',
        () => require('fs').writeFileSync('/home/iteron/listening', ''))";
    sandbox.exec_with(&["--detach"], &["node", "-e", silent]).good();
    sandbox.wait_for_file("/home/iteron/listening");
    let boot = sandbox.exec_with(
        &["--env=npm_config_registry=http://127.0.0.1:4873/", "--env=AGENT__TOOLS__DEADLINE=2s"],
        &["agent", "boot"],
    );
    assert_eq!(boot.status, 2, "{}", boot.stderr);
    assert!(boot.took < std::time::Duration::from_secs(20), "{:?}", boot.took);
    let (_, text) = sandbox.shows("degraded", "tools-deadline");
    assert!(text.contains("mise install did not end within"), "{text}");
    let left = sandbox.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").good();
    assert!(!left.contains("mise install"), "{left}");
}

/// The tool does not fit: that is a full disk, not a broken tool.
#[test]
fn a_disk_that_fills_up_during_an_install_is_named() {
    if !ready() {
        return;
    }
    let small = "--mount=type=tmpfs,destination=/home/iteron,tmpfs-size=3m,U=true";
    let sandbox = Recipe::bare().argument(small).network().start(IDLE);
    sandbox.settled();
    sandbox
        .sh(r#"mkdir -p ~/.config/mise; echo '[tools]
        "npm:typescript" = "5.6.3"' >~/.config/mise/config.toml"#)
        .good();
    assert_eq!(sandbox.exec(&["agent", "boot"]).status, 2);
    let (seen, _) = sandbox.shows("degraded", "tool-no-space");
    assert!(seen.codes().contains(&"volume-full".to_owned()), "{:?}", seen.codes());
    let problem = seen.problem("tool-no-space");
    assert!(
        problem.contains("npm:typescript@5.6.3") && problem.contains("No space left"),
        "{problem}"
    );
    // The manifest is whole.
    assert!(sandbox.sh("cat ~/.config/mise/config.toml").good().contains("typescript"));
}

/// mise names several failed tools in one line and gives each its reason below.
#[test]
fn several_tools_that_fail_are_each_named_with_their_reason() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(
        &volume,
        MANIFEST,
        "[tools]\n\"npm:semver\" = \"9.9.9\"\n\"npm:@scope/none\" = \"9.9.9\"\n",
    );
    let sandbox = Recipe::on(&volume).start(IDLE);
    let (_, text) = sandbox.shows("degraded", "tool-network");
    for name in ["npm:semver@9.9.9 is not installed", "npm:@scope/none@9.9.9 is not installed"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(text.contains("1 of 3 tools are installed"), "{text}");
}

/// The user's config outranks the image's in mise; the links don't ask it, and the status says
/// so.
#[test]
fn a_baseline_tool_that_a_user_disabled_is_told() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, "[settings]\ndisable_tools = [\"npm:cowsay\"]\n");
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    let text = sandbox.exec(&["agent", "status"]).stdout;
    assert!(text.contains("npm:cowsay: the user's config disables it"), "{text}");
    assert!(text.contains("the image's 1.6.0 is in force"), "{text}");
    assert!(!text.contains("not in force"), "{text}");
}

/// mise stops at plugins before it tries anything: one problem says so, the others point to it.
#[test]
fn plugins_are_named_once_and_the_rest_is_said_not_to_be_tried() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let manifest =
        "[tools]\n\"npm:semver\" = \"7.6.3\"\n[plugins]\nevil = \"https://example.invalid/evil\"\n";
    seed(&volume, MANIFEST, manifest);
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "tool-plugin-denied");
    assert!(!seen.codes().contains(&"mise-error".to_owned()), "{text}");
    assert!(!text.contains("os error 30"), "{text}");
    assert!(seen.problem("tool-not-installed").contains("stopped before it tried"), "{text}");
}

/// A name with an escape in it: the entry is named, and the other tools stay in the status.
#[test]
fn a_name_that_nobody_can_print_is_named_with_its_config() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(
        &volume,
        MANIFEST,
        "[tools]\n\"npm:a\\u001b[31mred\" = \"1\"\n\"npm:semver\" = \"7.6.3\"\n",
    );
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "tool-name");
    let problem = seen.problem("tool-name");
    assert!(problem.contains("config.toml") && problem.contains("[31mred"), "{problem}");
    assert!(!seen.codes().contains(&"mise-list".to_owned()), "{text}");
    assert!(seen.installed("npm:cowsay"), "{text}");
}
