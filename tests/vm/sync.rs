//! Tools that are exported on one machine appear on another: a fresh volume at the home, the
//! archive imported as the user, one boot, real mise, the real registry.
//!
//! mise and node are those of the sandbox image, from the cache of `image/build`, on a disk of
//! their own. The machine is let out into the network of the machine that runs the tests, with
//! that one's certificates; nothing of it is a part of the agent.

use crate::instance::{Instance, rendered};
use crate::readiness::{Readiness, layer_is_ready};
use crate::rig::{Variant, ready};
use crate::util::{PATH, agent, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOOL: &str = "npm:semver";
const VERSION: &str = "7.6.3";

const CONFIG: &str = r#"
[user]
name = "ubuntu"

[[step]]
name = "import"
user = "sandbox"
run = "once"
command = "agent tools import /srv/tools.tar"

[[volume]]
target = "~"
min_free = "1MiB"

[tools]
enabled = "on"
pass_environment = ["AUBE_*"]
"#;

/// Where the image's node, npm and mise lie on this machine: `bin` and `lib`.
fn toolchain() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    let entries = fs::read_dir(cache.join("agent-image")).ok()?.flatten();
    let named = entries.filter(|e| e.file_name().to_string_lossy().starts_with("toolchain-x64-"));
    named.map(|e| e.path().join("usr/local")).find(|p| p.join("bin/mise").is_file())
}

/// Variables that this machine's network needs.
fn network(ca: &str) -> Vec<(String, String)> {
    let named = |n: &str| std::env::var(n).ok().filter(|v| Path::new(v).is_file());
    let mut all: Vec<(String, String)> = std::env::vars()
        .filter(|(n, _)| n.starts_with("AUBE_") || n.starts_with("npm_config_"))
        .collect();
    if let Some(bundle) = named("NODE_EXTRA_CA_CERTS").or_else(|| named("SSL_CERT_FILE")) {
        let ca = if ca.is_empty() { bundle } else { ca.to_owned() };
        all.extend(["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"].map(|n| (n.to_owned(), ca.clone())));
    }
    all
}

/// A home of another machine, with the tool locked and installed by mise; the archive of it and
/// the directory of the tool.
#[track_caller]
fn exported(toolchain: &Path, scratch: &Path) -> (Vec<u8>, String) {
    let home = scratch.join("home");
    fs::create_dir_all(&home).unwrap();
    let mise = |arguments: &[&str]| {
        let mut command = Command::new(toolchain.join("bin/mise"));
        command.args(arguments).env_clear().envs(network("")).current_dir("/");
        command.env("PATH", format!("{}:{PATH}", toolchain.join("bin").display()));
        command.env("HOME", &home).env("MISE_SYSTEM_CONFIG_DIR", scratch.join("none"));
        run(command)
    };
    let config = home.join(".config/mise/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, format!("[tools]\n\"{TOOL}\" = \"{VERSION}\"\n")).unwrap();
    for arguments in [&["lock", "--global"][..], &["install"]] {
        mise(arguments).expect(0);
    }
    let place = mise(&["where", TOOL]).expect(0).stdout;
    let place = Path::new(place.trim()).strip_prefix(&home).unwrap().display().to_string();
    let archive = scratch.join("tools.tar");
    let mut export = agent(&["tools", "export", "--output", archive.to_str().unwrap()]);
    export.env("AGENT__USER__HOME", &home).env("AGENT__USER__NAME", "root");
    run(export).expect(0);
    (fs::read(archive).unwrap(), place)
}

#[test]
fn an_archive_on_a_fresh_volume_brings_the_same_tools_at_the_same_versions() {
    static READY: Readiness = Readiness::new();
    let found = || match toolchain() {
        Some(_) => Ok(()),
        None => {
            Err("there is no toolchain of the image; `image/build --variant small` makes it".into())
        }
    };
    if !ready(Variant::Plain) || !layer_is_ready("vm (tools)", &READY, found) {
        return;
    }
    let toolchain = toolchain().unwrap();
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    let (archive, place) = exported(&toolchain, scratch.path());

    let mut ec2 = Instance::new(CONFIG, &rendered("", &[]));
    ec2.machine.put("/srv/tools.tar", &archive, 0o644);
    tools_disk(&mut ec2, &toolchain);
    fresh_home(&mut ec2);
    reaches_the_registry(&mut ec2);
    let status = ec2.start();

    let log = ec2.machine.run("journalctl -b -t agent --no-pager -o cat").stdout;
    assert_eq!(status["state"], "complete", "{status:#}\n{log}");
    let tools = serde_json::json!([{"name": TOOL, "version": VERSION, "installed": true}]);
    assert_eq!(status["tools"], tools, "{status:#}");
    // The directory's name has the lock's digest in it.
    ec2.machine.run(&format!("test -d /home/ubuntu/{place}")).expect(0);
    let answer = "runuser -u ubuntu -- env HOME=/home/ubuntu /home/ubuntu/.local/share/mise/shims/semver 1.2.3";
    assert_eq!(ec2.machine.run(answer).expect(0).stdout, "1.2.3\n");
    let again = "runuser -u ubuntu -- agent tools import /srv/tools.tar";
    let again = ec2.machine.run(again).expect(0);
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
    ec2.machine.run("agent tools import /srv/tools.tar").expect(77).says("runuser -u ubuntu -- ");
    ec2.machine.power_off();
}

/// Mounts a labelled disk before the agent starts.
fn mounted(ec2: &mut Instance, unit: &str, label: &str, at: &str, options: &str) {
    let text = format!(
        "[Unit]\nBefore=local-fs.target agent-boot.service\n\
         [Mount]\nWhat=/dev/disk/by-label/{label}\nWhere={at}\nOptions={options}\n"
    );
    ec2.machine.put(&format!("/etc/systemd/system/{unit}"), text, 0o644);
    ec2.machine.enable(unit, "local-fs.target");
}

fn tools_disk(ec2: &mut Instance, toolchain: &Path) {
    let disk = ec2.machine.disk("vol-00000000000000aa", 512);
    let from = toolchain.to_str().unwrap();
    disk.tool("mke2fs", &["-q", "-t", "ext4", "-L", "toolchain", "-d", from]);
    ec2.machine.attach(&disk);
    mounted(ec2, "opt-toolchain.mount", "toolchain", "/opt/toolchain", "ro");
    for program in ["mise", "node", "npm"] {
        let from = format!("/opt/toolchain/bin/{program}");
        ec2.machine.link(&format!("/usr/local/bin/{program}"), &from);
    }
}

fn fresh_home(ec2: &mut Instance) {
    let disk = ec2.machine.disk("vol-00000000000000bb", 256);
    disk.tool("mke2fs", &["-q", "-t", "ext4", "-L", "home", "-E", "root_owner=1000:1000"]);
    ec2.machine.attach(&disk);
    mounted(ec2, "home-ubuntu.mount", "home", "/home/ubuntu", "rw");
}

fn reaches_the_registry(ec2: &mut Instance) {
    const CA_INSIDE: &str = "/etc/test-ca.crt";
    ec2.machine.network().open();
    // QEMU's own resolver, which asks that of the machine that runs the tests.
    ec2.machine.put("/etc/resolv.conf", "nameserver 169.254.0.3\n", 0o644);
    let variables = network(CA_INSIDE);
    if let Ok(bundle) =
        std::env::var("NODE_EXTRA_CA_CERTS").or_else(|_| std::env::var("SSL_CERT_FILE"))
    {
        ec2.machine.put(CA_INSIDE, fs::read(bundle).unwrap(), 0o644);
    }
    let mut unit = String::from("[Service]\n");
    for (name, value) in variables {
        unit += &format!("Environment=\"{name}={value}\"\n");
    }
    ec2.machine.put("/etc/systemd/system/agent-boot.service.d/network.conf", unit, 0o644);
}
