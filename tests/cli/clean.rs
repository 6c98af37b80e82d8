//! `agent clean` on a tree that is laid out as a machine that has lived: everything that would
//! leak is listed, removed, and not found again; nothing else is touched.

use crate::util::{Ended, agent, reachable, run, unprivileged};
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
    // Of accounts that no person is, too.
    "var/lib/jenkins/.ssh/authorized_keys",
    "srv/old/.bash_history",
    // Left by a kill.
    "root/.ssh/.authorized_keys.agent-0123abcd",
    "etc/.machine-id.agent-0123abcd",
    "etc/.profile.agent-new",
    "etc/ssh/.agent-new-ssh_host_rsa_key",
    "etc/sudoers.d/.90-agent.agent-0123abcd",
    "home/ubuntu/.bash_history-4711.tmp",
    "home/ubuntu/.irb_history",
    "home/ubuntu/.mongodb/mongosh/mongosh_repl_history",
    "home/ubuntu/.local/share/atuin/history.db",
    "home/ubuntu/.local/state/nvim/shada/main.shada",
    "home/ubuntu/.local/state/bash/history",
    "var/lib/amazon/ssm/Vault/Store/EC2RegistrationKey",
    "var/lib/apport/coredump/core",
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
    ("var/lib/jenkins/.aws/credentials", "[default]\naws_secret_access_key = x\n"),
    ("var/lib/postgresql/.pgpass", "*:*:*:postgres:pw\n"),
    ("srv/old/.ssh/id_rsa", "-----BEGIN RSA PRIVATE KEY-----\nx\n"),
    // Keys and logins.
    ("etc/ssh/authorized_keys/ubuntu", "ssh-ed25519 AAAA\n"),
    ("home/ubuntu/.ssh/environment", "A=b\n"),
    ("home/ubuntu/.ssh/known_hosts", "host ssh-ed25519 AAAA\n"),
    ("home/ubuntu/key.pem", "-----BEGIN EC PRIVATE KEY-----\nx\n"),
    ("home/ubuntu/putty", "PuTTY-User-Key-File-3: ssh-rsa\n"),
    ("home/ubuntu/x.ppk", "\0"),
    ("home/ubuntu/.gnupg/secring.gpg", "\0"),
    ("etc/letsencrypt/archive/x/privkey1.pem", "-----BEGIN PRIVATE KEY-----\nx\n"),
    // Tokens, by the file's name and by its content.
    ("home/ubuntu/.aws/config", "[default]\naws_secret_access_key = abcdEFGH0123\n"),
    ("home/ubuntu/.gitconfig", "[github]\n\ttoken = 0123456789abcdef\n"),
    ("home/ubuntu/.claude.json", "{\"primaryApiKey\": \"x\"}"),
    ("home/ubuntu/.my.cnf", "[client]\npassword=x\n"),
    ("home/ubuntu/.s3cfg", "access_key = x\n"),
    ("home/ubuntu/.boto", "aws_secret_access_key = x\n"),
    ("home/ubuntu/.terraformrc", "credentials \"x\" { token = \"y\" }\n"),
    ("home/ubuntu/.config/rclone/rclone.conf", "[s3]\n"),
    ("home/ubuntu/.config/doctl/config.yaml", "access-token: x\n"),
    ("home/ubuntu/.fly/config.yml", "access_token: x\n"),
    ("home/ubuntu/.config/glab-cli/config.yml", "token: x\n"),
    ("home/ubuntu/.env", "STRIPE_SECRET=abcd1234efgh\n"),
    ("home/ubuntu/.bashrc", "alias x=y\nexport NPM_TOKEN='abcd1234efgh'\n"),
    ("home/ubuntu/.config/mise/config.toml", "[env]\nAPI_TOKEN = \"abcd1234efgh\"\n"),
    ("home/ubuntu/.claude/history.jsonl", "{}\n"),
    ("home/ubuntu/.claude/projects/x", "{}\n"),
    ("home/ubuntu/.codex/history.jsonl", "{}\n"),
    // The machine's configuration.
    ("etc/apt/auth.conf.d/x", "machine x login y password z\n"),
    ("etc/apt/apt.conf.d/proxy", "Acquire::http::Proxy \"http://u:pw@proxy:3128\";\n"),
    ("etc/apt/sources.list.d/x.list", "deb https://u:pw@apt.example.com/ x y\n"),
    ("etc/pip.conf", "index-url = https://u:pw@pypi.example.com/simple\n"),
    ("etc/agent/conf.d/x.toml", "[bootstrap.environment]\nDB_PASSWORD = \"abcd1234efgh\"\n"),
    ("etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = x\n"),
    ("etc/NetworkManager/system-connections/x", "psk=x\n"),
    ("var/lib/tailscale/tailscaled.state", "{}"),
    ("etc/rancher/k3s/k3s.yaml", "x"),
    ("etc/credstore/x", "x"),
    ("etc/shadow", "root:*:1::\nubuntu:!$y$j9T$salt$hash:1::\n"),
    ("var/spool/cron/crontabs/ubuntu", "API_TOKEN=abcd1234efgh\n"),
    // State.
    ("var/lib/docker/containers/0123abcd", ""),
    ("var/lib/containers/storage/overlay-containers/0123abcd", ""),
    ("swapfile", "x"),
    ("core.17", "\x7fELF"),
];

/// Paths of [`TOKENS`] that are directories.
fn is_container(path: &str) -> bool {
    path.contains("containers/") && !path.ends_with(".json")
}

/// What is not its business.
const KEPT: &[(&str, &str)] = &[
    ("etc/ssh/sshd_config", "Port 22\n"),
    ("etc/ssh/ssh_known_hosts", "github.com ssh-ed25519 AAAA\n"),
    ("etc/agent/agent.toml", "[ec2]\nenabled = true\n"),
    ("root/.bashrc", "alias x=y\nTOKEN=$(pass x)\n"),
    ("etc/shadow-", "root:*:1::\nubuntu:!:1::\n"),
    ("etc/NetworkManager/system-connections/eth0", "[connection]\nid=eth0\n"),
    ("etc/ssl/openssl.cnf", "# input_password = secret\nsecret = pass:insta # x\n"),
    ("var/lib/containers/storage/overlay-containers/containers.json", "[]"),
    ("usr/sbin/.ssh/id_rsa", "-----BEGIN RSA PRIVATE KEY-----\n"),
    ("home/ubuntu/.ssh/config", "Host x\n"),
    ("home/ubuntu/.npmrc.d/plain", "save-exact=true\n"),
    ("home/other/.npmrc", "save-exact=true\n"),
    ("home/ubuntu/projects/notes", "mine\n"),
    ("var/lib/systemd/timers/stamp", "x"),
    ("tmp/systemd-private-1-x.service/tmp/file", "x"),
];

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:/bin/false\n\
                      ubuntu:x:1000:1000::/home/ubuntu:/bin/sh\ndev:x:1001:1001::/srv/dev:/bin/sh\n\
                      old:x:500:500::/srv/old:/bin/sh\n\
                      jenkins:x:110:110::/var/lib/jenkins:/bin/sh\n\
                      postgres:x:111:111::/var/lib/postgresql:/bin/sh\n\
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
            match is_container(path) {
                true => image.put(&format!("{path}/config.v2.json"), content),
                false => image.put(path, content),
            }
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
    for (path, content) in TOKENS.iter().chain(KEPT).filter(|(path, _)| !is_container(path)) {
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
        let path = image.path(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
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
fn what_a_link_leads_to_within_the_image_is_told() {
    let image = Image::bare();
    image.put("data/app.log", "x");
    image.put("data/logs/x", "x");
    image.put("usr/share/doc/systemd/README.logs", "x");
    image.put("data/h/.ssh/authorized_keys", "x");
    image.put("data/npmrc", "_authToken=x");
    image.put("data/history", "x");
    image.put("data/passwd", "far:x:1002:1002::/data/far:/bin/sh\n");
    image.put("data/far/.netrc", "x");
    image.put("home/ubuntu/dotfiles/env", "API_TOKEN=abcd1234efgh\n");
    fs::remove_file(image.path("etc/passwd")).unwrap();
    for (link, to) in [
        ("etc/passwd", "/data/passwd"),
        ("var/log/app.log", "/data/app.log"),
        ("var/log/appdir", "/data/logs"),
        ("var/log/README", "../../usr/share/doc/systemd/README.logs"),
        ("var/log/null", "/dev/null"),
        ("home/linked", "/data/h"),
        ("home/ubuntu/.npmrc", "/data/npmrc"),
        ("home/ubuntu/.bash_history", "/data/history"),
        ("home/ubuntu/.env", "dotfiles/env"),
        ("home/ubuntu/.circle", ".circle"),
    ] {
        image.link(link, to);
    }
    let left = image.left(&["--check"]);
    let named: Vec<&str> = left.keys().map(String::as_str).collect();
    let wanted = [
        "/data/app.log",
        "/data/far/.netrc",
        "/data/history",
        "/data/logs",
        "/data/npmrc",
        "/home/linked/.ssh/authorized_keys",
        "/home/ubuntu/.bash_history",
        "/home/ubuntu/.npmrc",
        "/home/ubuntu/dotfiles/env",
    ];
    assert_eq!(named, wanted, "{left:#?}");
    image.run(&["--yes"]).expect(1);
    assert_eq!(fs::read_to_string(image.path("data/history")).unwrap(), "x", "a user's link");
    assert!(!image.path("data/h/.ssh/authorized_keys").exists());
}

/// Nobody knows that nothing is there.
#[test]
fn what_cannot_be_looked_at_is_told_and_is_no_success() {
    let image = Image::bare();
    image.put("root/.bash_history", "x");
    image.put("home/ubuntu/.netrc", "x");
    image.put("etc/agent/agent.toml", "");
    let set = |path: &str, mode| {
        fs::set_permissions(image.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("", 0o755);
    ["root", "home/ubuntu", "etc/agent"].iter().for_each(|path| set(path, 0));
    let programs = tempfile::Builder::new().prefix("agent-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = reachable(programs.path());
    let look = || {
        let mut command = unprivileged(&program);
        command.args(["clean", "--check", "--json", "--root"]).arg(image.dir.path());
        run(command)
    };
    let ended = look().expect(1);
    for path in ["/root", "/home/ubuntu", "/etc/agent"] {
        let found = ended.json();
        let found = found["left"].as_array().unwrap().iter().find(|f| f["path"] == path).cloned();
        let problem = found.unwrap_or_else(|| panic!("{path}: {ended:#?}"))["problem"].clone();
        assert!(problem.as_str().unwrap().contains("ermission denied"), "{path}: {problem}");
    }
    ["root", "home/ubuntu", "etc/agent"].iter().for_each(|path| set(path, 0o755));
    for file in ["root/.bash_history", "home/ubuntu/.netrc"] {
        fs::remove_file(image.path(file)).unwrap();
    }
    look().expect(0);
    fs::remove_file(image.path("etc/passwd")).unwrap();
    image.put("data/passwd/x", "");
    image.link("etc/passwd", "/data/passwd");
    look().expect(1);
}

#[test]
fn the_agents_own_name_leaves_the_hosts_file() {
    let image = Image::bare();
    let mark = "# The agent keeps the next line; without this one it leaves it alone.";
    image.put("etc/hosts", &format!("127.0.0.1 localhost\n{mark}\n127.0.1.1 ip-10-0-0-5\n"));
    image.run(&["--check"]).expect(1);
    image.run(&["--yes"]).expect(0);
    assert_eq!(fs::read_to_string(image.path("etc/hosts")).unwrap(), "127.0.0.1 localhost\n");
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
