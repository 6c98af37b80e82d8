//! What is rendered is read back, byte for byte; what is neither is an error and no panic.

use super::{any_parameters, fetching, launch, rendered, seeded, text_of};
use agent::stub::payload::Script;
use agent::stub::user_data::{self, Kind, UserDataError};
use agent::stub::{LIMIT, Launch, PROTOCOL, RenderError, Template, render};
use fastrand::Rng;
use std::io::Write;
use std::process::{Command, Stdio};

/// gzip as the system's own tool makes it.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// Scripts of every kind: text, all bytes, line ends, NULs, gzip.
fn any_script(rng: &mut Rng) -> Vec<u8> {
    let length = rng.usize(..3000);
    let mut bytes: Vec<u8> = match rng.u8(..6) {
        0 => text_of(rng, "abc \n\r'\"$`\\_MINT{}#", length).into_bytes(),
        1 => (0..length).map(|_| rng.u8(..)).collect(),
        2 => vec![0; length],
        3 => (0..=255).cycle().take(length).collect(),
        4 => gzip(text_of(rng, "echo \n", length).as_bytes()),
        _ => text_of(rng, "echo hi\n", length * 6).into_bytes(),
    };
    if rng.bool() {
        bytes.splice(..0, *b"#!/bin/sh\r\n");
    }
    bytes
}

#[track_caller]
fn comes_back(launch: &Launch, bytes: &[u8]) {
    let parsed = user_data::parse(bytes).unwrap();
    let template = if launch.fetch.is_some() { Template::Fetch } else { Template::Baked };
    assert_eq!(parsed.kind, Kind::Stub { protocol: PROTOCOL, template });
    assert_eq!(parsed.parameters, launch.parameters);
    assert_eq!(parsed.fetch, launch.fetch);
    let script = parsed.scripts.only().map(Script::bytes).unwrap_or_default();
    let sent = launch.script.as_ref().map(Script::bytes).unwrap_or_default();
    assert!(script == sent, "{} bytes came back of {}", script.len(), sent.len());
}

#[test]
fn every_byte_of_any_script_comes_back() {
    let mut rng = seeded();
    for n in 0..400 {
        let mut launch = launch(&any_script(&mut rng));
        launch.parameters = any_parameters(&mut rng);
        if rng.bool() {
            launch = fetching(launch);
        }
        let user_data = rendered(&launch);
        assert!(user_data.len() <= LIMIT);
        assert!(user_data.is_ascii() || launch.parameters.vm_name.is_some());
        comes_back(&launch, &user_data);
        if n % 8 == 0 {
            comes_back(&launch, &gzip(&user_data));
        }
    }
}

#[test]
fn an_empty_script_and_none_are_the_same_user_data() {
    assert_eq!(rendered(&launch(b"")), rendered(&Launch::default()));
    comes_back(&Launch::default(), &rendered(&Launch::default()));
    assert_eq!(user_data::parse(&rendered(&launch(b""))).unwrap().scripts.only(), None);
}

#[test]
fn plain_base64_is_used_as_long_as_it_fits() {
    let text = |user_data: &[u8]| String::from_utf8(user_data.to_vec()).unwrap();
    let fits = rendered(&launch(&b"#!/bin/sh\n".repeat(1000)));
    assert!(text(&fits).contains("\nMINT_USER_BOOTSTRAP='IyEvYmluL3No"), "base64 of #!/bin/sh");
    let large = rendered(&launch(&b"#!/bin/sh\n".repeat(2000)));
    assert!(text(&large).contains("\nMINT_USER_BOOTSTRAP='H4sI"), "base64 of gzip");
    comes_back(&launch(&b"#!/bin/sh\n".repeat(2000)), &large);
}

/// A launch whose user-data has `target` bytes in plain base64.
fn plain_of(target: usize, fetch: bool, rng: &mut Rng) -> Launch {
    sized(target, fetch, |room| (0..room / 4 * 3).map(|_| rng.u8(..)).collect())
}

/// A launch whose user-data has `target` bytes by gzip.
fn packed_of(target: usize, fetch: bool, rng: &mut Rng) -> Launch {
    let text = text_of(rng, "0123456789abcdef", LIMIT * 2).into_bytes();
    sized(target, fetch, |room| {
        // A digit more adds half a byte, so each size is met, near where it is expected.
        let packed = |n: usize| Script::verbatim(text[..n].to_vec()).unwrap().encode().len();
        let (mut low, mut high) = (room, text.len());
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            if packed(middle) < room { low = middle } else { high = middle }
        }
        let n = (low.saturating_sub(50)..).find(|n| packed(*n) == room).unwrap();
        text[..n].to_vec()
    })
}

/// The machine's name makes up for base64's groups of four.
fn sized(target: usize, fetch: bool, script: impl FnOnce(usize) -> Vec<u8>) -> Launch {
    let with = |name: usize| {
        let mut launch = if fetch { fetching(Launch::default()) } else { Launch::default() };
        launch.parameters.vm_name = Some("n".repeat(name));
        launch
    };
    let mut launch =
        (1..=4).map(with).find(|l| (target - rendered(l).len()).is_multiple_of(4)).unwrap();
    let script = script(target - rendered(&launch).len());
    launch.script = Some(Script::verbatim(script).unwrap());
    launch
}

#[test]
fn the_limit_is_met_to_the_byte_in_both_encodings_and_templates() {
    let mut rng = seeded();
    for fetch in [false, true] {
        for make in [plain_of, packed_of] {
            let fits = make(LIMIT, fetch, &mut rng);
            let user_data = rendered(&fits);
            assert_eq!(user_data.len(), 16_384);
            comes_back(&fits, &user_data);

            let over = make(LIMIT + 1, fetch, &mut rng);
            let e = render(&over).unwrap_err();
            assert!(matches!(e, RenderError::TooLarge(_)));
            let text = e.to_string();
            let first = text.lines().next().unwrap();
            assert_eq!(
                first,
                "rendered user-data is 16385 bytes, max is 16384 (1 bytes over limit)"
            );
            assert!(text.contains("\nthe script is too big: "), "{text}");
        }
    }
}

#[test]
fn arbitrary_bytes_are_no_panic() {
    let mut rng = seeded();
    let stub = rendered(&fetching(launch(b"#!/bin/sh\necho hi\n")));
    let parents = include_bytes!("../fixtures/parents-stub.sh");
    let beginnings: &[&[u8]] =
        &[b"", b"#!", b"#!/bin/sh\n# agent-user-data ", b"\x1f\x8b\x08\0", &stub, parents];
    for _ in 0..20_000 {
        let mut bytes = beginnings[rng.usize(..beginnings.len())].to_vec();
        for _ in 0..rng.usize(..6) {
            let at = rng.usize(..=bytes.len());
            match rng.u8(..4) {
                0 => bytes.insert(at, b"'\"$`\\\n= \0\xff"[rng.usize(..10)]),
                1 => bytes.extend((0..rng.usize(..40)).map(|_| rng.u8(..))),
                2 => drop(bytes.splice(at.., [])),
                _ if at < bytes.len() => bytes[at] = rng.u8(..),
                _ => {}
            }
        }
        let _ = user_data::parse(&bytes).map_err(|e| (e.to_string(), e.problem()));
    }
}

#[test]
fn a_bomb_is_refused() {
    let bomb = gzip(&vec![b'#'; 9 << 20]);
    assert!(bomb.len() < LIMIT);
    assert_eq!(user_data::parse(&bomb).unwrap_err(), UserDataError::TooLarge);
    let payload = agent_base64(&bomb);
    let stub = String::from_utf8(rendered(&Launch::default())).unwrap();
    let stub = stub.replace("BOOTSTRAP=''", &format!("BOOTSTRAP='{payload}'"));
    let e = user_data::parse(stub.as_bytes()).unwrap_err();
    assert_eq!(e.code(), "payload-undecodable");
    assert!(e.to_string().contains("larger than 8 MiB"), "{e}");
}

fn agent_base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
