//! What an image must not hold: one table, from which `agent clean` removes, `agent clean --check`
//! lists, and docs/clean.md is tested.

/// A kind of thing that would leak into an image.
#[derive(Debug)]
pub struct Item {
    /// Its name.
    pub name: &'static str,
    /// Why it must not be in an image, for the person who reads the list.
    pub why: &'static str,
    /// Where it is: absolute, or below each home where it begins with `~/`. A `*` stands for
    /// anything in the last part.
    pub paths: &'static [&'static str],
    /// What is done with it.
    pub does: Does,
    /// Of files: only those with such content; all where `None`.
    pub only: Option<fn(&[u8]) -> bool>,
}

/// What is done with a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// The file, link or directory is removed with all that is in it.
    Remove,
    /// Everything in the directory is removed; it stays.
    RemoveInside,
    /// The file stays, and is empty.
    Empty,
    /// Every file in the directory and below it is emptied; rotated ones are removed.
    EmptyInside,
    /// Lines that the agent wrote are taken out of the file.
    OwnLines,
    /// It is told, and left to the person who made it.
    Tell,
}

impl Does {
    /// The word of the list and of the documentation.
    pub fn word(self) -> &'static str {
        match self {
            Self::Remove => "removed",
            Self::RemoveInside => "emptied",
            Self::Empty => "emptied (the file stays)",
            Self::EmptyInside => "emptied, rotated ones removed",
            Self::OwnLines => "the agent's own lines removed",
            Self::Tell => "told, not removed",
        }
    }
}

/// Names in a directory that is emptied that belong to what runs: the private directories
/// of services, which systemd removes at each start (`tmpfiles.d(5)`).
pub const KEPT: &[&str] = &["systemd-private-*"];

const fn item(
    name: &'static str,
    why: &'static str,
    does: Does,
    paths: &'static [&'static str],
) -> Item {
    Item { name, why, paths, does, only: None }
}

const fn only(item: Item, only: fn(&[u8]) -> bool) -> Item {
    Item { only: Some(only), ..item }
}

/// All of it.
pub const TABLE: &[Item] = &[
    item(
        "agent-state",
        "journals, the ledger (a script that has run), tags, the idle account",
        Does::RemoveInside,
        &["/var/lib/agent", "/run/agent", "~/.local/state/agent"],
    ),
    item("agent-mounts", "mounts of this instance's volumes", Does::OwnLines, &["/etc/fstab"]),
    item(
        "ssh-host-keys",
        "every clone would be the same host",
        Does::Remove,
        &["/etc/ssh/ssh_host_*"],
    ),
    only(
        item(
            "machine-id",
            "every clone would be the same machine",
            Does::Empty,
            &["/etc/machine-id"],
        ),
        is_machine_id,
    ),
    item(
        "dbus-machine-id",
        "every clone would be the same machine",
        Does::Remove,
        &["/var/lib/dbus/machine-id"],
    ),
    only(
        item(
            "hostname",
            "the name of the instance that was baked on",
            Does::Empty,
            &["/etc/hostname"],
        ),
        is_instance_name,
    ),
    item(
        "authorized-keys",
        "whoever baked could log in to every clone",
        Does::Remove,
        &["~/.ssh/authorized_keys", "~/.ssh/authorized_keys2"],
    ),
    item(
        "user-data",
        "user-data with its scripts and secrets, and what cloud-init knows of the instance",
        Does::RemoveInside,
        &["/var/lib/cloud", "/run/cloud-init"],
    ),
    item(
        "instance-config",
        "addresses and names of the instance that was baked on",
        Does::Remove,
        &[
            "/etc/netplan/50-cloud-init.yaml",
            "/etc/network/interfaces.d/50-cloud-init",
            "/etc/udev/rules.d/70-persistent-net.rules",
            "/var/lib/amazon/ssm/i-*",
        ],
    ),
    item(
        "journal",
        "the log of the machine",
        Does::RemoveInside,
        &["/var/log/journal", "/run/log/journal"],
    ),
    item("logs", "logs", Does::EmptyInside, &["/var/log"]),
    item(
        "dumps",
        "memory of programs, with what secrets they held",
        Does::RemoveInside,
        &["/var/lib/systemd/coredump", "/var/crash"],
    ),
    item("mail", "mail of the machine", Does::RemoveInside, &["/var/mail", "/var/spool/mail"]),
    item(
        "shell-history",
        "commands, with what was typed into them",
        Does::Remove,
        &[
            "~/.bash_history",
            "~/.zsh_history",
            "~/.zhistory",
            "~/.histfile",
            "~/.sh_history",
            "~/.ash_history",
            "~/.local/share/fish/fish_history",
            "~/.python_history",
            "~/.node_repl_history",
            "~/.psql_history",
            "~/.mysql_history",
            "~/.sqlite_history",
            "~/.rediscli_history",
            "~/.lesshst",
            "~/.viminfo",
            "~/.wget-hsts",
        ],
    ),
    item(
        "seeds",
        "random numbers and keys that every clone would share",
        Does::Remove,
        &[
            "/var/lib/systemd/random-seed",
            "/var/lib/systemd/credential.secret",
            "/var/lib/urandom/random-seed",
            "/boot/loader/random-seed",
            "/boot/efi/loader/random-seed",
            "/efi/loader/random-seed",
        ],
    ),
    item(
        "leases",
        "addresses that were leased",
        Does::RemoveInside,
        &["/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/dhcpcd", "/run/systemd/netif/leases"],
    ),
    item(
        "network-manager",
        "leases, and a key from which identifiers are made",
        Does::Remove,
        &[
            "/var/lib/NetworkManager/*.lease",
            "/var/lib/NetworkManager/secret_key",
            "/var/lib/NetworkManager/timestamps",
        ],
    ),
    item("sudo", "who has used sudo", Does::RemoveInside, &["/var/lib/sudo/ts", "/run/sudo/ts"]),
    item("temporary", "temporary files", Does::RemoveInside, &["/tmp", "/var/tmp"]),
    item("caches", "what programs keep of their work", Does::RemoveInside, &["~/.cache"]),
    item(
        "private-keys",
        "private keys of people",
        Does::Tell,
        &["~/.gnupg/private-keys-v1.d/*", "~/.ssh/identity"],
    ),
    only(
        item(
            "private-keys",
            "private keys of people",
            Does::Tell,
            &["~/.ssh/*", "/etc/ssl/private/*"],
        ),
        is_private_key,
    ),
    item(
        "tokens",
        "credentials of people and programs",
        Does::Tell,
        &[
            "~/.aws/credentials",
            "~/.aws/sso/cache/*",
            "~/.aws/cli/cache/*",
            "~/.azure/msal_token_cache.json",
            "~/.claude/.credentials.json",
            "~/.codex/auth.json",
            "~/.config/containers/auth.json",
            "~/.config/gcloud/credentials.db",
            "~/.config/gcloud/application_default_credentials.json",
            "~/.config/git/credentials",
            "~/.config/mint/user-bootstrap.sh",
            "~/.gem/credentials",
            "~/.gemini/oauth_creds.json",
            "~/.git-credentials",
            "~/.kube/config",
            "~/.local/share/opencode/auth.json",
            "~/.netrc",
            "~/.pgpass",
            "~/.terraform.d/credentials.tfrc.json",
            "~/.vault-token",
        ],
    ),
    only(
        item(
            "tokens",
            "credentials of people and programs",
            Does::Tell,
            &[
                "~/.npmrc",
                "~/.yarnrc.yml",
                "~/.pypirc",
                "~/.cargo/credentials",
                "~/.cargo/credentials.toml",
                "~/.config/gh/hosts.yml",
                "~/.config/pip/pip.conf",
                "~/.docker/config.json",
                "~/.m2/settings.xml",
                "/etc/environment",
                "/etc/npmrc",
                "/usr/etc/npmrc",
                "/usr/local/etc/npmrc",
            ],
        ),
        holds_token,
    ),
];

/// An empty file and `uninitialized` make systemd give a new one (`machine-id(5)`).
fn is_machine_id(text: &[u8]) -> bool {
    !matches!(text.trim_ascii(), b"" | b"uninitialized")
}

/// A name that EC2 gave: `ip-10-0-0-5` by the address, `i-…` by the instance (EC2 user guide,
/// "EC2 instance hostname types"). A name that somebody chose stays.
fn is_instance_name(text: &[u8]) -> bool {
    let name = text.trim_ascii();
    let rest = |start: &[u8]| name.strip_prefix(start).and_then(|rest| rest.first().copied());
    rest(b"ip-").is_some_and(|b| b.is_ascii_digit())
        || rest(b"i-").is_some_and(|b| b.is_ascii_hexdigit())
}

fn is_private_key(text: &[u8]) -> bool {
    contains(text, b"PRIVATE KEY-----") && contains(text, b"-----BEGIN ")
}

/// The words by which npm, yarn, pip, cargo, gh, docker and maven keep them.
fn holds_token(text: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "_authtoken",
        "_auth",
        "_password",
        "npmauthtoken",
        "oauth_token",
        "password",
        "token",
        "secret",
        "\"auth\"",
        "api_key",
        "access_key",
    ];
    let lower = text.to_ascii_lowercase();
    // A URL with a user's part.
    let mut lines = lower.split(|b| *b == b'\n');
    let userinfo = lines.any(|line| {
        let at = line.windows(3).position(|w| w == b"://");
        at.and_then(|at| line.get(at + 3..)).is_some_and(|rest| {
            rest.split(|b| *b == b'/').next().is_some_and(|host| host.contains(&b'@'))
        })
    });
    userinfo || WORDS.iter().any(|word| contains(&lower, word.as_bytes()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_begins_at_the_root_or_at_a_home_and_stays_below() {
        for item in TABLE {
            for path in item.paths {
                assert!(path.starts_with('/') || path.starts_with("~/"), "{path}");
                assert!(!path.contains("..") && !path.ends_with('/'), "{path}");
                let name = path.rsplit('/').next().unwrap();
                assert_eq!(path.matches('*').count(), name.matches('*').count(), "{path}");
            }
        }
    }

    #[test]
    fn a_name_that_somebody_chose_stays() {
        for theirs in
            ["ip-10-0-0-5\n", "i-0123456789abcdef0", "ip-172-31-1-9.eu-west-1.compute.internal"]
        {
            assert!(is_instance_name(theirs.as_bytes()), "{theirs}");
        }
        for chosen in ["", "localhost\n", "build", "ip-phone", "i-robot"] {
            assert!(!is_instance_name(chosen.as_bytes()), "{chosen}");
        }
    }

    #[test]
    fn configuration_without_a_credential_is_not_told() {
        assert!(holds_token(b"//registry.npmjs.org/:_authToken=npm_x"));
        assert!(holds_token(br#"{"auths":{"ghcr.io":{"auth":"eHg="}}}"#));
        assert!(holds_token(b"index-url = https://me:pw@pypi.example.com/simple"));
        assert!(!holds_token(b"registry=https://registry.npmjs.org/\nsave-exact=true\n"));
        assert!(is_private_key(b"-----BEGIN OPENSSH PRIVATE KEY-----\nx"));
        assert!(!is_private_key(b"ssh-ed25519 AAAA dev"));
        assert!(!is_machine_id(b"uninitialized\n") && is_machine_id(b"0123"));
    }

    /// The list that people read is this one.
    #[test]
    fn the_documentation_has_every_item_with_its_paths() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/clean.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let wanted: Vec<String> = TABLE.iter().map(row).collect();
        assert_eq!(rows, wanted, "write docs/clean.md so:\n{}", wanted.join("\n"));
    }

    fn row(item: &Item) -> String {
        let paths: Vec<String> = item.paths.iter().map(|p| format!("`{p}`")).collect();
        let condition = match item.only {
            Some(_) => " (where its content is such)",
            None => "",
        };
        format!(
            "| `{}` | {} | {}{condition} | {} |",
            item.name,
            paths.join(" "),
            item.does.word(),
            item.why
        )
    }
}
