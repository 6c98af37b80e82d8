//! `agent-stub size`: the budget.

use super::{SHA256, home_with, stub};
use crate::util::{fresh, run};
use agent::stub::payload::Script;

#[test]
fn the_parts_make_the_whole() {
    let home = home_with(b"#!/bin/sh\necho hello\n".repeat(100));
    let flags = ["--efs-id", "fs-01234567", "--vm-name", "default"];
    let json = run(stub(home.path(), &[&["size", "--json"], flags.as_slice()].concat()));
    let json = json.expect(0).json();
    let n = |path: &str| json.pointer(path).unwrap().as_u64().unwrap();
    assert_eq!(json["schema"], "agent.user-data-size/1");
    let rendered = run(stub(home.path(), &[&["render"], flags.as_slice()].concat())).expect(0);
    assert_eq!(n("/total"), rendered.stdout.len() as u64);
    assert_eq!(n("/total"), n("/template") + n("/parameters") + n("/script/base64"));
    assert_eq!(n("/headroom"), 16_384 - n("/total"));
    assert_eq!(n("/script/raw"), 2100);
    assert_eq!(n("/script/base64"), 2800);
    assert!(
        n("/script/gzip") < 100 && n("/script/gzip_base64") == n("/script/gzip").div_ceil(3) * 4
    );
    assert_eq!(json["script"]["encoding"], "base64");
    let text = run(stub(home.path(), &[&["size"], flags.as_slice()].concat())).expect(0).stdout;
    for part in ["template", "parameters", "script", "headroom", "in plain base64", "an estimate"] {
        assert!(text.contains(part), "{text}");
    }
}

/// What is said to fit does, and not a byte more.
#[test]
fn the_room_for_plain_base64_is_exact() {
    let mut rng = super::seeded();
    let flags = ["--template", "fetch", "--url", "https://example.com/agent", "--sha256", SHA256];
    let size =
        |home: &std::path::Path| run(stub(home, &[&["size", "--json"], flags.as_slice()].concat()));
    let empty = size(fresh().path()).expect(0).json();
    assert_eq!(empty["script"], serde_json::Value::Null);
    assert_eq!(empty["estimated_by_gzip"], serde_json::Value::Null);
    let largest = usize::try_from(empty["largest_plain"].as_u64().unwrap()).unwrap();
    let noise: Vec<u8> = (0..=largest).map(|_| rng.u8(..)).collect();
    let fits = size(home_with(&noise[..largest]).path()).expect(0).json();
    assert!(fits["headroom"].as_u64().unwrap() < 4, "{fits}");
    assert_eq!(fits["script"]["encoding"], "base64");
    let over = size(home_with(&noise).path()).expect(1).says("bytes over limit").json();
    assert_eq!(over["headroom"], serde_json::Value::Null);
    assert!(over["total"].as_u64().unwrap() > 16_384);
}

/// The estimate is one: it is near what really fits, where the script goes on as it began.
#[test]
fn the_estimate_for_gzip_is_near() {
    let mut rng = super::seeded();
    let text = super::text_of(&mut rng, "0123456789abcdef", 60_000);
    let home = home_with(&text[..6_000]);
    let json = run(stub(home.path(), &["size", "--json"])).expect(0).json();
    let estimate = usize::try_from(json["estimated_by_gzip"].as_u64().unwrap()).unwrap();
    let room = json["largest_gzip"].as_u64().unwrap() / 3 * 4;
    let packed = Script::verbatim(text.as_bytes()[..estimate].to_vec()).unwrap().encode().len();
    let off = (packed as f64 / room as f64 - 1.0).abs();
    assert!(off < 0.1, "{packed} of {room}");
}

/// No more than a guest unpacks.
#[test]
fn the_estimate_ends_where_the_guest_does() {
    let home = home_with(vec![0; 3 << 20]);
    let json = run(stub(home.path(), &["size", "--json"])).expect(0).json();
    assert_eq!(json["estimated_by_gzip"], 8 << 20);
}
