//! What fails, what is cut off, what is away: somebody can still look.

use crate::machine::{KEY, Machine, OTHER, phase, problem, ready};
use crate::util::{eventually, signal};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

/// Slow the first time, and half done when it is cut off.
const SLOW_KEYGEN: &str = "#!/bin/sh
for last; do :; done
if [ -e /mnt/out/slow ]; then echo half >\"$last\"; echo $$ >>/mnt/out/making; sleep 60; fi
exec /mnt/out/ssh-keygen \"$@\"
";

#[test]
fn keys_whose_making_was_cut_off_are_all_made_again() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    fs::copy("/usr/bin/ssh-keygen", machine.path("out/ssh-keygen")).unwrap();
    machine.program("usr/bin/ssh-keygen", SLOW_KEYGEN);
    fs::write(machine.path("out/slow"), "").unwrap();
    let running = machine.start("agent boot >/mnt/out/log 2>&1");
    eventually("keys are being made", || fs::read_to_string(machine.path("out/making")).ok());
    // The power goes.
    signal(-running.pid(), 9);
    running.end();
    fs::remove_file(machine.path("out/slow")).unwrap();
    assert!(!machine.path("etc/ssh/ssh_host_rsa_key").exists(), "only whole keys take their names");
    let status = machine.boots();
    assert!(phase(&status, "host-keys")["notes"].to_string().contains("cut off"), "{status:#}");
    assert_eq!(machine.host_keys().len(), 6);
    let left: Vec<_> = fs::read_dir(machine.path("etc/ssh")).unwrap().collect();
    assert_eq!(left.len(), 7, "something is left: {left:?}");
    let keys = machine.host_keys();
    machine.boots();
    assert_eq!(machine.host_keys(), keys, "that was their end");
}

#[test]
fn keys_that_cannot_be_made_fail_the_boot_and_the_rest_of_the_way_in_is_laid() {
    if !ready() {
        return;
    }
    let machine = Machine::new("[[step]]\nname = \"a\"\ncommand = \"touch /mnt/out/step\"\n");
    machine.program("usr/bin/ssh-keygen", "#!/bin/sh\necho no entropy; exit 3\n");
    let status = machine.boot();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(
        (&status["phase"], &status["failure_phase"]),
        (&json!("host-keys"), &json!("host-keys"))
    );
    assert_eq!(problem(&status, "host-keys"), "host-keys");
    assert!(phase(&status, "host-keys").to_string().contains("no entropy"), "{status:#}");
    assert_eq!(phase(&status, "login")["state"], "ok", "{status:#}");
    assert_eq!(machine.authorized(), [KEY]);
    assert_eq!(phase(&status, "provision")["state"], "not-run", "{status:#}");
    assert!(!machine.path("out/step").exists());
    assert_eq!(machine.read("etc/ssh/ssh_host_ed25519_key"), "the image's\n");
    fs::remove_file(machine.path("usr/bin/ssh-keygen")).unwrap();
    machine.boots();
    assert!(machine.path("out/step").exists());
}

#[test]
fn user_data_that_cannot_be_used_keeps_nobody_out() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.user_data("\u{7f}ELF is not what is meant");
    let status = machine.boot();
    assert_eq!((&status["state"], &status["phase"]), (&json!("failed"), &json!("user-data")));
    for name in ["machine-id", "hostname", "host-keys", "login"] {
        assert_eq!(phase(&status, name)["state"], "ok", "{status:#}");
    }
    assert_eq!(machine.authorized(), [KEY]);
    assert_eq!(phase(&status, "volume")["state"], "not-run", "{status:#}");
}

#[test]
fn without_the_metadata_nothing_is_guessed_and_what_is_known_is_done() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.service.faults(json!([{"do": "status", "status": 503}]));
    let (keys, id) = (machine.host_keys(), machine.read("etc/machine-id"));
    let status = machine.boot();
    assert_eq!((&status["state"], &status["phase"]), (&json!("failed"), &json!("metadata")));
    assert_eq!((machine.host_keys(), machine.read("etc/machine-id")), (keys.clone(), id.clone()));
    assert_eq!(phase(&status, "login")["state"], "ok", "a user is a user: {status:#}");
    assert!(machine.read("etc/passwd").contains("ubuntu"));

    // Where the instance is known without the service, all that needs nothing else of it is done.
    machine.configure("[bootstrap]\ninstance = \"known\"\n");
    let status = machine.boot();
    assert_eq!(phase(&status, "host-keys")["state"], "ok", "{status:#}");
    assert_ne!(machine.host_keys(), keys);
    assert_ne!(machine.read("etc/machine-id"), id);
    assert!(machine.authorized().is_empty());
    machine.service.faults(json!([]));
    let keys = machine.host_keys();
    machine.boots();
    assert_eq!(machine.authorized(), [KEY], "once they can be read");
    assert_eq!(machine.host_keys(), keys);
}

#[test]
fn a_machine_without_host_keys_gets_some_though_nobody_knows_its_instance() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    for (name, _) in machine.host_keys() {
        fs::remove_file(machine.path("etc/ssh").join(name)).unwrap();
    }
    machine.service.faults(json!([{"do": "status", "status": 503}]));
    machine.boot();
    let passing = machine.host_keys();
    assert_eq!(passing.len(), 6, "a server without any does not start");
    machine.service.faults(json!([]));
    machine.boots();
    assert_ne!(machine.host_keys(), passing, "they were nobody's");
}

#[test]
fn a_link_in_the_users_home_leads_nobody_astray() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.boots();
    fs::remove_dir_all(machine.path("home/ubuntu/.ssh")).unwrap();
    symlink("/etc/agent", machine.path("home/ubuntu/.ssh")).unwrap();
    machine.service.change(json!({"instance_id": "i-0fedcba9876543210", "ssh_key": OTHER}));
    let status = machine.boot();
    assert_eq!((&status["state"], problem(&status, "login")), (&json!("failed"), "login-keys"));
    assert!(!machine.path("etc/agent/authorized_keys").exists());
    fs::remove_file(machine.path("home/ubuntu/.ssh")).unwrap();
    machine.boots();
    assert_eq!(machine.authorized(), [OTHER]);
}

#[test]
fn a_rule_that_visudo_refuses_is_none_and_degrades_the_boot() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.program("usr/sbin/visudo", "#!/bin/sh\necho syntax error; exit 1\n");
    let status = machine.boot();
    assert_eq!((&status["state"], problem(&status, "login")), (&json!("degraded"), "login-sudo"));
    assert_eq!(fs::read_dir(machine.path("etc/sudoers.d")).unwrap().count(), 0);
    assert_eq!(machine.authorized(), [KEY], "the way in is laid all the same");
    // It is tried again, and nothing else is.
    fs::write(machine.path("home/ubuntu/.ssh/authorized_keys"), "").unwrap();
    assert_eq!(machine.boot()["state"], "degraded");
    machine.program("usr/sbin/visudo", "#!/bin/sh\n");
    machine.boots();
    assert!(machine.path("etc/sudoers.d/90-agent").exists());
    assert!(machine.authorized().is_empty());
}

#[test]
fn a_user_whose_making_was_cut_off_gets_the_rest_at_the_next_boot() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.program("usr/sbin/visudo", "#!/bin/sh\necho x >/mnt/out/checking; sleep 60\n");
    let running = machine.start("agent boot >/mnt/out/log 2>&1");
    eventually("the rule is being checked", || fs::read(machine.path("out/checking")).ok());
    signal(-running.pid(), 9);
    running.end();
    assert!(machine.read("etc/passwd").contains("ubuntu"));
    assert!(!machine.path("etc/sudoers.d/90-agent").exists());
    machine.program("usr/sbin/visudo", "#!/bin/sh\n");
    machine.boots();
    assert!(machine.read("etc/sudoers.d/90-agent").contains("ubuntu ALL="));
    assert_eq!(machine.authorized(), [KEY]);
    assert_eq!(fs::read_dir(machine.path("etc/sudoers.d")).unwrap().count(), 1);
}

#[test]
fn a_user_who_cannot_be_made_fails_the_boot_and_nothing_is_run_as_root_instead() {
    if !ready() {
        return;
    }
    let machine = Machine::new("[user]\nname = \"Not A Name\"\n");
    machine.user_data("#!/bin/sh\ntouch /mnt/out/script\n");
    let status = machine.boot();
    assert_eq!((&status["state"], problem(&status, "login")), (&json!("failed"), "login-user"));
    let ended = machine.run("agent boot --only user-script 2>&1; agent status").all();
    assert!(ended.contains("is not there yet"), "{ended}");
    assert!(!machine.path("out/script").exists());
    // Without the duty it is what it was: nobody's business but the configuration's.
    machine.configure("[user]\nname = \"nobody-here\"\n[guest]\nlogin = false\n");
    assert_eq!(problem(&machine.boot(), "config"), "user-unknown");
}

/// `useradd` is killed once it has written the account: there is no home yet, and perhaps no group.
#[test]
fn a_user_of_whom_only_the_account_was_written_is_finished_at_the_next_boot() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.program(
        "usr/sbin/useradd",
        "#!/bin/sh\necho 'ubuntu:x:1000:1000::/home/ubuntu:/bin/sh' >>/etc/passwd\nkill -9 -1\n",
    );
    machine.run("agent boot >/mnt/out/log 2>&1");
    fs::remove_file(machine.path("usr/sbin/useradd")).unwrap();
    let status = machine.boots();
    assert_eq!(machine.authorized(), [KEY], "{status:#}");
    let told = machine.run("id -un ubuntu; id -Gn ubuntu; stat -c '%U %G %a' /home/ubuntu; grep -c ubuntu: /etc/shadow");
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!((lines[0], lines[3]), ("ubuntu", "1"), "{told:#?}");
    assert!(lines[1].contains("ubuntu") && lines[1].contains("sudo"), "{told:#?}");
    assert!(lines[2].starts_with("ubuntu ubuntu 7"), "{told:#?}");
    assert!(machine.read("etc/sudoers.d/90-agent").contains("ubuntu ALL="));
    machine.boots();
}

#[test]
fn a_home_on_a_volume_has_the_launchs_keys_once_it_is_mounted() {
    if !ready() {
        return;
    }
    let machine = Machine::new(
        "[[volume]]\ntarget = \"/home/ubuntu\"\nmin_free = 0\nmin_inodes = 0\n\
         mount = { source = \"/mnt/out/disk\", fstype = \"none\", options = [\"bind\"] }\n",
    );
    let keys =
        |machine: &Machine| fs::read_to_string(machine.path("out/disk/.ssh/authorized_keys"));
    machine.run("mkdir -p /mnt/out/disk/.ssh; chown -R 1000:1000 /mnt/out/disk; chmod 700 /mnt/out/disk/.ssh");
    fs::write(machine.path("out/disk/.ssh/authorized_keys"), format!("{OTHER}\n")).unwrap();
    machine.run("chown 1000:1000 /mnt/out/disk/.ssh/authorized_keys");
    let status = machine.boot();
    assert_eq!(status["state"], "complete", "{status:#}");
    assert_eq!(keys(&machine).unwrap(), format!("{OTHER}\n{KEY}\n"), "{status:#}");
    // What the user takes away stays away.
    fs::write(machine.path("out/disk/.ssh/authorized_keys"), format!("{OTHER}\n")).unwrap();
    machine.boot();
    assert_eq!(keys(&machine).unwrap(), format!("{OTHER}\n"));
}

#[test]
fn keys_of_the_user_data_may_have_options() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    let line = format!("from=\"10.0.0.0/8\",no-pty {OTHER}");
    machine.user_data(&format!("#cloud-config\nssh_authorized_keys: ['{line}']\n"));
    machine.boots();
    assert_eq!(machine.authorized(), [KEY.to_owned(), line]);
}

/// A launch may have said that the machine is never to stop; who cannot read that doesn't guess.
#[test]
fn an_unknown_timeout_of_the_launch_stops_nothing() {
    if !ready() {
        return;
    }
    let machine = Machine::new("[idle]\ngrace = \"1s\"\n");
    let state = |machine: &Machine| {
        let ended = machine.run("agent boot >/mnt/out/log 2>&1; sleep 1.5; agent idle --json");
        ended.json()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&machine), "idle");
    machine.user_data("#include\nhttps://example.org/x\n");
    assert_eq!(state(&machine), "unknown");
    machine.service.faults(json!([{"do": "status", "status": 503}]));
    assert_eq!(state(&machine), "unknown");
    machine.configure("[idle]\ngrace = \"1s\"\ntimeout = \"1h\"\n");
    assert_eq!(state(&machine), "idle");
}
