//! What PID 1 is told: its command line, under each name, and the boot's messages.

use agent::init::Name;
use agent::init::fuzzing::{Read, parse};
use agent::init::handoff::{self, Handoff};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// A letter for the name, then arguments, each on a line.
pub fn init(data: &[u8]) {
    let Some((name, rest)) = data.split_first() else { return };
    let name = match name {
        b't' => Name::Tini,
        b'd' => Name::DumbInit,
        b'c' => Name::Catatonit,
        _ => Name::Agent,
    };
    let words = rest.split(|b| *b == b'\n').skip(1);
    let arguments: Vec<OsString> = words.map(|w| OsString::from_vec(w.to_vec())).collect();
    match parse(name, arguments.clone()) {
        Read::Run(command, graces) => {
            assert!(arguments.ends_with(&command), "the command is another: {command:?}");
            assert!(graces <= Duration::from_secs(25), "a stop would take {graces:?}");
        }
        Read::Say(text, _) => assert!(!text.is_empty(), "nothing is said"),
    }
}

/// What comes through the pipe.
pub fn handoff(data: &[u8]) {
    let received = handoff::read(data);
    let whole = data.iter().rposition(|b| *b == 0).map_or(0, |last| last + 1);
    assert_eq!(handoff::read(&data[..whole]), received, "half an entry is taken");
    // What is told of it is received as it is.
    let mut pipe = Vec::new();
    let mounts = received.mounts.iter().cloned().map(Handoff::Mount);
    let reason = received.reason.iter().cloned().map(Handoff::Reason);
    let stand = received.stand.iter().cloned().map(Handoff::Stand);
    for message in stand.chain(mounts).chain(reason) {
        message.send(&mut pipe).expect("room in memory");
    }
    assert_eq!(handoff::read(&pipe), received, "told and received it is another");
}
