//! What a user's script can be, and where it can be run from.

use crate::rehearse::Rehearsal;
use crate::sandbox::Sandbox;
use flate2::Compression;
use flate2::read::GzEncoder;
use std::fs;
use std::io::Read;
use std::path::Path;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    GzEncoder::new(bytes, Compression::best()).read_to_end(&mut packed).unwrap();
    packed
}

/// A script of `size` bytes that looks at its own size. Its padding cannot be packed well.
fn large(size: usize) -> Vec<u8> {
    let mut script = format!("#!/bin/sh\n[ $(wc -c < $0) = {size} ] && exit 0; exit 9\n# ");
    let mut state = 1u32;
    while script.len() < size - 1 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        script.push(char::from(b'a' + u8::try_from(state >> 28).unwrap()));
    }
    script.push('\n');
    script.into_bytes()
}

#[test]
fn a_script_is_run_by_its_own_first_line() {
    let cases = [
        "#!/bin/sh -e\nfalse\nexit 0\n",
        "#! /bin/sh  -e\nfalse\nexit 0\n",
        "#!/usr/bin/env -S sh -e\nfalse\nexit 0\n",
    ];
    for script in cases {
        let ended = Rehearsal::of(script).alone().expect(1);
        assert!(ended.stdout.contains("ended with status 1"), "-e was not given: {ended:#?}");
    }
    Rehearsal::of("#!/usr/bin/env sh\nexit 0\n").alone().expect(0);
}

#[test]
fn a_script_in_another_language_is_run_by_its_interpreter() {
    if !Path::new("/usr/bin/python3").exists() {
        return;
    }
    let script = "#!/usr/bin/env -S python3 -I\nimport os, sys\nopen(os.path.expanduser('~/made'), 'w').write(str(sys.flags.isolated))\n";
    let ended = Rehearsal::of(script).then("cat ~/made").expect(0);
    assert_eq!(ended.stdout, "1");
}

#[test]
fn a_program_needs_no_first_line() {
    // Called by another name, true(1) is still true(1); a busybox would not be.
    let Ok(program) = fs::read("/usr/bin/true") else { return };
    if program.starts_with(b"\x7fELF")
        && !fs::canonicalize("/usr/bin/true").unwrap().ends_with("busybox")
    {
        Rehearsal::of(program).alone().expect(0);
        let other = Rehearsal::of(fs::read("/usr/bin/false").unwrap()).alone().expect(1);
        assert!(other.stdout.contains("ended with status 1"), "{other:#?}");
    }
}

#[test]
fn a_packed_script_is_recognised_in_the_variable_and_in_a_file() {
    let packed = gzip(b"#!/bin/sh\necho ran >> /mnt/out/ran\n");
    let sandbox = Sandbox::new().script(&packed);
    sandbox.look().is("complete");
    assert_eq!(sandbox.out("ran"), "ran\n");
    Rehearsal::of(gzip(b"#!/bin/sh\nexit 0\n")).alone().expect(0);
}

#[test]
fn a_script_of_300_kilobytes_runs_whole() {
    Rehearsal::of(large(300_000)).alone().expect(0);
    // More than one variable can hold (execve(2), MAX_ARG_STRLEN), so it goes packed.
    let mut script = b"#!/bin/sh\n[ $(wc -c < $0) = 300031 ]; exit $?\n".to_vec();
    script.resize(300_031, b'#');
    Sandbox::new().script(gzip(&script)).look().is("complete");
}

#[test]
fn a_script_with_any_bytes_behind_its_end_runs() {
    let mut script = b"#!/bin/sh\nexit 0\n".to_vec();
    script.extend(0..=255u8);
    Rehearsal::of(script).alone().expect(0);
}

#[test]
fn a_script_runs_where_nothing_in_memory_can_be_executed() {
    let sandbox = Sandbox::new()
        .noexec()
        .script("#!/usr/bin/env -S sh -e\necho $0 > /mnt/out/path\nfalse\nexit 0\n");
    // Negative control: the places are what they are said to be.
    let control = "#!/bin/sh\\nexit 0\\n";
    let probe = sandbox.init(
        &["--no-boot"],
        &format!("for d in /tmp /dev/shm /run; do printf '{control}' > $d/x; chmod +x $d/x; $d/x && echo $d; done; exit 0"),
    );
    assert_eq!(probe.expect(0).stdout, "");
    let seen = sandbox.look().is("failed");
    assert!(seen.summary().contains("ended with status 1"), "-e was not given: {}", seen.summary());
    assert!(!sandbox.out("path").is_empty());
}

#[test]
fn a_script_that_succeeds_on_a_noexec_place_is_complete() {
    Sandbox::new().noexec().script("#!/bin/sh\nexit 0\n").look().is("complete");
}

/// The volume can execute it where nothing else can.
#[test]
fn a_program_runs_where_nothing_in_memory_can_be_executed() {
    let Ok(program) = fs::read("/usr/bin/true") else { return };
    if program.starts_with(b"\x7fELF") {
        Sandbox::new().noexec().script_file(program).look().is("complete");
    }
}

#[test]
fn the_interpreter_sees_a_path_of_the_script_alone() {
    let sandbox =
        Sandbox::new().script("#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/cmdline > /mnt/out/argv\n");
    sandbox.look().is("complete");
    let argv = sandbox.out("argv");
    assert_eq!(argv.lines().count(), 2, "{argv}");
    assert!(argv.starts_with("/bin/sh\n/"), "{argv}");
}
