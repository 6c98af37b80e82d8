//! Where nothing has changed no mise is run, and whatever changed is not overlooked for it.
//!
//! mise is a wrapper that counts its runs, so that "was not asked" is no matter of the
//! agent's own word.

use crate::engine::{ready, repository, run};
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox, seed};
use crate::seen::{Seen, keep_sample};
use crate::tools::{TOOL, VERSION, answers};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

const COUNTING: &str = "#!/bin/sh\necho \"$*\" >>/tmp/calls\nexec /usr/local/bin/mise \"$@\"\n";
const NOT_ASKED: &str = "mise was not asked";
const MANIFEST: &str = ".config/mise/config.toml";
const PROOF: &str = "~/.local/state/agent/tools-proof.json";

fn manifest() -> String {
    format!("[tools]\n\"{TOOL}\" = \"{VERSION}\"\n")
}

/// mise's runs in it.
struct Counted {
    sandbox: Sandbox,
    wrapper: Rc<Files>,
}

impl Counted {
    /// A sandbox whose mise counts its runs.
    fn start(recipe: Recipe) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let wrapper = Files::one("mise", COUNTING);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(wrapper.path("mise"), mode).unwrap();
        Self::with(recipe, Rc::new(wrapper))
    }

    /// The same with the mise of another sandbox.
    fn with(recipe: Recipe, wrapper: Rc<Files>) -> Self {
        let recipe = recipe
            .argument(&wrapper.mounted("mise", "/opt/mise", "ro"))
            .env("AGENT__TOOLS__MISE", "/opt/mise");
        let sandbox = recipe.start(IDLE);
        sandbox.settled();
        Self { sandbox, wrapper }
    }

    /// The user has the tool, and a boot has found everything in its place.
    #[track_caller]
    fn whole(volume: &Volume) -> Self {
        seed(volume, MANIFEST, &manifest());
        let counted = Self::start(Recipe::on(volume).network());
        assert_eq!(counted.sandbox.status().state(), "complete", "{}", counted.sandbox.logs());
        answers(&counted.sandbox);
        counted
    }

    fn calls(&self) -> String {
        self.sandbox.sh("cat /tmp/calls 2>/dev/null; : >/tmp/calls").stdout
    }

    /// One boot by hand.
    #[track_caller]
    fn boots(&self) -> (Seen, String) {
        self.calls();
        self.sandbox.exec(&["agent", "boot"]);
        (self.sandbox.status(), self.calls())
    }

    /// A boot that runs no mise, and says so.
    #[track_caller]
    fn asks_nothing(&self) {
        let (seen, calls) = self.boots();
        let log =
            self.sandbox.sh("cat /tmp/*/*/logs/tools.log ~/.local/state/agent/*/logs/tools.log");
        assert_eq!(seen.state(), "complete", "{}", self.sandbox.logs());
        assert!(seen.notes().contains(NOT_ASKED), "{}\n{}", seen.notes(), log.stdout);
        assert_eq!(calls, "");
        assert!(seen.installed(TOOL) && seen.installed("npm:cowsay"));
    }

    /// A boot that runs mise, and ends complete.
    #[track_caller]
    fn asks(&self, why: &str) -> Seen {
        let (seen, calls) = self.boots();
        assert_eq!(seen.state(), "complete", "{why}: {}", self.sandbox.logs());
        assert!(!seen.notes().contains(NOT_ASKED), "{why}: {}", seen.notes());
        assert!(calls.contains("install\n"), "{why}: {calls}");
        assert!(seen.installed(TOOL), "{why}");
        seen
    }
}

#[test]
fn where_nothing_has_changed_no_mise_is_run_also_in_a_new_sandbox() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let first = Counted::whole(&volume);
    assert!(first.calls().contains("install\n"), "the first boot asked mise");
    first.asks_nothing();
    keep_sample("nothing-changed", &first.sandbox.exec(&["agent", "status"]).stdout);
    let mise = first.wrapper.clone();
    drop(first);
    let second = Counted::with(Recipe::on(&volume), mise);
    assert!(second.sandbox.status().notes().contains(NOT_ASKED), "{}", second.sandbox.logs());
    assert_eq!(second.calls(), "");
    answers(&second.sandbox);
    // What the boot didn't look for has not become the workload's problem: mise still works.
    assert_eq!(second.sandbox.exec(&["mise", "ls", "--missing"]).good(), "");
}

#[test]
fn whatever_mise_would_read_makes_it_be_asked_again() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let counted = Counted::whole(&volume);
    counted.asks_nothing();
    let changes = [
        ("the config is changed", "echo '[settings]' >>~/.config/mise/config.toml"),
        (
            "it is changed and has its old time",
            "t=$(stat -c %y ~/.config/mise/config.toml);
            echo '# more' >>~/.config/mise/config.toml; touch -d \"$t\" ~/.config/mise/config.toml",
        ),
        (
            "a part is added to it",
            "mkdir ~/.config/mise/conf.d; echo '[env]' >~/.config/mise/conf.d/a.toml",
        ),
        ("the part is removed", "rm -r ~/.config/mise/conf.d"),
        ("a lock is added", "echo 'lockfile_version = 1' >~/.config/mise/mise.lock"),
        ("it is changed", "echo >>~/.config/mise/mise.lock"),
        (
            "a sidecar is added",
            "mkdir -p ~/.config/mise/locks/npm-semver; echo >~/.config/mise/locks/npm-semver/x",
        ),
        ("a sidecar is removed", "rm ~/.config/mise/locks/npm-semver/x"),
        ("the lock is removed", "rm ~/.config/mise/mise.lock"),
        ("a plugin is added", "mkdir -p ~/.local/share/mise/plugins/newcomer"),
        (
            "a version is added",
            "cp -a $(mise where npm:semver) ~/.local/share/mise/installs/npm-semver/7.6.9",
        ),
        (
            "an install was cut off",
            "mkdir -p ~/.cache/mise/npm-semver/7.6.3; touch ~/.cache/mise/npm-semver/7.6.3/incomplete",
        ),
        ("a shim is missing", "rm ~/.local/share/mise/shims/semver"),
        ("a shim leads nowhere", "ln -sfn /nowhere/mise ~/.local/share/mise/shims/semver"),
        ("a shim leads elsewhere", "ln -sfn /bin/true ~/.local/share/mise/shims/semver"),
        (
            "a shim is empty",
            "rm ~/.local/share/mise/shims/semver; : >~/.local/share/mise/shims/semver",
        ),
        ("the shims are gone", "rm -r ~/.local/share/mise/shims"),
        ("there is no proof", &format!("rm {PROOF}")),
        ("the proof is cut off", &format!("truncate -s 200 {PROOF}")),
        ("the proof is garbage", &format!("head -c 4096 /dev/urandom >{PROOF}")),
        ("the proof is empty", &format!(": >{PROOF}")),
        (
            "the proof is another version's",
            &format!("sed -i s/.version.:1/\\\"version\\\":0/ {PROOF}"),
        ),
        ("the proof is too large", &format!("head -c 2097152 /dev/zero >{PROOF}")),
        ("the proof never ends", &format!("rm {PROOF}; mkfifo {PROOF}")),
    ];
    for (why, line) in changes {
        counted.sandbox.sh(line).good();
        counted.asks(why);
        answers(&counted.sandbox);
        counted.asks_nothing();
    }
}

#[test]
fn another_release_of_mise_is_asked_again() {
    if !ready() {
        return;
    }
    let release = |which: &str| {
        let mut command = Command::new(repository().join("tests/util/mise-env"));
        command.arg(which);
        run(command, Duration::from_secs(120)).good().trim().to_owned()
    };
    let volume = Volume::new();
    let with = |which: &str| {
        let recipe = Recipe::on(&volume).env("AGENT__TOOLS__MISE", "/opt/mise");
        let sandbox =
            recipe.argument(&format!("--volume={}:/opt/mise:ro", release(which))).start(IDLE);
        sandbox.settled().notes()
    };
    with("image");
    let again = with("image");
    assert!(again.contains(NOT_ASKED), "{again}");
    let other = with("middle");
    assert!(!other.contains(NOT_ASKED), "{other}");
}

/// mise finds all of these tools installed.
#[test]
fn what_is_gone_from_a_tool_is_put_back_though_mise_does_not_miss_it() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let counted = Counted::whole(&volume);
    counted.asks_nothing();
    let damages = [
        ("its files are deleted", "find $(mise where npm:semver) -type f -delete"),
        ("it is emptied", "find $(mise where npm:semver) -mindepth 1 -delete"),
        ("its program is removed", "rm $(mise where npm:semver)/node_modules/.bin/semver"),
        ("its program is empty", ": >$(mise where npm:semver)/node_modules/.bin/semver"),
        ("it may not be executed", "chmod -x $(mise where npm:semver)/node_modules/.bin/semver"),
        (
            "what its program starts is empty",
            ": >$(find $(mise where npm:semver)/ -name semver.js -path '*/bin/*')",
        ),
    ];
    for (why, line) in damages {
        counted.sandbox.sh(line).good();
        let mise = counted.sandbox.exec(&["mise", "install"]);
        assert_eq!(mise.status, 0, "{why}: mise says that all is well");
        assert_ne!(counted.sandbox.exec(&["semver", "1.2.3"]).stdout, "1.2.3\n", "{why}");
        let seen = counted.asks(why);
        assert!(seen.notes().contains("installed again"), "{why}: {}", seen.notes());
        answers(&counted.sandbox);
        // A boot that repairs may leave the proof to one that changes nothing.
        counted.boots();
        counted.asks_nothing();
    }
    counted.sandbox.sh("rm -r $(mise where npm:semver)").good();
    counted.asks("it is deleted");
    answers(&counted.sandbox);
    counted.asks_nothing();
}

#[test]
fn a_tool_that_lost_a_file_that_may_not_matter_is_named_and_left_as_it_is() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let counted = Counted::whole(&volume);
    counted.asks_nothing();
    counted.sandbox.sh("rm $(find $(mise where npm:semver)/ -name range.bnf)").good();
    let (seen, _) = counted.boots();
    counted.sandbox.shows("degraded", "tool-damaged");
    assert!(seen.problem("tool-damaged").contains("npm:semver@7.6.3"), "{}", seen.summary());
    answers(&counted.sandbox);
    // Nobody has mended it: it is said again.
    assert_eq!(counted.boots().0.codes(), ["tool-damaged"]);
    counted.sandbox.exec(&["mise", "install", "--force", "npm:semver@7.6.3"]).good();
    counted.asks("it is mended");
    counted.asks_nothing();
}

#[test]
fn a_users_file_in_place_of_a_shim_is_named_and_not_removed() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let counted = Counted::whole(&volume);
    counted.sandbox.sh("cd ~/.local/share/mise/shims; rm semver; printf '#!/bin/sh\\necho mine\\n' >semver; chmod +x semver").good();
    counted.boots();
    counted.sandbox.shows("degraded", "shim-replaced");
    assert_eq!(counted.sandbox.exec(&["semver"]).good(), "mine\n");
    counted.sandbox.sh("mv ~/.local/share/mise/shims/semver ~/").good();
    counted.asks("it is moved away");
    answers(&counted.sandbox);
    counted.asks_nothing();
}

/// mise prints pages, ends with 0, and has written another lockfile over it.
#[test]
fn a_lockfile_that_cannot_be_read_is_named_with_its_place_and_kept() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let counted = Counted::whole(&volume);
    counted.asks_nothing();
    let corrupt = "printf 'a = 1\\ntools = [[\\n' >~/.config/mise/mise.lock";
    counted.sandbox.sh(corrupt).good();
    let (seen, _) = counted.boots();
    counted.sandbox.shows("degraded", "lock-corrupt");
    let problem = seen.problem("lock-corrupt");
    assert!(problem.contains("mise.lock:2:"), "{problem}");
    let kept = counted.sandbox.sh("cat ~/.local/state/agent/mise.lock.corrupt").good();
    assert_eq!(kept, "a = 1\ntools = [[\n");
    // What mise alone makes of it.
    counted.sandbox.sh(corrupt).good();
    assert_eq!(counted.sandbox.exec(&["mise", "install"]).status, 0);
    let lock = counted.sandbox.sh("cat ~/.config/mise/mise.lock").good();
    assert!(lock.contains("generated") && !lock.contains("a = 1"), "{lock}");
    counted.asks("the lock is another, and whole");
    counted.asks_nothing();
}

#[test]
fn an_images_lockfile_that_cannot_be_read_is_named_at_every_boot() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let lock = Files::one("mise.lock", "tools = [[\n");
    let recipe =
        Recipe::on(&volume).argument(&lock.mounted("mise.lock", "/etc/mise/mise.lock", "ro"));
    let sandbox = recipe.start(IDLE);
    sandbox.expects("degraded", "lock-corrupt");
    sandbox.restart();
    let (seen, _) = sandbox.expects("degraded", "lock-corrupt");
    assert!(seen.problem("lock-corrupt").contains("/etc/mise/mise.lock:1:"));
}
