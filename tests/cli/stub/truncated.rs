//! A stub that was cut short is an error to the agent, and nothing at all to a shell.

use super::{executable, fake_agent, fetching, launch, moved, rendered};
use crate::util::{PATH, clean, directory, fresh};
use agent::stub::payload::Script;
use agent::stub::user_data;
use agent::stub::{Launch, Parameters};
use std::fs;
use std::process::{Command, Stdio};

const SCRIPT: &[u8] = b"#!/bin/sh\necho 'a script of some length'\n";

fn stubs() -> [Launch; 2] {
    let parameters = Parameters {
        efs_id: Some("fs-0123456789abcdef0".into()),
        idle_timeout: Some(90),
        ..Parameters::default()
    };
    let baked = Launch { parameters, ..launch(SCRIPT) };
    [fetching(baked.clone()), baked]
}

#[test]
fn cut_at_any_byte_it_is_refused_or_the_same_script() {
    for launch in stubs() {
        let whole = rendered(&launch);
        for length in 1..whole.len() {
            match user_data::parse(&whole[..length]) {
                Err(e) => assert_ne!(e.code(), "user-data-protocol", "{length}: a wrong reason"),
                // The last line feed carries nothing.
                Ok(parsed) => {
                    assert_eq!(length, whole.len() - 1);
                    assert_eq!(parsed.scripts.only().map(Script::bytes), Some(SCRIPT));
                    assert_eq!(parsed.parameters, launch.parameters);
                }
            }
        }
    }
}

#[test]
fn a_part_that_is_missing_in_the_middle_is_refused_or_the_same_script() {
    for launch in stubs() {
        let whole = String::from_utf8(rendered(&launch)).unwrap();
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        for gap in 0..lines.len() {
            let rest: String =
                lines.iter().enumerate().filter(|(n, _)| *n != gap).map(|(_, l)| *l).collect();
            if let Ok(parsed) = user_data::parse(rest.as_bytes()) {
                assert_eq!(parsed.scripts.only().map(Script::bytes), Some(SCRIPT), "{rest}");
            }
        }
    }
}

/// The braces see to it: before the last one is read, no shell runs anything.
#[test]
fn cut_at_any_byte_no_shell_starts_anything() {
    let dir = fresh();
    let bin = directory(dir.path(), "bin");
    // Were a download tried, it would leave `fetched`, and not take long to fail.
    executable(&bin.join("curl"), "#!/bin/sh\nexit 1\n");
    executable(&bin.join("sleep"), "#!/bin/sh\n");
    let agent = executable(&bin.join("agent"), fake_agent(dir.path()));
    let fetched = dir.path().join("fetched");
    let path = dir.path().join("part-001");
    let started = dir.path().join("arguments");
    let run = |shell: &str, bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let mut command = Command::new(shell);
        clean(&mut command);
        command.env("PATH", format!("{}:{PATH}", bin.display())).arg(&path);
        command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    };
    for launch in stubs() {
        let whole = moved(&rendered(&launch), &agent, &fetched);
        let end = String::from_utf8_lossy(&whole).rfind("\n}\n").unwrap();
        for shell in ["dash", "bash"] {
            let step = if launch.fetch.is_some() || shell == "bash" { 7 } else { 1 };
            for length in (0..end + 2).step_by(step) {
                run(shell, &whole[..length]);
                assert!(!started.exists() && !fetched.exists(), "{shell}: {length} bytes");
            }
        }
    }
    // The same stubs, whole: the test can fail.
    let [fetch, baked] = stubs().map(|launch| moved(&rendered(&launch), &agent, &fetched));
    assert!(!run("dash", &fetch).success() && fetched.exists());
    assert!(run("dash", &baked).success() && started.exists());
}
