//! The user script: where it comes from, as whom and with what it runs, and how often.

use crate::engine::ready;
use crate::guard::{Files, Secret, Volume};
use crate::sandbox::{IDLE, Recipe};
use agent::stub::payload::Script;

#[test]
fn a_script_in_the_environment_runs_last_as_the_user() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    // It can rely on the phases before it: a tool of the baseline is there already.
    let script = "#!/bin/bash -eu\nid -u >~/uid\npwd >~/cwd\ncowsay moo >~/cow\nenv >~/env\n";
    let sandbox = Recipe::on(&volume).env("FROM_OUTSIDE", "yes").script(script).start(IDLE);
    let status = sandbox.settled();
    assert_eq!(status.state(), "complete", "{}", sandbox.logs());
    assert_eq!((status.phase("user-script"), status.attempt()), ("ok", 1));
    let read = |name: &str| sandbox.exec(&["cat", &format!("/home/iteron/{name}")]).good();
    assert_eq!((read("uid").trim(), read("cwd").trim()), ("1000", "/home/iteron"));
    assert!(read("cow").contains("moo"));
    let env = read("env");
    for part in ["HOME=/home/iteron", "FROM_OUTSIDE=yes", "GIT_CONFIG_COUNT=6"] {
        assert!(env.contains(part), "{part}: {env}");
    }
    assert!(!env.contains("MINT_USER_BOOTSTRAP"), "{env}");
}

/// Forge addresses by SSH are rewritten for the script, and for it alone.
#[test]
fn git_is_rewritten_to_https_for_the_script_alone() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let script =
        "#!/bin/sh\nfor u in git@github.com:a/b ssh://git@gitlab.com/a/b git@bitbucket.org:a/b
do git ls-remote --get-url $u; done >~/urls\n";
    let line = "git ls-remote --get-url git@github.com:a/b; cat ~/urls";
    let (_sandbox, output) = Recipe::on(&volume).script(script).run(&["sh", "-c", line]);
    assert_eq!(
        output.good(),
        "git@github.com:a/b\n\
         https://github.com/a/b\nhttps://gitlab.com/a/b\nhttps://bitbucket.org/a/b\n"
    );
}

#[test]
fn a_packed_script_is_recognised() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let long = format!("#!/bin/sh\ntouch ~/ran\n{}", "# padding\n".repeat(500));
    let text = Script::from_bytes(long.into_bytes()).unwrap().encode();
    assert!(text.starts_with("H4sI"), "it is gzip: {text}");
    let sandbox = Recipe::on(&volume).env("MINT_USER_BOOTSTRAP", &text).start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox.exec(&["test", "-e", "/home/iteron/ran"]).good();
}

#[test]
fn a_script_in_a_mounted_secret_runs() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let secret = Secret::new("#!/bin/sh\ntouch ~/ran\n");
    let sandbox = Recipe::on(&volume)
        // Without a target podman 4.3 with runc cannot mount it on a read-only root.
        .argument(&format!("--secret={},target=/etc/user-script,uid=1000,mode=0400", secret.name))
        .env("AGENT__BOOTSTRAP__FILE", "/etc/user-script")
        .start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox.exec(&["test", "-e", "/home/iteron/ran"]).good();
}

/// Clusters mount a secret's keys as links into a directory that they swap at an update.
#[test]
fn a_script_behind_a_link_runs() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let files = Files::one("..data/user-script", "#!/bin/sh\ntouch ~/ran\n");
    std::os::unix::fs::symlink("..data/user-script", files.path("user-script")).unwrap();
    let sandbox = Recipe::on(&volume)
        .argument(&files.mounted("", "/etc/secret", "ro"))
        .env("AGENT__BOOTSTRAP__FILE", "/etc/secret/user-script")
        .start(IDLE);
    assert_eq!(sandbox.settled().state(), "complete", "{}", sandbox.logs());
    sandbox.exec(&["test", "-e", "/home/iteron/ran"]).good();
}

#[test]
fn an_optional_script_file_may_be_missing() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume)
        .env("AGENT__BOOTSTRAP__FILE", "/etc/user-script")
        .env("AGENT__BOOTSTRAP__OPTIONAL", "true")
        .start(IDLE);
    let status = sandbox.settled();
    assert_eq!((status.state(), status.phase("user-script")), ("complete", "skipped"));
}

#[test]
fn an_empty_payload_is_no_script() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let sandbox = Recipe::on(&volume).env("MINT_USER_BOOTSTRAP", "").start(IDLE);
    let status = sandbox.settled();
    assert_eq!((status.state(), status.phase("user-script")), ("complete", "skipped"));
}

#[test]
fn a_bad_end_is_not_repeated_unless_asked_for() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    // Fails at its first run only.
    let script = "#!/bin/sh\necho run >>~/runs\ntest $(wc -l <~/runs) -ge 2\n";
    let sandbox = Recipe::on(&volume).script(script).hold().start(IDLE);
    assert_eq!(sandbox.settled().state(), "failed");
    sandbox.restart();
    let (seen, text) = sandbox.shows("failed", "script-failed-before");
    assert!(text.contains("attempt 1") && text.contains("agent boot --again"), "{text}");
    assert_eq!(seen.attempt(), 1);
    assert_eq!(
        sandbox.exec(&["wc", "-l", "/home/iteron/runs"]).good().trim(),
        "1 /home/iteron/runs"
    );
    // Asked for, in the running sandbox: podman gives exec the container's environment.
    let again = sandbox.exec(&["agent", "boot", "--again"]);
    assert_eq!(again.status, 0, "{}", again.stderr);
    let status = sandbox.status();
    assert_eq!((status.state(), status.attempt()), ("complete", 2));
}

#[test]
fn a_bad_end_is_repeated_at_the_next_boot_where_the_config_says_so() {
    if !ready() {
        return;
    }
    let volume = Volume::new();
    let script = "#!/bin/sh\necho run >>~/runs\ntest $(wc -l <~/runs) -ge 2\n";
    let sandbox = Recipe::on(&volume)
        .script(script)
        .hold()
        .env("AGENT__BOOTSTRAP__RETRY", "next-boot")
        .start(IDLE);
    assert_eq!(sandbox.settled().state(), "failed");
    sandbox.restart();
    let status = sandbox.settled();
    assert_eq!((status.state(), status.attempt()), ("complete", 2), "{}", sandbox.logs());
}
