//! What stands in the place of a configuration file: `agent config check` names it and
//! never hangs, whatever it is.

use crate::util::{agent, directory, file, fresh, is_root, run, unprivileged};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `agent config check` refuses `text`, at `place` (line and column), and says `parts`.
#[track_caller]
pub(crate) fn refused(text: &str, place: Option<(usize, usize)>, parts: &[&str]) {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", text);
    refused_file(&path, place, parts);
}

#[track_caller]
fn refused_file(path: &Path, place: Option<(usize, usize)>, parts: &[&str]) {
    let name = path.to_str().unwrap();
    let ended = run(agent(&["config", "check", name])).expect(1);
    let start = match place {
        Some((line, column)) => format!("{name}:{line}:{column}: "),
        None => format!("{name}: "),
    };
    assert!(ended.stderr.starts_with(&start), "{start:?} is expected: {ended:#?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} is expected: {ended:#?}");
    }
    assert_eq!(ended.stdout, "", "nothing is ok here");
}

/// `agent config check` accepts `text`.
#[track_caller]
pub(crate) fn accepted(text: &str) {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", text);
    let ended = run(agent(&["config", "check", path.to_str().unwrap()])).expect(0);
    assert_eq!((ended.stdout, ended.stderr), (format!("{}: ok\n", path.display()), String::new()));
}

#[test]
fn a_missing_file_that_was_named_is_an_error() {
    let dir = fresh();
    let path = dir.path().join("absent.toml");
    refused_file(&path, None, &["cannot be read", "No such file", "make it readable"]);
}

#[test]
fn a_syntax_error_is_told_with_its_place() {
    refused("[boot]\ndeadline = \"5m\n", Some((2, 15)), &["string"]);
    refused("[boot\n", Some((1, 6)), &["table"]);
    refused("[boot]\ndeadline\n", Some((2, 9)), &["="]);
    refused("[boot]\ngrace = \"1s\"\ngrace = \"2s\"\n", Some((3, 1)), &["duplicate key"]);
    refused("[boot]\n[boot]\n", Some((2, 2)), &["duplicate"]);
}

#[test]
fn columns_count_characters_and_not_bytes() {
    // Six letters of two bytes each stand before the unknown key.
    let text = "bootstrap = { environment = { A = \"ééüüöö\" }, \"filé\" = 1 }\n";
    let column = text.chars().position(|c| c == 'f').unwrap();
    refused(text, Some((1, column)), &["unknown key `filé`; did you mean `file`?"]);
}

#[test]
fn a_file_that_is_not_utf8_is_an_error() {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", b"[boot]\n# caf\xe9\n");
    refused_file(&path, None, &["cannot be read", "UTF-8"]);
}

#[test]
fn a_directory_in_its_place_is_an_error() {
    let dir = fresh();
    let path = directory(dir.path(), "agent.toml");
    refused_file(&path, None, &["cannot be read", "not a regular file"]);
}

/// PID 1's child must not wait for somebody to write to a FIFO.
#[test]
fn a_fifo_in_its_place_is_an_error_and_no_hang() {
    let dir = fresh();
    let path = dir.path().join("agent.toml");
    nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o644)).unwrap();
    refused_file(&path, None, &["cannot be read", "not a regular file"]);
}

#[test]
fn a_device_in_its_place_is_an_error() {
    refused_file(Path::new("/dev/zero"), None, &["cannot be read", "not a regular file"]);
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_an_error() {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", vec![b'#'; (1 << 20) + 1]);
    refused_file(&path, None, &["cannot be read", "larger than 1 MiB"]);
    let accents = format!("#{}", "é".repeat(1 << 19));
    let path = file(dir.path(), "accents.toml", accents);
    refused_file(&path, None, &["cannot be read", "larger than 1 MiB"]);
}

#[test]
fn a_file_of_just_a_mebibyte_is_accepted() {
    accepted(&"#".repeat(1 << 20));
}

#[test]
fn an_empty_file_and_one_of_comments_are_accepted() {
    accepted("");
    accepted("# nothing is decided here\n");
}

#[test]
fn an_unreadable_file_is_an_error_and_never_passed_over() {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", "[boot]\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let program = crate::util::reachable(dir.path());
    let mut command = unprivileged(program);
    command.args(["config", "check"]).arg(&path);
    run(command).expect(1).says("Permission denied").says("make it readable");
}

#[test]
fn each_file_is_checked_by_itself_and_all_errors_are_told() {
    let dir = fresh();
    let good = file(dir.path(), "good.toml", "[boot]\n");
    let bad = file(dir.path(), "bad.toml", "[boott]\n");
    let worse = file(dir.path(), "worse.toml", "[log]\nlevel = \"loud\"\n");
    let mut command = agent(&["config", "check"]);
    command.args([&bad, &good, &worse]);
    let ended = run(command).expect(1);
    assert_eq!(ended.stdout, format!("{}: ok\n", good.display()));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:#?}");
    assert!(lines[0].starts_with(&format!("{}:1:2: ", bad.display())), "{ended:#?}");
    assert!(lines[1].starts_with(&format!("{}:2:9: ", worse.display())), "{ended:#?}");
}

#[test]
fn the_environment_is_no_part_of_a_file_that_is_checked() {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", "[boot]\n");
    let mut command = agent(&["config", "check", path.to_str().unwrap()]);
    command.env("AGENT__BOOT__NONSENSE", "1");
    run(command).expect(0);
}

#[test]
fn without_a_file_everything_that_a_boot_would_read_is_checked() {
    // What stands in /etc/agent of the machine is not ours to say; a variable is.
    let mut command = agent(&["config", "check"]);
    command.env("AGENT__BOOT__DEADLIN", "5m");
    run(command).expect(1).says("environment variable AGENT__BOOT__DEADLIN: unknown key");
}

/// Root reads everything, so [`an_unreadable_file_is_an_error_and_never_passed_over`] must not
/// run as root: this shows that it doesn't.
#[test]
fn unprivileged_programs_of_these_tests_are_not_root() {
    let mut command = unprivileged("id");
    command.arg("-u");
    let uid = run(command).expect(0).stdout;
    assert_ne!(uid.trim(), "0");
    if is_root() {
        assert_eq!(uid.trim(), crate::util::NOBODY.to_string());
    }
}
