//! `agent-stub render`: where the script comes from, what is refused, what is written.

use super::{SHA256, TOKEN, home_with, program, stub};
use crate::util::{directory, fresh, run, unprivileged};
use agent::stub::user_data::{self, Kind};
use agent::stub::{PROTOCOL, Template};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

const SCRIPT: &str = "#!/bin/sh\necho hi\n";

const USAGE: i32 = 64;

#[test]
fn the_script_comes_from_the_one_place_for_it() {
    let home = home_with(SCRIPT);
    let mut command = stub(home.path(), &["render", "--vm-name", "my vm", "--idle-timeout", "90"]);
    // No variable moves it.
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("MINT_USER_BOOTSTRAP", "b3RoZXI=");
    let ended = run(command).expect(0);
    assert_eq!(ended.stderr, "");
    let parsed = user_data::parse(ended.stdout.as_bytes()).unwrap();
    assert_eq!(parsed.kind, Kind::Stub { protocol: PROTOCOL, template: Template::Baked });
    assert_eq!(parsed.scripts.only().unwrap().bytes(), SCRIPT.as_bytes());
    assert_eq!(parsed.parameters.vm_name.as_deref(), Some("my vm"));
    assert_eq!(parsed.parameters.idle_timeout, Some(90));
    assert_eq!(parsed.parameters.efs_id, None);
}

#[test]
fn no_script_is_no_error_and_one_that_cannot_be_read_is() {
    let home = fresh();
    let ended = run(stub(home.path(), &["render"])).expect(0);
    assert_eq!(user_data::parse(ended.stdout.as_bytes()).unwrap().scripts.only(), None);

    let home = home_with(SCRIPT);
    let path = home.path().join(".config/mint/user-bootstrap.sh");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = unprivileged(program());
    command.arg("render").env("HOME", home.path());
    let ended = run(command).expect(1).says("cannot be read: Permission denied");
    assert!(ended.stderr.contains(path.to_str().unwrap()), "{ended:#?}");
    assert_eq!(ended.stdout, "", "nothing is rendered");

    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    run(stub(home.path(), &["render"])).expect(1).says("not a regular file");
    fs::remove_file(&path).unwrap();
    symlink("/nonexistent", &path).unwrap();
    run(stub(home.path(), &["render"])).expect(1).says("cannot be read: No such file");

    let mut command = stub(home.path(), &["render"]);
    command.env_remove("HOME");
    run(command).expect(1).says("HOME is not set");
}

#[test]
fn the_output_is_for_its_owner_alone() {
    let home = home_with(SCRIPT);
    let out = home.path().join("user-data");
    let ended = run(stub(home.path(), &["render", "--output", out.to_str().unwrap()])).expect(0);
    assert_eq!(ended.all(), "");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        user_data::parse(&fs::read(&out).unwrap()).unwrap().scripts.only().unwrap().bytes(),
        SCRIPT.as_bytes()
    );
    fs::set_permissions(&out, Permissions::from_mode(0o644)).unwrap();
    run(stub(home.path(), &["render", "--output", out.to_str().unwrap()])).expect(0);
    let mode = fs::metadata(&out).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "one that was there before, too");
    let closed = directory(home.path(), "directory");
    run(stub(home.path(), &["render", "--output", closed.to_str().unwrap()]))
        .expect(1)
        .says("cannot be written: Is a directory");
}

#[test]
fn too_large_a_script_is_refused_in_the_words_of_the_contract() {
    let mut rng = super::seeded();
    let noise: String = (0..40_000).map(|_| rng.alphanumeric()).collect();
    let home = home_with(format!("#!/bin/sh\n# {TOKEN} {noise}\n"));
    let out = home.path().join("user-data");
    let ended = run(stub(home.path(), &["render", "--output", out.to_str().unwrap()])).expect(1);
    let first = ended.stderr.lines().next().unwrap().strip_prefix("agent-stub: ").unwrap();
    let total: usize = first.split(' ').nth(3).unwrap().parse().unwrap();
    assert_eq!(
        first,
        format!(
            "rendered user-data is {total} bytes, max is 16384 ({} bytes over limit)",
            total - 16_384
        )
    );
    assert!(ended.stderr.contains("the script is too big: "), "{ended:#?}");
    assert!(!ended.stderr.contains(TOKEN));
    assert!(!out.exists(), "nothing is written");
}

#[test]
fn a_script_that_the_machine_would_refuse_is_noted_and_handed_over() {
    let cases: &[(&[u8], &str)] = &[
        (b"echo hi\n", "has no #! line"),
        (b"#!/bin/sh\r\necho hi\r\n", "has Windows line ends"),
        (b"\x1f\x8b\x08\0", "is gzip data"),
    ];
    for (script, note) in cases {
        let home = home_with(script);
        let ended = run(stub(home.path(), &["render"])).expect(0).says(note);
        let parsed = user_data::parse(ended.stdout.as_bytes()).unwrap();
        assert_eq!(parsed.scripts.only().unwrap().bytes(), *script);
    }
}

#[test]
fn a_value_that_may_not_stand_is_wrong_usage() {
    let home = home_with(SCRIPT);
    let url = ["--sha256", SHA256, "--template", "fetch", "--url"];
    let good = [url.as_slice(), &["https://example.com/agent"]].concat();
    run(stub(home.path(), &[&["render"], good.as_slice()].concat())).expect(0);
    let cases: &[(&[&str], &str)] = &[
        (&["--efs-id", "fs-xyz"], "hexadecimal digits"),
        (&["--efs-id", ""], "MINT_EFS_ID"),
        (&["--project-dev", "../../etc/passwd"], "a device such as /dev/sdf"),
        (&["--vm-name", "it's"], "MINT_VM_NAME"),
        (&["--vm-name", "$(id)"], "MINT_VM_NAME"),
        (&["--vm-name", "__MINT_VM_NAME__"], "placeholder"),
        (&["--idle-timeout", "00"], "whole minutes"),
        (&["--template", "fetch"], "--url"),
        (&["--template", "fetch", "--url", "https://example.com/agent"], "--sha256"),
        (&["--template", "other"], "baked"),
        (&["--url", "https://example.com/agent"], "belong to --template fetch"),
        (&["--sha256", SHA256], "belong to --template fetch"),
        (&["--sha256", "abc"], "64 hexadecimal digits"),
        (&[url[0], url[1], url[2], url[3], url[4], "http://example.com/agent"], "https://"),
        (&["--script", "other.sh"], "--script"),
    ];
    for (arguments, part) in cases {
        for command in ["render", "size"] {
            let ended = run(stub(home.path(), &[&[command], *arguments].concat()));
            let ended = ended.expect(USAGE).says(part);
            assert_eq!(ended.stdout, "", "{arguments:?}");
        }
    }
}

#[test]
fn every_command_has_a_help_with_examples_and_exit_statuses() {
    for command in ["render", "size", "inspect", "plan"] {
        let ended = run(stub("/".as_ref(), &[command, "--help"])).expect(0);
        for part in ["Examples:", "Exit status: 0", "64 wrong usage"] {
            assert!(ended.stdout.contains(part), "{command}: {part}: {ended:#?}");
        }
    }
    run(stub("/".as_ref(), &["bogus"])).expect(USAGE);
}
