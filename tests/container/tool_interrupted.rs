//! Tool installs that are cut off, at any moment and by anything: never a tool that is claimed
//! and doesn't run; the next boot mends it.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `AGENT_TEST_KILLS` | how many moments are tried in each test that kills (default 6) |

use crate::engine::{podman, ready};
use crate::guard::{Image, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox, seed};
use crate::seen::Seen;
use std::time::Duration;

/// One tool that takes its time and one that is quick: there is a moment when one is done.
const MANIFEST: &str = "[tools]\n\"npm:typescript\" = \"5.6.3\"\n\"npm:semver\" = \"7.6.3\"\n";

/// The tools, how each is called, and what it says.
const TOOLS: [(&str, &str, &str); 2] =
    [("npm:typescript", "tsc --version", "Version 5.6.3"), ("npm:semver", "semver 1.2.3", "1.2.3")];

/// How long a boot takes to install both from the installer's store, about.
const TAKES: Duration = Duration::from_millis(1600);

/// Does the tool run, by its name? What a shim may install when it is called doesn't count.
pub(crate) fn runs(sandbox: &Sandbox, command: &str, says: &str) -> bool {
    let line = format!(
        "export MISE_OFFLINE=1 MISE_AUTO_INSTALL=0 MISE_EXEC_AUTO_INSTALL=0 MISE_NOT_FOUND_AUTO_INSTALL=0; {command}"
    );
    let output = sandbox.sh(&line);
    output.status == 0 && output.stdout.trim() == says
}

/// What is claimed runs. Returns how many are claimed.
#[track_caller]
fn claims_are_true(sandbox: &Sandbox, seen: &Seen, when: &str) -> usize {
    let claimed = TOOLS.iter().filter(|(name, ..)| seen.installed(name));
    claimed
        .map(|(name, command, says)| {
            assert!(runs(sandbox, command, says), "{when}: {name} is claimed and doesn't run");
        })
        .count()
}

#[track_caller]
fn all_run(sandbox: &Sandbox, when: &str) {
    for (name, command, says) in TOOLS {
        assert!(runs(sandbox, command, says), "{when}: {name} does not run");
    }
}

/// Spread over the whole time that an install takes, and a little beyond.
fn moments() -> impl Iterator<Item = Duration> {
    let count = std::env::var("AGENT_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    (0..count).map(move |n: u32| TAKES * n / count)
}

/// The installs are gone, the installer's store is kept: the next install is quick.
const FORGET: &str = "rm -rf ~/.local/share/mise/installs ~/.local/share/mise/shims \
    ~/.cache/mise/npm-*/";

/// The boot that has run, or one by hand after it, is well. Another only where the registry
/// stalled: that is no end that a test is after.
#[track_caller]
pub(crate) fn completes(sandbox: &Sandbox, when: &str) -> Seen {
    let mut seen = sandbox.settled();
    for _ in 0..3 {
        if seen.codes() != ["tool-network"] {
            break;
        }
        sandbox.exec(&["agent", "boot"]);
        seen = sandbox.status();
    }
    assert_eq!(seen.state(), "complete", "{when}: {}", sandbox.logs());
    seen
}

/// A sandbox whose installer has everything in its store.
#[track_caller]
fn filled(volume: &Volume) -> Sandbox {
    seed(volume, ".config/mise/config.toml", MANIFEST);
    let sandbox = Recipe::on(volume).network().start(IDLE);
    completes(&sandbox, "at first");
    all_run(&sandbox, "at first");
    sandbox
}

/// Kills what `whom` (a shell pattern of a command line) matches, so long after a boot by
/// hand has begun, and returns that boot's exit status.
fn cut_off(sandbox: &Sandbox, whom: &str, moment: Duration) -> i32 {
    let line = format!(
        "{FORGET}; agent boot >/dev/null 2>&1 & boot=$!; sleep {}
        for p in /proc/[0-9]*; do
            case $(tr '\\0' ' ' <$p/cmdline 2>/dev/null) in {whom}) kill -KILL ${{p#/proc/}};; esac
        done; wait $boot",
        moment.as_secs_f64()
    );
    sandbox.sh(&line).status
}

#[track_caller]
fn is_mended(sandbox: &Sandbox, when: &str) {
    sandbox.exec(&["agent", "boot"]);
    let seen = completes(sandbox, when);
    assert_eq!(claims_are_true(sandbox, &seen, when), TOOLS.len(), "{when}: {}", seen.summary());
}

/// mise dies at any moment, as it does of the memory limit.
#[test]
fn a_mise_killed_at_any_moment_leaves_no_false_claim() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    let mut states = Vec::new();
    for moment in moments() {
        let when = format!("mise killed after {moment:?}");
        let status = cut_off(&sandbox, "*/mise\\ *", moment);
        let seen = sandbox.status();
        let claimed = claims_are_true(&sandbox, &seen, &when);
        assert!(status != 0 || claimed == TOOLS.len(), "{when}: {}", seen.summary());
        states.push(format!(
            "{:?}: {} {:?}, {claimed} claimed",
            moment,
            seen.state(),
            seen.codes()
        ));
        is_mended(&sandbox, &when);
    }
    println!("{}", states.join("\n"));
    assert!(states.iter().any(|s| s.contains("mise-killed")), "no kill hit: {states:?}");
}

/// The boot itself dies, and the kernel ends its mise.
#[test]
fn a_boot_killed_at_any_moment_of_its_installs_is_no_success() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    let mut states = Vec::new();
    for moment in moments() {
        let when = format!("boot killed after {moment:?}");
        let before = sandbox.status();
        cut_off(&sandbox, "agent\\ boot*", moment);
        let seen = sandbox.status();
        // Killed before it began, it has said nothing: the last word is the boot's before.
        if seen.boot() != before.boot() {
            claims_are_true(&sandbox, &seen, &when);
        }
        states.push(format!("{moment:?}: {}", seen.summary()));
        is_mended(&sandbox, &when);
    }
    println!("{}", states.join("\n"));
    assert!(states.iter().any(|s| s.contains("interrupted in tools")), "no kill hit: {states:?}");
}

/// The whole sandbox is killed. Without a network the next start says exactly what is not
/// there; with one it completes.
#[test]
fn a_sandbox_killed_at_any_moment_of_its_installs_completes_at_the_next_start() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    drop(filled(&volume));
    let mut states = Vec::new();
    for moment in moments() {
        let when = format!("sandbox killed after {moment:?}");
        let (_gone, output) = Recipe::on(&volume).argument("--entrypoint=sh").run(&["-c", FORGET]);
        output.good();
        let killed = Recipe::on(&volume).network().start(IDLE);
        std::thread::sleep(moment);
        podman(&["kill", "--signal", "KILL", &killed.name]).good();
        assert_eq!(killed.ended(), 137);
        drop(killed);
        let without = Recipe::on(&volume).start(IDLE);
        let seen = without.settled();
        let claimed = claims_are_true(&without, &seen, &when);
        let expected = if claimed == TOOLS.len() { "complete" } else { "degraded" };
        assert_eq!(seen.state(), expected, "{when}: {}", without.logs());
        let text = without.exec(&["agent", "status"]).stdout;
        for (name, ..) in TOOLS.iter().filter(|(name, ..)| !seen.installed(name)) {
            assert!(text.contains(&format!("problem: {name}@")), "{when}: {text}");
        }
        states.push(format!("{moment:?}: {claimed} whole"));
        drop(without);
        let with = Recipe::on(&volume).network().start(IDLE);
        let seen = completes(&with, &when);
        assert_eq!(claims_are_true(&with, &seen, &when), TOOLS.len(), "{when}");
    }
    println!("{}", states.join("\n"));
}

/// mise keeps the mark of an installation that has begun in its cache. A user who clears the
/// cache makes a tool of what was cut off, for mise.
#[test]
fn a_cut_off_install_whose_mark_is_lost_is_found_by_its_programs() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    let cut_off = format!(
        "{FORGET}; mise install npm:typescript@5.6.3 >/dev/null 2>&1 & mise=$!
        until ls ~/.cache/mise/npm-typescript/*/incomplete; do :; done; kill -KILL $mise; wait
        rm -rf ~/.cache/mise; mise install npm:semver@7.6.3"
    );
    sandbox.sh(&cut_off).good();
    // Control: for mise it is installed, and nothing of it runs.
    let listed = sandbox.exec(&["mise", "ls", "--missing", "--json"]).good();
    assert!(!listed.contains("typescript"), "{listed}");
    let said = sandbox.exec(&["mise", "install"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(!runs(&sandbox, TOOLS[0].1, TOOLS[0].2));
    drop(sandbox);
    let without = Recipe::on(&volume).start(IDLE);
    let (seen, _) = without.expects("degraded", "tool-network");
    assert!(!seen.installed("npm:typescript") && seen.installed("npm:semver"));
    assert!(seen.problem("tool-network").contains("npm:typescript@5.6.3"));
    drop(without);
    let with = Recipe::on(&volume).network().start(IDLE);
    completes(&with, "with a network");
    all_run(&with, "mended");
}

/// mise makes no shim of a tool whose own metadata is lost, and says nothing.
#[test]
fn a_tool_without_metadata_gets_its_shim_back() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    let lose = "cd ~/.local/share/mise/installs; rm .mise-installs.toml npm-*/.mise.backend.toml";
    sandbox.sh(lose).good();
    // Control: mise itself takes the shims away, and finds that good.
    assert_eq!(sandbox.exec(&["mise", "install"]).status, 0);
    assert!(!runs(&sandbox, TOOLS[1].1, TOOLS[1].2));
    is_mended(&sandbox, "metadata lost");
    let notes = sandbox.status().notes();
    assert!(notes.contains("made the shims anew") && notes.contains("installed again"), "{notes}");
}

/// One program of two is damaged. Without a network what works is kept and nothing is
/// claimed; with one the tool is made whole.
#[test]
fn a_tool_that_is_whole_in_part_is_not_claimed_and_not_destroyed() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    sandbox.sh(": >$(mise where npm:typescript)/node_modules/.bin/tsserver").good();
    drop(sandbox);
    let without = Recipe::on(&volume).start(IDLE);
    let (seen, text) = without.shows("degraded", "tool-broken");
    assert!(!seen.installed("npm:typescript"), "{text}");
    assert!(seen.problem("tool-broken").contains("/.bin/tsserver is empty"), "{text}");
    assert!(runs(&without, TOOLS[0].1, TOOLS[0].2), "{text}");
    drop(without);
    let with = Recipe::on(&volume).network().start(IDLE);
    completes(&with, "with a network");
    with.sh("test -s $(mise where npm:typescript)/node_modules/.bin/tsserver").good();
}

/// What a user has put in a shim's place is the user's: it is named and left.
#[test]
fn a_shim_that_is_in_anothers_place_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    let shim = "~/.local/share/mise/shims/semver";
    sandbox.sh(&format!("rm {shim}; echo mine >{shim}")).good();
    drop(sandbox);
    let sandbox = Recipe::on(&volume).start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "tool-without-shim");
    assert!(!seen.installed("npm:semver") && seen.installed("npm:typescript"), "{text}");
    assert!(
        seen.problem("tool-without-shim").contains("shims/semver cannot be executed"),
        "{text}"
    );
    sandbox.sh(&format!("grep -q mine {shim} && rm {shim}")).good();
    assert_eq!(sandbox.exec(&["agent", "boot"]).status, 0);
    all_run(&sandbox, "the way is free");
}

#[track_caller]
fn boots_full(sandbox: &Sandbox) -> Seen {
    let boot = sandbox.exec(&["agent", "boot"]);
    assert_eq!(boot.status, 2, "{}", boot.stderr);
    sandbox.status()
}

/// A home in memory with so little room left that the install ends in its middle.
#[test]
fn a_volume_that_fills_up_is_told_and_the_boot_after_has_the_tool() {
    if !ready() {
        return;
    }
    let home = "--mount=type=tmpfs,destination=/home/iteron,tmpfs-size=160m,U=true";
    let sandbox = Recipe::bare().argument(home).network().start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    let seeded =
        format!("mkdir -p ~/.config/mise; printf '{MANIFEST}' >~/.config/mise/config.toml");
    sandbox.sh(&seeded.replace('\n', "\\n")).good();
    // The middle differs with the room: none for the download, none for the links.
    for room in [1, 3, 8, 20] {
        let fill = format!(
            "rm -rf ~/filler ~/.cache ~/.local/share/mise; head -c {room}m /dev/zero >~/room
            ! cat /dev/zero >~/filler; rm ~/room"
        );
        sandbox.sh(&fill).good();
        let mut seen = boots_full(&sandbox);
        // A registry that stalled is not what this is about.
        for _ in 0..3 {
            if !seen.codes().contains(&"tool-network".to_owned()) {
                break;
            }
            seen = boots_full(&sandbox);
        }
        let when = format!("{room} MiB left: {}", seen.summary());
        assert!(seen.codes().contains(&"tool-no-space".to_owned()), "{when}: {:?}", seen.codes());
        assert!(claims_are_true(&sandbox, &seen, &when) < TOOLS.len(), "{when}");
        let text = sandbox.exec(&["agent", "status"]).stdout;
        for (name, ..) in TOOLS.iter().filter(|(name, ..)| !seen.installed(name)) {
            assert!(text.contains(&format!("problem: {name}@")), "{when}: {text}");
        }
        sandbox.sh("rm ~/filler").good();
        is_mended(&sandbox, &when);
    }
}

/// The phase's own deadline is a kill like any other, and what is there is told.
#[test]
fn an_install_cut_off_by_the_deadline_claims_only_what_is_there() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = filled(&volume);
    let forget = "rm -rf ~/.local/share/mise/installs/npm-typescript ~/.cache/mise/npm-typescript";
    // A lock that another holds keeps mise waiting.
    let holder = "mise install --force npm:typescript@5.6.3 & mise=$!
        until ls ~/.cache/mise/npm-typescript/*/incomplete; do :; done; kill -STOP $mise
        touch ~/held; until test -e ~/free; do sleep 0.05; done; kill -CONT $mise; wait";
    sandbox.sh(forget).good();
    sandbox.exec_with(&["--detach"], &["sh", "-c", holder]).good();
    sandbox.wait_for_file("/home/iteron/held");
    let boot = sandbox.exec_with(&["--env=AGENT__TOOLS__DEADLINE=3s"], &["agent", "boot"]);
    assert_eq!(boot.status, 2, "{}", boot.stderr);
    let (seen, text) = sandbox.expects("degraded", "tools-deadline");
    assert!(seen.installed("npm:semver") && !seen.installed("npm:typescript"), "{text}");
    assert!(text.contains("npm:typescript@5.6.3 is not installed"), "{text}");
    sandbox.sh("touch ~/free").good();
    is_mended(&sandbox, "the lock is free");
}

/// mise says that it has installed two tools, and where. Of one nothing is there, of the other
/// the mark that its installation has not ended.
#[test]
fn what_mise_lists_and_nobody_finds_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, ".cache/mise/npm-late/1/incomplete", "");
    let mise = r#"#!/bin/sh
tool() { echo "\"npm:$1\": [{\"version\": \"1\", \"installed\": true, \"install_path\": \"/home/iteron/npm-$1/1\"}]"; }
[ "$1" = ls ] && echo "{$(tool ghost), $(tool late)}"
exit 0
"#;
    let image = Image::derived("COPY --chmod=755 mise /opt/mise", &[("mise", mise)]);
    let sandbox =
        Recipe::on(&volume).image(&image.name).env("AGENT__TOOLS__MISE", "/opt/mise").start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "tool-unfinished");
    assert!(!seen.installed("npm:ghost") && !seen.installed("npm:late"), "{text}");
    assert!(seen.problem("tool-broken").contains("No such file or directory"), "{text}");
    assert!(seen.problem("tool-unfinished").contains("npm:late@1"), "{text}");
    // Each was asked for once more, the one that is gone by force.
    assert!(seen.notes().contains("installed again") && seen.notes().contains("waited for"));
}
