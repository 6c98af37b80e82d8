//! What was broken, killed or cut off is repaired by the next start.

use crate::engine::ready;
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe, seed};
use crate::tools::{TOOL, answers, with_tool};

/// mise takes an emptied directory for an installed tool; the agent looks into it.
#[test]
fn an_emptied_install_directory_is_installed_again() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let first = with_tool(&volume);
    first.sh("find $(mise where npm:semver) -mindepth 1 -delete").good();
    assert_ne!(first.exec(&["semver", "1.2.3"]).status, 0, "the damage is done");
    drop(first);
    let second = Recipe::on(&volume).network().start(IDLE);
    let status = second.settled();
    assert_eq!(status.state(), "complete", "{}", second.logs());
    assert!(status.notes().contains("installed again"), "{}", status.notes());
    answers(&second);
}

/// Without a network it cannot be repaired, and that is said of this tool.
#[test]
fn an_emptied_install_directory_that_cannot_be_repaired_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let first = with_tool(&volume);
    // The installer's store would do as a network.
    first.sh("find $(mise where npm:semver) -mindepth 1 -delete; rm -rf ~/.cache/mise").good();
    drop(first);
    let second = Recipe::on(&volume).start(IDLE);
    let status = second.settled();
    assert_eq!(status.state(), "degraded", "{}", second.logs());
    assert!(!status.installed(TOOL));
    assert!(status.summary().contains("npm:semver"), "{}", status.summary());
}

/// A larger tool, so that there is a middle to be killed in.
const LARGE: &str = "[tools]\n\"npm:typescript\" = \"5.6.3\"\n";

#[test]
fn a_mise_killed_half_way_is_named_and_repaired_at_the_next_start() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox
        .sh(&format!("mkdir -p ~/.config/mise; printf '{LARGE}' >~/.config/mise/config.toml"))
        .good();
    // It waits for an install that has begun to write, and kills it.
    let killer = r#"until test -d ~/.local/share/mise/installs/npm-typescript -o -d ~/.cache/mise/npm; do :; done
        for p in /proc/[0-9]*; do
            case $(tr '\0' ' ' <$p/cmdline) in */mise\ install*) kill -KILL ${p#/proc/} && touch ~/killed;; esac
        done"#;
    sandbox.exec_with(&["--detach"], &["sh", "-c", killer]).good();
    let boot = sandbox.exec(&["agent", "boot"]);
    sandbox.exec(&["test", "-e", "/home/iteron/killed"]).good();
    assert_eq!(boot.status, 2, "{}", boot.stderr);
    let (_, text) = sandbox.shows("degraded", "mise-killed");
    assert!(text.contains("mise install was killed by SIGKILL"), "{text}");
    sandbox.restart();
    let status = sandbox.settled();
    assert_eq!(status.state(), "complete", "{}", sandbox.logs());
    assert!(status.installed("npm:typescript"));
    assert!(sandbox.exec(&["tsc", "--version"]).good().contains("5.6.3"));
}

#[test]
fn a_tool_that_is_missing_for_the_network_comes_with_it() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, ".config/mise/config.toml", "[tools]\n\"npm:semver\" = \"7.6.3\"\n");
    let without = Recipe::on(&volume).start(IDLE);
    let (seen, text) = without.shows("degraded", "tool-network");
    assert!(seen.problem("tool-network").contains("npm:semver@7.6.3"), "{text}");
    assert!(seen.problem("tool-network").contains("error sending request"), "{text}");
    assert!(seen.notes().contains("attempt 3 follows"), "{}", seen.notes());
    assert!(seen.installed("npm:cowsay") && !seen.installed(TOOL));
    // The sandbox is usable meanwhile.
    assert!(without.exec(&["cowsay", "moo"]).good().contains("moo"));
    drop(without);
    let with = Recipe::on(&volume).network().start(IDLE);
    assert_eq!(with.settled().state(), "complete", "{}", with.logs());
    answers(&with);
}

/// A registry that doesn't answer, though there is a route: what works in part is kept.
#[test]
fn what_works_in_part_survives_a_dead_registry() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, ".config/mise/config.toml", LARGE);
    let first = Recipe::on(&volume).network().start(IDLE);
    assert_eq!(first.settled().state(), "complete", "{}", first.logs());
    let harm = r#"for f in $(find ~/.local/share/mise/installs/npm-typescript -path '*bin/tsserver*'); do : >$f; done
        printf 'registry=http://127.0.0.1:1/\n' >~/.npmrc
        rm -rf ~/.cache/mise ~/.cache/aube ~/.local/share/aube"#;
    first.sh(harm).good();
    drop(first);
    for _ in 0..2 {
        let second = Recipe::on(&volume).network().start(IDLE);
        let (seen, text) = second.shows("degraded", "tool-broken");
        assert!(seen.problem("tool-broken").contains("tsserver"), "{text}");
        assert!(seen.notes().contains("kept as it was"), "{}", seen.notes());
        assert!(second.exec(&["tsc", "--version"]).good().contains("5.6.3"), "{text}");
        second.sh("test ! -e ~/.local/share/mise/agent-aside").good();
    }
    // By force alone it would be gone.
    let second = Recipe::on(&volume).network().start(IDLE);
    second.settled();
    second.sh("timeout 20 mise install --force npm:typescript@5.6.3; exit 0").good();
    assert_ne!(second.exec(&["tsc", "--version"]).status, 0);
}

/// The boot was killed while a tool lay aside: mise doesn't list it there, and the next boot
/// puts it back.
#[test]
fn what_a_killed_boot_left_aside_is_put_back() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let first = with_tool(&volume);
    let moved = "cd ~/.local/share/mise && mkdir -p agent-aside/npm-semver && \
        mv installs/npm-semver/7.6.3 agent-aside/npm-semver/ && rm -rf ~/.cache/aube ~/.local/share/aube";
    first.sh(moved).good();
    let listed = first.sh("mise ls --json").good();
    assert!(!listed.contains("aside"));
    drop(first);
    let second = Recipe::on(&volume).start(IDLE);
    assert_eq!(second.settled().state(), "complete", "{}", second.logs());
    answers(&second);
}
