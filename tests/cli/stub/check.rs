//! `agent-stub check` on user-data as people publish it. The fixtures are the tests' own, after the
//! forms that each names; what becomes of each stands here.

use super::{TOKEN, seeded};
use crate::util::{Ended, file, fresh, run};
use agent::stub::user_data;
use flate2::Compression;
use flate2::read::GzEncoder;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is taken, and some of what it does.
const TAKEN: &[(&str, &[&str])] = &[
    (
        "web-server.yaml",
        &[
            "good: cloud-config",
            "the host name is web-1.example.org",
            "1 SSH key may log in",
            "as root: write /etc/nginx/conf.d/site.conf (42 bytes, 0644 root:root)",
            "as root: append to /etc/crontab",
            "as root: packages: nginx, jq 1.6-2.1",
            "as root: write /srv/site/index.html (15 bytes, 0644 www-data:www-data), after the packages",
            "as root: run 3 commands",
        ],
    ),
    ("heredoc.yaml", &["packages: qemu-guest-agent", "run 1 command"]),
    ("eks-worker.mime", &["MIME message, 1 part", "the user's script is run last"]),
    ("boothook-and-script.mime", &["run boothook part 1 (cloud-config.txt) (116 bytes"]),
    ("terraform.mime", &["MIME message, 2 parts", "run 1 command", "the user's script is run"]),
    ("make-mime.mime", &["run boothook part 3 (22 bytes", "the user's 2 scripts are run last"]),
];

/// What is refused: each error as `PART:LINE KEY`, in order.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "users-and-groups.yaml",
        &["3 groups", "6 users", "16 chpasswd", "18 ssh_pwauth", "19 disable_root"],
    ),
    (
        "every-module.yaml",
        &[
            "3 bootcmd",
            "5 growpart",
            "6 resize_rootfs",
            "7 disk_setup",
            "8 fs_setup",
            "9 mounts",
            "10 swap",
            "11 apt",
            "15 yum_repos",
            "16 snap",
            "17 ca_certs",
            "18 ntp",
            "19 timezone",
            "20 locale",
            "21 manage_etc_hosts",
            "22 package_reboot_if_required",
            "23 apt_update",
            "24 power_state",
            "25 final_message",
            "26 output",
            "27 phone_home",
            "30 write_files.source",
            "32 packages.apt",
            "33 packages.snap",
            "34 merge_how",
        ],
    ),
    (
        "quirks.yaml",
        &[
            "3 hostname",
            "4 package_update",
            "6 write_files.path",
            "8 write_files.permissions",
            "10 write_files.encoding",
            "12 write_files.owner",
            "14 runcmd",
            "16 runcmd",
            "18 packages",
            "19 packages",
            "20 ssh_authorized_keys",
        ],
    ),
    ("run-at-each-boot.mime", &["1:3 cloud_final_modules"]),
    ("ecs-boothook.mime", &["1: names no interpreter"]),
    ("eks-nodeadm.mime", &["1: NodeConfig of EKS"]),
    ("no-blank-line.mime", &["1: no header"]),
    ("include.txt", &["include file"]),
    ("template.txt", &["template (jinja)"]),
    ("part-handler.txt", &["part handler"]),
    ("archive.txt", &["cloud-config archive"]),
    ("upstart.txt", &["upstart job"]),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/fixtures/user-data").join(name)
}

fn check(arguments: &[&str], path: &Path) -> Ended {
    let mut all = vec!["check"];
    all.extend(arguments);
    all.push(path.to_str().unwrap());
    run(super::stub(Path::new("/nonexistent"), &all))
}

fn check_text(text: impl AsRef<[u8]>) -> Ended {
    let dir = fresh();
    check(&[], &file(dir.path(), "user-data", text))
}

/// What `check` prints goes to standard output.
trait Told {
    fn told(self, part: &str) -> Self;
}

impl Told for Ended {
    #[track_caller]
    fn told(self, part: &str) -> Self {
        assert!(self.stdout.contains(part), "{part:?} is not told: {self:#?}");
        self
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzEncoder::new(bytes, Compression::best()).read_to_end(&mut out).unwrap();
    out
}

#[test]
fn what_is_published_and_taken_is_told_step_by_step() {
    for (name, does) in TAKEN {
        let ended = check(&[], &fixture(name)).expect(0);
        for line in *does {
            assert!(ended.stdout.contains(line), "{name}: {line}: {ended:#?}");
        }
        let json = check(&["--json"], &fixture(name)).expect(0).json();
        assert_eq!(
            (&json["schema"], &json["good"]),
            (&"agent.user-data-check/1".into(), &true.into())
        );
    }
}

#[test]
fn what_is_published_and_refused_is_told_with_every_key_and_line() {
    for (name, expected) in REFUSED {
        let json = check(&["--json"], &fixture(name)).expect(1).json();
        let errors = json["errors"].as_array().unwrap();
        assert_eq!(errors.len(), expected.len(), "{name}: {json:#}");
        for (error, expected) in errors.iter().zip(*expected) {
            let number = |v: &Value| v.as_u64().map(|n| n.to_string());
            let part = number(&error["part"]["number"]).map(|n| n + ":").unwrap_or_default();
            let line = number(&error["line"]).unwrap_or_default();
            let key = error["key"].as_str().or(error["message"].as_str()).unwrap();
            let told = format!("{part}{line} {key}");
            let (place, what) = expected.split_once(' ').unwrap();
            let placed = expected.starts_with(|c: char| c.is_ascii_digit());
            assert!(
                !placed || told.starts_with(&format!("{place} ")),
                "{name}: {told}, not {expected}"
            );
            assert!(told.contains(what), "{name}: {told}, not {expected}");
            assert!(error["next"].as_str().unwrap().len() > 5, "{name}: {error}");
        }
        let text = check(&[], &fixture(name)).expect(1).stdout;
        assert_eq!(text.matches("\n  next: ").count(), expected.len(), "{name}: {text}");
        assert!(text.contains("a machine would do nothing of it"), "{name}: {text}");
    }
}

#[test]
fn every_fixture_is_one_of_the_two() {
    let mut there: Vec<String> = fs::read_dir(fixture(""))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut known: Vec<&str> = TAKEN.iter().chain(REFUSED).map(|(name, _)| *name).collect();
    there.sort();
    known.sort_unstable();
    assert_eq!(there, known);
}

#[test]
fn gzip_of_it_is_the_same() {
    for (name, _) in TAKEN.iter().chain(REFUSED) {
        let plain = fs::read(fixture(name)).unwrap();
        let gzip = packed(&plain);
        match (user_data::parse(&plain), user_data::parse(&gzip)) {
            (Ok(plain), Ok(gzip)) => assert_eq!(plain, gzip, "{name}"),
            (Err(plain), Err(gzip)) => assert_eq!(plain.faults(), gzip.faults(), "{name}"),
            (plain, gzip) => panic!("{name}: {plain:?} {gzip:?}"),
        }
    }
}

/// What a cut leaves may be whole (a cloud-config without its last key); a message never is.
#[test]
fn cut_at_any_byte_it_is_an_error_or_a_user_data() {
    for (name, _) in TAKEN.iter().chain(REFUSED) {
        let whole = fs::read(fixture(name)).unwrap();
        let end = whole.trim_ascii_end().len();
        for length in 0..whole.len() {
            let cut = user_data::parse(&whole[..length]);
            if let Err(e) = &cut {
                assert!(e.faults().iter().all(|f| !f.next.is_empty() && !f.message.is_empty()));
            }
            let message = name.ends_with(".mime") && (1..end).contains(&length);
            assert!(!message || cut.is_err(), "{name}: {length} bytes are taken");
        }
    }
}

#[test]
fn changed_at_any_place_it_is_an_error_or_a_user_data() {
    let mut rng = seeded();
    let signs = b"#:-[]{}&*!|>'\"%@` \n\t\r\\=/\0\xff";
    for (name, _) in TAKEN.iter().chain(REFUSED) {
        let whole = fs::read(fixture(name)).unwrap();
        for _ in 0..400 {
            let mut text = whole.clone();
            for _ in 0..rng.usize(1..6) {
                let at = rng.usize(..text.len());
                match rng.u8(..3) {
                    0 => text[at] = signs[rng.usize(..signs.len())],
                    1 => text.insert(at, signs[rng.usize(..signs.len())]),
                    _ => drop(text.remove(at)),
                }
            }
            let _ = user_data::parse(&text);
        }
    }
}

#[test]
fn what_swells_is_refused_in_time() {
    let bomb = packed(&vec![b'\n'; 9 << 20]);
    assert!(bomb.len() < 16_384);
    check_text(&bomb).expect(1).told("larger than 8 MiB");
    // Each part may be unpacked; all together may not.
    use base64::Engine;
    let part = base64::engine::general_purpose::STANDARD.encode(packed(&vec![b'#'; 7 << 20]));
    let part = format!(
        "--b\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n{part}\n"
    );
    let text = format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", part.repeat(3));
    check_text(&text).expect(1).told("unpack to more than 8 MiB");
    let many = "--b\n\n#!/bin/sh\n".repeat(65);
    check_text(format!("Content-Type: multipart/mixed; boundary=b\n\n{many}--b--\n"))
        .expect(1)
        .told("more than 64 parts");
    let nested = format!("#cloud-config\nruncmd: {}\n", "[".repeat(5000));
    check_text(nested).expect(1).told("line 2");
    let gz = base64::engine::general_purpose::STANDARD.encode(&bomb);
    let text =
        format!("#cloud-config\nwrite_files: [{{path: /x, encoding: gz+b64, content: {gz}}}]\n");
    check_text(text).expect(1).told("unpacks to too much");
}

#[test]
fn the_size_and_each_first_line_are_looked_at_too() {
    let big = format!("#!/bin/sh\n{}", "x".repeat(16_384));
    check_text(&big).expect(1).told("it is 16394 bytes, max is 16384 (10 bytes over limit)");
    check_text(&big[..16_384]).expect(0);
    check_text("#!/bin/sh\r\necho\r\n").expect(1).told("Windows line ends");
    check_text("#!sh\n").expect(1).told("no interpreter that the kernel can run");
    let part = |text: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n#!/bin/sh\n:\n--b\nContent-Type: text/x-shellscript\n\n{text}\n--b--\n"
        )
    };
    check_text(part("echo hi")).expect(1).told("part 2: the user script has no #! line");
    check_text(part("#!sh\n")).expect(1).told("part 2: the user script's first line");
    check_text(part("#!/bin/sh\necho")).expect(0);
    check_text("").expect(0).told("good: none");
    check_text("hostname: x\n").expect(1).told("it is text without a #! line");
}

#[test]
fn two_parts_that_say_the_same_thing_are_refused() {
    let config = |text: &str| format!("--b\nContent-Type: text/cloud-config\n\n{text}\n");
    let message =
        |parts: &str| format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n");
    let two = config("runcmd: [ls]") + &config("runcmd: [id]");
    check_text(message(&two)).expect(1).told("part 2: `runcmd` is in part 1 already");
    let different = config("runcmd: [ls]") + &config("packages: [git]");
    check_text(message(&different)).expect(0).told("run 1 command");
}

#[test]
fn nothing_of_any_content_is_shown() {
    let texts = [
        format!(
            "#cloud-config\nwrite_files: [{{path: /x, content: {TOKEN}}}]\nruncmd: [{TOKEN}]\n"
        ),
        format!("#cloud-config\nruncmd:\n- {TOKEN}: x\n{TOKEN}\n"),
        format!("#cloud-config\nruncmd:\n- '{TOKEN}\n"),
        format!("#cloud-config\n\"export TOKEN={TOKEN}\": x\n"),
        format!(
            "#cloud-config\nhostname: [{TOKEN}]\npackages: ['{TOKEN}$']\npackage_update: {TOKEN}\nwrite_files: [{{path: {TOKEN}, owner: '{TOKEN} x', permissions: {TOKEN}, encoding: {TOKEN}}}]\nssh_authorized_keys: [{TOKEN}]\n"
        ),
        format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/x-shellscript\n{TOKEN}\n\n--b--\n"
        ),
        format!("#!/bin/sh\n{TOKEN}\n"),
    ];
    for text in texts {
        let dir = fresh();
        let path = file(dir.path(), "user-data", &text);
        for arguments in
            [&["check"][..], &["check", "--json"], &["inspect"], &["plan", "--user-data"]]
        {
            let mut all = arguments.to_vec();
            all.push(path.to_str().unwrap());
            let ended = run(super::stub(Path::new("/nonexistent"), &all));
            assert!(!ended.all().contains(TOKEN), "{text}: {ended:#?}");
        }
    }
}

#[test]
fn the_plan_shows_each_script_of_several() {
    let arguments =
        ["plan", "--user-data", fixture("make-mime.mime").to_str().unwrap()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = run(super::stub(Path::new("/nonexistent"), &arguments)).expect(0);
    for line in [
        "run the 2 scripts in user-data, in this order, once on this instance",
        "script part 1 (gr",
        "script part 2 (",
        "run boothook part 3 (22 bytes",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {ended:#?}");
    }
}
