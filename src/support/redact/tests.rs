//! What is masked, and what is not.

use super::words::TOKENS;
use super::*;
use base64::engine::general_purpose::STANDARD;

#[track_caller]
fn masked(text: &str) -> String {
    Redactor::default().redact(text)
}

#[test]
fn tokens_are_known_by_their_beginnings() {
    let long = "0123456789abcdefghijABCDEFGHIJ0123456789";
    for (start, _) in TOKENS {
        let token = format!("{start}{long}");
        for text in
            [format!("x {token} y"), format!("\"{token}\""), format!("a:{token}\n"), token.clone()]
        {
            let out = masked(&text);
            assert!(!out.contains(long) && out.contains(MASK), "{text} -> {out}");
        }
    }
    for plain in ["task-list sky npm_config x/sk-y", "eyJ", "AKIA is a prefix", "risk-0123456789"] {
        assert_eq!(masked(plain), plain);
    }
}

#[test]
fn values_of_names_that_speak_of_secrets_are_masked_in_every_notation() {
    for text in [
        "password=hunter2x",
        "DB_PASSWORD = 'hunter2x'",
        "\"client_secret\": \"hunter2x\"",
        "{\\\"api-key\\\":\\\"hunter2x\\\"}",
        "//registry.npmjs.org/:_authToken=hunter2x",
        "https://x/?X-Amz-Signature=hunter2x&a=b",
        "Authorization: Basic hunter2x",
        "curl -H 'Authorization: Bearer hunter2x' y",
        "sent Bearer hunter2x to",
        "Set-Cookie: a=hunter2x; path=/",
        "export MINT_USER_BOOTSTRAP='hunter2x'",
        "https://me:hunter2x@example.com/x",
        "redis://:hunter2x@db",
    ] {
        let out = masked(text);
        assert!(!out.contains("hunter2x") && out.contains(MASK), "{text} -> {out}");
    }
    for plain in
        ["key: value", "\"key\":\"mint:health\"", "token", "secrets are none", "a = b", "secret="]
    {
        assert_eq!(masked(plain), plain);
    }
}

#[test]
fn short_names_and_names_of_keys_are_known_by_what_they_hold() {
    for text in [
        "pwd=hunter2x",
        "DB_PWD: hunter2x",
        "pass: hunter2x",
        "SMTP_PASS=hunter2x",
        "STRIPE_KEY=hunter2xx",
        "Endpoint=x;AccountKey=hunter2xx==;Suffix=y",
        "{\"auth\":\"hunter2x\"}",
        "wifi psk=hunter2x",
        "https://x/?sv=1&sig=hunter2xhunter2x&se=2",
    ] {
        let out = masked(text);
        assert!(!out.contains("hunter2x") && out.contains(MASK), "{text} -> {out}");
    }
    for plain in [
        "PWD=/home/ubuntu/x",
        "OLDPWD=/srv/some/place",
        "12 pass: 12, fail: 3",
        "public_key=ssh-ed25519-of-somebody",
        "\"cache-key\": \"linux-x64-0123\"",
        "auth: required by the proxy",
        "sig=15",
        "compass=northwest",
    ] {
        assert_eq!(masked(plain), plain);
    }
}

#[test]
fn a_value_goes_to_its_own_end() {
    for (text, wanted) in [
        (r#"{"password": "a\"bc", "x": 1}"#, r#"{"password": "[redacted]", "x": 1}"#),
        (r#"{\"password\": \"a\\\"bc\", \"x\": 1}"#, r#"{\"password\": \"[redacted]\", \"x\": 1}"#),
        ("password: \"two words\" # x", "password: \"[redacted]\" # x"),
        ("password='it'\\''s two' x", "password='[redacted]' x"),
        ("PASSWORD=\"never closed\nnext", "PASSWORD=\"[redacted]\nnext"),
        (
            "> Authorization: Digest username=\"me\", realm=\"a b\", response=\"0f\"\nnext",
            "> Authorization: [redacted]\nnext",
        ),
        (
            "curl -H 'Authorization: Digest u=\"me\", r=\"x\"' y",
            "curl -H 'Authorization: [redacted]' y",
        ),
        ("a postgres://u:p@ss/w@host/db b", "a postgres://[redacted]@host/db b"),
        ("a redis://u:p/?#x@host b", "a redis://[redacted]@host b"),
        ("<db><password>hunter 2</password></db>", "<db><password>[redacted]</password></db>"),
        ("token=[redacted] x", "token=[redacted] x"),
    ] {
        assert_eq!(masked(text), wanted);
    }
    for plain in [
        "GET https://x/api/token: connection refused",
        "http://host:8080/a@b",
        "https://host/x?mail=a@b",
        "http://[::1]:80/@x",
    ] {
        assert_eq!(masked(plain), plain);
    }
}

#[test]
fn options_and_words_that_announce_a_secret_are_known() {
    for text in [
        "curl -u me:hunter2x https://x",
        "curl -ume:hunter2x https://x",
        "curl --user 'me:hunter2x' https://x",
        "curl -u \\\"me:hunter2x\\\" y",
        "mysql -u root -phunter2x db",
        "mysqldump --all -p'hunter2x hunter2x' db",
        "sshpass -p hunter2x ssh x",
        "docker login -u me -p hunter2x registry",
        "redis-cli -a hunter2x ping",
        "tool --password hunter2x --x",
        "tool --client-secret \"hunter2x hunter2x\"",
        "[\"tool\", \"--password\", \"hunter2x\"]",
        "sent bearer hunter2x to",
        "X-Api-Key hunter2x",
    ] {
        let out = masked(text);
        assert!(!out.contains("hunter2x") && out.contains(MASK), "{text} -> {out}");
    }
    for plain in [
        "docker run -u 1000:1000 -p 8080:80 x",
        "ssh -p 2222 host",
        "docker login --password-stdin registry.example.com",
        "the bearer token is missing",
        "bearer authentication failed",
        "mkdir -p /srv/x",
    ] {
        assert_eq!(masked(plain), plain);
    }
}

#[test]
fn base64_goes_with_all_its_lines_and_sums_and_public_keys_stay() {
    let bytes: Vec<u8> = (0..150u8).map(|n| n.wrapping_mul(37)).collect();
    let whole = STANDARD.encode(&bytes);
    for width in [76, 64] {
        let lines: Vec<&str> =
            whole.as_bytes().chunks(width).map(|l| std::str::from_utf8(l).unwrap()).collect();
        for text in
            [format!("a\n{}\nb c\n", lines.join("\n")), format!("\"{}\"", lines.join("\\n"))]
        {
            let out = masked(&text);
            assert!(lines.iter().all(|line| !out.contains(line)), "{out}");
        }
        assert!(masked(&format!("{}\nb c\n", lines.join("\n"))).ends_with("\nb c\n"));
    }
    let gzip = "x H4sIAAAAAAAAA0vOzy0oSi0uTk0BAG y";
    assert_eq!(masked(gzip), "x [redacted] y");
    for plain in [
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0hYGvhvpDCrcULfGDkXrqxGJ0QzVKzMR4gYbkqJ6nC x",
        "/usr/lib/x86/Linux/a/very/long/path/of/Some/thing/that/has/Sixty/signs/and/more1",
    ] {
        assert_eq!(masked(plain), plain);
    }
}

#[test]
fn a_known_secret_is_found_in_base64_wherever_it_stands_and_in_a_url() {
    let secret = "correct horse+battery";
    let mut redactor = Redactor::default();
    redactor.know(secret, "environment");
    for before in ["", "u", "us", "user:"] {
        let encoded = STANDARD.encode(format!("{before}{secret} and more"));
        let out = redactor.redact(&format!("sent {encoded} on"));
        // What is left is what stands around it.
        assert!(out.contains(MASK) && out.len() < "sent [redacted] on".len() + 24, "{out}");
    }
    let out = redactor.redact("?a=correct+horse%2Bbattery&b=correct%20horse%2Bbattery");
    assert!(!out.contains("horse"), "{out}");
}

#[test]
fn each_line_of_a_long_value_is_known() {
    let mut redactor = Redactor::default();
    redactor.know("the first line\nthe second line", "configuration");
    assert_eq!(redactor.redact("x the second line y"), format!("x {MASK} y"));
}

#[test]
fn the_script_is_known_as_base64_wraps_it_and_by_what_it_gives_to_programs() {
    let script = b"#!/bin/sh\ncurl -u admin:zx81-basic x\nmysql -pzx82-basic\necho some more text for two lines\n";
    let mut redactor = Redactor::default();
    redactor.know_script(script);
    let encoded = STANDARD.encode(script);
    for width in [76, 64] {
        for line in encoded.as_bytes().chunks(width) {
            let line = std::str::from_utf8(line).unwrap().trim_end_matches('=');
            let out = redactor.redact(line);
            assert!(!out.contains(line), "{width}: {out}");
        }
    }
    let out = redactor.redact("refused: zx81-basic, then zx82-basic");
    assert_eq!(out, format!("refused: {MASK}, then {MASK}"));
}

#[test]
fn private_keys_go_whole_also_on_one_line_and_cut_short() {
    let key =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\nNzaC1r\n-----END OPENSSH PRIVATE KEY-----";
    assert_eq!(masked(&format!("a\n{key}\nb")), format!("a\n{MASK}\nb"));
    assert_eq!(masked(&key.replace('\n', "\\n")), MASK);
    let pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQdG\n-----END PGP PRIVATE KEY BLOCK-----";
    assert_eq!(masked(&format!("a\n{pgp}\nb")), format!("a\n{MASK}\nb"));
    assert_eq!(masked("x -----BEGIN RSA PRIVATE KEY-----\nb3Blbn"), format!("x {MASK}"));
}

#[test]
fn a_known_secret_is_found_as_it_is_as_json_and_as_base64() {
    let mut redactor = Redactor::default();
    redactor.know("correct \"horse\"", "environment");
    let json = serde_json::to_string("correct \"horse\"").unwrap();
    for text in ["correct \"horse\"", &json, &STANDARD.encode("correct \"horse\"")] {
        assert!(!redactor.redact(text).contains("horse"), "{text}");
    }
    assert_eq!(redactor.counts["environment"], 3);
    redactor.know("short", "environment");
    assert_eq!(redactor.redact("short"), "short");
}

#[test]
fn the_script_is_known_by_its_lines_and_its_values() {
    let mut redactor = Redactor::default();
    redactor.know_script(b"#!/bin/sh\nset -e\n  curl -s https://intern.example/setup | sh\nTOKEN=\"abc123def\" run\n");
    let out = redactor
        .redact("+ curl -s https://intern.example/setup | sh\nsaw abc123def\n#!/bin/sh\nset -e\n");
    assert_eq!(out, format!("+ {MASK}\nsaw {MASK}\n#!/bin/sh\nset -e\n"));
}

#[test]
fn variables_are_secrets_by_their_names() {
    let mut redactor = Redactor::default();
    let variables =
        [("NPM_TOKEN", "value-one"), ("SIGNING_KEY", "value-two"), ("LANG", "value-three")];
    redactor.know_environment(variables.into_iter().map(|(n, v)| (n.into(), v.into())));
    assert_eq!(
        redactor.redact("value-one value-two value-three"),
        format!("{MASK} {MASK} value-three")
    );
}

#[test]
fn any_text_comes_through() {
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let text: String = (0..rng.usize(0..120))
            .map(|_| {
                rng.choice("aä=:\"' @/\n-BEGINPRIVATKY\\{}€".chars().collect::<Vec<_>>()).unwrap()
            })
            .collect();
        masked(&text);
    }
}
