//! The ground that every other test here stands on: the machine, its network, its disks.

use crate::rig::Variant;
use crate::rig::console::quoted;
use crate::rig::machine::Machine;
use crate::rig::ready;
use crate::util::metadata::Service;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// The contract's mount of EFS.
const EFS: &str =
    "mount -t nfs4 -o nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport";

#[test]
fn the_machine_is_what_it_should_be_and_outlives_a_cut_of_its_power() {
    if !ready(Variant::Plain) {
        return;
    }
    let service = Service::start(&[]);
    let behind = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = behind.local_addr().unwrap().port();
    let began = Instant::now();
    let mut machine = Machine::new();
    let made = began.elapsed();
    machine.network().metadata(service.port());
    let reached = machine.network().reach(port);
    let silent = machine.network().silent(2049);
    let started = machine.start();

    runs_commands(&mut machine);
    looks_like_ec2(&mut machine);
    has_only_the_network_that_the_test_gives(&mut machine, &reached, &silent);
    takes_a_volume_while_it_runs(&mut machine);
    serves_and_mounts_nfs(&mut machine);
    tells_what_the_kernel_killed_for_want_of_memory(&mut machine);
    machine.wait_for("systemctl is-system-running | grep -qv starting", Duration::from_secs(120));
    machine.run("systemctl --failed --no-legend | grep .").expect(1);
    let up = machine.uptime();

    // What is synced outlives a cut, and what isn't does not.
    machine.run("echo synced >/root/synced; sync; echo lost >/root/lost").expect(0);
    machine.cut_power();
    assert_eq!(machine.read("/root/synced"), "synced\n");
    machine.put("/root/put", "while off\n", 0o640);
    let again = machine.start();
    let seen = machine.run("cd /root; cat synced put; stat -c %a put; test -s lost || echo lost");
    assert_eq!(seen.stdout, "synced\nwhile off\n640\nlost\n");
    machine.put("/root/put while on", b"'\0\xff", 0o600);
    assert_eq!(machine.run("od -An -tx1 '/root/put while on'").stdout.trim(), "27 00 ff");
    let stopping = Instant::now();
    machine.power_off();
    let off = stopping.elapsed();
    eprintln!(
        "made in {made:.1?}, shell after {started:.1?}, everything after {up:.1?}; \
         shell after {again:.1?} the second time; off in {off:.1?}"
    );
}

fn runs_commands(machine: &mut Machine) {
    let version = machine.run("agent --version").expect(0);
    assert_eq!(version.stdout, format!("agent {}\n", env!("CARGO_PKG_VERSION")));
    let help = machine.run("agent boot --help").expect(0);
    assert!(help.stdout.contains("--user-data"), "{help:?}");
    let odd = machine.run("printf 'a\\0b\\n'; printf 'it'\\''s' >&2; exit 7").expect(7);
    assert_eq!((odd.stdout.as_str(), odd.stderr.as_str()), ("a\0b\n", "it's"));
}

fn looks_like_ec2(machine: &mut Machine) {
    let told = machine.run("cd /sys/class/dmi/id; cat sys_vendor board_asset_tag product_uuid");
    let uuid = "ec2e1916-9099-7caf-fd21-56789abcdef0";
    assert_eq!(told.stdout, format!("Amazon EC2\ni-0123456789abcdef0\n{uuid}\n"));
}

fn has_only_the_network_that_the_test_gives(machine: &mut Machine, reached: &str, silent: &str) {
    machine.wait_for("ip -4 -o address | grep -q 169.254", Duration::from_secs(60));
    let token = "T=$(curl -sf -m 10 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)";
    let id = "curl -sf -m 10 -H \"X-aws-ec2-metadata-token: $T\" http://169.254.169.254/latest/meta-data/instance-id";
    let told = machine.run(&format!("{token} && {id}")).expect(0);
    assert!(told.stdout.starts_with("i-"), "{told:?}");
    // curl: 22 is an HTTP error, 28 a deadline, 7 a refused connection.
    machine.run(&id.replace("$T", "wrong")).expect(22);
    // The listener never answers, but the connection stands.
    machine.run(&format!("curl -s -m 3 {reached}/")).expect(28);
    machine.run(&format!("curl -s -m 3 http://{silent}:2049/")).expect(28);
    machine.run("curl -s -m 10 http://192.0.2.1/").expect(7);
    machine.run("curl -s -m 10 http://169.254.0.2:22/").expect(7);
}

fn takes_a_volume_while_it_runs(machine: &mut Machine) {
    let volume = machine.disk("vol-0123456789abcdef0", 64);
    let there = format!("grep -q '^{} *$' /sys/class/nvme/*/serial", volume.serial());
    machine.run(&there).expect(1);
    machine.attach(&volume);
    machine.wait_for(&there, Duration::from_secs(20));
    // Its node is udev's to make, a moment later.
    let link = format!("/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_{}", volume.serial());
    machine.wait_for(&format!("test -b {link}"), Duration::from_secs(20));
    machine.run(&format!("mkfs.ext4 -q {link}")).expect(0);
    assert!(volume.tool("debugfs", &["-R", "stats"]).contains("Filesystem"));
}

fn serves_and_mounts_nfs(machine: &mut Machine) {
    machine.run("systemctl start rig-nfs").expect(0);
    let write = format!("{EFS} 127.0.0.1:/ /mnt && echo written >/mnt/file && umount /mnt");
    machine.run(&write).expect(0);
    assert_eq!(machine.read("/srv/efs/file"), "written\n");
    machine.run("systemctl stop rig-nfs").expect(0);
}

/// By the control groups' second version, which not every machine with containers has.
fn tells_what_the_kernel_killed_for_want_of_memory(machine: &mut Machine) {
    let group = "cd /sys/fs/cgroup && grep -q memory cgroup.controllers && echo +memory >cgroup.subtree_control && \
                 mkdir limited && cd limited && echo 32M >memory.max && echo 0 >memory.oom.group";
    machine.run(group).expect(0);
    let limited = "echo $$ >/sys/fs/cgroup/limited/cgroup.procs; \
                   exec unshare --pid --fork --mount-proc --kill-child agent init --no-boot";
    let inside = |rest: &str| format!("sh -c {}", quoted(&format!("{limited} {rest}")));
    let eats = r#"perl -e '$x = "a" x 200_000_000; sleep 60'"#;
    for (options, who) in [("--", "the workload was"), ("--grace 5s --", "the workload was")] {
        let ended = machine.run(&inside(&format!("{options} {eats}"))).expect(137);
        let line = format!("agent: {who} killed by the kernel's out-of-memory killer");
        assert!(ended.all().contains(&line), "{ended:#?}");
    }
    let ended = machine.run(&inside(&format!("-- sh -c {}", quoted(&format!("{eats}; exit 9")))));
    let ended = ended.expect(9);
    assert!(
        ended.all().contains("a child of the workload was killed by the kernel's"),
        "{ended:#?}"
    );
}
