//! A stub of the parents' template, filled by hand as their contract says.

use super::{SHA256, TOKEN, seeded};
use crate::util::{clean, file, fresh, run};
use agent::stub::payload::Script;
use agent::stub::user_data::{self, Kind, Parsed, UserDataError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;
use std::process::Command;

const TEMPLATE: &str = include_str!("../fixtures/parents-stub.sh");

const URL: &str =
    "https://bucket.example.com/bootstrap.sh?X-Amz-Signature=0a1b&X-Amz-Date=20260101T000000Z";

fn script() -> Vec<u8> {
    format!("#!/bin/bash\nexport GH_TOKEN={TOKEN}\n\0\r\n").into_bytes()
}

fn filled(values: &[(&str, &str)]) -> String {
    let payload = STANDARD.encode(script());
    let usual = [
        ("EFS_ID", "fs-0123456789abcdef0"),
        ("PROJECT_DEV", "/dev/xvdf"),
        ("VM_NAME", "default"),
        ("IDLE_TIMEOUT", "90"),
        ("USER_BOOTSTRAP", &payload),
        ("BOOTSTRAP_URL", URL),
        ("BOOTSTRAP_SHA256", SHA256),
    ];
    let others = usual.iter().filter(|(name, _)| values.iter().all(|(other, _)| other != name));
    values.iter().chain(others).fold(TEMPLATE.to_owned(), |text, (name, value)| {
        text.replace(&format!("__MINT_{name}__"), value)
    })
}

#[track_caller]
fn is_understood(text: &str) -> Parsed {
    let parsed = user_data::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.kind, Kind::ParentStub);
    assert_eq!(parsed.scripts.only().map(Script::bytes), Some(script().as_slice()));
    assert_eq!(parsed.parameters.efs_id.as_deref(), Some("fs-0123456789abcdef0"));
    assert_eq!(parsed.parameters.project_dev.as_deref(), Some("/dev/xvdf"));
    assert_eq!(parsed.parameters.vm_name.as_deref(), Some("default"));
    assert_eq!(parsed.parameters.idle_timeout, Some(90));
    parsed
}

#[test]
fn filled_it_is_understood_whatever_its_quotes() {
    let text = filled(&[]);
    let fetch = is_understood(&text).fetch.unwrap();
    assert_eq!((fetch.url.as_str(), fetch.sha256.as_str()), (URL, SHA256));
    is_understood(&text.replace('"', "'"));
    let bare: String = text
        .lines()
        .map(|l| if l.contains("MINT_") { l.replace('"', "") } else { l.to_owned() } + "\n")
        .collect();
    is_understood(&bare.replace("export MINT", "  declare -x MINT"));
    is_understood(
        &text.replace("export MINT", "MINT").replace("\n\nurl", "\nexport MINT_EFS_ID\nurl"),
    );
    let payload = STANDARD.encode(script());
    is_understood(&text.replace(&payload, &format!("{}\n{}", &payload[..40], &payload[40..])));
}

/// What is read without a shell is what bash itself makes of it.
#[test]
fn bash_reads_the_same() {
    let text = filled(&[]);
    let parsed = is_understood(&text);
    let dir = fresh();
    let assignments: String = text.split("\ntarget=").next().unwrap().to_owned();
    let path = file(dir.path(), "stub", assignments + "\nenv -0 | grep -z ^MINT_ | sort -z\n");
    let mut command = Command::new("bash");
    clean(&mut command);
    let ended = run({
        command.arg(&path);
        command
    });
    let mut expected = parsed.parameters.variables();
    expected.insert("MINT_USER_BOOTSTRAP".into(), STANDARD.encode(script()));
    let expected: String =
        expected.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
    assert_eq!(ended.expect(0).stdout, expected);
}

#[test]
fn what_is_empty_was_not_given() {
    let empty = ["EFS_ID", "PROJECT_DEV", "VM_NAME", "IDLE_TIMEOUT", "USER_BOOTSTRAP"];
    let text = filled(&empty.map(|name| (name, "")));
    let parsed = user_data::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.kind, Kind::ParentStub);
    assert_eq!(parsed.scripts.only(), None);
    assert_eq!(parsed.parameters.variables().len(), 0);
}

#[test]
fn a_placeholder_left_unfilled_is_an_error_that_names_its_line() {
    let line = |part: &str| TEMPLATE.lines().position(|l| l.contains(part)).unwrap() + 1;
    for name in ["EFS_ID", "VM_NAME", "USER_BOOTSTRAP", "BOOTSTRAP_URL", "BOOTSTRAP_SHA256"] {
        let placeholder = format!("__MINT_{name}__");
        let e = user_data::parse(filled(&[(name, &placeholder)]).as_bytes()).unwrap_err();
        assert_eq!(e, UserDataError::Placeholder { line: line(&placeholder) });
    }
    user_data::parse(TEMPLATE.as_bytes()).unwrap_err();
    // In a comment it is no value.
    is_understood(&filled(&[]).replace("# A stub", "# __MINT_EFS_ID__ was here\n# A stub"));
}

#[test]
fn what_only_a_shell_could_know_is_not_guessed() {
    let text = filled(&[]);
    let cases = [
        ("\"90\"", "\"${MINT_IDLE_TIMEOUT:-60}\"", "a shell would compute"),
        ("\"90\"", "$((60 + 30))", "a shell would compute"),
        ("\"90\"", "$'90'", "a shell would compute"),
        ("\"default\"", "\"`hostname`\"", "a shell would compute"),
        ("\"default\"", "~", "a shell would compute"),
        ("\"/dev/xvdf\"", "\"../../etc/passwd\"", "MINT_PROJECT_DEV (16 bytes)"),
        ("\"default\"", "\"a;b\"", "MINT_VM_NAME (3 bytes)"),
        ("\nurl=", "\nMINT_VM_NAME=other\nurl=", "MINT_VM_NAME is set twice"),
        ("\nurl=", "\nMINT_VM_NAME+=other\nurl=", "MINT_VM_NAME is set twice"),
    ];
    for (from, to, what) in cases {
        assert!(text.contains(from), "{from}");
        let e = user_data::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(e.to_string().contains(what), "{to}: {e}");
    }
}

/// Where a stub of another's ends cannot be known, but a part of one must not become the
/// user's script, nor a part of the script the whole.
#[test]
fn cut_short_it_is_never_another_script() {
    let text = filled(&[]);
    let first = text.find("export MINT_EFS_ID").unwrap();
    let second = text.find("MINT_PROJECT_DEV=").unwrap();
    for length in first..text.len() {
        match user_data::parse(&text.as_bytes()[..length]) {
            Err(_) => {}
            Ok(parsed) if parsed.kind == Kind::ParentStub => {
                assert_eq!(parsed.scripts.only().map(Script::bytes), Some(script().as_slice()));
            }
            // Before its second variable nothing tells it from a script.
            Ok(_) => assert!(length < second + "MINT_PROJECT_DEV=".len(), "{length}"),
        }
    }
}

#[test]
fn a_script_that_only_mentions_the_variables_is_a_script() {
    let scripts = [
        "#!/bin/sh\necho \"$MINT_VM_NAME\"\n",
        "#!/bin/sh\nexport MINT_VM_NAME=other\n",
        "#!/bin/sh\nMINT_USER_BOOTSTRAP=$(base64 -w0 setup.sh) podman run --env MINT_USER_BOOTSTRAP x\n",
        "#!/bin/sh\nsed s/__MINT_EFS_ID__/x/ template\n",
        "#!/bin/sh\necho '# agent-user-data protocol=1 template=baked'\n",
    ];
    for text in scripts {
        let parsed = user_data::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.kind, Kind::Script, "{text}");
        assert_eq!(parsed.scripts.only().unwrap().bytes(), text.as_bytes());
    }
}

#[test]
fn inspect_tells_it_and_shows_no_signature() {
    let dir = fresh();
    let path = file(dir.path(), "user-data", filled(&[]));
    let ended = run(super::stub(Path::new("/"), &["inspect", path.to_str().unwrap()])).expect(0);
    for part in ["stub of the parents' template", "MINT_EFS_ID=fs-0123456789abcdef0", SHA256] {
        assert!(ended.stdout.contains(part), "{ended:#?}");
    }
    assert!(ended.stdout.contains("https://bucket.example.com/bootstrap.sh?…"), "{ended:#?}");
    assert!(!ended.stdout.contains("Signature") && !ended.stdout.contains(TOKEN), "{ended:#?}");
}

/// Random scripts in the parents' own encoding.
#[test]
fn any_payload_comes_back() {
    let mut rng = seeded();
    for _ in 0..200 {
        let script: Vec<u8> = (0..rng.usize(1..2000)).map(|_| rng.u8(..)).collect();
        if script.starts_with(b"\x1f\x8b") {
            continue;
        }
        let text = filled(&[("USER_BOOTSTRAP", &STANDARD.encode(&script))]);
        let parsed = user_data::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.scripts.only().map(Script::bytes), Some(script.as_slice()));
    }
}

#[test]
fn what_may_be_a_script_that_writes_a_stub_is_neither() {
    let script = "#!/bin/bash\nmake it\ncat >/tmp/stub <<'EOF'\nexport MINT_VM_NAME=x\nMINT_USER_BOOTSTRAP=\nexec y\nEOF\n";
    let error = user_data::parse(script.as_bytes()).unwrap_err();
    assert_eq!(error, UserDataError::HereDocument { line: 3 });
    assert!(error.to_string().contains("line 3"), "{error}");
    let text = filled(&[]);
    let (head, rest) = text.split_once('\n').unwrap();
    is_understood(&format!("{head}\n# a comment << here\nread x <<< word\n{rest}"));
}

#[test]
fn a_parameter_that_only_a_shell_could_tell_is_refused() {
    let hidden = [
        "true && export MINT_PROJECT_DEV=/dev/sdf",
        "if true; then MINT_PROJECT_DEV=/dev/sdf; fi",
        "export MINT_VM_NAME=x $(true) MINT_PROJECT_DEV=/dev/sdf",
    ];
    for line in hidden {
        let whole = filled(&[]);
        let text = whole.lines().map(|l| match l.contains("MINT_PROJECT_DEV=") {
            true => format!("{line}\n"),
            false => format!("{l}\n"),
        });
        let error = user_data::parse(text.collect::<String>().as_bytes()).unwrap_err();
        assert_eq!(error.code(), "user-data-invalid", "{line}: {error}");
    }
    let arithmetic = filled(&[]).replacen('\n', "\nMEGABYTE=$((1<<20))\n", 1);
    is_understood(&arithmetic);
}
