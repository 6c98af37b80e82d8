//! The root partition and its file system, grown to a larger disk: real partition tables, real
//! file systems, mounted as the root of what the agent runs in.

use crate::machine::{Loop, MIB, ready};
use crate::util::metadata::Service;
use crate::util::{Ended, PATH, built, fresh, run};
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Mounts the partition, makes it the root of the rest of this machine's tree, and does what the
/// test says. `$1` is the disk, `$2` the partition's name, `$3` its numbers, `$4` the directory.
const STAGE: &str = r#"
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/root /mnt/dev
cp -a /dev/null /dev/zero /dev/urandom "$1" /mnt/dev
mknod "/mnt/dev/$2" b ${3%:*} ${3#*:}
mount --bind /mnt/dev /dev
mount "/dev/$2" /mnt/root
cd /mnt/root
mkdir -p proc sys dev usr etc run tmp var/lib
for link in bin sbin lib lib64; do [ -L "$link" ] || ln -s "usr/$link" "$link"; done
mount --rbind /proc proc
mount --rbind /sys sys
mount --bind /usr usr
mount --bind /dev dev
mount -t tmpfs tmpfs run
mkdir -p etc/agent
cp "$4/agent.toml" etc/agent/
cp "$4/agent" run/agent-program
echo 'root:x:0:0::/root:/bin/sh' >etc/passwd
exec chroot . sh -c "$5"
"#;

struct Disk {
    disk: Loop,
    dir: TempDir,
    _service: Service,
}

impl Disk {
    /// A disk with this partition table (`sfdisk`'s words), whose partition 1 has what `mkfs` makes.
    #[track_caller]
    fn new(table: &str, mkfs: &[&str], then: u64) -> Self {
        let dir = fresh();
        let image = dir.path().join("disk.img");
        File::create(&image).unwrap().set_len(512 * MIB).unwrap();
        sh(&format!("printf '{table}' | sfdisk --quiet {}", image.display()));
        let file = File::options().write(true).open(&image).unwrap();
        file.set_len(then).unwrap();
        let disk = Loop::attach(&image).expect("a loop device");
        sh(&format!("partx --add {}", disk.0.display()));
        let service = Service::start(&[]);
        let config = format!(
            "[user]\nname = \"root\"\n[ec2]\nenabled = true\ntags = false\nendpoints = [\"{}\"]\n\
             [tools]\nenabled = \"off\"\n[guest]\nmachine_id = false\nhostname = false\nhost_keys = false\nlogin = false\n",
            service.url()
        );
        fs::write(dir.path().join("agent.toml"), config).unwrap();
        fs::copy(built(), dir.path().join("agent")).unwrap();
        let disk = Self { disk, dir, _service: service };
        let node = dir_node(&disk);
        let mut make = Command::new(mkfs[0]);
        make.args(&mkfs[1..]).arg(&node).env("PATH", PATH);
        run(make).expect(0);
        disk
    }

    fn name(&self) -> String {
        format!("{}p1", self.disk.0.file_name().unwrap().to_string_lossy())
    }

    fn sys(&self, file: &str) -> String {
        let disk = self.disk.0.file_name().unwrap();
        let path = Path::new("/sys/block").join(disk).join(self.name()).join(file);
        fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .trim()
            .to_owned()
    }

    fn mebibytes(&self) -> u64 {
        self.sys("size").parse::<u64>().unwrap() * 512 / MIB
    }

    #[track_caller]
    fn run(&self, script: &str) -> Ended {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", STAGE, "stage"]);
        command
            .arg(&self.disk.0)
            .arg(self.name())
            .arg(self.sys("dev"))
            .arg(self.dir.path())
            .arg(script);
        command.env_clear().env("PATH", PATH).current_dir("/");
        run(command)
    }

    /// Boots; what the status says of the phase, and how large the root is in MiB.
    #[track_caller]
    fn boot(&self) -> (Value, u64) {
        let ended = self.run(
            "/run/agent-program boot >&2; stat -fc '%b %S' / >/run/size; /run/agent-program status --json; cat /run/size >&2",
        );
        let status = ended.json();
        let phases = status["phases"].as_array().unwrap();
        let phase = phases.iter().find(|p| p["name"] == "root-disk").unwrap().clone();
        assert_ne!(status["state"], "failed", "{status:#}");
        let last = ended.stderr.lines().last().unwrap();
        let (blocks, size) = last.split_once(' ').unwrap_or_else(|| panic!("{ended:#?}"));
        (phase, blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap() / MIB)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut gone = Command::new("partx");
        let _ = gone.arg("--delete").arg(&self.disk.0).env("PATH", PATH).output();
    }
}

/// Has this process CAP_SYS_RESOURCE (bit 24 of its effective capabilities, capabilities(7))?
fn may_grow_ext() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:")).unwrap().trim();
    u64::from_str_radix(effective, 16).unwrap() & (1 << 24) != 0
}

/// A node for the partition, where nothing makes one.
fn dir_node(disk: &Disk) -> std::path::PathBuf {
    let node = disk.dir.path().join("partition");
    let numbers = disk.sys("dev");
    let (major, minor) = numbers.split_once(':').unwrap();
    sh(&format!("mknod {} b {major} {minor}", node.display()));
    node
}

#[track_caller]
fn sh(script: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("PATH", PATH);
    run(command).expect(0);
}

/// Grown once to nearly all of a disk of 1 GiB, and left alone from then on.
#[track_caller]
fn grows(table: &str, mkfs: &[&str]) {
    if !ready() {
        return;
    }
    let disk = Disk::new(table, mkfs, 1024 * MIB);
    let (phase, size) = disk.boot();
    if mkfs.iter().any(|word| word.contains("ext4")) && !may_grow_ext() {
        // The kernel lets nobody else grow a mounted ext4; tests/vm shows it grown.
        assert_eq!(phase["state"], "degraded", "{phase:#}");
        assert!(phase["problems"].to_string().contains("CAP_SYS_RESOURCE"), "{phase:#}");
        assert!(disk.mebibytes() >= 920, "the partition has {} MiB: {phase:#}", disk.mebibytes());
        return;
    }
    assert_eq!(phase["state"], "ok", "{phase:#}");
    assert!(disk.mebibytes() >= 920, "the partition has {} MiB: {phase:#}", disk.mebibytes());
    assert!(size > 850, "the file system has {size} MiB: {phase:#}");
    let (phase, again) = disk.boot();
    assert_eq!((&phase["state"], again), (&"skipped".into(), size), "{phase:#}");
    sh(&format!("sfdisk --verify --quiet {} 2>&1", disk.disk.0.display()));
}

const EXT4: &[&str] = &["mkfs.ext4", "-q"];
const GPT: &str = "label: gpt\\nstart=2048, size=600000\\n";

#[test]
fn gpt_and_ext4_grow() {
    grows(GPT, EXT4);
}

#[test]
fn mbr_and_xfs_grow() {
    grows("label: dos\\nstart=2048, size=700000, type=83\\n", &["mkfs.xfs", "-q", "-f"]);
}

#[test]
fn gpt_and_btrfs_grow() {
    grows(GPT, &["mkfs.btrfs", "-q", "-f"]);
}

#[test]
fn the_first_by_its_number_grows_where_it_is_the_last_by_its_place() {
    grows("label: gpt\\n1: start=204800, size=600000\\n14: start=2048, size=8192\\n", EXT4);
}

#[test]
fn a_file_system_that_was_left_behind_grows_to_its_partition() {
    grows("label: gpt\\nstart=2048\\n", &["sh", "-c", "mkfs.ext4 -q \"$1\" 300M", "sh"]);
}

#[test]
fn a_partition_that_another_one_follows_is_left_alone() {
    if !ready() {
        return;
    }
    let disk = Disk::new("label: gpt\\nstart=2048, size=600000\\nsize=20480\\n", EXT4, 1024 * MIB);
    let before = disk.mebibytes();
    let (phase, _) = disk.boot();
    assert_eq!((&phase["state"], disk.mebibytes()), (&"skipped".into(), before), "{phase:#}");
    assert!(phase["notes"].to_string().contains("not the last partition"), "{phase:#}");
}
