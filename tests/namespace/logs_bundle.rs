//! The archive for a support ticket, of a machine in which secrets were planted wherever one can
//! lie. None of them is in it, however it is unpacked.

use crate::sandbox::Sandbox;
use crate::util::metadata::Service;
use crate::util::{Ended, give, run};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

/// Each is planted somewhere, and is to be found nowhere.
const PLANTED: &[&str] = &[
    "planted-in-the-script",
    "planted-by-the-script",
    "planted-as-a-value-of-the-script",
    "planted-in-an-environment-table",
    "planted-in-an-inline-environment",
    "planted-in-a-line-of-many",
    "planted-in-another-line-of-many",
    "planted-in-a-dotted-key",
    "planted-in-agents-environment",
    "planted-in-a-url",
    "planted-in-a-header",
    "planted-password-in-a-log",
    "ghp_plantedplantedplantedplantedplan1",
    "AKIAPLANTEDPLANTED01",
    "planted/role+secret/key/0123456789012345",
    "planted-role-session-token-0123456789",
    "cGxhbnRlZCBwcml2YXRlIGtleQ",
];

const SCRIPT: &str = "#!/bin/sh
echo working # planted-in-the-script
API_TOKEN=planted-as-a-value-of-the-script
echo planted-by-the-script
echo planted-as-a-value-of-the-script >/mnt/out/value
";

/// The role's keys, as the metadata service hands them out.
const ROLE: &str =
    "planted/role+secret/key/0123456789012345 planted-role-session-token-0123456789\n";

/// What the step says goes to its log.
const CONFIG: &str = r#"
[[step]]
name = "noisy"
environment = { PLAIN = "planted-in-an-inline-environment", MANY = """planted-in-a-line-of-many
planted-in-another-line-of-many""" }
command = '''
echo "cloning https://me:planted-in-a-url@example.com/x"
echo "> Authorization: Bearer planted-in-a-header"
echo "db password=planted-password-in-a-log and ghp_plantedplantedplantedplantedplan1"
echo "key AKIAPLANTEDPLANTED01 $(cat /mnt/out/role)"
echo "-----BEGIN OPENSSH PRIVATE KEY-----"; echo cGxhbnRlZCBwcml2YXRlIGtleQ; echo "-----END OPENSSH PRIVATE KEY-----"
echo "the script says: echo working # planted-in-the-script"
echo "$PLAIN" "$EXTRA" "$DOTTED"; echo "> $MANY <"; printf %s "me:$PLAIN" | base64
echo "leaked: planted-in-agents-environment"
echo a plain line that helps
'''
[bootstrap]
environment.DOTTED = "planted-in-a-dotted-key"
environment.EXTRA = "planted-in-an-environment-table"
deadline = "30s"
"#;

struct Made {
    ended: Ended,
    /// Name to content.
    files: BTreeMap<String, String>,
    manifest: Value,
    sandbox: Sandbox,
}

fn made(more: &str, sandbox: Sandbox, command: &str) -> Made {
    let config = format!("{more}{CONFIG}");
    let sandbox = sandbox
        .config("agent.toml", &config)
        .variable("SOME_API_KEY", "planted-in-agents-environment");
    let role = if more.is_empty() { "-" } else { ROLE };
    sandbox.put_out("role", role);
    let script = format!(
        "agent boot --no-tags >/mnt/out/boot 2>&1; {command}; echo $?; agent logs; agent logs noisy"
    );
    let ended = run(sandbox.pid1(&["sh", "-c", &script]));
    let archive = File::open(sandbox.path("out/b.tar.gz"));
    let archive = archive.unwrap_or_else(|e| panic!("{e}: {ended:#?}"));
    assert_eq!(archive.metadata().unwrap().mode() & 0o777, 0o600);
    let unpacked = tempfile::tempdir().unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xzf").arg(sandbox.path("out/b.tar.gz")).arg("-C").arg(unpacked.path());
    run(tar).expect(0);
    let mut files = BTreeMap::new();
    read_all(unpacked.path(), "", &mut files);
    let mut whole = Vec::new();
    std::io::Read::read_to_end(&mut GzDecoder::new(archive), &mut whole).unwrap();
    let whole = String::from_utf8_lossy(&whole).into_owned();
    for planted in PLANTED {
        let encoded = STANDARD.encode(planted);
        for form in [*planted, encoded.trim_end_matches('=')] {
            let place = files.iter().find(|(_, text)| text.contains(form)).map(|(name, _)| name);
            assert!(!whole.contains(form), "{planted} is in {place:?}");
        }
    }
    let manifest = serde_json::from_str(&files["agent-bundle/manifest.json"]).unwrap();
    Made { ended, files, manifest, sandbox }
}

fn read_all(dir: &std::path::Path, name: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let own = entry.file_name().into_string().unwrap();
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        match entry.file_type().unwrap().is_dir() {
            true => read_all(&entry.path(), &name, files),
            false => drop(files.insert(name, fs::read_to_string(entry.path()).unwrap())),
        }
    }
}

#[test]
fn secrets_planted_everywhere_are_nowhere_in_the_archive_and_the_rest_is() {
    let sandbox = Sandbox::new().script(SCRIPT);
    let made = made("", sandbox, "agent logs --bundle /mnt/out/b.tar.gz");
    let of = |name: &str| &made.files[&format!("agent-bundle/{name}")];
    assert!(of("logs/step-noisy.log").contains("a plain line that helps"), "{:#?}", made.files);
    assert!(of("status.txt").starts_with("complete"), "{}", of("status.txt"));
    assert!(of("status.json").contains("agent.status/1"));
    assert!(of("plan.txt").contains("noisy"), "{}", of("plan.txt"));
    assert!(of("journal.jsonl").contains("boot-ended"), "{}", of("journal.jsonl"));
    assert!(of("config/etc/agent/agent.toml").contains("deadline = \"30s\""));
    assert!(of("versions.txt").contains(&format!("agent: {}\n", env!("CARGO_PKG_VERSION"))));
    assert!(of("mounts.txt").contains(" / "));
    assert!(of("idle.txt").starts_with("never"), "{}", of("idle.txt"));
    let script_log = made.manifest["files"].as_array().unwrap().iter();
    let script_log = script_log.clone().find(|f| f["name"] == "logs/user-script.log").unwrap();
    assert!(script_log["missing"].as_str().unwrap().contains("its user's"), "{script_log}");
    let masked = made.manifest["redacted"].as_object().unwrap();
    for kind in [
        "user-script",
        "environment",
        "configuration",
        "token",
        "url-userinfo",
        "named-value",
        "private-key",
    ] {
        assert!(masked[kind].as_u64().unwrap() > 0, "{kind}: {masked:#?}");
    }
    // A person at the machine sees its logs as they are.
    assert!(made.ended.stdout.contains("logs/step-noisy.log ("), "{:#?}", made.ended);
    assert!(made.ended.stdout.contains("planted-in-a-url"), "{:#?}", made.ended);
    assert_eq!(made.sandbox.out("value"), "planted-as-a-value-of-the-script\n");
}

#[test]
fn the_roles_keys_and_the_user_data_are_known_though_nobody_named_them() {
    let service = Service::start(&[]);
    service.change(json!({
        "instance_id": "i-0123456789abcdef0",
        "user_data_base64": STANDARD.encode(SCRIPT),
        "role": {"name": "r", "AccessKeyId": "ASIAEXAMPLEEXAMPLE00",
                 "SecretAccessKey": "planted/role+secret/key/0123456789012345",
                 "Token": "planted-role-session-token-0123456789"},
    }));
    let ec2 = format!(
        "[ec2]\nenabled = true\nendpoints = [\"{}\"]\nrequest_deadline = \"2s\"\ndeadline = \"10s\"\n",
        service.url()
    );
    let sandbox = Sandbox::new().without("AGENT__BOOTSTRAP__INSTANCE").machine();
    let made = made(&ec2, sandbox, "agent logs --bundle /mnt/out/b.tar.gz");
    let log = &made.files["agent-bundle/logs/step-noisy.log"];
    assert!(log.contains("the script says: [redacted]"), "{log}");
    assert_eq!(made.manifest["redacted"]["role-keys"], 2, "{:#}", made.manifest);
}

/// Nobody knows then what of the script a program has quoted.
#[test]
fn where_the_metadata_is_away_what_quotes_programs_stays_out_and_it_is_said() {
    let service = Service::start(&[]);
    service.change(json!({
        "instance_id": "i-0123456789abcdef0",
        "user_data_base64": STANDARD.encode(SCRIPT),
    }));
    let ec2 = format!(
        "[ec2]\nenabled = true\nendpoints = [\"{}\"]\nrequest_deadline = \"2s\"\ndeadline = \"10s\"\n\
         [[step]]\nname = \"bad\"\nrequired = false\ncommand = \"echo planted-by-the-script; exit 3\"\n",
        service.url()
    );
    let sandbox = Sandbox::new().without("AGENT__BOOTSTRAP__INSTANCE").machine();
    let away =
        "AGENT__EC2__ENDPOINTS='[\"http://127.0.0.1:1\"]' agent logs --bundle /mnt/out/b.tar.gz";
    let made = made(&ec2, sandbox, away);
    assert!(
        made.ended.stderr.contains("REDUCED") && made.ended.stderr.contains("user-data"),
        "{:#?}",
        made.ended
    );
    let reduced = made.manifest["reduced"].as_array().unwrap();
    assert!(reduced[0].as_str().unwrap().contains("user-data"), "{:#}", made.manifest);
    for name in made.files.keys() {
        let out = ["/logs/", "/config/", "journal.jsonl", "unit.txt", "plan.txt"];
        assert!(!out.iter().any(|part| name.contains(part)), "{name}");
    }
    let of = |name: &str| &made.files[&format!("agent-bundle/{name}")];
    assert!(of("status.json").contains("left out") && of("status.json").contains("degraded"));
    assert!(of("versions.txt").contains("agent: "));
}

#[test]
fn of_a_configuration_that_is_no_toml_nothing_is_shown_and_it_is_said() {
    let broken =
        "[[step]]\nname = \"noisy\"\nenvironment.DOTTED = \"planted-in-a-dotted-key\"\nx = = 1\n";
    let sandbox = Sandbox::new().script(SCRIPT);
    let put = format!(
        "printf '%s' '{broken}' >/etc/agent/conf.d/z.toml; agent logs --bundle /mnt/out/b.tar.gz"
    );
    give(&sandbox.path("etc/agent/conf.d"), 0o777);
    let made = made("", sandbox, &put);
    assert!(made.ended.stderr.contains("REDUCED"), "{:#?}", made.ended);
    assert!(
        made.manifest["reduced"][0].as_str().unwrap().contains("z.toml"),
        "{:#}",
        made.manifest
    );
    assert!(made.files["agent-bundle/config-errors.txt"].contains("z.toml:4"), "{:#?}", made.files);
    assert!(!made.files.keys().any(|name| name.contains("/logs/")), "{:#?}", made.files.keys());
}

#[test]
fn an_archive_that_is_there_is_not_written_over_and_what_is_missing_is_told() {
    let sandbox = Sandbox::new();
    sandbox.put_out("theirs", "mine\n");
    let ended = run(sandbox.pid1(&[
        "sh",
        "-c",
        "agent logs --bundle /mnt/out/theirs; echo $?; ln -s /mnt/out/made /mnt/out/link
         agent logs --bundle /mnt/out/link; echo $?; ls /mnt/out; agent logs nothing; echo $?
         agent logs --bundle /nonexistent/x; echo $?; agent logs --bundle /mnt/out/b.tar.gz; echo $?",
    ]));
    assert!(ended.stdout.starts_with("1\n1\nlink\ntheirs\n1\n1\n"), "{ended:#?}");
    assert!(ended.stderr.contains("is there already"), "{ended:#?}");
    assert!(ended.stdout.ends_with("0\n"), "{ended:#?}");
    assert_eq!(sandbox.out("theirs"), "mine\n");
}

#[test]
fn of_a_long_log_the_end_is_taken_and_a_fifo_is_not_waited_for() {
    let config = "[[step]]\nname = \"long\"\ncommand = \"seq 1 200000; echo the last line\"\n";
    let sandbox = Sandbox::new().config("agent.toml", config);
    give(&sandbox.path("etc/agent/conf.d"), 0o777);
    let ended = run(sandbox.pid1(&[
        "sh",
        "-c",
        "agent boot >/dev/null 2>&1; agent logs --bundle /mnt/out/b.tar.gz; echo $?
         cd /tmp; tar -xzf /mnt/out/b.tar.gz; tail -1 agent-bundle/logs/step-long.log; head -1 agent-bundle/logs/step-long.log
         stat -c %s agent-bundle/logs/step-long.log; grep -c '\"cut\"' agent-bundle/manifest.json
         mkfifo /etc/agent/conf.d/z.toml; agent logs --bundle /mnt/out/c.tar.gz >/dev/null; echo $?",
    ]));
    let said: Vec<&str> = ended.stdout.lines().skip(1).collect();
    assert_eq!((said[0], said[1], said[4]), ("0", "the last line", "1"), "{ended:#?}");
    assert!(said[2].parse::<u32>().unwrap() > 100_000, "a whole line: {ended:#?}");
    assert!(said[3].parse::<u32>().unwrap() <= 512 << 10, "{ended:#?}");
    assert_eq!(said[5], "0", "{ended:#?}");
    assert!(ended.stderr.contains("z.toml") && ended.stderr.contains("REDUCED"), "{ended:#?}");
}
