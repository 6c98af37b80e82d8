//! What each answer must look like. What has another shape didn't come from EC2, and none
//! of it goes on into a path, a host name or a request.

use super::Credentials;
use crate::config::guest::is_host_name;
use crate::stub::public_key;
use crate::sys::instance::is_ec2_id;
use jiff::Timestamp;
use serde::Deserialize;

/// A session token, which goes back in a header.
pub(super) fn token(body: &[u8]) -> Option<String> {
    word(body, 1024, |b| b.is_ascii_graphic())
}

/// An instance's id.
pub(super) fn instance_id(body: &[u8]) -> Option<String> {
    text(body).filter(|t| is_ec2_id(t)).map(str::to_owned)
}

/// A region's name: words and a number, such as `us-gov-west-1`. It becomes part of host
/// names.
pub(super) fn region(body: &[u8]) -> Option<String> {
    let name = text(body).filter(|t| t.len() <= 32)?;
    let (words, number) = name.rsplit_once('-')?;
    let all_words = words
        .split('-')
        .all(|w| (2..=12).contains(&w.len()) && w.bytes().all(|b| b.is_ascii_lowercase()));
    let good = words.contains('-') && all_words && decimal(number);
    good.then(|| name.to_owned())
}

fn decimal(text: &str) -> bool {
    (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// The names in the listing of the block device mapping; each is asked for next.
pub(super) fn device_names(body: &[u8]) -> Option<Vec<String>> {
    let name = |t: &str| word(t.as_bytes(), 32, |b| b.is_ascii_alphanumeric());
    text(body)?.lines().map(name).collect()
}

/// A device's name as it was given at the launch: `/dev/sda1`, `sdf`, `xvdba`.
pub(super) fn device(body: &[u8]) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_-".contains(&b);
    word(body, 64, allowed)
}

/// A host name. A network with several domains has them behind it, separated by spaces (VPC user
/// guide, "DHCP option sets"): the first is meant. One that gives no names answers with nothing.
pub(super) fn host_name(body: &[u8]) -> Option<Option<String>> {
    let Some(first) = text(body)?.split_ascii_whitespace().next() else { return Some(None) };
    let name = first.trim_end_matches('.');
    is_host_name(name).then(|| Some(name.to_owned()))
}

/// The numbers in the listing of the public keys, whose lines are `NUMBER=NAME`; each is asked
/// for next.
pub(super) fn key_numbers(body: &[u8]) -> Option<Vec<String>> {
    let number = |line: &str| {
        let (number, _) = line.split_once('=')?;
        word(number.as_bytes(), 4, |b| b.is_ascii_digit())
    };
    text(body)?.lines().map(number).collect()
}

/// Public keys as OpenSSH writes them, a line each.
pub(super) fn public_keys(body: &[u8]) -> Option<Vec<String>> {
    let key = |line: &str| public_key::check(line).map(|()| line.trim().to_owned()).ok();
    text(body)?.lines().filter(|line| !line.trim().is_empty()).map(key).collect()
}

/// The first role of the listing, as IAM allows names (`[\w+=,.@-]`, 64 at most); it
/// becomes part of a path. An empty listing is an empty name.
pub(super) fn role(body: &[u8]) -> Option<String> {
    let Some(first) = text(body)?.lines().next() else {
        return Some(String::new());
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    word(first.as_bytes(), 64, allowed).filter(|name| !matches!(name.as_str(), "." | ".."))
}

/// A role's credentials, or the code with which they are refused.
pub(super) fn credentials(body: &[u8]) -> Option<Result<Credentials, String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Given {
        code: String,
        access_key_id: Option<String>,
        secret_access_key: Option<String>,
        token: Option<String>,
        expiration: Option<Timestamp>,
    }
    let given: Given = serde_json::from_slice(body).ok()?;
    if given.code != "Success" {
        return word(given.code.as_bytes(), 64, |b| b.is_ascii_alphanumeric()).map(Err);
    }
    let key = given.access_key_id?;
    let graphic = |t: String| word(t.as_bytes(), 16_384, |b| b.is_ascii_graphic());
    Some(Ok(Credentials {
        access_key_id: word(key.as_bytes(), 128, |b| b.is_ascii_alphanumeric())?,
        secret_access_key: given.secret_access_key.and_then(graphic)?,
        session_token: given.token.and_then(graphic)?,
        expires_at: given.expiration?,
    }))
}

fn text(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().map(str::trim_ascii)
}

/// The body as one word of `allowed` bytes, neither empty nor longer than `longest`.
fn word(body: &[u8], longest: usize, allowed: impl Fn(u8) -> bool) -> Option<String> {
    let word = text(body)?;
    let good = (1..=longest).contains(&word.len()) && word.bytes().all(allowed);
    good.then(|| word.to_owned())
}

/// What can be said of a body without quoting a secret: all of it where it is one short
/// word without the `token`, else its length and what it looks like.
pub(super) fn describe(body: &[u8], token: &str) -> String {
    let short = word(body, 40, |b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b));
    if let Some(word) = short.filter(|w| token.is_empty() || !w.contains(token)) {
        return format!("{word:?}");
    }
    let looks = match body.trim_ascii_start().first() {
        None => return "nothing".into(),
        Some(b'<') => " that look like a web page",
        Some(b'{' | b'[') => " that look like JSON",
        Some(_) if std::str::from_utf8(body).is_err() => " that are no text",
        Some(_) => "",
    };
    format!("{} bytes{looks}", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_words_and_a_number() {
        for good in
            ["us-east-1", "us-gov-west-1", "eu-isoe-west-1", "ap-southeast-2\n", "ca-west-12"]
        {
            assert_eq!(region(good.as_bytes()).as_deref(), Some(good.trim()), "{good}");
        }
        for bad in [
            "",
            "useast1",
            "us-east",
            "eu-1",
            "US-EAST-1",
            "us--1",
            "us-east-1a",
            "us-east-1.evil.org",
        ] {
            assert_eq!(region(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn names_that_become_paths_lead_nowhere_else() {
        assert_eq!(device_names(b"ami\nebs1\nroot\n").unwrap(), ["ami", "ebs1", "root"]);
        assert_eq!(device_names(b"").unwrap(), [""; 0]);
        assert_eq!(device_names(b"ami\n../../api"), None);
        assert_eq!(role(b"mint-vm+role=1,a.b@c\n").as_deref(), Some("mint-vm+role=1,a.b@c"));
        assert_eq!(role(b"").as_deref(), Some(""));
        for bad in ["..", "a/b", "a?b", "a b", "a#b", "<html>"] {
            assert_eq!(role(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(device(b"/dev/sda1").as_deref(), Some("/dev/sda1"));
        assert_eq!(device(b"/dev/../etc x"), None);
    }

    #[test]
    fn host_names_and_keys_have_the_shape_that_is_documented() {
        let name = |body: &str| host_name(body.as_bytes());
        assert_eq!(
            name("ip-10-0-0-5.ec2.internal\n"),
            Some(Some("ip-10-0-0-5.ec2.internal".into()))
        );
        assert_eq!(name("a.example.com. b.example.com"), Some(Some("a.example.com".into())));
        assert_eq!(name(""), Some(None));
        assert_eq!(name("<html>"), None);
        assert_eq!(key_numbers(b"0=my key\n1=b\n").unwrap(), ["0", "1"]);
        assert_eq!(key_numbers(b"").unwrap(), [""; 0]);
        assert_eq!(key_numbers(b"../x=y"), None);
        assert_eq!(key_numbers(b"0"), None);
        assert_eq!(public_keys(b"<html>\n"), None);
    }

    #[test]
    fn credentials_are_whole_or_refused_by_a_code() {
        let whole = r#"{"Code":"Success","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC",
            "AccessKeyId":"ASIATEST","SecretAccessKey":"s+/=","Token":"t","Expiration":"2026-01-01T06:00:00Z"}"#;
        let found = credentials(whole.as_bytes()).unwrap().unwrap();
        assert_eq!((found.access_key_id.as_str(), found.session_token.as_str()), ("ASIATEST", "t"));
        assert_eq!(found.expires_at.to_string(), "2026-01-01T06:00:00Z");

        let refused = br#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume"}"#;
        assert_eq!(credentials(refused).unwrap().unwrap_err(), "AssumeRoleUnauthorizedAccess");

        for (from, to) in [
            ("\"Token\":\"t\",", ""),
            ("s+/=", "two words"),
            ("ASIATEST", ""),
            ("2026-01-01T06:00:00Z", "soon"),
            ("Success", "two words"),
            ("{", "["),
        ] {
            assert!(credentials(whole.replace(from, to).as_bytes()).is_none(), "{from} -> {to}");
        }
    }

    #[test]
    fn a_description_quotes_words_and_never_the_token() {
        assert_eq!(describe(b"i-xyz\n", "t0k"), "\"i-xyz\"");
        assert_eq!(describe(b"a-t0k-b", "t0k"), "7 bytes");
        assert_eq!(describe(b"", "t0k"), "nothing");
        assert_eq!(describe(b"<html>t0k</html>", "t0k"), "16 bytes that look like a web page");
        assert_eq!(describe(b"{\"a\":1}", ""), "7 bytes that look like JSON");
        assert_eq!(describe(&[0xff, 0xfe], ""), "2 bytes that are no text");
    }
}
