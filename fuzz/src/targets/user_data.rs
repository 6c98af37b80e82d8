//! User-data: what `agent-stub check` and the boot read.

use agent::stub::payload::MAX_SCRIPT;
use agent::stub::told::MAX_PARTS;
use agent::stub::user_data::{Kind, Parsed, UserDataError, parse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzEncoder;
use std::io::Read;

/// Stands in seeds and dictionary for what a user keeps secret. Neither a key nor a type nor a
/// file name of a MIME part can hold all of it, and nothing else of the input may be quoted.
const SECRET: &str = "t0p~s3cr3t!";

/// The other forms are made of inputs up to this size: they cost more.
const SMALL: usize = 4096;

pub fn run(data: &[u8]) {
    let read = parse(data);
    match &read {
        Ok(parsed) => accepted(parsed),
        Err(e) => refused(e, data),
    }
    if data.len() > SMALL || data.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    // The same as gzip is the same.
    let mut packed = Vec::new();
    let _ = GzEncoder::new(data, Compression::fast()).read_to_end(&mut packed);
    assert_eq!(parse(&packed), read, "gzip makes another user-data of it");
    packed.truncate(packed.len() - 1);
    assert!(parse(&packed).is_err(), "gzip that is cut short is taken");
    // And so is the same as the only part of a message, which may be cut nowhere.
    if let Ok(parsed) = &read
        && matches!(
            parsed.kind,
            Kind::Script | Kind::CloudConfig | Kind::Boothook | Kind::Stub { .. }
        )
    {
        in_a_message(parsed, data);
    }
}

fn accepted(parsed: &Parsed) {
    let scripts = parsed.scripts.parts();
    let most = 2 * MAX_SCRIPT as usize;
    assert!(parsed.scripts.bytes() <= most, "more than can be unpacked");
    assert!(scripts.len() <= MAX_PARTS && parsed.duties.boothooks.len() <= MAX_PARTS);
    parsed.parameters.check().expect("parameters that may be handed over");
    for part in scripts.iter().chain(&parsed.duties.boothooks) {
        assert!(!part.script.bytes().is_empty(), "an empty program");
    }
    for boothook in &parsed.duties.boothooks {
        assert!(boothook.script.bytes().starts_with(b"#!"), "no program");
    }
    for file in &parsed.duties.files {
        assert!(file.path.is_absolute(), "a file at no place");
        assert!(file.mode <= 0o7777);
        assert!(!file.path.components().any(|c| c.as_os_str() == ".."), "a path that leads up");
    }
    for package in &parsed.duties.packages.names {
        assert!(!package.name.is_empty() && !package.name.starts_with('-'), "an option");
    }
    for key in &parsed.cloud.ssh_authorized_keys {
        assert!(!key.trim().is_empty() && !key.contains(['\n', '\r', '\0']), "no line: {key:?}");
    }
    if parsed.kind == Kind::Empty {
        assert!(scripts.is_empty() && parsed.duties.is_empty());
    }
    assert!(!format!("{parsed:?}").contains("#!/"), "a script is shown");
}

fn refused(e: &UserDataError, data: &[u8]) {
    let problem = e.problem();
    let faults = e.faults();
    assert!(!faults.is_empty(), "refused without a fault");
    let whole = problem.message.clone() + problem.evidence.as_deref().unwrap_or_default();
    assert!(!whole.contains(SECRET), "the problem quotes: {whole}");
    for fault in &faults {
        assert!(!fault.message.is_empty() && !fault.next.is_empty(), "{fault:?}");
        assert!(!fault.to_string().contains(SECRET), "it quotes: {fault}");
        assert!(!fault.message.contains('\n') && !fault.next.contains('\n'), "{fault:?}");
        // A line that is there, unless it was unpacked or decoded first.
        if let (Some(line), None) = (fault.line, &fault.part)
            && !data.starts_with(&[0x1f, 0x8b])
        {
            let lines = data.split(|b| *b == b'\n').count();
            assert!((1..=lines).contains(&line), "line {line} of {lines}");
        }
    }
    assert!(!format!("{e:?}").contains(SECRET), "Debug quotes");
}

fn in_a_message(parsed: &Parsed, data: &[u8]) {
    let mut message =
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"~=~\"\n\n--~=~\n\
        Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n"
            .to_vec();
    message.extend(STANDARD.encode(data).bytes());
    message.extend(b"\n--~=~--\n");
    let wrapped = parse(&message).expect("what is taken alone is taken in a message");
    let bytes = |p: &Parsed| -> Vec<Vec<u8>> {
        p.scripts.parts().iter().map(|part| part.script.bytes().to_vec()).collect()
    };
    assert_eq!(bytes(&wrapped), bytes(parsed), "other scripts");
    assert_eq!(wrapped.duties.files, parsed.duties.files);
    assert_eq!(wrapped.duties.packages, parsed.duties.packages);
    assert_eq!(wrapped.duties.commands, parsed.duties.commands);
    assert_eq!(wrapped.cloud, parsed.cloud);
    assert_eq!(wrapped.parameters, parsed.parameters);
    // Cut before its closing line it is no message.
    let cut = message.len() - 9 - data.len() % (message.len() / 2);
    if let Ok(torn) = parse(&message[..cut]) {
        assert!(torn.scripts.is_empty() && torn.duties.is_empty(), "a torn message is taken");
    }
}
