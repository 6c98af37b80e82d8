//! The image's tools answer at the image's version, whatever the user's config says. Each
//! test also asks mise's shims, which obey that config: what they say is what would have been.

use crate::engine::{Output, ready};
use crate::guard::{Image, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox, seed};

const MANIFEST: &str = ".config/mise/config.toml";

/// The program's version in the image, and another one.
const IMAGES: &str = "1.6.0";
const OTHER: &str = "1.5.0";

const LINKS: &str = "/home/iteron/.local/share/agent/baseline";

/// An image that was built without links: what a boot finds that must make them itself.
const WITHOUT_LINKS: &str = "USER root\nRUN rm -r /usr/local/share/agent\nUSER iteron";

fn declares(version: &str) -> String {
    format!("[tools]\n\"npm:cowsay\" = \"{version}\"\n")
}

/// What the program says by plain `podman exec`.
#[track_caller]
fn version(sandbox: &Sandbox) -> String {
    sandbox.exec(&["cowsay", "--version"]).good().trim().to_owned()
}

/// What it says where shims alone decide, the user's first.
fn by_shims(sandbox: &Sandbox) -> Output {
    sandbox.sh(
        "export PATH=$HOME/.local/share/mise/shims:/usr/local/share/mise/shims:/usr/local/bin:/usr/bin:/bin
        npm_config_fetch_retries=0 timeout 30 cowsay --version",
    )
}

/// The shims don't answer, or with another version.
#[track_caller]
fn shims_lose_it(sandbox: &Sandbox) {
    let said = by_shims(sandbox);
    assert!(said.status != 0 || said.stdout.trim() != IMAGES, "{said:?}");
}

#[test]
fn another_version_in_the_users_config_is_not_in_force() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, &declares(OTHER));
    let sandbox = Recipe::on(&volume)
        .network()
        .script("#!/bin/sh\ncowsay --version >~/script\n")
        .start(&["sh", "-c", "cowsay --version >~/workload; exec sleep infinity"]);
    let status = sandbox.settled();
    assert_eq!(status.state(), "complete", "{}", sandbox.logs());
    assert_eq!(by_shims(&sandbox).good().trim(), OTHER, "the user's version is installed");
    assert_eq!(version(&sandbox), IMAGES);
    for line in ["cowsay --version", "bash -lc 'cowsay --version'", "bash -ic 'cowsay --version'"] {
        assert_eq!(sandbox.sh(line).good().trim(), IMAGES, "{line}");
    }
    sandbox.wait_for_file("/home/iteron/workload");
    for who in ["script", "workload"] {
        let said = sandbox.exec(&["cat", &format!("/home/iteron/{who}")]).good();
        assert_eq!(said.trim(), IMAGES, "{who}");
    }
    // Both are there, the one in force first; one note says how the operator changes it.
    assert_eq!(status.versions("npm:cowsay"), [IMAGES, OTHER]);
    let notes = status.notes();
    let told = notes.lines().filter(|n| n.contains("npm:cowsay")).collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "{notes}");
    assert!(told[0].contains("asks for 1.5.0; the image's 1.6.0 is in force"), "{notes}");
    assert!(told[0].contains("tools.baseline = \"overridable\""), "{notes}");
}

#[test]
fn a_users_config_cannot_disable_or_break_a_baseline_tool() {
    if !ready() {
        return;
    }
    for (manifest, state) in [
        ("[settings]\ndisable_tools = [\"npm:cowsay\"]\n", "complete"),
        ("[tools]\n\"npm:cowsay\" = \n", "degraded"),
        // Installed by nobody: there is no network.
        (declares(OTHER).as_str(), "degraded"),
    ] {
        let volume = Volume::new();
        seed(&volume, MANIFEST, manifest);
        let sandbox = Recipe::on(&volume).start(IDLE);
        let status = sandbox.settled();
        assert_eq!(status.state(), state, "{manifest}{}", sandbox.logs());
        shims_lose_it(&sandbox);
        assert_eq!(version(&sandbox), IMAGES, "{manifest}");
        assert_eq!(status.versions("npm:cowsay"), [IMAGES], "{manifest}");
    }
}

#[test]
fn an_emptied_policy_and_an_uninstall_leave_it_in_force() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let manifest = format!("[settings]\ndisable_backends = []\n{}", declares(OTHER));
    seed(&volume, MANIFEST, &manifest);
    let first = Recipe::on(&volume).network().start(IDLE);
    assert_eq!(first.settled().state(), "complete", "{}", first.logs());
    drop(first);
    let sandbox = Recipe::on(&volume).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert_eq!(by_shims(&sandbox).good().trim(), OTHER);
    sandbox.exec(&["mise", "uninstall", "--all", "npm:cowsay"]);
    sandbox.sh("rm -rf ~/.cache/mise ~/.cache/aube ~/.local/share/aube").good();
    shims_lose_it(&sandbox);
    assert_eq!(version(&sandbox), IMAGES);
}

/// The volume of an older baseline, with its shims and links, and no network at all.
#[test]
fn a_new_images_baseline_serves_on_an_old_volume_without_network() {
    if !ready() {
        return;
    }
    let older = format!(
        "USER root\nRUN rm -r /usr/local/share/agent /usr/local/share/mise /etc/mise/mise.lock /etc/mise/.mise && \
         sed -i 's/\"{IMAGES}\"/\"{OTHER}\"/' /etc/mise/config.toml\nUSER iteron"
    );
    let older = Image::derived(&older, &[]);
    let volume = Volume::new();
    let old = Recipe::on(&volume).network().image(&older.name).start(IDLE);
    let status = old.settled();
    assert_eq!(status.state(), "complete", "{}", old.logs());
    assert!(status.notes().contains("linked on the volume"), "{}", status.notes());
    assert_eq!(version(&old), OTHER);
    old.exec(&["test", "-L", "/home/iteron/.local/share/mise/shims/cowsay"]).good();
    old.exec(&["test", "-L", &format!("{LINKS}/bin/cowsay")]).good();
    drop(old);
    seed(&volume, MANIFEST, &declares(OTHER));
    let new = Recipe::on(&volume).start(IDLE);
    let status = new.settled();
    assert_eq!(status.state(), "complete", "{}", new.logs());
    assert_eq!(by_shims(&new).good().trim(), OTHER);
    assert_eq!(version(&new), IMAGES);
    assert_ne!(new.exec(&["test", "-e", LINKS]).status, 0, "the older links are gone");
}

/// The image's config with another version of its tool and with one tool more, without its
/// lock: neither is in the image.
const UPGRADED: &str = "USER root\nRUN rm -r /etc/mise/mise.lock /etc/mise/.mise && \
    sed -i 's/\"1.6.0\"/\"1.5.0\"/' /etc/mise/config.toml && \
    echo '\"npm:semver\" = \"7.6.3\"' >>/etc/mise/config.toml\nUSER iteron";

#[test]
fn what_an_upgraded_config_names_is_linked_on_the_volume_and_stays() {
    if !ready() {
        return;
    }
    let image = Image::derived(UPGRADED, &[]);
    let volume = Volume::new();
    let first = Recipe::on(&volume).network().image(&image.name).start(IDLE);
    let status = first.settled();
    assert_eq!(status.state(), "complete", "{}", first.logs());
    assert_eq!(status.versions("npm:cowsay"), [OTHER]);
    // The image's own link is older than its config.
    let stale = "/usr/local/share/agent/baseline/bin/cowsay --version";
    assert_eq!(first.sh(stale).good().trim(), IMAGES);
    let check = first.exec(&["agent", "tools", "baseline", "check"]);
    assert!(check.status == 0 && check.stdout.contains("on the volume"), "{check:?}");
    let place = "/usr/local/share/agent/baseline";
    let check = first.exec(&["agent", "tools", "baseline", "check", "--at", place]);
    assert!(check.status == 1, "{check:?}");
    assert!(check.stderr.contains("linked as 1.6.0, and the config asks for 1.5.0"), "{check:?}");
    assert!(check.stderr.contains("npm:semver: it is not linked"), "{check:?}");
    drop(first);
    let off = "[settings]\ndisable_tools = [\"npm:cowsay\", \"npm:semver\"]\n";
    seed(&volume, MANIFEST, off);
    let later = Recipe::on(&volume).image(&image.name).start(IDLE);
    assert_eq!(later.settled().state(), "complete", "{}", later.logs());
    assert_ne!(by_shims(&later).status, 0);
    assert_eq!(version(&later), OTHER);
    assert_eq!(later.exec(&["semver", "1.2.3"]).good(), "1.2.3\n");
    let list = later.exec(&["agent", "tools", "baseline"]).good();
    assert!(list.contains("semver  npm:semver 7.6.3  volume"), "{list}");
}

#[test]
fn a_baseline_tool_that_cannot_be_had_is_named() {
    if !ready() {
        return;
    }
    let image = Image::derived(UPGRADED, &[]);
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).image(&image.name).start(IDLE);
    let (seen, text) = sandbox.expects("degraded", "tool-network");
    assert!(text.contains("npm:semver@7.6.3 is not installed"), "{text}");
    assert!(text.contains("npm:cowsay@1.5.0 is not installed"), "{text}");
    assert_eq!(seen.codes().len(), 2, "each once: {:?}", seen.codes());
}

/// A machine's way: root starts the agent, and the links are made by the user.
#[test]
fn roots_agent_follows_nothing_that_the_user_planted() {
    if !ready() {
        return;
    }
    let image = Image::derived(WITHOUT_LINKS, &[]);
    let volume = Volume::new();
    let plant = Recipe::on(&volume).start(IDLE);
    plant.settled();
    plant.sh(&format!("mkdir -p $(dirname {LINKS}) && ln -s /etc {LINKS}")).good();
    drop(plant);
    let sandbox = Recipe::with(&["--user=0", "--memory=1g"])
        .argument(&format!("--volume={}:/home/iteron", volume.name))
        .image(&image.name)
        .start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox.sh("test ! -e /etc/baseline.json && test ! -e /etc/bin && test -e /etc/passwd").good();
    let owner = sandbox.sh(&format!("stat -c %u:%A {LINKS} {LINKS}/bin/cowsay")).good();
    assert_eq!(owner, "1000:drwxr-xr-x\n1000:lrwxrwxrwx\n");
    assert_eq!(version(&sandbox), IMAGES);
}

#[test]
fn what_a_user_plants_among_the_links_is_gone_at_the_next_start() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).start(IDLE);
    sandbox.settled();
    let plant = format!(
        "mkdir -p {LINKS}/bin && mkfifo {LINKS}/baseline.json && \
         printf '#!/bin/sh\\necho planted\\n' >{LINKS}/bin/cowsay && chmod +x {LINKS}/bin/cowsay"
    );
    sandbox.sh(&plant).good();
    assert_eq!(version(&sandbox), "planted", "the user may do so until then");
    sandbox.restart();
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert_eq!(version(&sandbox), IMAGES);
    assert_ne!(sandbox.exec(&["test", "-e", LINKS]).status, 0);
}

/// Where the agent's place on the volume is taken, what it can't link is told; what the image
/// has linked needs no such place.
#[test]
fn links_that_cannot_be_made_are_told() {
    if !ready() {
        return;
    }
    let image = Image::derived(WITHOUT_LINKS, &[]);
    let volume = Volume::new();
    seed(&volume, ".local/share/agent", "in the way");
    let sandbox = Recipe::on(&volume).image(&image.name).start(IDLE);
    let (seen, _) = sandbox.shows("degraded", "baseline-not-linked");
    let problem = seen.problem("baseline-not-linked");
    assert!(problem.contains("npm:cowsay") && problem.contains("/.local/share/agent"), "{problem}");
    drop(sandbox);
    let sandbox = Recipe::on(&volume).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    assert_eq!(version(&sandbox), IMAGES);
}

/// The boot fails at the volume; the image's links need none.
#[test]
fn a_read_only_volume_takes_nothing_from_the_images_links() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, &declares(OTHER));
    let sandbox = Recipe::bare()
        .argument(&format!("--volume={}", volume.at_home_with("ro")))
        .hold()
        .start(IDLE);
    assert_eq!(sandbox.settled().state(), "failed", "{}", sandbox.logs());
    shims_lose_it(&sandbox);
    assert_eq!(version(&sandbox), IMAGES);
}

/// What an operator writes who lets the user decide.
pub(crate) fn overridable() -> Image {
    Image::derived(
        "ENV PATH=/home/iteron/.local/bin:/home/iteron/.local/share/mise/shims:\
         /home/iteron/.local/share/agent/baseline/bin:/usr/local/share/agent/baseline/bin:/usr/local/bin:/usr/bin:/bin \
         AGENT__TOOLS__BASELINE=overridable",
        &[],
    )
}

#[test]
fn an_overridable_baseline_is_what_is_left_where_the_users_is_not_there() {
    if !ready() {
        return;
    }
    let image = overridable();
    let volume = Volume::new();
    seed(&volume, MANIFEST, &declares(OTHER));
    // Declared and not installed: there is no network.
    let first = Recipe::on(&volume).image(&image.name).start(IDLE);
    assert_eq!(first.settled().state(), "degraded", "{}", first.logs());
    assert_eq!(version(&first), IMAGES);
    drop(first);
    let second = Recipe::on(&volume).network().image(&image.name).start(IDLE);
    let status = second.settled();
    assert_eq!(status.state(), "complete", "{}", second.logs());
    assert_eq!(version(&second), OTHER);
    assert_eq!(status.versions("npm:cowsay"), [OTHER, IMAGES], "the one in force first");
    second.exec(&["mise", "uninstall", "npm:cowsay@1.5.0"]).good();
    assert_eq!(version(&second), IMAGES);
    drop(second);
    seed(&volume, MANIFEST, "[settings]\ndisable_tools = [\"npm:cowsay\"]\n");
    let third = Recipe::on(&volume).image(&image.name).start(IDLE);
    assert_eq!(third.settled().state(), "complete", "{}", third.logs());
    assert_eq!(version(&third), IMAGES);
}

/// The image as it is, and only the configuration says otherwise: that both disagree is told.
#[test]
fn a_path_that_contradicts_the_configuration_is_told() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).env("AGENT__TOOLS__BASELINE", "overridable").start(IDLE);
    let notes = sandbox.settled().notes();
    assert!(notes.contains("the image's tools answer there"), "{notes}");
    let pinned = Recipe::on(&volume).start(IDLE);
    let notes = pinned.settled().notes();
    assert!(!notes.contains("container's own PATH"), "{notes}");
}

/// Empties what the wrappers of the program start, below a directory of mise's.
const EMPTY: &str = "for f in $(find $DIR/installs/npm-cowsay -name cli.js); do : >$f; done";

/// The image's own copy is damaged: that is said, and a copy on the volume answers; without a
/// network nothing is claimed.
#[test]
fn a_damaged_tool_of_the_image_is_named_and_served_from_the_volume() {
    if !ready() {
        return;
    }
    let empty = EMPTY.replace("$DIR", "/usr/local/share/mise");
    let image = Image::derived(&format!("USER root\nRUN {empty}\nUSER iteron"), &[]);
    let volume = Volume::new();
    let without = Recipe::on(&volume).image(&image.name).start(IDLE);
    let (seen, text) = without.shows("degraded", "baseline-broken");
    assert!(!seen.installed("npm:cowsay"), "{text}");
    assert!(text.contains("0 of 1 tools are installed"), "{text}");
    assert_ne!(without.exec(&["cowsay", "hi"]).stdout.trim(), "hi", "the damage is done");
    let check = without.exec(&["agent", "tools", "baseline", "check"]);
    assert!(check.status == 1 && check.stderr.contains("which is empty"), "{check:?}");
    drop(without);
    for _ in 0..2 {
        let with = Recipe::on(&volume).network().image(&image.name).start(IDLE);
        let (seen, text) = with.shows("degraded", "baseline-broken");
        assert_eq!(seen.codes(), ["baseline-broken"], "{text}");
        assert!(seen.installed("npm:cowsay"), "{text}");
        assert!(with.exec(&["cowsay", "hi"]).good().contains("hi"));
        assert_eq!(version(&with), IMAGES);
    }
}

/// mise doesn't list what a user has disabled; the links and the proof know it all the same.
#[test]
fn a_damaged_baseline_tool_on_the_volume_is_installed_again_though_mise_does_not_list_it() {
    if !ready() {
        return;
    }
    let bare = "USER root\nRUN rm -r /usr/local/share/agent /usr/local/share/mise\nUSER iteron";
    let image = Image::derived(bare, &[]);
    let volume = Volume::new();
    seed(&volume, MANIFEST, "[settings]\ndisable_tools = [\"npm:cowsay\"]\n");
    let boot = || Recipe::on(&volume).network().image(&image.name).start(IDLE);
    let first = boot();
    assert_eq!(first.settled().state(), "complete", "{}", first.logs());
    let proof = "test -e ~/.local/state/agent/tools-proof.json";
    first.sh(proof).good();
    let empty = EMPTY.replace("$DIR", "/home/iteron/.local/share/mise");
    first.sh(&empty).good();
    assert!(!first.exec(&["cowsay", "hi"]).stdout.contains("hi"), "the damage is done");
    drop(first);
    let second = boot();
    let seen = second.settled();
    assert_eq!(seen.state(), "complete", "{}", second.logs());
    assert!(seen.notes().contains("installed again"), "{}", seen.notes());
    assert!(second.exec(&["cowsay", "hi"]).good().contains("hi"));
    // Without a network it is not claimed.
    second.sh(&empty).good();
    second.sh("rm -rf ~/.cache/mise ~/.cache/aube ~/.local/share/aube").good();
    drop(second);
    let third = Recipe::on(&volume).image(&image.name).start(IDLE);
    let seen = third.settled();
    assert_eq!(seen.state(), "degraded", "{}", third.logs());
    assert!(!seen.installed("npm:cowsay"));
}
