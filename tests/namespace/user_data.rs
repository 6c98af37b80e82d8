//! What the user-data asks of root, on a machine of namespaces: boothooks, files, packages and
//! commands, in order, once an instance; several scripts; and nothing at all where a part of it
//! is refused. The user namespace has one user, who is root in it.

use crate::machine::{Machine, problem};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Stands for a secret. Nothing else that is printed looks like it.
const TOKEN: &str = "ghp_0PlantedT0kenOfTheUserData";

/// A MIME message of these parts: type, file name, text.
fn message(parts: &[(&str, &str, &str)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(kind, name, text)| {
            format!(
                "--==B==\nContent-Type: text/{kind}; charset=\"us-ascii\"\nContent-Disposition: attachment; filename=\"{name}\"\n\n{text}\n"
            )
        })
        .collect();
    format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"==B==\"\n\n{parts}--==B==--\n"
    )
}

fn out(machine: &Machine, name: &str) -> String {
    fs::read_to_string(machine.sandbox.path(&format!("out/{name}"))).unwrap_or_default()
}

fn etc(machine: &Machine, name: &str) -> String {
    fs::read_to_string(machine.sandbox.path(&format!("etc/{name}"))).unwrap_or_default()
}

fn again(machine: &Machine, user_data: &str) {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(user_data);
    machine.service.change(json!({ "user_data_base64": text }));
}

fn mode(machine: &Machine, name: &str) -> u32 {
    fs::metadata(machine.sandbox.path(name)).unwrap().permissions().mode() & 0o7777
}

#[track_caller]
fn is(status: &Value, state: &str) {
    assert_eq!(status["state"], state, "{status:#}");
}

/// A package manager that notes how it was called, first on PATH.
fn with_apt(machine: &Machine, then: &str) {
    let script = format!("#!/bin/sh\necho \"apt $*\" >>/mnt/out/order\n{then}\n");
    let path = machine.sandbox.path("bin/apt-get");
    fs::write(&path, script).unwrap();
    crate::util::give(&path, 0o755);
}

#[test]
fn everything_is_done_in_its_order_and_once_but_for_the_boothook() {
    let config = "#cloud-config\npackages: [git, [jq, 1.7]]\nwrite_files:\n\
        - {path: /etc/made/here/file, content: early, permissions: '0600'}\n\
        - {path: /etc/late, content: late, defer: true}\n\
        - {path: /etc/grows, content: \"line\\n\", append: true}\n\
        runcmd:\n- cd /etc/made\n- [sh, -c, 'echo \"run $(pwd) $INSTANCE_ID $HOME $(cat /etc/late)\" >>/mnt/out/order']\n";
    let hook = "#cloud-boothook\n#!/bin/sh\necho \"hook $INSTANCE_ID $(cat /etc/grows 2>/dev/null)\" >>/mnt/out/order\n";
    let script = |n: u8| format!("#!/bin/sh\necho script {n} >>/mnt/out/order\n");
    let text = message(&[
        ("x-shellscript", "one.sh", &script(1)),
        ("cloud-config", "c.yaml", config),
        ("cloud-boothook", "hook.sh", hook),
        ("x-shellscript", "two.sh", &script(2)),
    ]);
    let machine = Machine::with(&text, "");
    with_apt(&machine, "[ ! -e /etc/late ] && cat /etc/made/here/file >/dev/null || exit 9");
    is(&machine.boot(), "complete");
    let expected = "hook i-0123456789abcdef0 \napt -q -y -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 \
        -o APT::Update::Error-Mode=any update\n\
        apt -q -y -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 install git jq=1.7\n\
        run /etc/made i-0123456789abcdef0 /root late\nscript 1\nscript 2\n";
    assert_eq!(out(&machine, "order"), expected);
    assert_eq!((etc(&machine, "late"), etc(&machine, "grows")), ("late".into(), "line\n".into()));
    assert_eq!((mode(&machine, "etc/made/here/file"), mode(&machine, "etc/late")), (0o600, 0o644));
    assert_eq!(mode(&machine, "etc/made"), 0o755);

    fs::write(machine.sandbox.path("etc/late"), "changed since").unwrap();
    is(&machine.boot(), "complete");
    let hook = "hook i-0123456789abcdef0 line\n";
    assert_eq!(out(&machine, "order"), format!("{expected}{hook}"));
    assert_eq!(etc(&machine, "late"), "changed since");
    // Another instance on the same disk.
    fs::remove_file(machine.sandbox.path("etc/late")).unwrap();
    machine.service.change(json!({"instance_id": "i-0fedcba9876543210"}));
    is(&machine.boot(), "complete");
    assert_eq!(etc(&machine, "grows"), "line\nline\n");
    assert_eq!(out(&machine, "order").lines().filter(|l| l.starts_with("script")).count(), 4);
}

#[test]
fn a_user_data_of_which_a_part_is_refused_does_nothing() {
    let config = "#cloud-config\nwrite_files: [{path: /etc/x, content: y}]\nusers: [default]\nruncmd: [touch /mnt/out/order]\nbootcmd: [ls]\n";
    let script = "#!/bin/sh\ntouch /mnt/out/order\n";
    for text in [
        config.to_owned(),
        message(&[
            ("x-shellscript", "s", script),
            ("cloud-config", "c", config),
            ("cloud-boothook", "h", script),
        ]),
    ] {
        let machine =
            Machine::with(&text, "[[step]]\nname = \"s\"\ncommand = \"touch /mnt/out/order\"\n");
        let status = machine.boot();
        is(&status, "failed");
        assert_eq!(
            (&status["phase"], &status["failure_phase"]),
            (&json!("user-data"), &json!("config"))
        );
        assert_eq!(problem(&status, "user-data"), "user-data-unsupported");
        let text = status.to_string();
        assert!(
            text.contains("line 3: `users`") && text.contains("line 5: `bootcmd`"),
            "{status:#}"
        );
        assert!(out(&machine, "order").is_empty() && etc(&machine, "x").is_empty());
    }
}

#[test]
fn the_first_script_that_fails_ends_it_and_is_named() {
    let parts = |first: &str| {
        message(&[
            ("x-shellscript", "one.sh", &format!("#!/bin/sh\necho 1 >>/mnt/out/order\n{first}\n")),
            ("x-shellscript", "two.sh", "#!/bin/sh\necho 2 >>/mnt/out/order\nexit 3\n"),
            ("x-shellscript", "three.sh", "#!/bin/sh\necho 3 >>/mnt/out/order\n"),
        ])
    };
    let machine = Machine::with(parts(""), "");
    let status = machine.boot();
    is(&status, "failed");
    assert_eq!(problem(&status, "user-script"), "script-failed");
    assert!(
        status["summary"]
            .as_str()
            .unwrap()
            .contains("part 2 (two.sh) of the user script ended with status 3"),
        "{status:#}"
    );
    assert_eq!(out(&machine, "order"), "1\n2\n");
    // The whole of them is what has run.
    assert_eq!(problem(&machine.boot(), "user-script"), "script-failed-before");
    assert_eq!(out(&machine, "order"), "1\n2\n");
    again(&machine, &parts("# changed"));
    machine.boot();
    assert_eq!(out(&machine, "order"), "1\n2\n1\n2\n");
}

#[test]
fn of_several_scripts_none_is_run_where_one_cannot_be() {
    let text = message(&[
        ("x-shellscript", "one.sh", "#!/bin/sh\necho 1 >>/mnt/out/order\n"),
        ("x-shellscript", "two.sh", "#!sh\n"),
    ]);
    let machine = Machine::with(text, "");
    let status = machine.boot();
    is(&status, "failed");
    assert_eq!(problem(&status, "user-script"), "script-first-line");
    assert!(status["summary"].as_str().unwrap().contains("part 2 (two.sh)"), "{status:#}");
    assert!(out(&machine, "order").is_empty());
}

#[test]
fn root_runs_the_script_where_the_operator_says_so() {
    let script = "#!/bin/sh\necho \"$(id -u) $HOME $PWD $MINT_IDLE_TIMEOUT\" >/mnt/out/who\n";
    let machine = Machine::with(script, "[bootstrap]\nuser = \"root\"\n");
    is(&machine.boot(), "complete");
    assert_eq!(out(&machine, "who"), "0 /root / 60\n");
    let plan = machine.run("agent plan").expect(0);
    assert!(plan.stdout.contains("as root once on this instance"), "{plan:#?}");
    let machine = Machine::with(script, "");
    is(&machine.boot(), "complete");
    assert_eq!(out(&machine, "who"), "0 /mnt/home /mnt/home 60\n");
}

#[test]
fn a_stub_among_the_parts_is_the_parameters_and_a_script() {
    let launch = agent::stub::Launch {
        parameters: agent::stub::Parameters { vm_name: Some("box".into()), ..Default::default() },
        script: Some(
            agent::stub::payload::Script::verbatim(
                b"#!/bin/sh\necho stub $MINT_VM_NAME >>/mnt/out/order\n".to_vec(),
            )
            .unwrap(),
        ),
        fetch: None,
    };
    let stub = String::from_utf8(agent::stub::render(&launch).unwrap().into_bytes()).unwrap();
    let before = "#!/bin/sh\necho first $MINT_VM_NAME >>/mnt/out/order\n";
    let text = message(&[("x-shellscript", "a", before), ("x-shellscript", "b", &stub)]);
    let machine = Machine::with(&text, "");
    let status = machine.boot();
    is(&status, "complete");
    assert_eq!(status["machine"]["parameters"]["vm_name"], "box");
    assert_eq!(out(&machine, "order"), "first box\nstub box\n");
    let twice = message(&[("x-shellscript", "a", &stub), ("x-shellscript", "b", &stub)]);
    let status = Machine::with(twice, "").boot();
    assert!(status["summary"].as_str().unwrap().contains("part 2 (b): it is a stub"), "{status:#}");
}

#[test]
fn commands_that_fail_on_the_way_degrade_and_the_last_one_decides() {
    let machine =
        Machine::with("#cloud-config\nruncmd:\n- 'false'\n- echo on >>/mnt/out/order\n", "");
    let status = machine.boot();
    is(&status, "degraded");
    assert_eq!(problem(&status, "user-data"), "runcmd-partly-failed");
    assert!(status.to_string().contains("command 1 (line 3) ended with status 1"), "{status:#}");
    assert_eq!(out(&machine, "order"), "on\n");
    let status = machine.boot();
    is(&status, "degraded");
    assert_eq!(problem(&status, "user-data"), "runcmd-partly-failed", "nothing has mended it");
    assert_eq!(out(&machine, "order"), "on\n", "they came to their end");
}

#[test]
fn commands_that_ended_badly_are_not_repeated_unless_somebody_asks() {
    let text = "#cloud-config\nruncmd:\n- echo run >>/mnt/out/order\n- '[ -e /mnt/out/mended ]'\n";
    let machine = Machine::with(text, "");
    let status = machine.boot();
    is(&status, "failed");
    assert_eq!(
        (problem(&status, "user-data"), &status["failure_phase"]),
        ("runcmd-failed", &json!("user-data"))
    );
    let status = machine.boot();
    assert_eq!(problem(&status, "user-data"), "runcmd-failed-before");
    assert_eq!(out(&machine, "order"), "run\n");
    machine.sandbox.put_out("mended", "x");
    machine.run("agent boot --no-tags --again 2>/dev/null").expect(0);
    assert_eq!(out(&machine, "order"), "run\nrun\n");
    machine.run("agent boot --no-tags 2>/dev/null").expect(0);
    assert_eq!(out(&machine, "order"), "run\nrun\n");
}

#[test]
fn what_was_cut_off_is_done_again_and_nothing_is_appended_twice() {
    let text = "#cloud-config\nwrite_files: [{path: /etc/grows, content: \"a\\n\", append: true}]\nruncmd:\n- echo run >>/mnt/out/order; [ -e /mnt/out/mended ] || kill -9 $(ps -o ppid= -p $$)\n";
    let machine = Machine::with(text, "");
    let status = machine.boot();
    is(&status, "failed");
    // The files came to their end, as the ledger knows; then as if they had not.
    let ledger = machine.sandbox.path("lib/agent/i-0123456789abcdef0/scripts");
    let records = fs::read_to_string(&ledger).unwrap();
    assert!(
        records.contains("user-data/write_files") && records.contains("user-data/runcmd"),
        "{records}"
    );
    let cut: String = records.split_inclusive('\n').take(1).collect();
    assert!(cut.contains("step-began"), "{cut}");
    fs::write(&ledger, cut).unwrap();
    machine.sandbox.put_out("mended", "x");
    is(&machine.boot(), "complete");
    assert_eq!(
        (etc(&machine, "grows").as_str(), out(&machine, "order").as_str()),
        ("a\n", "run\nrun\n")
    );
}

#[test]
fn a_boothook_that_fails_ends_the_boot_before_anything_else() {
    let hook = "#cloud-boothook\n#!/bin/sh\nexit 5\n";
    let text = message(&[
        ("cloud-config", "c", "#cloud-config\nruncmd: [touch /mnt/out/order]\n"),
        ("cloud-boothook", "h", hook),
    ]);
    let machine = Machine::with(text, "");
    let status = machine.boot();
    is(&status, "failed");
    assert_eq!(problem(&status, "user-data"), "boothook-failed");
    assert!(
        status["summary"]
            .as_str()
            .unwrap()
            .contains("the boothook in part 2 (h) ended with status 5"),
        "{status:#}"
    );
    assert!(out(&machine, "order").is_empty());
}

#[test]
fn a_package_manager_that_fails_is_tried_again_and_then_fails_as_packages() {
    let machine = Machine::with("#cloud-config\npackages: [no-such]\n", "");
    with_apt(
        &machine,
        "case \"$*\" in *install*) echo E: Unable to locate package no-such >&2; exit 100;; esac",
    );
    let status = machine.boot();
    is(&status, "failed");
    assert_eq!(
        (problem(&status, "user-data"), &status["failure_phase"]),
        ("packages-failed", &json!("packages"))
    );
    assert!(status.to_string().contains("Unable to locate package no-such"), "{status:#}");
    assert_eq!(out(&machine, "order").lines().filter(|l| l.contains("install")).count(), 3);
    with_apt(&machine, "");
    is(&machine.boot(), "complete");
}

#[test]
fn indexes_that_cannot_be_read_are_the_reason_where_a_package_is_missing() {
    let machine = Machine::with("#cloud-config\npackages: [git]\n", "");
    let update = "*update*) echo E: Could not connect to mirror >&2; exit 100;;";
    with_apt(
        &machine,
        &format!("case \"$*\" in {update} *install*) echo E: no git >&2; exit 100;; esac"),
    );
    let status = machine.boot();
    is(&status, "failed");
    assert_eq!(
        (problem(&status, "user-data"), &status["failure_phase"]),
        ("packages-failed", &json!("packages"))
    );
    let text = status.to_string();
    assert!(text.contains("E: Could not connect to mirror\\nE: no git"), "{status:#}");
    // What the image has of them may be enough.
    with_apt(&machine, &format!("case \"$*\" in {update} esac"));
    let status = machine.boot();
    is(&status, "degraded");
    assert_eq!(problem(&status, "user-data"), "packages-indexes");
    assert!(status.to_string().contains("Could not connect to mirror"), "{status:#}");
    is(&machine.boot(), "complete");
    // Where they are all that was asked for, they are missing.
    let machine = Machine::with("#cloud-config\npackage_update: true\n", "");
    with_apt(&machine, "exit 100");
    let status = machine.boot();
    is(&status, "failed");
    assert_eq!(problem(&status, "user-data"), "packages-failed");
}

#[test]
fn another_reader_of_the_indexes_is_waited_for() {
    let hold = "import fcntl,os,time\nf=open('/var/lib/apt/lists/lock','w')\nfcntl.lockf(f,fcntl.LOCK_EX)\n\
        open('/mnt/out/held','w')\ntime.sleep(4)\nopen('/mnt/out/released','w')";
    let hook = format!(
        "#cloud-boothook\n#!/bin/sh\nmkdir -p /var/lib/apt/lists\nsetsid python3 -c \"{hold}\" </dev/null >/dev/null 2>&1 &\n\
         until [ -e /mnt/out/held ]; do sleep 0.1; done\n"
    );
    let text = message(&[
        ("cloud-boothook", "h", &hook),
        ("cloud-config", "c", "#cloud-config\npackages: [git]\n"),
    ]);
    let machine = Machine::with(&text, "");
    // It doesn't wait, like apt.
    with_apt(&machine, "[ -e /mnt/out/released ] || exit 100");
    is(&machine.boot(), "complete");
    assert_eq!(out(&machine, "order").lines().count(), 2, "{}", out(&machine, "order"));
}

#[test]
fn an_owner_that_is_not_known_is_named_and_the_next_boot_tries_again() {
    let machine = Machine::with(
        "#cloud-config\nwrite_files: [{path: /etc/x, content: y, owner: 'nginx:root'}]\n",
        "",
    );
    let status = machine.boot();
    is(&status, "failed");
    assert_eq!(problem(&status, "user-data"), "write-file-owner");
    assert!(status["summary"].as_str().unwrap().contains("user nginx"), "{status:#}");
    let passwd = machine.sandbox.path("etc/passwd");
    let text = fs::read_to_string(&passwd).unwrap();
    fs::write(&passwd, format!("{text}nginx:x:0:0::/:/bin/sh\n")).unwrap();
    is(&machine.boot(), "complete");
    assert_eq!(etc(&machine, "x"), "y");
}

#[test]
fn no_content_stands_in_plan_journal_log_or_arguments() {
    let config = format!(
        "#cloud-config\nwrite_files: [{{path: /etc/x, content: {TOKEN}}}]\nruncmd:\n- 'cat /proc/*/cmdline >/mnt/out/arguments; : {TOKEN}; false'\n"
    );
    let script =
        format!("#!/bin/sh\n# {TOKEN}\ncat /proc/*/cmdline >>/mnt/out/arguments\nexit 1\n");
    let text = message(&[
        ("cloud-config", "c", &config),
        ("x-shellscript", "s", &script),
        ("cloud-boothook", "h", &script.replace("exit 1", "exit 0")),
    ]);
    let machine = Machine::with(&text, "");
    let ended = machine.run(
        "agent plan; agent plan --json; agent boot --no-tags; agent status --json; cat $(find /run /var/lib/agent -type f)",
    );
    assert!(!ended.all().contains(TOKEN), "{ended:#?}");
    assert!(ended.stdout.contains("write /etc/x (30 bytes, 0644 root:root)"), "{ended:#?}");
    assert!(!out(&machine, "arguments").is_empty() && !out(&machine, "arguments").contains(TOKEN));
    assert_eq!(etc(&machine, "x"), TOKEN);
    let left = machine.run("find / -xdev -name 'agent-script-*' 2>/dev/null; find /run /tmp /dev/shm -name 'agent-script-*'");
    assert_eq!(left.stdout, "", "{left:#?}");
}

#[test]
fn a_machine_with_several_kinds_says_what_it_was_given() {
    let text = message(&[("x-shellscript", "s", "#!/bin/sh\n")]);
    let machine = Machine::with(&text, "");
    assert_eq!(machine.boot()["machine"]["user_data"], "MIME message, 1 part");
    again(&machine, "#cloud-config\nhostname: box\n");
    let status = machine.boot();
    is(&status, "complete");
    assert_eq!(status["machine"]["user_data"], "cloud-config");
}

/// Two pieces for one file, and a third that nobody can own: nothing is written, and later once.
#[test]
fn what_is_appended_is_appended_once_however_often_it_is_tried() {
    let config = "#cloud-config\nwrite_files:\n- {path: /etc/app, append: true, content: \"A\\n\"}\n\
        - {path: /etc/app, append: true, content: \"B\\n\"}\n- {path: /etc/other, owner: 'nobody-here:root', content: x}\n";
    let machine = Machine::with(config, "");
    let status = machine.boot();
    assert_eq!(problem(&status, "user-data"), "write-file-owner", "{status:#}");
    assert_eq!(etc(&machine, "app"), "");
    let good = config.replace("nobody-here:root", "root:root");
    again(&machine, &good);
    is(&machine.boot(), "complete");
    is(&machine.boot(), "complete");
    assert_eq!(etc(&machine, "app"), "A\nB\n");
}

#[test]
fn the_user_datas_phase_can_be_run_by_hand() {
    let config = "#cloud-config\nruncmd: ['echo run >>/mnt/out/order']\n";
    let machine = Machine::with(config, "");
    is(&machine.boot(), "complete");
    let ended = machine.run("agent boot --no-tags --only user-data --again");
    assert_eq!(ended.code(), 0, "{ended:#?}");
    assert_eq!(out(&machine, "order"), "run\nrun\n");
    for phase in agent::plan::PhaseName::ALL {
        assert_eq!(agent::plan::PhaseName::parse(phase.word()), Ok(phase));
    }
}
