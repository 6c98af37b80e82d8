//! Keys and sections that nobody knows are errors, at their own place, with the nearest
//! valid one offered.

use super::config_files::{accepted, refused};

/// Every table with a misspelt key, and the key that is meant.
const MISSPELT: &[(&str, &str, &str)] = &[
    ("[user]", "nam = \"x\"", "name"),
    ("[boot]", "on_failur = \"hold\"", "on_failure"),
    ("[boot]", "deadlin = \"5m\"", "deadline"),
    ("[init]", "leftover_grce = \"1s\"", "leftover_grace"),
    ("[[volume]]", "requird = true", "required"),
    ("[[step]]", "comand = \"true\"", "command"),
    ("[health]", "comands = []", "commands"),
    ("[home]", "privat = []", "private"),
    ("[tools]", "atempts = 3", "attempts"),
    ("[bootstrap]", "git_http = true", "git_https"),
    ("[ec2]", "enabeld = true", "enabled"),
    ("[idle]", "timout = \"5m\"", "timeout"),
    ("[guest]", "hostnam = true", "hostname"),
    ("[log]", "max_sise = 1", "max_size"),
];

#[test]
fn an_unknown_key_is_an_error_in_every_table_and_the_nearest_is_offered() {
    for (table, line, meant) in MISSPELT {
        let key = line.split(' ').next().unwrap();
        let expected = format!("unknown key `{key}`; did you mean `{meant}`?");
        refused(&format!("# a comment\n{table}\n\n  {line}\n"), Some((4, 3)), &[&expected]);
    }
}

#[test]
fn an_unknown_key_of_an_inner_table_is_an_error_at_its_own_place() {
    let inline = "[[volume]]\ntarget = \"/data\"\nmount = { source = \"a\", fstyp = \"ext4\" }\n";
    refused(inline, Some((3, 25)), &["unknown key `fstyp`; did you mean `fstype`?"]);
    let table = "[[volume]]\ntarget = \"/data\"\n[volume.mount]\nsorce = \"a\"\n";
    refused(table, Some((4, 1)), &["unknown key `sorce`; did you mean `source`?"]);
}

#[test]
fn a_key_like_no_other_lists_the_valid_ones() {
    refused(
        "[boot]\ncolour = \"red\"\n",
        Some((2, 1)),
        &["unknown key `colour`; valid here: on_failure, deadline, grace"],
    );
}

#[test]
fn an_unknown_section_is_an_error_and_the_nearest_is_offered() {
    refused("[boott]\n", Some((1, 2)), &["unknown key `boott`", "did you mean `boot`?"]);
    refused("[[volumes]]\n", Some((1, 3)), &["unknown key `volumes`", "did you mean `volume`?"]);
    refused(
        "\n[weather]\n",
        Some((2, 2)),
        &[
            "unknown key `weather`",
            "user, boot, init, step, volume, home, tools, health, bootstrap, user_data, ec2, idle, guest, log",
        ],
    );
}

#[test]
fn a_key_outside_of_any_section_is_an_error() {
    refused("deadline = \"5m\"\n", Some((1, 1)), &["unknown key `deadline`"]);
}

#[test]
fn a_table_in_place_of_a_list_is_an_error() {
    refused("[volume]\ntarget = \"/data\"\n", Some((1, 1)), &["this is a table, expected a list"]);
}

/// Keys have names: a list of values must not be taken for them in the order of the source.
#[test]
fn a_list_in_place_of_a_table_is_an_error() {
    let expected = "this is a list, expected a table";
    refused("boot = [\"hold\", \"5m\", \"5s\"]\n", Some((1, 8)), &[expected]);
    refused("[[boot]]\ndeadline = \"5m\"\n", Some((1, 1)), &[expected]);
    refused("volume = [[\"/data\"]]\n", Some((1, 11)), &[expected]);
}

/// The counterpart of the tests above: what they misspell is accepted in its right form.
#[test]
fn every_key_there_is_can_be_written() {
    accepted(
        r#"
[user]
name = "iteron"
uid = 1000
gid = 1000
home = "/home/iteron"
[boot]
on_failure = "hold"
deadline = "1h 30m"
grace = "5s"
[init]
grace = "7s"
leftover_grace = "1s"
[[step]]
name = "packages"
command = ["apt-get", "update"]
user = "root"
environment = { A_1 = "x" }
directory = "/"
deadline = "10m"
required = true
run = "once"
failure_phase = "packages"
group = "first"
attempts = 3
[[step]]
name = "skel"
command = "cp -rn /etc/skel/. ~"
user = "sandbox"
run = "every-boot"
group = ""
[[volume]]
target = "~"
required = true
source = "data"
fstype = ["ext4", "xfs"]
writable = true
owned = true
chown = false
min_free = "64MiB"
min_inodes = 1000
on_full = "degrade"
skeleton = "/etc/skel"
directories = [".local/bin"]
mount = { source = "/dev/x", fstype = "ext4", options = ["noatime"], deadline = "30s" }
[tools]
enabled = "auto"
mise = "/usr/bin/mise"
on_failure = "fail"
deadline = "15m"
attempts = 3
pass_environment = ["FOO_*"]
[health]
commands = ["git", "/usr/bin/gh"]
services = ["docker.service"]
files = ["/etc/ssh/ssh_known_hosts", "~/.profile"]
mounts = ["~"]
required = false
deadline = "30s"
[bootstrap]
file = "/run/secrets/bootstrap"
optional = true
retry = "next-boot"
deadline = "30m"
instance = "i-0123"
environment = { A_1 = "x" }
git_https = false
[idle]
enabled = true
timeout = "45m"
grace = "15m"
extension_max = "24h"
stop = "stop-instance"
processes = ["rsync"]
[log]
format = "json"
level = "debug"
max_size = 1048576
"#,
    );
}
