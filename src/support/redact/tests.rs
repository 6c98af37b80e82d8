//! What is masked, and what is not.

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
fn private_keys_go_whole_also_on_one_line_and_cut_short() {
    let key =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\nNzaC1r\n-----END OPENSSH PRIVATE KEY-----";
    assert_eq!(masked(&format!("a\n{key}\nb")), format!("a\n{MASK}\nb"));
    assert_eq!(masked(&key.replace('\n', "\\n")), MASK);
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
