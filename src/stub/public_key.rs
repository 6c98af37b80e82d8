//! A public key as OpenSSH writes it (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"): a type, the
//! key in base64, a comment.
//!
//! It becomes a line of somebody's `authorized_keys`, so it has to be one line, and what is encoded has
//! to be what its type says. Options may stand before it, as that file has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The longest line that is taken, in bytes: RSA of 16384 bits takes less than 3000.
const LONGEST: usize = 8192;

/// Checks the form of one key, with the options before it if there are any.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub fn check(line: &str) -> Result<(), &'static str> {
    let line = line.trim();
    if line.len() > LONGEST {
        return Err("it is longer than a public key can be");
    }
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err("it is more than one line, or holds control characters");
    }
    if line.contains("PRIVATE KEY") {
        return Err("it is a private key; give the public one, of the file that ends with .pub");
    }
    let Some((kind, key)) = parts(line) else {
        return Err("it is no type and key, such as \"ssh-ed25519 AAAA…\"");
    };
    let Ok(blob) = BASE64.decode(key) else { return Err("its key is no base64") };
    // A key is fields with their lengths, of which the first is the type (RFC 4253, 6.6).
    match fields(&blob).as_deref() {
        Some([inner, _, ..]) if *inner == kind.as_bytes() => Ok(()),
        _ => Err("its key is cut off, or of another type than it says"),
    }
}

/// The fields, where the last ends with the whole.
fn fields(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, behind) = behind.split_at_checked(length)?;
        fields.push(field);
        rest = behind;
    }
    Some(fields)
}

/// The key of a line, without options and comment: what tells one key from another.
pub fn key(line: &str) -> Option<&str> {
    parts(line.trim()).map(|(_, key)| key)
}

/// The type and the key of a line, behind its options.
fn parts(line: &str) -> Option<(&str, &str)> {
    words(line).or_else(|| words(behind_options(line)?))
}

fn words(text: &str) -> Option<(&str, &str)> {
    let mut words = text.split_ascii_whitespace();
    let kind = words.next()?;
    let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-");
    Some((kind, words.next()?)).filter(|_| known)
}

/// What stands behind the options: they end at the first blank that is in no quotes. `None` where
/// one of them is none, for a server passes over the whole line then.
fn behind_options(line: &str) -> Option<&str> {
    let (mut quoted, mut escaped, mut begins) = (false, false, 0);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' | ' ' | '\t' if !quoted => {
                let option = line.get(begins..at)?;
                let name = option.split_once('=').map_or(option, |(name, _)| name);
                if !OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    return None;
                }
                begins = at + 1;
                if c != ',' {
                    return line.get(begins..).map(str::trim_start);
                }
            }
            _ => {}
        }
    }
    None
}

/// Those of OpenSSH (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").
const OPTIONS: &[&str] = &[
    "agent-forwarding",
    "cert-authority",
    "command",
    "environment",
    "expiry-time",
    "from",
    "no-agent-forwarding",
    "no-port-forwarding",
    "no-pty",
    "no-touch-required",
    "no-user-rc",
    "no-X11-forwarding",
    "permitlisten",
    "permitopen",
    "port-forwarding",
    "principals",
    "pty",
    "restrict",
    "tunnel",
    "user-rc",
    "verify-required",
    "X11-forwarding",
];

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0hYGvhvpDCrcULfGDkXrqxGJ0QzVKzMR4gYbkqJ6nC";

    #[test]
    fn whole_keys_are_taken_with_a_comment_or_without() {
        assert_eq!(check(KEY), Ok(()));
        assert_eq!(check(&format!("  {KEY} me at home \n")), Ok(()));
    }

    #[test]
    fn what_is_no_key_or_more_than_one_is_refused() {
        let cut = &KEY[..40];
        let two = format!("{KEY}\n{KEY}");
        for good in [
            format!("no-pty,from=\"10.0.0.0/8\" {KEY} me"),
            format!("restrict,environment=\"X=AAAA, b\" {KEY}"),
            format!("command=\"echo \\\"a b\\\"\"\t{KEY}"),
        ] {
            assert_eq!(check(&good), Ok(()), "{good}");
            assert_eq!(key(&good), key(KEY), "{good}");
        }
        let options = format!("commands=\"sh\" {KEY}");
        let other = KEY.replacen("ssh-ed25519", "ssh-rsa", 1);
        let long = format!("{KEY} {}", "x".repeat(LONGEST));
        for bad in ["", "ssh-ed25519", "ssh-ed25519 ????", cut, &two, &options, &other, &long] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("-----BEGIN OPENSSH PRIVATE KEY-----").unwrap_err().contains(".pub"));
    }

    #[test]
    fn a_key_is_known_by_itself() {
        let bare = KEY.split(' ').nth(1);
        assert_eq!(key(KEY), bare);
        assert_eq!(key(&format!("from=\"10.0.0.0/8\",no-pty {KEY} x")), bare);
        assert_eq!(key("# a comment"), None);
    }
}
