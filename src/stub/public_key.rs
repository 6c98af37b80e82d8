//! A public key as OpenSSH writes it (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"): a type, the
//! key in base64, a comment.
//!
//! It becomes a line of somebody's `authorized_keys`, so it has to be one line, without
//! options before it, and what is encoded has to be what its type says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The longest line that is taken, in bytes: RSA of 16384 bits takes less than 3000.
const LONGEST: usize = 8192;

/// Checks the form of one key.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub fn check(line: &str) -> Result<(), &'static str> {
    let line = line.trim();
    if line.len() > LONGEST {
        return Err("it is longer than a public key can be");
    }
    if line.chars().any(char::is_control) {
        return Err("it is more than one line, or holds control characters");
    }
    if line.contains("PRIVATE KEY") {
        return Err("it is a private key; give the public one, of the file that ends with .pub");
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(key)) = (words.next(), words.next()) else {
        return Err("it is no type and key, such as \"ssh-ed25519 AAAA…\"");
    };
    let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-");
    if !known {
        return Err("its first word is no type of key, such as ssh-ed25519; options are not taken");
    }
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
    line.split_ascii_whitespace().find(|word| word.starts_with("AAAA"))
}

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
        let options = format!("command=\"sh\" {KEY}");
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
