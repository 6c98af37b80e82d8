//! What one sandbox exports, another one has after its next boot: the same tools at the same
//! versions, from the real registry.

use crate::engine::ready;
use crate::guard::{Files, Volume};
use crate::sandbox::{IDLE, Recipe, Sandbox};
use crate::tools::{TOOL, VERSION, answers, with_tool};
use std::collections::BTreeSet;

/// The archive in a sandbox that imports it.
const ARCHIVE: &str = "/archive/tools.tar";

/// What `agent status` says of the tools: name, version, installed.
#[track_caller]
fn tools(sandbox: &Sandbox) -> BTreeSet<(String, String, bool)> {
    let json = sandbox.exec(&["agent", "status", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let tools = json["tools"].as_array().unwrap().iter();
    tools.map(|t| (text(&t["name"]), text(&t["version"]), t["installed"] == true)).collect()
}

/// Imports on a volume that nobody has booted on yet.
#[track_caller]
fn import(volume: &Volume, archive: &Files) -> String {
    let (_gone, output) = Recipe::on(volume)
        .argument(&archive.mounted("tools.tar", ARCHIVE, "ro"))
        .argument("--entrypoint=agent")
        .run(&["tools", "import", ARCHIVE]);
    output.good()
}

/// A sandbox with a tool of the user's, its lock, and a workspace with another.
#[track_caller]
fn exporter(volume: &Volume) -> Sandbox {
    let sandbox = with_tool(volume);
    let workspace = "set -e; mkdir -p ~/work/site; cd ~/work/site
        printf '[tools]\\n\"npm:cowsay\" = \"1.5.0\"\\n' >mise.toml; mise trust
        for i in 1 2 3; do mise lock && break; done; test -s mise.lock";
    sandbox.sh(workspace).good();
    // Its exit status tells of the image's lock, which isn't the user's to write.
    sandbox.sh("cd ~; for i in 1 2 3; do mise lock --global && break; done");
    sandbox.sh("test -s ~/.config/mise/mise.lock && cd ~ && mise install").good();
    sandbox.restart();
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox
}

#[test]
fn an_archive_on_a_fresh_volume_brings_the_same_tools_at_the_same_versions() {
    if !ready() {
        return;
    }
    let (old, new, locked) = (Volume::new(), Volume::new(), Volume::new());
    let first = exporter(&old);
    let wanted = tools(&first);
    assert!(wanted.contains(&(TOOL.into(), VERSION.into(), true)), "{wanted:?}");
    let place = first.exec(&["mise", "where", TOOL]).good();
    let export = ["agent", "tools", "export", "--workspace", "/home/iteron/work/site"];
    let archive = first.exec(&export).good();
    assert_eq!(first.exec(&export).good(), archive, "two exports are equal");
    drop(first);
    let archive = Files::one("tools.tar", &archive);

    // Without the archive it is not there.
    let bare = Recipe::on(&new).start(IDLE);
    assert!(!bare.settled().installed(TOOL));
    drop(bare);

    let told = import(&new, &archive);
    for path in [".config/mise/config.toml", ".config/mise/mise.lock", "work/site/mise.lock"] {
        assert!(told.contains(&format!("added      ~/{path}\n")), "{told}");
    }
    assert!(import(&new, &archive).contains("nothing to do"));
    let second = Recipe::on(&new).network().start(IDLE);
    assert_eq!(second.settled().state(), "complete", "{}", second.logs());
    assert_eq!(tools(&second), wanted);
    assert_eq!(second.exec(&["mise", "where", TOOL]).good(), place);
    answers(&second);
    let line = "cd ~/work/site && mise trust -q && for i in 1 2 3; do MISE_LOCKED=1 mise install && break; done
        mise ls --current --json npm:cowsay | tr -d ' \\n'";
    let there = second.sh(line).good();
    assert!(
        there.contains("\"version\":\"1.5.0\"") && there.contains("\"installed\":true"),
        "{there}"
    );
    drop(second);

    // The lock came along with all that it names: enforced, it serves.
    import(&locked, &archive);
    let third = Recipe::on(&locked).network().env("MISE_LOCKED", "1").start(IDLE);
    assert_eq!(third.settled().state(), "complete", "{}", third.logs());
    assert_eq!(tools(&third), wanted);
    answers(&third);
}

/// A kill between the exchange of the lock and that of the config, and the boot after it.
#[test]
fn an_import_that_was_cut_off_is_finished_by_the_next_boot() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let line = "set -e; cd ~; mkdir -p .config/mise .local/state/agent
        echo '# old' >.config/mise/config.toml; echo '# new' >.config/mise/.config.toml.agent-import
        old=$(sha256sum .config/mise/config.toml | cut -c1-64)
        new=$(sha256sum .config/mise/.config.toml.agent-import | cut -c1-64)
        spot() { printf '{\"base\":\"/home/iteron\",\"home\":true,\"below\":\"%s\"}' \"$1\"; }
        printf '{\"stage\":\"%s\",\"backups\":%s,\"made\":[],\"steps\":[{\"spot\":%s,\"old\":\"%s\",\"new\":\"%s\",\"mode\":420,\"last\":true,\"backup\":%s}]}' \
            committing \"$(spot b)\" \"$(spot .config/mise/config.toml)\" $old $new \"$(spot b/config.toml)\" \
            >.local/state/agent/import.json";
    let (_gone, output) = Recipe::on(&volume).argument("--entrypoint=sh").run(&["-c", line]);
    output.good();
    let sandbox = Recipe::on(&volume).start(IDLE);
    let seen = sandbox.settled();
    assert_eq!(seen.state(), "complete", "{}", sandbox.logs());
    assert!(seen.notes().contains("an import of tools that had been cut off is finished"));
    assert_eq!(sandbox.sh("cat ~/.config/mise/config.toml").good(), "# new\n");
    sandbox.sh("! ls ~/.local/state/agent/import.json").good();

    // One that can't be finished is no quiet success.
    sandbox.sh("echo '{' >~/.local/state/agent/import.json").good();
    sandbox.restart();
    let (seen, _) = sandbox.shows("degraded", "tools-import-stuck");
    assert!(seen.problem("tools-import-stuck").contains("import.json"));
}
