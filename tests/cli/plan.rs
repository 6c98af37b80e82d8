//! `agent plan`: what a boot would do, without doing it and without a byte of the script.

use crate::util::{Ended, agent, directory, file, fresh, run};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::path::Path;

/// Stands for a secret in the script. Nothing else that is printed looks like it.
const TOKEN: &str = "ghp_0PlantedT0kenOfThePlan";

fn script() -> String {
    format!("#!/bin/sh\nexport GH_TOKEN={TOKEN}\n")
}

fn plan(text: &str, json: bool, payload: Option<&str>) -> Ended {
    let dir = fresh();
    let path = file(dir.path(), "agent.toml", text);
    let mut command = agent(&["plan", "--config", path.to_str().unwrap()]);
    command.args(json.then_some("--json"));
    command.envs(payload.map(|p| ("MINT_USER_BOOTSTRAP", p)));
    run(command)
}

/// Neither the token nor its base64 nor a part of either is in what was said.
#[track_caller]
fn shows_nothing(ended: &Ended, secret: &str) {
    let all = ended.all();
    let encoded = STANDARD.encode(script());
    for window in [secret, &encoded] {
        for start in (0..window.len().saturating_sub(12)).filter(|s| window.is_char_boundary(*s)) {
            let part = &window[start..start + 12];
            assert!(!all.contains(part), "{part:?} is shown: {ended:#?}");
        }
    }
}

#[test]
fn the_text_names_user_phases_and_policies() {
    let text = "[user]\nhome = \"/home/somebody\"\n[boot]\non_failure = \"hold\"\ndeadline = \"5m\"\n[tools]\nenabled = \"off\"\n[[volume]]\ntarget = \"/data\"\nrequired = false\n";
    let ended = plan(text, false, None).expect(0);
    for part in [
        "home /home/somebody",
        "deadline  5 min for the whole boot; a failed boot still starts the workload",
        "1. volume",
        "check /data: is a mount point, is writable by the user; otherwise the boot degrades",
        "2. tools",
        "skipped: tools.enabled is \"off\"",
        "3. user-script",
        "skipped: no user script is given",
    ] {
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
    }
    assert_eq!(ended.stderr, "");
}

/// What a machine has beside a container.
const STORAGE: &str =
    "volume = []\n[home]\nprivate = [\".ssh\"]\nlinks = { projects = \"/mint/projects\" }\n";

const DISKS: &str = "\
[[volume]]\ntarget = \"/mint/user\"\nchown = true\n[volume.efs]\naddress = \"10.0.0.7\"\nport = 2050\n\
[[volume]]\ntarget = \"/mint/projects\"\n[volume.ebs]\ndevice = \"/dev/sdf\"\nformat = true\n\
[[volume]]\ntarget = \"/mint/more\"\n[volume.ebs]\ndevice = \"vol-0123456789abcdef0\"\ngrow = false\n\
[[volume]]\ntarget = \"/mint/none\"\n[volume.efs]\n";

#[test]
fn the_text_tells_what_is_done_to_disks_and_servers() {
    let ended = plan(DISKS, false, None).expect(0);
    let mount = "mount -t nfs4 -o nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,port=2050 10.0.0.7:/ /mint/user";
    for part in [
        &format!("run {mount} as root, unless it is mounted (up to 90 s;"),
        "write to /etc/fstab: 10.0.0.7:/ /mint/user nfs4 nfsvers=4.1,",
        "noresvport,port=2050,_netdev,nofail 0 0\n",
        "check /mint/user: is a mount point, is given to the user where it is another's",
        "wait up to 90 s for the disk /dev/sdf\n",
        "run mkfs.ext4 -m 1 -E nodiscard -L projects DEVICE as root where the disk is provably blank",
        "run e2fsck -p DEVICE as root before ext4 is mounted",
        "run resize2fs DEVICE as root where the file system is smaller than the disk",
        "write to /etc/fstab: UUID=UUID /mint/projects ext4 defaults,nofail 0 2",
        "check /mint/projects: is a mount point, belongs to the user (else given)",
        "wait up to 90 s for the disk vol-0123456789abcdef0\n",
        "make no file system on it (volume.ebs.format is false)",
        "skipped: no EFS file system is given for /mint/none (MINT_EFS_ID)",
    ] {
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
    }
    assert_eq!(ended.stdout.matches("run resize2fs").count(), 1, "{ended:#?}");
    assert!(!ended.stdout.contains("check /mint/none"), "{ended:#?}");
}

#[test]
fn the_json_has_the_commands_and_the_lines_of_fstab() {
    let json = plan(DISKS, true, None).expect(0).json();
    let volumes = json["phases"][0]["work"]["volumes"].as_array().unwrap().clone();
    let storage: Vec<_> = volumes.iter().map(|v| &v["storage"]).collect();
    assert_eq!(storage[0]["kind"], "efs");
    assert_eq!(storage[0]["mount"][0], "mount");
    assert!(storage[0]["fstab"].as_str().unwrap().starts_with("10.0.0.7:/ /mint/user nfs4 "));
    assert_eq!(storage[1]["kind"], "ebs");
    assert_eq!(storage[1]["wait"], 90_000);
    assert_eq!(storage[1]["format"][0], "mkfs.ext4");
    assert_eq!(storage[1]["fstab"], "UUID=UUID /mint/projects ext4 defaults,nofail 0 2");
    assert!(storage[2]["format"].is_null() && storage[2]["grow"].is_null());
    assert_eq!(storage[3]["kind"], "skip");
    assert_eq!(volumes[1]["target"], "/mint/projects");
}

#[test]
fn a_home_without_a_volume_is_seen_to_all_the_same() {
    let ended = plan(STORAGE, false, None).expect(0);
    for part in [
        "1. volume  (deadline 60 s)",
        "make ~/.ssh with mode 0700",
        "link ~/projects to /mint/projects",
    ] {
        assert!(ended.stdout.contains(part), "{part:?}: {ended:#?}");
    }
    let none = plan("volume = []\n", false, None).expect(0);
    assert!(none.stdout.contains("skipped: no volume is declared"), "{none:#?}");
}

/// The stub exports what the launch said.
#[test]
fn the_launch_names_disks_in_the_environment() {
    let dir = fresh();
    let text = "[[volume]]\ntarget = \"/a\"\n[volume.efs]\naddress = \"nfs.internal\"\n[[volume]]\ntarget = \"/b\"\n[volume.ebs]\n[[volume]]\ntarget = \"/c\"\n[volume.efs]\n";
    let path = file(dir.path(), "agent.toml", text);
    let with = |efs: &str, disk: &str| {
        let mut command = agent(&["plan", "--config", path.to_str().unwrap()]);
        command.env("MINT_EFS_ID", efs).env("MINT_PROJECT_DEV", disk);
        run(command).expect(0).stdout
    };
    let said = with("fs-0123456789abcdef0", "/dev/sdf");
    assert!(said.contains("wait up to 90 s for the disk /dev/sdf"), "{said}");
    assert!(said.contains("the region of fs-0123456789abcdef0 for /c is not known"), "{said}");
    let said = with("fs-x $(reboot)", "/etc/shadow");
    assert!(said.contains("/c cannot be mounted: MINT_EFS_ID is"), "{said}");
    assert!(said.contains("/b cannot be mounted: MINT_PROJECT_DEV is"), "{said}");
}

#[test]
fn the_json_has_a_schema_and_the_phases_in_order() {
    let json = plan("", true, None).expect(0).json();
    assert_eq!(json["schema"], "agent.plan/1");
    let names: Vec<&str> =
        json["phases"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["volume", "tools", "user-script"], "the user's script is last");
    assert_eq!(json["config_files"].as_array().unwrap().len(), 1);
}

#[test]
fn a_script_in_the_variable_is_told_by_length_and_hash_alone() {
    let script = script();
    let payload = STANDARD.encode(&script);
    for json in [false, true] {
        let ended = plan("", json, Some(&payload)).expect(0);
        assert!(ended.stdout.contains("MINT_USER_BOOTSTRAP"), "{ended:#?}");
        assert!(ended.stdout.contains(&script.len().to_string()), "{ended:#?}");
        shows_nothing(&ended, TOKEN);
    }
}

#[test]
fn a_script_in_a_file_is_told_by_length_and_hash_alone() {
    let dir = fresh();
    let path = file(dir.path(), "bootstrap.sh", script());
    let text = format!("[bootstrap]\nfile = \"{}\"\n", path.display());
    for json in [false, true] {
        let ended = plan(&text, json, None).expect(0);
        assert!(ended.stdout.contains(path.to_str().unwrap()), "{ended:#?}");
        assert!(ended.stdout.contains(&script().len().to_string()), "{ended:#?}");
        shows_nothing(&ended, TOKEN);
    }
}

#[test]
fn a_payload_that_cannot_be_decoded_is_refused_without_showing_it() {
    let damaged = format!("{}*{TOKEN}", STANDARD.encode(script()));
    for json in [false, true] {
        let ended = plan("", json, Some(&damaged)).expect(0);
        assert!(ended.stdout.contains("cannot be decoded: it is not base64 (byte "), "{ended:#?}");
        shows_nothing(&ended, TOKEN);
    }
}

#[test]
fn a_script_given_twice_is_refused() {
    let dir = fresh();
    let path = file(dir.path(), "bootstrap.sh", script());
    let text = format!("[bootstrap]\nfile = \"{}\"\n", path.display());
    let ended = plan(&text, false, Some(&STANDARD.encode(script()))).expect(0);
    assert!(ended.stdout.contains("hold a user script"), "{ended:#?}");
    shows_nothing(&ended, TOKEN);
}

#[test]
fn a_script_that_is_missing_or_no_file_is_refused_unless_it_is_optional() {
    let dir = fresh();
    let absent = dir.path().join("absent.sh");
    let text = |path: &Path| format!("[bootstrap]\nfile = \"{}\"\n", path.display());
    let ended = plan(&text(&absent), false, None).expect(0);
    assert!(ended.stdout.contains("cannot be read: No such file"), "{ended:#?}");
    let optional = format!("{}optional = true\n", text(&absent));
    let ended = plan(&optional, false, None).expect(0);
    assert!(ended.stdout.contains("no user script is given"), "{ended:#?}");
    let fifo = dir.path().join("fifo.sh");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let ended = plan(&text(&fifo), false, None).expect(0);
    assert!(ended.stdout.contains("not a regular file"), "and no hang: {ended:#?}");
    let other = directory(dir.path(), "directory.sh");
    let ended = plan(&format!("{}optional = true\n", text(&other)), false, None).expect(0);
    assert!(ended.stdout.contains("cannot be read"), "only a missing one is optional: {ended:#?}");
}

#[test]
fn an_empty_payload_is_no_script() {
    for payload in ["", " \n"] {
        let ended = plan("", false, Some(payload)).expect(0);
        assert!(ended.stdout.contains("skipped: no user script is given"), "{ended:#?}");
    }
}

#[test]
fn a_plan_changes_nothing() {
    let dir = fresh();
    let home = directory(dir.path(), "home");
    let text = format!("[user]\nhome = \"{}\"\n", home.display());
    plan(&text, false, Some(&STANDARD.encode(script()))).expect(0);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "the home is no longer empty");
}

#[test]
fn an_error_in_the_config_is_told_with_its_place_and_no_plan_is_printed() {
    let ended = plan("[boot]\ndeadlin = \"5m\"\n", true, None).expect(1);
    assert!(ended.stderr.contains("agent.toml:2:1: unknown key `deadlin`"), "{ended:#?}");
    assert_eq!(ended.stdout, "");
}
