//! What a file holds, told by its content. Pure.

use crate::support::redact::{has_token, names_secret};

/// An empty file and `uninitialized` make systemd give a new one (`machine-id(5)`).
pub(super) fn is_machine_id(text: &[u8]) -> bool {
    !matches!(text.trim_ascii(), b"" | b"uninitialized")
}

/// A name that EC2 gave: `ip-10-0-0-5` by the address, `i-…` by the instance (EC2 user guide,
/// "EC2 instance hostname types"). A name that somebody chose stays.
pub(super) fn is_instance_name(text: &[u8]) -> bool {
    let name = text.trim_ascii();
    let rest = |start: &[u8]| name.strip_prefix(start).and_then(|rest| rest.first().copied());
    rest(b"ip-").is_some_and(|b| b.is_ascii_digit())
        || rest(b"i-").is_some_and(|b| b.is_ascii_hexdigit())
}

/// A private key in one of the armours that programs write: RFC 7468, OpenPGP's, PuTTY's, age's.
pub(super) fn is_private_key(text: &[u8]) -> bool {
    let armoured = contains(text, b"PRIVATE KEY-----") || contains(text, b"PRIVATE KEY BLOCK-----");
    armoured && contains(text, b"-----BEGIN ")
        || contains(text, b"PuTTY-User-Key-File-")
        || contains(text, b"AGE-SECRET-KEY-1")
}

/// Does one of the accounts of `shadow(5)` have a password's hash? Also one that is locked: the
/// hash is there all the same.
pub(super) fn holds_password_hash(text: &[u8]) -> bool {
    text.split(|b| *b == b'\n').any(|line| {
        let hash = line.split(|b| *b == b':').nth(1).unwrap_or_default();
        let hash = hash.strip_prefix(b"!!").or(hash.strip_prefix(b"!")).unwrap_or(hash);
        // The forms of crypt(5): with a method before it, or the old one of 13 signs.
        hash.starts_with(b"$") || hash.starts_with(b"_") || hash.len() >= 13
    })
}

/// A network's or a cluster's key: NetworkManager's, WireGuard's, wpa_supplicant's, kubeconfig's,
/// and what pppd reads.
pub(super) fn joins_a_network(text: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "psk=",
        "password",
        "privatekey",
        "private-key",
        "presharedkey",
        "secret",
        "key-data",
        "token",
    ];
    text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).any(|line| {
        let line = line.to_ascii_lowercase();
        let plain = !matches!(line.first(), None | Some(b'#' | b';'));
        plain
            && (WORDS.iter().any(|word| contains(&line, word.as_bytes()))
                // A line of chap-secrets: client, server, secret.
                || line.starts_with(b"\"") && line.split(u8::is_ascii_whitespace).count() >= 3)
    })
}

/// The words by which npm, yarn, pip, cargo, gh, docker and maven keep them.
pub(super) fn holds_token(text: &[u8]) -> bool {
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
        "apikey",
        "oauthaccount",
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

/// What was recognised in a file that nobody named, and in which line (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A private key.
    Key(usize),
    /// A token, a password.
    Token(usize),
}

/// The first thing in a text that is a credential by its form: a private key, a token by its
/// beginning, a password in a URL, a literal behind a name that speaks of a secret. Stricter than
/// [`holds_token`], which looks at files that are there to hold one: comments, references to
/// something else and single words are none.
pub(super) fn finding(text: &[u8]) -> Option<Seen> {
    // What is no text is a program's own; a key that is none is told by its name.
    if text.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    let key = is_private_key(text.as_bytes());
    lines.find_map(|(n, line)| {
        if key && (is_key_line(line)) {
            return Some(Seen::Key(n));
        }
        let comment =
            ["#", ";", "//", "\" ", "*", "<!--"].iter().any(|sign| line.starts_with(sign))
                && !line.starts_with("//registry");
        let token = !comment && (has_token(line) || has_url_password(line) || assigns(line));
        token.then_some(Seen::Token(n))
    })
}

fn is_key_line(line: &str) -> bool {
    line.contains("-----BEGIN ") && line.contains("PRIVATE KEY")
        || line.contains("PuTTY-User-Key-File-")
        || line.contains("AGE-SECRET-KEY-1")
}

/// `scheme://user:password@host`; a password that is a variable, or written as one, is none.
fn has_url_password(line: &str) -> bool {
    line.match_indices("://").any(|(at, _)| {
        let rest = line.get(at + 3..).unwrap_or_default();
        let end = rest.find(|c: char| c.is_whitespace() || "/\"'<>".contains(c));
        let authority = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let password = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
        password.is_some_and(|p| !p.is_empty() && is_literal(p) && !is_example(p))
    })
}

/// `NAME=value`, `"name": "value"`, `name: value`, where the name speaks of a secret.
fn assigns(line: &str) -> bool {
    line.match_indices(['=', ':']).any(|(at, sign)| {
        let before = line.get(..at).unwrap_or_default().trim_end_matches(['"', '\'', ' ']);
        let start = before.rfind(|c: char| !is_name(c)).map_or(0, |i| i + 1);
        let name = before.get(start..).unwrap_or_default();
        // `[[ $x == y ]]`, `:=`, `://`.
        let after = line.get(at + 1..).unwrap_or_default();
        let operator =
            after.starts_with(['=', '~', '/', ':', '-']) || sign == ":" && after.starts_with('=');
        // A signature is made to be seen.
        if operator || !names_secret(name) || name.to_ascii_lowercase().ends_with("signature") {
            return false;
        }
        let value = after.trim_start();
        let (value, quoted) = match value.chars().next() {
            Some(q @ ('"' | '\'')) => (value.get(1..).and_then(|v| v.split(q).next()), true),
            _ => (value.split([' ', '\t', ',', ';', '}', ')']).next(), false),
        };
        // As OpenSSL names where a password comes from.
        let value = value.map_or("", |v| v.strip_prefix("pass:").unwrap_or(v));
        // Behind a colon and in no quotes it is as well a sentence.
        let told = quoted || sign == "=" || value.bytes().any(|b| b.is_ascii_digit());
        told && value.len() >= LEAST && is_literal(value) && !is_example(value)
    })
}

/// A shorter one is a switch or a word.
const LEAST: usize = 8;

/// Neither made of something else, nor a place, nor a sentence.
fn is_literal(value: &str) -> bool {
    !value.contains(['$', '`', '(', '<', '{', '%', '*', '|'])
        && !value.contains(char::is_whitespace)
        && !value.starts_with(['/', '~', '.', '@', '[', '&'])
}

/// What manuals write in a secret's place.
fn is_example(value: &str) -> bool {
    const WORDS: &[&str] =
        &["example", "changeme", "password", "secret", "your", "xxxx", "redacted"];
    let lower = value.to_ascii_lowercase();
    WORDS.iter().any(|word| {
        lower == *word || lower.starts_with(word) && !lower.bytes().any(|b| b.is_ascii_digit())
    })
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_credential_is_recognised_where_nobody_named_the_file() {
        for (text, wanted) in [
            ("x\nexport GITHUB_TOKEN=abcdefgh123\n", Seen::Token(2)),
            ("[env]\nDB_PASSWORD = \"hunter2x-and-more\"\n", Seen::Token(2)),
            ("api_key: abcd1234efgh\n", Seen::Token(1)),
            ("{\"clientSecret\": \"abcdefghij\"}", Seen::Token(1)),
            ("deb https://me:pw@apt.example.com/ stable main\n", Seen::Token(1)),
            ("Acquire::http::Proxy \"http://u:p4@proxy:3128\";", Seen::Token(1)),
            ("[url \"https://oauth2:ghp_0123456789abcdefghijABCD@github.com\"]", Seen::Token(1)),
            ("key ghp_0123456789abcdefghijABCD\n", Seen::Token(1)),
            ("a\n-----BEGIN RSA PRIVATE KEY-----\nx\n", Seen::Key(2)),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n", Seen::Key(1)),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", Seen::Key(1)),
        ] {
            assert_eq!(finding(text.as_bytes()), Some(wanted), "{text}");
        }
        for plain in [
            "# export TOKEN=abcdefgh123",
            "export TOKEN=$(pass show x)",
            "TOKEN=\"${GITHUB_TOKEN}\"",
            "passwd:         files systemd",
            "challengePassword = A challenge password",
            "password requisite pam_deny.so",
            "Filename: /var/cache/debconf/passwords.dat",
            "password-file=/etc/x/password",
            "http://user:password@proxy.example",
            "PASSWORD=changeme",
            "if [ \"$token\" == \"something\" ]; then",
            "deb https://deb.debian.org/debian trixie main",
            "-----BEGIN PUBLIC KEY-----",
            "token: authentication failed",
            "secret = pass:insta # can be used for both client and server side",
            "Signature: 8a477f597d28d172789f06886806bc55",
        ] {
            assert_eq!(finding(plain.as_bytes()), None, "{plain}");
        }
    }

    #[test]
    fn a_hash_is_one_also_where_the_account_is_locked() {
        assert!(holds_password_hash(b"root:*:1::\nubuntu:$6$salt$hash:1::\n"));
        assert!(holds_password_hash(b"ubuntu:!$y$j9T$salt$hash:1::\n"));
        assert!(!holds_password_hash(b"root:*:1::\nsync:!*:1::\nubuntu:!:1::\nx::1::\n"));
    }

    #[test]
    fn a_networks_key_is_one_and_a_comment_is_none() {
        assert!(joins_a_network(b"[wifi-security]\npsk=hunter2x\n"));
        assert!(joins_a_network(b"[Interface]\nPrivateKey = abc\n"));
        assert!(!joins_a_network(b"# Secrets for authentication using CHAP\n# client secret\n"));
        assert!(joins_a_network(b"\"me\" * \"pw\" *\n"));
        assert!(!joins_a_network(b"[connection]\nid=eth0\n"));
    }
}
