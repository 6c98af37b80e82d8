//! What each key allows by itself and the whole does not: named with the key to change.

use super::config_files::{accepted, refused};

#[test]
fn a_volume_needs_a_target() {
    refused("[[volume]]\nrequired = true\n", None, &["a [[volume]] has no `target`; write target"]);
}

#[test]
fn a_volume_is_declared_once_in_a_file() {
    refused(
        "[[volume]]\ntarget = \"/data\"\n[[volume]]\ntarget = \"/data\"\n",
        None,
        &["volume /data is declared twice; join the two entries"],
    );
    accepted("[[volume]]\ntarget = \"/data\"\n[[volume]]\ntarget = \"/more\"\n");
}

#[test]
fn a_mount_needs_a_source_and_a_type() {
    let volume = "[[volume]]\ntarget = \"/data\"\n";
    refused(
        &format!("{volume}mount = {{ fstype = \"ext4\" }}\n"),
        None,
        &["volume /data says `mount` without `source`"],
    );
    refused(
        &format!("{volume}mount = {{ source = \"/dev/x\" }}\n"),
        None,
        &["volume /data says `mount` without `fstype`"],
    );
}

#[test]
fn a_mount_point_holds_one_thing() {
    let volume = "[[volume]]\ntarget = \"/data\"\n";
    refused(
        &format!("{volume}[volume.efs]\n[volume.ebs]\n"),
        None,
        &["volume /data: `efs` and `ebs` stand beside each other; one mount point holds one"],
    );
    let mount = "mount = { source = \"x\", fstype = \"tmpfs\" }\n";
    refused(&format!("{volume}{mount}[volume.ebs]\n"), None, &["`mount` and `ebs` stand beside"]);
    refused(
        "[[volume]]\ntarget = \"/\"\n[volume.ebs]\n",
        None,
        &["volume /: nothing is mounted over the root"],
    );
    accepted(&format!("{volume}[volume.efs]\n"));
    accepted(&format!("{volume}[volume.ebs]\n"));
}

/// They become parts of a host name, of a path, and of a command line.
#[test]
fn what_a_volume_is_made_of_has_a_form() {
    let table = |kind: &str, line: &str| {
        format!("[[volume]]\ntarget = \"/data\"\n[volume.{kind}]\n{line}\n")
    };
    for bad in ["", "fs-", "efs-01234567", "fs-0123456G", "fs-01234567:/", "fs-01234567 -o x"] {
        let expected = format!("volume /data: efs.id {bad:?} is no file system's id");
        refused(&table("efs", &format!("id = {bad:?}")), None, &[&expected]);
    }
    for bad in ["", "a:/", "a b", "-o", "a,port=1", "10.0.0.7:2049"] {
        let expected = format!("efs.address {bad:?} is no host name or IP address");
        refused(&table("efs", &format!("address = {bad:?}")), None, &[&expected]);
    }
    for good in ["10.0.0.7", "fd00::7", "nfs.internal"] {
        accepted(&table("efs", &format!("address = {good:?}")));
    }
    refused(&table("efs", "port = 0"), None, &["efs.port is 0; leave it out for 2049"]);
    for bad in ["", "/etc/passwd", "/dev/../etc/passwd", "vol-", "vol-0123456G", "s d f"] {
        let expected = format!("volume /data: ebs.device {bad:?} names no device");
        refused(&table("ebs", &format!("device = {bad:?}")), None, &[&expected]);
    }
    for good in ["/dev/sdf", "sdf", "vol-0123456789abcdef0", "/dev/disk/by-id/nvme-x_y.1"] {
        accepted(&table("ebs", &format!("device = {good:?}")));
    }
}

#[test]
fn what_the_home_must_hold_lies_in_it() {
    for bad in ["..", "../x", "/etc", ""] {
        for key in ["directories", "private"] {
            let expected = format!("home.{key}: \"{bad}\" leaves the home");
            refused(&format!("[home]\n{key} = [\"ok\", {bad:?}]\n"), None, &[&expected]);
        }
        let expected = format!("home.links: \"{bad}\" leaves the home");
        refused(&format!("[home.links]\n{bad:?} = \"/x\"\n"), None, &[&expected]);
    }
    refused("[home.links]\nx = \"\"\n", None, &["home.links: \"x\" leads nowhere"]);
    refused("[home]\nskeleton = \"skel\"\n", None, &["home.skeleton \"skel\" is relative"]);
    accepted("[home]\nskeleton = \"\"\n[home.links]\n\"a/b\" = \"../c\"\n");
}

#[test]
fn every_path_is_absolute() {
    refused(
        "[[volume]]\ntarget = \"data\"\n",
        None,
        &["volume target \"data\" is relative; write an absolute path, or \"~\""],
    );
    for (table, key) in [("user", "home"), ("tools", "mise"), ("bootstrap", "file")] {
        refused(
            &format!("[{table}]\n{key} = \"some/where\"\n"),
            None,
            &[&format!("{table}.{key} \"some/where\" is relative; write an absolute path")],
        );
    }
    refused("[[volume]]\ntarget = \"~/data\"\n", None, &["is relative"]);
}

#[test]
fn a_directory_stays_beneath_its_volume() {
    for bad in ["..", "../x", "a/../../x", "/etc", "", "."] {
        refused(
            &format!("[[volume]]\ntarget = \"/data\"\ndirectories = [\"ok\", \"{bad}\"]\n"),
            None,
            &[&format!("volume /data: directory \"{bad}\" leaves the volume")],
        );
    }
    accepted("[[volume]]\ntarget = \"/data\"\ndirectories = [\"a/b\", \".c\"]\n");
}

#[test]
fn attempts_are_between_one_and_twenty() {
    for bad in ["0", "21"] {
        refused(
            &format!("[tools]\nattempts = {bad}\n"),
            None,
            &[&format!("tools.attempts is {bad}; write a number from 1 to 20")],
        );
    }
    accepted("[tools]\nattempts = 1\n");
    accepted("[tools]\nattempts = 20\n");
}

/// The contract: a stop ends within 30 s.
#[test]
fn a_stop_takes_no_longer_than_25_seconds() {
    refused(
        "[init]\ngrace = \"20s\"\nleftover_grace = \"6s\"\n",
        None,
        &["init.grace and init.leftover_grace make 26 s together", "25 s or less"],
    );
    accepted("[init]\ngrace = \"20s\"\nleftover_grace = \"5s\"\n");
}

/// Else PID 1 would kill a boot that is about to record how it was stopped.
#[test]
fn a_boot_that_is_stopped_has_time_to_record_it() {
    refused(
        "[boot]\ngrace = \"8s\"\n",
        None,
        &["boot.grace (8.0 s) is not shorter than init.grace (7.0 s)"],
    );
    accepted("[boot]\ngrace = \"8s\"\n[init]\ngrace = \"9s\"\n");
}

#[test]
fn an_instance_is_a_plain_name() {
    let long = "a".repeat(129);
    for bad in ["", ".", "..", ".hidden", "a/b", "a b", "naïve", long.as_str()] {
        refused(
            &format!("[bootstrap]\ninstance = \"{bad}\"\n"),
            None,
            &["cannot name an instance; use 1 to 128 letters, digits"],
        );
    }
    accepted(&format!("[bootstrap]\ninstance = \"{}\"\n", "a".repeat(128)));
    accepted("[bootstrap]\ninstance = \"i-0a_b.c\"\n");
}

#[test]
fn a_variable_has_a_name_that_shells_can_read() {
    for bad in ["1A", "A-B", "A B", "Ä", "", "A=B"] {
        refused(
            &format!("[bootstrap.environment]\n\"{bad}\" = \"x\"\n"),
            None,
            &["is no variable name; use letters, digits and underscores"],
        );
    }
    accepted("[bootstrap.environment]\n_A1 = \"x\"\n");
}

#[test]
fn the_home_of_the_user_may_be_a_volume_by_its_short_name() {
    accepted("[[volume]]\ntarget = \"~\"\n");
}

/// A metadata service is asked at an address: nobody is to be asked where it is.
#[test]
fn a_metadata_endpoint_is_an_address() {
    for bad in ["http://instance-data", "https://169.254.169.254", "169.254.169.254"] {
        refused(
            &format!("[ec2]\nendpoints = [\"{bad}\"]\n"),
            None,
            &[&format!("ec2.endpoints: \"{bad}\" is not http://ADDRESS[:PORT]")],
        );
    }
    accepted("[ec2]\nendpoints = [\"http://127.0.0.1:8080/\", \"http://[::1]\"]\n");
}
