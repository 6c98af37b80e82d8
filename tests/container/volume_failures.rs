//! A volume that is missing, read-only, full or another's: each has its own name.

use crate::engine::ready;
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe, give_to_root, seed};

/// A home in memory, so small that it counts as full.
const SMALL: &str = "--mount=type=tmpfs,destination=/home/iteron,tmpfs-size=4m,U=true";

/// With a file that amends the home's entry.
fn amended(recipe: Recipe, file: &Files) -> Recipe {
    recipe.argument(&file.mounted("50.toml", "/etc/agent/conf.d/50.toml", "ro"))
}

fn home(keys: &str) -> Files {
    Files::one("50.toml", &format!("[[volume]]\ntarget = \"~\"\n{keys}\n"))
}

/// Fails by default; with `required = false` the same problem only degrades.
#[track_caller]
fn fails_or_degrades(recipe: impl Fn() -> Recipe, code: &str) -> String {
    let sandbox = recipe().hold().start(IDLE);
    let (seen, text) = sandbox.shows("failed", code);
    assert_eq!(seen.phase("volume"), "failed", "{text}");
    assert_eq!(seen.phase("tools"), "not-run", "{text}");
    drop(sandbox);
    let (_sandbox, output) = recipe().run(&["echo", "workload"]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert!(output.stderr.lines().last().unwrap().starts_with("agent: failed: volume: "));
    let optional = home("required = false");
    let sandbox = amended(recipe(), &optional).start(IDLE);
    let seen = sandbox.settled();
    assert_eq!(seen.state(), "degraded", "{}", sandbox.logs());
    assert!(seen.codes().contains(&code.to_owned()), "{:?}", seen.codes());
    text
}

#[test]
fn a_missing_volume_is_named() {
    if !ready() {
        return;
    }
    let text = fails_or_degrades(Recipe::bare, "volume-not-mounted");
    assert!(text.contains("nothing is mounted at /home/iteron"), "{text}");
    assert!(text.contains("-v NAME:/home/iteron:U"), "{text}");
}

#[test]
fn a_read_only_volume_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let at = format!("--volume={}", volume.at_home_with("ro"));
    fails_or_degrades(|| Recipe::bare().argument(&at), "volume-read-only");
}

#[test]
fn anothers_volume_is_named_with_its_owner() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    give_to_root(&volume);
    let at = format!("--volume={}", volume.at_home_with("nocopy"));
    let text = fails_or_degrades(|| Recipe::bare().argument(&at), "volume-foreign-owner");
    assert!(text.contains("belongs to 0:0, not to the sandbox user 1000:1000"), "{text}");
    // Whose it is may be of no interest; whether it can be written to is.
    let shared = home("owned = false");
    let sandbox = amended(Recipe::bare().argument(&at), &shared).hold().start(IDLE);
    sandbox.shows("failed", "volume-not-writable");
    drop(sandbox);
    // The cure that the next step names is one.
    let sandbox = Recipe::on(&volume).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
}

#[test]
fn a_full_volume_degrades_by_default_and_fails_where_the_config_says_so() {
    if !ready() {
        return;
    }
    let sandbox = Recipe::bare().argument(SMALL).start(IDLE);
    let (seen, text) = sandbox.shows("degraded", "volume-full");
    assert!(text.contains("64.0 MiB wanted"), "{text}");
    assert_eq!(seen.phase("tools"), "ok", "the baseline is not on the volume");
    drop(sandbox);
    let strict = home("on_full = \"fail\"");
    let sandbox = amended(Recipe::bare().argument(SMALL), &strict).hold().start(IDLE);
    assert_eq!(sandbox.expects("failed", "volume-full").0.phase("tools"), "not-run");
}

/// Not one byte left: the status is still written somewhere, and found.
#[test]
fn a_volume_without_a_single_free_byte_still_has_a_status() {
    if !ready() {
        return;
    }
    let sandbox = Recipe::bare().argument(SMALL).start(IDLE);
    sandbox.settled();
    sandbox.sh("cat /dev/zero >~/filler; ! echo more >~/more").good();
    let again = sandbox.exec(&["agent", "boot"]);
    assert_eq!(again.status, 2, "{}", again.stderr);
    let seen = sandbox.status();
    assert_eq!(seen.state(), "degraded");
    assert!(seen.codes().contains(&"volume-full".to_owned()), "{:?}", seen.codes());
    // Room again: the next boot is well but for the volume's size.
    sandbox.sh("rm ~/filler").good();
    assert_eq!(sandbox.exec(&["agent", "boot"]).status, 2);
    let seen = sandbox.status();
    assert_eq!(seen.codes(), ["volume-full"], "{}", seen.summary());
    assert!(seen.problem("volume-full").contains("64.0 MiB wanted"));
}

/// The disk may fill up at any byte, in the middle of an event too. Whatever is left of the
/// journal's last page: the status tells of the full volume, and of no success.
#[test]
fn a_volume_that_fills_up_at_any_byte_of_the_journal_is_told() {
    if !ready() {
        return;
    }
    for free in [0, 200, 500, 900, 1500] {
        let sandbox = Recipe::bare().argument(SMALL).start(IDLE);
        let journal = sandbox.settled().journal().to_owned();
        assert!(journal.starts_with("/home/iteron/"), "{journal}");
        let fill = format!(
            "cat /dev/zero >~/filler; while echo pad; do :; done >>{journal}
            truncate --size=-{free} {journal}; cat /dev/zero >>~/filler; true"
        );
        sandbox.sh(&fill);
        let boot = sandbox.exec(&["agent", "boot"]);
        let seen = sandbox.status();
        let said = format!("{free} bytes left: status {}, {}", seen.summary(), boot.stderr);
        assert!([1, 2].contains(&boot.status), "{said}");
        assert!(["failed", "degraded"].contains(&seen.state()), "{said}");
        assert!(seen.codes().contains(&"volume-full".to_owned()), "{said}");
    }
}

/// A full disk shows in numbers before anything is written; a quota only in the write.
#[test]
fn a_volume_that_takes_no_data_is_full_whatever_it_says() {
    if !ready() {
        return;
    }
    let lax = home("min_free = 0\nmin_inodes = 0");
    let sandbox = amended(Recipe::bare().argument(SMALL), &lax).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox.sh("cat /dev/zero >~/filler; ! echo more >~/more").good();
    assert_eq!(sandbox.exec(&["agent", "boot"]).status, 2);
    let seen = sandbox.status();
    assert!(seen.problem("volume-full").contains("takes no more data"), "{}", seen.summary());
}

#[test]
fn the_wrong_volume_is_named() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let other = home("source = \"another-volume\"");
    let sandbox = amended(Recipe::on(&volume), &other).hold().start(IDLE);
    let (_, text) = sandbox.shows("failed", "volume-source");
    assert!(text.contains("not from another-volume"), "{text}");
    let kind = home("fstype = [\"squashfs\"]");
    let sandbox = amended(Recipe::on(&volume), &kind).hold().start(IDLE);
    sandbox.shows("failed", "volume-fstype");
    // The right name is found, although the mount's source is a disk.
    let named = home(&format!("source = \"{}\"", volume.name));
    let sandbox = amended(Recipe::on(&volume), &named).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
}

#[test]
fn a_file_in_the_place_of_a_directory_is_named_and_kept() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, ".local/bin", "mine");
    let sandbox = Recipe::on(&volume).hold().start(IDLE);
    let (_, text) = sandbox.shows("failed", "volume-directory");
    assert!(text.contains("/home/iteron/.local/bin"), "{text}");
    assert_eq!(sandbox.exec(&["cat", "/home/iteron/.local/bin"]).good(), "mine");
}

/// One boot names all that is wrong.
#[test]
fn every_volume_is_looked_at() {
    if !ready() {
        return;
    }
    let file = Files::one("50.toml", "[[volume]]\ntarget = \"/mnt\"\n");
    let sandbox = amended(Recipe::bare().argument(SMALL), &file).hold().start(IDLE);
    let (seen, _) = sandbox.expects("failed", "volume-not-mounted");
    assert_eq!(seen.codes(), ["volume-full", "volume-not-mounted"]);
    assert!(seen.problem("volume-not-mounted").contains("/mnt"));
}
