//! `agent clean` on a tree that is laid out as a machine that has lived: everything that would
//! leak is listed, removed, and not found again; nothing else is touched.

use crate::util::{Ended, agent, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An image's root, mounted somewhere.
struct Image {
    dir: TempDir,
}

/// What must be gone or empty afterwards.
const LEAKS: &[&str] = &[
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "etc/machine-id",
    "var/lib/dbus/machine-id",
    "etc/hostname",
    "root/.ssh/authorized_keys",
    "home/ubuntu/.ssh/authorized_keys",
    "home/left-over/.bash_history",
    "home/ubuntu/.bash_history",
    "home/ubuntu/.local/share/fish/fish_history",
    "home/ubuntu/.local/state/agent/i-1/journal",
    "home/ubuntu/.cache/pip/x",
    "srv/dev/.zsh_history",
    "var/lib/agent/i-0123456789abcdef0/ledger",
    "var/lib/agent/i-0123456789abcdef0/tags",
    "var/lib/cloud/instance/user-data.txt",
    "var/log/syslog",
    "var/log/syslog.1",
    "var/log/syslog.2.gz",
    "var/log/wtmp",
    "var/log/service/deep/access.log",
    "var/log/journal/0123/system.journal",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/coredump/core.zst",
    "var/lib/dhcp/dhclient.leases",
    "var/lib/NetworkManager/internal-eth0.lease",
    "var/lib/sudo/ts/ubuntu",
    "var/mail/root",
    "tmp/.hidden/file",
    "var/tmp/x",
];

/// What is told, and stays.
const TOKENS: &[(&str, &str)] = &[
    ("home/ubuntu/.aws/credentials", "[default]\naws_secret_access_key = x\n"),
    ("home/ubuntu/.netrc", "machine x login y password z\n"),
    ("home/ubuntu/.git-credentials", "https://me:pw@github.com\n"),
    ("home/ubuntu/.npmrc", "//registry.npmjs.org/:_authToken=npm_x\n"),
    ("home/ubuntu/.config/gh/hosts.yml", "github.com:\n    oauth_token: gho_x\n"),
    ("home/ubuntu/.docker/config.json", "{\"auths\":{\"x\":{\"auth\":\"eHg=\"}}}"),
    ("home/ubuntu/.ssh/deploy", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"),
    ("home/ubuntu/.config/mint/user-bootstrap.sh", "#!/bin/sh\n"),
];

/// What is not its business.
const KEPT: &[(&str, &str)] = &[
    ("etc/ssh/sshd_config", "Port 22\n"),
    ("etc/ssh/ssh_known_hosts", "github.com ssh-ed25519 AAAA\n"),
    ("etc/agent/agent.toml", "[ec2]\nenabled = true\n"),
    ("home/ubuntu/.bashrc", "alias x=y\n"),
    ("home/ubuntu/.ssh/config", "Host x\n"),
    ("home/ubuntu/.npmrc.d/plain", "save-exact=true\n"),
    ("home/other/.npmrc", "save-exact=true\n"),
    ("home/ubuntu/projects/notes", "mine\n"),
    ("var/lib/systemd/timers/stamp", "x"),
    ("tmp/systemd-private-1-x.service/tmp/file", "x"),
];

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:/bin/false\n\
                      ubuntu:x:1000:1000::/home/ubuntu:/bin/sh\ndev:x:1001:1001::/srv/dev:/bin/sh\n\
                      nobody:x:65534:65534::/nonexistent:/bin/false\n";

impl Image {
    fn bare() -> Self {
        let dir = tempfile::Builder::new().prefix("image-").tempdir_in("/var/tmp").unwrap();
        let image = Self { dir };
        image.put("etc/passwd", PASSWD);
        image
    }

    /// One that has lived.
    fn lived() -> Self {
        let image = Self::bare();
        for path in LEAKS {
            let content = match *path {
                "etc/hostname" => "ip-10-0-0-5\n",
                _ => "leak-4711\n",
            };
            image.put(path, content);
        }
        for (path, content) in TOKENS.iter().chain(KEPT) {
            image.put(path, content);
        }
        image
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn put(&self, below: &str, content: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, below: &str, to: impl AsRef<Path>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let root = self.dir.path().to_str().unwrap();
        run(agent(&[&["clean", "--root", root], arguments].concat()))
    }

    /// The paths that a run says are left.
    #[track_caller]
    fn left(&self, arguments: &[&str]) -> BTreeMap<String, Value> {
        let json = self.run(&[&["--json"], arguments].concat()).json();
        let left = json["left"].as_array().unwrap().iter();
        left.map(|f| (f["path"].as_str().unwrap().to_owned(), f.clone())).collect()
    }
}

#[test]
fn what_has_lived_is_listed_removed_and_not_found_again() {
    let image = Image::lived();
    let before = image.left(&["--check"]);
    for path in LEAKS {
        let path = Path::new("/").join(path);
        let named = before.keys().any(|found| path.starts_with(found));
        assert!(named, "{} is not listed: {before:#?}", path.display());
    }
    let ended = image.run(&["--yes"]).expect(1);
    for path in LEAKS {
        let gone = fs::read(image.path(path)).map_or(true, |bytes| bytes.is_empty());
        assert!(gone, "{path} is still there: {ended:#?}");
    }
    let text = format!("{:?}", fs::read_dir(image.path("var/log")).unwrap().collect::<Vec<_>>());
    assert!(text.contains("syslog\"") && !text.contains("syslog.1"), "{text}");
    // The directories that programs expect, and the machine id that systemd fills, stay.
    for path in ["etc/machine-id", "var/log/wtmp", "tmp", "var/lib/dhcp", "var/log/service/deep"] {
        assert!(image.path(path).exists(), "{path} is gone");
    }
    for (path, content) in TOKENS.iter().chain(KEPT) {
        assert_eq!(fs::read_to_string(image.path(path)).unwrap(), *content, "{path}");
    }
    let left = image.left(&["--check"]);
    let tokens: Vec<String> = TOKENS.iter().map(|(path, _)| format!("/{path}")).collect();
    let mut tokens: Vec<&String> = tokens.iter().collect();
    tokens.sort();
    assert_eq!(left.keys().collect::<Vec<_>>(), tokens, "{left:#?}");
}

#[test]
fn a_second_clean_finds_nothing() {
    let image = Image::lived();
    for (path, _) in TOKENS {
        fs::remove_file(image.path(path)).unwrap();
    }
    image.run(&["--check"]).expect(1);
    image.run(&["--yes"]).expect(0);
    let again = image.run(&["--yes"]).expect(0);
    assert_eq!(again.stdout, "0 things removed, nothing left\n");
    let check = image.run(&["--check"]).expect(0);
    assert_eq!(check.stdout, "nothing here would leak into an image\n");
}

#[test]
fn nothing_is_removed_without_being_told_to() {
    let image = Image::lived();
    let ended = image.run(&[]).expect(1).says("nothing is removed without --yes");
    assert!(ended.stdout.contains("/etc/ssh/ssh_host_ed25519_key"), "{ended:#?}");
    for path in LEAKS {
        assert!(image.path(path).exists(), "{path}");
    }
    image.run(&["--check", "--yes"]).expect(64);
}

/// Links of an image mean its own root; of what they lead to outside nothing is seen or touched.
#[test]
fn a_mounted_image_cannot_lead_out_of_its_root() {
    let outside = Image::bare();
    for path in
        ["home/ubuntu/.bash_history", "log/syslog", "keys/ssh_host_x", "state/journal", "id"]
    {
        outside.put(path, "outside\n");
    }
    let image = Image::bare();
    let up = "../../../../../../../../..";
    let away = |below: &str| format!("{up}{}", outside.path(below).display());
    image.link("home", away("home"));
    image.link("var/log", outside.path("log"));
    image.link("etc/ssh", away("keys"));
    image.link("var/lib/agent", outside.path("state"));
    image.link("etc/machine-id", outside.path("id"));
    image.link("tmp", "/proc/self/root/tmp");
    let ended = image.run(&["--yes"]);
    assert!(!ended.all().contains("outside"), "{ended:#?}");
    for path in
        ["home/ubuntu/.bash_history", "log/syslog", "keys/ssh_host_x", "state/journal", "id"]
    {
        assert_eq!(fs::read_to_string(outside.path(path)).unwrap(), "outside\n", "{path}");
    }
}

#[test]
fn a_link_within_the_image_is_followed_as_the_image_means_it() {
    let image = Image::bare();
    image.link("home", "/data/home");
    image.link("var/log", "/data/log");
    image.put("data/home/ubuntu/.bash_history", "x");
    image.put("data/log/syslog", "x");
    image.run(&["--yes"]).expect(0);
    assert!(!image.path("data/home/ubuntu/.bash_history").exists());
    assert_eq!(fs::read(image.path("data/log/syslog")).unwrap(), b"");
}

/// In a home every link is its user's doing.
#[test]
fn no_link_in_a_home_is_followed_and_the_place_is_told() {
    let image = Image::bare();
    image.put("etc/shadow", "secret\n");
    image.put("etc/keys/authorized_keys", "theirs\n");
    image.put("home/ubuntu/x", "");
    image.link("home/ubuntu/.cache", "/etc");
    image.link("home/ubuntu/.ssh", "/etc/keys");
    image.link("home/ubuntu/.bash_history", "/etc/shadow");
    let left = image.left(&["--yes"]);
    assert_eq!(fs::read_to_string(image.path("etc/shadow")).unwrap(), "secret\n");
    assert_eq!(fs::read_to_string(image.path("etc/keys/authorized_keys")).unwrap(), "theirs\n");
    assert!(!image.path("home/ubuntu/.bash_history").is_symlink());
    let told = &left["/home/ubuntu/.ssh/authorized_keys"]["problem"];
    assert!(told.as_str().unwrap().contains("a link lies on the way"), "{left:#?}");
}

#[test]
fn a_log_with_a_second_name_is_unlinked_and_the_other_name_keeps_its_content() {
    let image = Image::bare();
    image.put("srv/data", "data\n");
    fs::create_dir_all(image.path("var/log/service")).unwrap();
    fs::hard_link(image.path("srv/data"), image.path("var/log/service/log")).unwrap();
    image.run(&["--yes"]).expect(0);
    assert_eq!(fs::read_to_string(image.path("srv/data")).unwrap(), "data\n");
    assert!(!image.path("var/log/service/log").exists());
}

#[test]
fn the_agents_own_mounts_leave_fstab_and_the_operators_stay() {
    let image = Image::bare();
    let operators = "# mine\nUUID=1 / ext4 defaults 0 1\n";
    let mark = "# The agent keeps the next line; without this one it leaves it alone.";
    image.put(
        "etc/fstab",
        &format!("{operators}{mark}\nUUID=2 /mint/projects ext4 defaults,nofail 0 2\n"),
    );
    fs::set_permissions(image.path("etc/fstab"), fs::Permissions::from_mode(0o640)).unwrap();
    image.run(&["--check"]).expect(1);
    image.run(&["--yes"]).expect(0);
    assert_eq!(fs::read_to_string(image.path("etc/fstab")).unwrap(), operators);
    assert_eq!(image.path("etc/fstab").metadata().unwrap().mode() & 0o777, 0o640);
    image.run(&["--check"]).expect(0);
}

#[test]
fn a_name_that_somebody_chose_and_an_id_that_is_not_yet_one_are_no_leak() {
    let image = Image::bare();
    image.put("etc/hostname", "build-box\n");
    image.put("etc/machine-id", "uninitialized\n");
    image.link("var/lib/dbus/machine-id", "/etc/machine-id");
    image.run(&["--check"]).expect(0);
    image.run(&["--yes"]).expect(0);
    assert_eq!(fs::read_to_string(image.path("etc/hostname")).unwrap(), "build-box\n");
    assert!(image.path("var/lib/dbus/machine-id").is_symlink());
}

#[test]
fn what_cannot_be_removed_is_told_and_is_no_success() {
    let image = Image::bare();
    let mut deep = image.path("tmp");
    for _ in 0..300 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let ended = image.run(&["--yes"]).expect(1);
    assert!(
        ended.stdout.contains("/tmp/d") && ended.stdout.contains("without an end"),
        "{ended:#?}"
    );
}

#[test]
fn a_directory_that_is_no_root_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let root = empty.path().to_str().unwrap();
    run(agent(&["clean", "--check", "--root", root])).expect(1).says("no image's root");
    run(agent(&["clean", "--check", "--root", "/nonexistent"])).expect(1).says("/nonexistent");
}
