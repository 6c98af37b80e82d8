//! EFS where there is none: what the mount command says, or doesn't. The command is replaced
//! by a script, because what a server does when it hangs cannot be had from a real one at will;
//! real ones are mounted in tests/vm.

use crate::machine::{MIB, Machine, ready};
use crate::util::file;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// With an NFS client and a mount program that does this.
fn machine(mount: &str, deadline: &str) -> (Machine, String) {
    let machine = Machine::new(MIB).config(&format!(
        "[[volume]]\ntarget = \"/mnt/user\"\n[volume.efs]\nid = \"fs-01234567\"\naddress = \"127.0.0.1\"\ndeadline = \"{deadline}\"\n"
    ));
    let root = machine.dir.path();
    for (name, text) in [("mount", mount), ("mount.nfs4", "exit 1")] {
        let path = file(root, name, format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir(root.join("upper")).unwrap();
    fs::create_dir(root.join("work")).unwrap();
    // mount(8) is gone once it is replaced.
    let stage = format!(
        "cp {0}/mount.nfs4 {0}/upper/; mount -t overlay -o lowerdir=/usr/sbin,upperdir={0}/upper,workdir={0}/work overlay /usr/sbin\nmount --bind {0}/mount /usr/bin/mount\n",
        root.display()
    );
    (machine, stage)
}

#[test]
fn a_machine_without_the_nfs_client_is_told_which_package_it_is_in() {
    if !ready()
        || ["/sbin/mount.nfs4", "/usr/sbin/mount.nfs4"].iter().any(|p| fs::exists(p).unwrap())
    {
        return;
    }
    let (machine, _) = machine("exit 1", "5s");
    let said = machine.boot("true").is("failed").problem("storage-program-absent");
    assert!(said.contains("nfs-common"), "{said}");
    assert!(said.contains("\"filed_under\":\"efs-mount\""), "{said}");
}

#[test]
fn a_server_that_never_answers_ends_at_the_deadline_and_the_boot_goes_on_to_its_end() {
    if !ready() {
        return;
    }
    let (machine, stage) = machine("trap '' TERM; sleep 300", "2s");
    let ended = machine.run(&format!("{stage}agent boot; agent status --json")).expect(1);
    let status = ended.json();
    let problem = &status["phases"][0]["problems"][0];
    assert_eq!(problem["code"], "efs-no-answer", "{status:#}");
    assert_eq!(problem["filed_under"], "efs-mount");
    assert!(problem["next"].as_str().unwrap().contains("2049"), "{status:#}");
    assert_eq!(status["state"], "failed");
    assert!(ended.took < Duration::from_secs(25), "{:?}", ended.took);
}

#[test]
fn a_network_that_is_away_is_tried_again_until_the_deadline() {
    if !ready() {
        return;
    }
    let (machine, stage) = machine(
        "echo \"$@\" >>/run/tries; echo 'mount.nfs4: Connection refused' >&2; exit 32",
        "6s",
    );
    let ended = machine.run(&format!("{stage}agent boot; agent status; cat /run/tries")).expect(0);
    let expected = "-t nfs4 -o nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport 127.0.0.1:/ /mnt/user";
    let tries = ended.stdout.lines().filter(|l| *l == expected).count();
    assert!(tries >= 3, "{tries}: {ended:#?}");
    assert!(ended.stdout.contains("mount.nfs4: Connection refused"), "{ended:#?}");
}

#[test]
fn a_server_that_refuses_is_not_asked_again() {
    if !ready() {
        return;
    }
    let (machine, stage) = machine(
        "echo x >>/run/tries; echo 'mount.nfs4: access denied by server while mounting 127.0.0.1:/' >&2; exit 32",
        "60s",
    );
    let ended = machine.run(&format!("{stage}agent boot; agent status; cat /run/tries")).expect(0);
    assert!(ended.stdout.ends_with("\nx\n"), "{ended:#?}");
    assert!(ended.stdout.contains("the file system's policy"), "{ended:#?}");
}

/// A mount command that says it was done and did nothing.
#[test]
fn what_is_not_in_the_mount_table_is_not_mounted() {
    if !ready() {
        return;
    }
    let (machine, stage) = machine("exit 0", "5s");
    let ended = machine.run(&format!("{stage}agent boot; agent status")).expect(1);
    assert!(ended.stdout.contains("127.0.0.1:/ cannot be mounted at /mnt/user"), "{ended:#?}");
}

#[test]
fn a_launch_without_a_file_system_is_complete_and_says_so() {
    if !ready() {
        return;
    }
    let machine =
        Machine::new(MIB).config("[[volume]]\ntarget = \"/mnt/user\"\n[volume.efs]\n[[volume]]\ntarget = \"/mnt/projects\"\n[volume.ebs]\n");
    machine
        .boot("true")
        .is("complete")
        .notes("no EFS file system is given for /mnt/user (MINT_EFS_ID)")
        .notes("no EBS volume is given for /mnt/projects (MINT_PROJECT_DEV)");
}
