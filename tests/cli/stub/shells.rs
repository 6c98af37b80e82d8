//! What real shells make of a stub: bash and dash.

use super::{
    TOKEN, any_parameters, executable, fake_agent, fetching, launch, moved, rendered, seeded,
};
use crate::util::{clean, fresh};
use agent::stub::{NAMES, Parameters, quote, render};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const SHELLS: [&str; 2] = ["bash", "dash"];

/// What a hostile value may be made of: all that any shell gives a meaning to.
fn nasty(rng: &mut Rng) -> String {
    const PIECES: &[&str] = &[
        "'",
        "\"",
        "`",
        "$",
        "\\",
        "\n",
        "\r",
        " ",
        "\t",
        ";",
        "&",
        "|",
        "<",
        ">",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "*",
        "?",
        "~",
        "#",
        "!",
        "=",
        "%",
        "$(touch pwned)",
        "`touch pwned`",
        "';touch pwned;'",
        "'\\''",
        "${IFS}",
        "a",
        "Z",
        "0",
        "é",
        "\u{1}",
        "\u{7f}",
        "MINT_USER_BOOTSTRAP='",
        "\n}\n# agent-user-data end\n",
        "__MINT_VM_NAME__",
    ];
    (0..rng.usize(..12)).map(|_| PIECES[rng.usize(..PIECES.len())]).collect()
}

#[test]
fn no_value_breaks_out_of_its_quotes() {
    let mut rng = seeded();
    let dir = fresh();
    let values: Vec<String> = (0..1000).map(|_| nasty(&mut rng)).collect();
    let mut script = String::new();
    for (n, value) in values.iter().enumerate() {
        script += &format!("export V{n}={}\n", quote(value));
    }
    for n in 0..values.len() {
        script += &format!("printf '%s\\0' \"$V{n}\"\n");
    }
    let path = dir.path().join("script");
    fs::write(&path, script).unwrap();
    for shell in SHELLS {
        let mut command = Command::new(shell);
        clean(&mut command);
        let out = command.arg(&path).current_dir(dir.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{shell}");
        let got: Vec<&[u8]> = out.stdout.split(|&b| b == 0).collect();
        for (value, got) in values.iter().zip(got) {
            assert_eq!(value.as_bytes(), got, "{shell}: {value:?}");
        }
        assert!(!dir.path().join("pwned").exists());
    }
}

#[test]
fn a_nasty_parameter_is_not_rendered() {
    let mut rng = seeded();
    let mut refused = 0;
    for _ in 0..4000 {
        let mut value = nasty(&mut rng);
        // A valid beginning and end don't help.
        value = match rng.u8(..4) {
            0 => format!("fs-01234567{value}"),
            1 => format!("/dev/sdf{value}"),
            2 => format!("name{value}name"),
            _ => value,
        };
        let parameters = match rng.u8(..3) {
            0 => Parameters { efs_id: Some(value.clone()), ..Parameters::default() },
            1 => Parameters { project_dev: Some(value.clone()), ..Parameters::default() },
            _ => Parameters { vm_name: Some(value.clone()), ..Parameters::default() },
        };
        let mut launch = launch(b"#!/bin/sh\n");
        launch.parameters = parameters;
        match render(&launch) {
            Err(e) => {
                refused += 1;
                assert!(e.to_string().starts_with("MINT_"), "{e}");
            }
            Ok(_) => assert!(
                !value.contains(|c: char| c.is_control() || "'\"`$\\;&|<>(){}[]*?~#!%".contains(c)),
                "{value:?}"
            ),
        }
    }
    assert!(refused > 3000, "{refused}");
}

/// Runs a stub in `shell` with a fake agent in its place; gives the variables that agent saw.
fn run_baked(shell: &str, dir: &Path, user_data: &[u8]) -> BTreeMap<String, String> {
    let agent = executable(&dir.join("agent"), fake_agent(dir));
    let path = dir.join("part-001");
    let text = moved(user_data, &agent, &dir.join("fetched"));
    fs::write(&path, &text).unwrap();
    let mut command = Command::new(shell);
    clean(&mut command);
    // A payload that is in the environment already would make the shell export the new one.
    command.env("MINT_USER_BOOTSTRAP", "from the environment").env("MINT_OTHER", "other");
    let out = command.arg(&path).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{shell}: {out:?}");
    assert_eq!((out.stdout, out.stderr), (vec![], vec![]), "{shell} has nothing to say");
    let arguments = fs::read_to_string(dir.join("arguments")).unwrap();
    assert_eq!(arguments, format!("boot\n--user-data\n{}\n", path.display()), "{shell}");
    assert_eq!(fs::read(dir.join("user-data")).unwrap(), text);
    let environment = fs::read_to_string(dir.join("environment")).unwrap();
    environment
        .split('\0')
        .filter_map(|v| v.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_agent_is_started_with_the_parameters_and_without_the_payload() {
    let mut rng = seeded();
    let dir = fresh();
    for _ in 0..15 {
        let mut launch = launch(format!("#!/bin/sh\nTOKEN={TOKEN}\n").as_bytes());
        launch.parameters = any_parameters(&mut rng);
        let user_data = rendered(&launch);
        for shell in SHELLS {
            let mut seen = run_baked(shell, dir.path(), &user_data);
            assert_eq!(seen.remove("MINT_OTHER").as_deref(), Some("other"));
            seen.retain(|name, _| name.starts_with("MINT_"));
            assert_eq!(seen, launch.parameters.variables(), "{shell}");
        }
    }
}

#[test]
fn an_image_without_the_agent_is_told_so() {
    let dir = fresh();
    let path = dir.path().join("part-001");
    let nowhere = dir.path().join("nowhere");
    fs::write(&path, moved(&rendered(&launch(b"#!/bin/sh\n")), &nowhere, &nowhere)).unwrap();
    for shell in SHELLS {
        let out = Command::new(shell).arg(&path).output().unwrap();
        assert_eq!(out.status.code(), Some(127), "{shell}");
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(
            said.contains(&format!("{} is missing in this image", nowhere.display())),
            "{said}"
        );
    }
}

/// SC2034: the payload is unused by the shell, which is the point of it.
#[test]
fn shellcheck_has_nothing_to_say() {
    let dir = fresh();
    let mut launch = launch(b"#!/bin/sh\n");
    launch.parameters = Parameters {
        efs_id: Some("fs-01234567".into()),
        project_dev: Some("/dev/sdf".into()),
        vm_name: Some("my vm".into()),
        idle_timeout: Some(90),
    };
    for launch in [launch.clone(), fetching(launch)] {
        let path = dir.path().join("stub");
        fs::write(&path, rendered(&launch)).unwrap();
        let out = Command::new("shellcheck").arg("--exclude=SC2034").arg(&path).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        for shell in SHELLS {
            assert!(Command::new(shell).arg("-n").arg(&path).status().unwrap().success());
        }
    }
    assert_eq!(NAMES.len(), 6, "a new variable belongs into this test");
}
