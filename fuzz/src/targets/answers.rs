//! What the network answers: the metadata service, the EC2 API, name servers.

use agent::ec2::credentials::Credentials;
use agent::ec2::http::Endpoint;
use agent::ec2::imds::fuzzing::{describe, shapes};
use agent::ec2::names::fuzzing as names;
use agent::ec2::tags::fuzzing as tags;
use jiff::Timestamp;
use std::time::Duration;

/// The first line is the session's token, the rest a body.
pub fn metadata(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (token, body) =
        (String::from_utf8_lossy(&data[..at]), data.get(at + 1..).unwrap_or_default());
    let found = shapes(body);
    let one_line = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_control());
    for path in &found.paths {
        assert!(one_line(path) && !path.contains('/') && path != "." && path != "..", "{path:?}");
    }
    for word in found.words.iter().chain(&found.token).chain(&found.keys).chain(&found.host_name) {
        assert!(one_line(word), "{word:?}");
    }
    if let Some(region) = &found.region {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(region.bytes().all(plain), "{region:?} becomes part of a host name");
    }
    if let Some(Ok(credentials)) = &found.credentials {
        let shown = format!("{credentials:?}");
        for secret in [&credentials.secret_access_key, &credentials.session_token] {
            let counts = secret.len() >= 16 && !"Credentials".contains(secret.as_str());
            assert!(!counts || !shown.contains(secret.as_str()), "Debug shows {secret}");
        }
    }
    let said = describe(body, &token);
    assert!(said.len() <= 80 && !said.contains('\n'));
    // A token is one word of this kind; of the words that are said none is as long.
    if token.len() >= 8 && token.bytes().all(|b| b.is_ascii_graphic()) {
        assert!(!said.contains(&*token), "the token is told: {said}");
    }
}

/// A line with the status, a line with the session's token, and the body.
pub fn api(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let status = lines.next().and_then(|n| n.parse().ok()).unwrap_or(200);
    let token = lines.next().unwrap_or_default();
    let body = lines.next().unwrap_or_default();
    let credentials = Credentials {
        access_key_id: "ASIAFUZZFUZZFUZZFUZZ".into(),
        secret_access_key: "wJalrFuzz/7MDENG+bPxRfiCYFUZZKEY".into(),
        session_token: token.into(),
        expires_at: Timestamp::UNIX_EPOCH,
    };
    let (taken, said) = tags::read(status, body, &credentials);
    assert!(!taken || (200..300).contains(&status), "status {status} is success");
    for text in &said {
        assert!(text.chars().count() <= 400 && !text.contains('\n'), "{text:?}");
        for secret in [&credentials.secret_access_key, &credentials.access_key_id] {
            assert!(!text.contains(secret.as_str()), "a key is told: {text}");
        }
        // Shorter ones may be a part of any word; AWS's have some hundred signs.
        let is_token = token.len() >= 24 && token.bytes().all(|b| b.is_ascii_graphic());
        assert!(
            !is_token || "[redacted]".contains(token) || !text.contains(token),
            "the token is told: {text}"
        );
    }
    if let Ok(endpoint) = Endpoint::parse(body.trim()) {
        assert!(endpoint.url.ends_with(&format!("//{}/", endpoint.host)), "{endpoint:?}");
        assert!(!endpoint.host.contains(['/', '@', ' ', '\n']), "{endpoint:?}");
    }
}

/// A message of a name server; and the same as hosts(5) and resolv.conf(5).
pub fn dns(data: &[u8]) {
    const ID: u16 = 0x1234;
    for six in [false, true] {
        let question = names::question(ID, "host.example", six).expect("a name");
        // Its number is right, or nothing else of it would be read.
        let mut message = data.to_vec();
        message.iter_mut().zip(ID.to_be_bytes()).for_each(|(to, from)| *to = from);
        let found = names::answer(&question, six, &message).unwrap_or_default();
        assert!(found.iter().all(|a| a.is_ipv6() == six), "addresses of another family");
        assert!(found.len() <= data.len() / 14, "more addresses than there is room for");
        let stray: Vec<u8> = [&[0xff, 0xff], data.get(2..).unwrap_or_default()].concat();
        assert_eq!(names::answer(&question, six, &stray), None, "another's answer is taken");
    }
    let text = String::from_utf8_lossy(data);
    let name = text.split_whitespace().next().unwrap_or_default();
    let _ = names::hosts(&text, name);
    let (servers, asked, time) = names::resolv(&text, name);
    assert!((1..=3).contains(&servers.len()) && (1..=7).contains(&asked.len()));
    assert!(time <= Duration::from_secs(3 * 7 * 5 * 30), "{time:?}");
    for name in asked {
        if let Some(question) = names::question(ID, &name, false) {
            assert!(question.len() <= 12 + 255 + 4);
        }
    }
}
