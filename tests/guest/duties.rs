//! A first boot, later boots, and other instances on the same disk.

use crate::machine::{INSTANCE, KEY, MACHINE_ID, Machine, OTHER, phase, ready};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;

const NAME: &str = "ip-169-254-10-15";

#[test]
fn a_first_boot_makes_a_copy_of_the_image_into_this_instance() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.user_data("#!/bin/sh\nid -nG >~/groups\n");
    let status = machine.boots();
    for name in ["machine-id", "hostname", "host-keys", "login"] {
        assert_eq!(phase(&status, name)["state"], "ok", "{status:#}");
    }
    assert_eq!(machine.read("out/hostname"), format!("{NAME}\n"));
    assert_eq!(machine.read("etc/hostname"), format!("{NAME}\n"));
    let line = format!("\n127.0.1.1 {NAME}.eu-central-1.compute.internal {NAME}\n");
    let hosts = machine.read("etc/hosts");
    assert!(hosts.starts_with("127.0.0.1 localhost\n") && hosts.ends_with(&line), "{hosts}");

    let id = machine.read("etc/machine-id");
    assert_ne!(id.trim(), MACHINE_ID);
    assert!(id.len() == 33 && id.trim().bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(machine.read("lib/agent/machine-id"), format!("{} {INSTANCE}\n", id.trim()));

    let keys: Vec<String> = machine.host_keys().into_iter().map(|(name, _)| name).collect();
    let made = ["ecdsa", "ed25519", "rsa"];
    let wanted: Vec<String> = made
        .iter()
        .flat_map(|t| [format!("ssh_host_{t}_key"), format!("ssh_host_{t}_key.pub")])
        .collect();
    assert_eq!(keys, wanted, "the image's own are gone");
    let private = machine.path("etc/ssh/ssh_host_ed25519_key").metadata().unwrap();
    assert_eq!((private.mode() & 0o777, private.uid()), (0o600, 0));

    assert_eq!(machine.authorized(), [KEY]);
    let home = machine.path("home/ubuntu").metadata().unwrap();
    let ssh = machine.path("home/ubuntu/.ssh").metadata().unwrap();
    assert_eq!((ssh.mode() & 0o777, ssh.uid()), (0o700, home.uid()));
    assert_ne!(home.uid(), 0);
    assert!(machine.read("etc/shadow").contains("\nubuntu:!:"), "its password is locked");
    assert_eq!(machine.read("home/ubuntu/groups"), "ubuntu adm sudo\n", "the script ran as it");
    let rule = machine.path("etc/sudoers.d/90-agent");
    assert_eq!(rule.metadata().unwrap().mode() & 0o777, 0o440);
    assert!(
        machine.read("etc/sudoers.d/90-agent").contains("\nubuntu ALL=(ALL:ALL) NOPASSWD:ALL\n")
    );
    assert_eq!(
        fs::read_dir(machine.path("etc/sudoers.d")).unwrap().count(),
        1,
        "something is left"
    );
}

#[test]
fn a_cloud_config_names_the_machine_and_adds_its_keys() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine
        .user_data(&format!("#cloud-config\nhostname: box\nssh_authorized_keys:\n  - {OTHER}\n"));
    machine.boots();
    assert_eq!(machine.read("etc/hostname"), "box\n");
    assert_eq!(machine.authorized(), [KEY, OTHER]);
}

#[test]
fn a_later_boot_touches_nothing_of_it_and_what_the_user_changed_stays() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.boots();
    let (keys, id) = (machine.host_keys(), machine.read("etc/machine-id"));
    fs::write(machine.path("etc/hostname"), "mine\n").unwrap();
    fs::write(machine.path("home/ubuntu/.ssh/authorized_keys"), format!("{OTHER}\n")).unwrap();
    fs::remove_file(machine.path("etc/sudoers.d/90-agent")).unwrap();
    let hosts = machine.read("etc/hosts");
    let status = machine.boots();
    for name in ["machine-id", "hostname", "host-keys", "login"] {
        assert_eq!(phase(&status, name)["state"], "skipped", "{status:#}");
    }
    assert_eq!((machine.host_keys(), machine.read("etc/machine-id")), (keys, id));
    assert_eq!(
        (machine.read("etc/hostname").as_str(), machine.read("etc/hosts")),
        ("mine\n", hosts)
    );
    assert_eq!(machine.authorized(), [OTHER]);
    assert!(!machine.path("etc/sudoers.d/90-agent").exists());
}

#[test]
fn another_instance_on_the_same_disk_is_another_machine_with_the_same_user() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    machine.boots();
    let (keys, id) = (machine.host_keys(), machine.read("etc/machine-id"));
    machine.service.change(json!({"instance_id": "i-0fedcba9876543210", "ssh_key": OTHER}));
    machine.boots();
    let new = machine.host_keys();
    assert_eq!(new.len(), keys.len());
    assert!(new.iter().zip(&keys).all(|(new, old)| new.1 != old.1), "a host key was kept");
    assert_ne!(machine.read("etc/machine-id"), id);
    assert_eq!(machine.authorized(), [KEY, OTHER], "beside what the user has");
    assert_eq!(
        machine.read("etc/passwd").matches("ubuntu").count(),
        2,
        "{}",
        machine.read("etc/passwd")
    );
}

#[test]
fn a_machine_id_that_was_made_in_this_boot_is_the_instances_own() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    // systemd makes one where the image has an empty file.
    fs::write(machine.path("etc/machine-id"), format!("{MACHINE_ID}\n")).unwrap();
    machine.boots();
    assert_eq!(machine.read("etc/machine-id").trim(), MACHINE_ID);
    assert_eq!(machine.read("lib/agent/machine-id"), format!("{MACHINE_ID} {INSTANCE}\n"));
}

#[test]
fn names_groups_and_types_are_the_configurations() {
    if !ready() {
        return;
    }
    let machine = Machine::new(
        "[user]\nname = \"dev\"\nuid = 4711\n[guest]\nhostname = \"box.example.org\"\n\
         host_key_types = [\"ed25519\"]\ngroups = [\"adm\", \"nosuch\"]\nsudo = false\n",
    );
    machine.boots();
    assert_eq!(machine.read("out/hostname"), "box\n");
    assert_eq!(machine.host_keys().len(), 2);
    assert!(machine.read("etc/passwd").contains("\ndev:x:4711:"), "{}", machine.read("etc/passwd"));
    assert!(machine.read("etc/group").contains("adm:x:4:dev\n"));
    assert!(!machine.path("etc/sudoers.d/90-agent").exists());
    // Another name that is written is another duty.
    machine.configure("[user]\nname = \"dev\"\n[guest]\nhostname = \"other\"\n");
    machine.boots();
    assert_eq!(machine.read("out/hostname"), "other\n");
    assert!(
        machine.read("etc/hosts").ends_with("\n127.0.1.1 other\n"),
        "{}",
        machine.read("etc/hosts")
    );
}

#[test]
fn a_user_of_the_images_keeps_what_it_has_and_gets_the_keys() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    let passwd = machine.read("etc/passwd") + "ubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n";
    fs::write(machine.path("etc/passwd"), &passwd).unwrap();
    let home = machine.path("home/ubuntu");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(1000), Some(1000)).unwrap();
    machine.boots();
    assert_eq!(machine.read("etc/passwd"), passwd);
    assert_eq!(machine.authorized(), [KEY]);
    assert!(!machine.path("etc/sudoers.d/90-agent").exists(), "the image decided without");
}

#[test]
fn beside_a_cloud_init_the_duties_are_its_own_unless_they_are_asked_for() {
    if !ready() {
        return;
    }
    let machine = Machine::new("[user]\nname = \"root\"\n[guest]\nhostname = true\n");
    machine.program("usr/bin/cloud-init", "#!/bin/sh\n");
    let (keys, id) = (machine.host_keys(), machine.read("etc/machine-id"));
    let status = machine.boots();
    for name in ["machine-id", "host-keys", "login"] {
        let phase = phase(&status, name);
        assert_eq!(phase["state"], "skipped", "{status:#}");
        assert!(phase["notes"].to_string().contains("cloud-init is enabled"), "{status:#}");
    }
    assert_eq!((machine.host_keys(), machine.read("etc/machine-id")), (keys, id));
    assert_eq!(machine.read("out/hostname"), format!("{NAME}\n"));
    fs::create_dir_all(machine.path("etc/cloud")).unwrap();
    fs::write(machine.path("etc/cloud/cloud-init.disabled"), "").unwrap();
    assert_eq!(phase(&machine.boots(), "host-keys")["state"], "ok");
}

#[test]
fn what_cloud_init_has_done_on_this_instance_is_left_when_it_goes() {
    if !ready() {
        return;
    }
    let machine = Machine::new("[user]\nname = \"root\"\n");
    fs::create_dir_all(machine.path("lib/cloud/data")).unwrap();
    fs::write(machine.path("lib/cloud/data/instance-id"), format!("{INSTANCE}\n")).unwrap();
    let (keys, id) = (machine.host_keys(), machine.read("etc/machine-id"));
    machine.boots();
    assert_eq!((machine.host_keys(), machine.read("etc/machine-id")), (keys.clone(), id));
    assert_eq!(machine.read("out/hostname"), "image\n");
    machine.service.change(json!({"instance_id": "i-0fedcba9876543210"}));
    machine.boots();
    assert_ne!(machine.host_keys(), keys);
}

#[test]
fn the_plan_tells_what_would_be_done_and_does_none_of_it() {
    if !ready() {
        return;
    }
    let machine = Machine::new("");
    let plan = machine.run("agent plan").expect(0).stdout;
    for part in [
        "make the user ubuntu (groups, as far as they exist: adm, sudo, wheel, docker)",
        "let 1 SSH key of the launch log in as ubuntu",
        "set the host name ip-169-254-10-15.eu-central-1.compute.internal",
        "make SSH host keys (ed25519, ecdsa, rsa), once on this instance",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert!(!machine.read("etc/passwd").contains("ubuntu"));
}
