//! One virtual machine, from its disk to its end.

use super::console::{Console, quoted};
use super::disk::Disk;
use super::network::Network;
use super::qmp::Qmp;
use super::root::Root;
use super::{BOOT, COMMAND, Variant, acceleration, agent, cache, patient};
use crate::util::{Ended, PATIENCE, eventually};
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What emulates it.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// UEFI for it, of Debian's package ovmf. What it would remember it forgets.
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

/// Mebibytes of memory.
const MEMORY: &str = "768";

/// The kernel's command line. An emulated processor has no secrets to leak; what is logged to the
/// serial port, a byte at a time, is kept to warnings; a panic ends QEMU, as a reboot does; what
/// starts in a second elsewhere may take minutes on a computer that is shared.
const KERNEL: &str = "root=PARTLABEL=root rootfstype=ext4 rw console=ttyS0 panic=-1 quiet \
                      mitigations=off audit=0 8250.nr_uarts=1 \
                      systemd.default_timeout_start_sec=600";

/// How long it may take to stop in order: systemd's own limit for a unit is 90 seconds.
const STOP: Duration = Duration::from_secs(150);

/// A machine, on or off.
pub(crate) struct Machine {
    directory: TempDir,
    kernel: PathBuf,
    root: Root,
    disks: Vec<Disk>,
    instance: String,
    network: Network,
    kernel_arguments: String,
    firmware: bool,
    by_instructions: bool,
    running: Option<Running>,
    starts: u32,
}

/// A machine's processes and channels, while it is on.
struct Running {
    qemu: Child,
    console: Console,
    qmp: PathBuf,
    serial: PathBuf,
    began: Instant,
}

impl Machine {
    /// A machine that is off, with the agent at /usr/local/bin/agent and nothing else of it.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::with_agent(Variant::Plain)
    }

    /// The same from another image.
    #[track_caller]
    pub(crate) fn with_agent(variant: Variant) -> Self {
        let mut machine = Self::of(variant);
        machine.root.put_file("/usr/local/bin/agent", &agent(), 0o755);
        machine
    }

    /// A machine that is off, as the image is.
    #[track_caller]
    pub(crate) fn of(variant: Variant) -> Self {
        fs::create_dir_all(cache()).unwrap();
        let directory = tempfile::Builder::new().prefix("machine-").tempdir_in(cache()).unwrap();
        let image = variant.directory();
        let root = Root::copy(&image.join("disk.img"), variant.partition(), directory.path());
        Self {
            directory,
            kernel: image.join("kernel"),
            root,
            disks: Vec::new(),
            instance: "i-0123456789abcdef0".into(),
            network: Network::default(),
            kernel_arguments: String::new(),
            firmware: false,
            by_instructions: false,
            running: None,
            starts: 0,
        }
    }

    // What it is made of. Changes hold from the next start on.

    /// Another instance id, as the machine's firmware tells it.
    pub(crate) fn instance(&mut self, id: &str) {
        id.clone_into(&mut self.instance);
    }

    /// What it can reach.
    pub(crate) fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// More words for the kernel's command line, instead of those before. They come first, and
    /// what the rig says of the same counts for the kernel.
    pub(crate) fn kernel_arguments(&mut self, words: &str) {
        words.clone_into(&mut self.kernel_arguments);
    }

    /// The disk starts itself, by UEFI, as on EC2; else QEMU starts its kernel, which is faster.
    pub(crate) fn by_firmware(&mut self) {
        self.firmware = true;
    }

    /// Where the processor is emulated, its time goes by the instructions that it has executed, a
    /// nanosecond each (QEMU, docs/devel/tcg-icount): neither other work of the machine that runs the
    /// tests nor the emulator's own counts. While it waits, time goes as outside.
    pub(crate) fn time_by_instructions(&mut self) {
        self.by_instructions = true;
    }

    /// Makes the root disk larger, as a launch with a larger volume does.
    #[track_caller]
    pub(crate) fn grow_root(&mut self, mebibytes: u64) {
        assert!(self.running.is_none(), "the disk grows while the machine is off");
        self.root.grow(mebibytes);
    }

    /// A new, blank volume, not yet attached. `volume` is its id, `vol-…`.
    #[track_caller]
    pub(crate) fn disk(&self, volume: &str, mebibytes: u64) -> Disk {
        Disk::blank(self.directory.path(), volume, mebibytes)
    }

    /// Attaches a volume; at once where the machine runs.
    #[track_caller]
    pub(crate) fn attach(&mut self, disk: &Disk) {
        self.disks.push(disk.clone());
        let Some(running) = &self.running else { return };
        let mut qmp = Qmp::connect(&running.qmp);
        let node = disk.serial();
        qmp.execute(
            "blockdev-add",
            &json!({"driver": "raw", "node-name": node, "file": {"driver": "file", "filename": disk.path()}}),
        );
        qmp.execute(
            "device_add",
            &json!({"driver": "nvme", "id": node, "drive": node, "serial": node}),
        );
    }

    /// The volume is not there at the next start.
    #[track_caller]
    pub(crate) fn detach(&mut self, disk: &Disk) {
        assert!(self.running.is_none(), "a volume is detached while the machine is off");
        self.disks.retain(|d| d.volume() != disk.volume());
    }

    /// Puts a file in place, root's, with the directories above it; on or off.
    #[track_caller]
    pub(crate) fn put(&mut self, path: &str, content: impl AsRef<[u8]>, mode: u32) {
        let content = content.as_ref();
        if self.running.is_none() {
            self.root.put(path, content, mode);
            return;
        }
        let octal: String = content.iter().map(|b| format!("\\{b:03o}")).collect();
        let path = quoted(path);
        self.run(&format!(
            "set -e; mkdir -p \"$(dirname {path})\"; printf {} >{path}; chmod {mode:o} {path}",
            quoted(&octal)
        ))
        .expect(0);
    }

    /// Makes a symbolic link, while it is off.
    #[track_caller]
    pub(crate) fn link(&mut self, path: &str, to: &str) {
        assert!(self.running.is_none(), "a link is made while the machine is off");
        self.root.link(path, to);
    }

    /// Has a unit started with another at the next start, as `systemctl enable` would.
    #[track_caller]
    pub(crate) fn enable(&mut self, unit: &str, wanted_by: &str) {
        let link = format!("/etc/systemd/system/{wanted_by}.wants/{unit}");
        self.link(&link, &format!("/etc/systemd/system/{unit}"));
    }

    /// Reads a file; on or off.
    #[track_caller]
    pub(crate) fn read(&mut self, path: &str) -> String {
        if self.running.is_none() {
            return self.root.read(path);
        }
        self.run(&format!("cat {}", quoted(path))).expect(0).stdout
    }

    // Its life.

    /// Switches it on, and waits until its shell answers, which is early: the services of
    /// the boot are still starting then. How long that took.
    #[track_caller]
    pub(crate) fn start(&mut self) -> Duration {
        assert!(self.running.is_none(), "the machine is on");
        self.starts += 1;
        let at = |name: &str| self.directory.path().join(format!("{name}{}", self.starts));
        let (serial, qmp, port) = (at("serial"), at("qmp"), at("port"));
        let mut command = self.command(&serial, &qmp, &port);
        let said = File::create(at("qemu")).unwrap();
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        let began = Instant::now();
        let mut qemu = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let console = eventually("QEMU's sockets", || {
            if let Some(status) = qemu.try_wait().unwrap() {
                let said = fs::read_to_string(at("qemu")).unwrap_or_default();
                panic!("QEMU ended at once, {status}: {said}\n{command:?}");
            }
            Console::connect(&port).ok()
        });
        self.root.is_used();
        self.running = Some(Running { qemu, console, qmp, serial, began });
        self.run_within("true", BOOT).expect(0);
        began.elapsed()
    }

    /// Stops it in order.
    #[track_caller]
    pub(crate) fn power_off(&mut self) {
        self.tell("systemctl poweroff");
        self.wait_off(STOP);
    }

    /// Stops it in order and starts it again; how long the start took.
    #[track_caller]
    pub(crate) fn reboot(&mut self) -> Duration {
        self.tell("systemctl reboot");
        self.wait_off(STOP);
        self.start()
    }

    /// Cuts its power: what the machine has not written to its disks is lost.
    #[track_caller]
    pub(crate) fn cut_power(&mut self) {
        let mut running = self.running.take().expect("the machine is off");
        running.qemu.kill().unwrap();
        running.qemu.wait().unwrap();
    }

    /// Waits until it has switched itself off or restarts, which is the same here.
    #[track_caller]
    pub(crate) fn wait_off(&mut self, limit: Duration) {
        let end = Instant::now() + patient(limit);
        while self.on().qemu.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "the machine is still on after {limit:?}");
            thread::sleep(Duration::from_millis(20));
        }
        self.running = None;
    }

    /// Since when it is on.
    pub(crate) fn uptime(&mut self) -> Duration {
        self.on().began.elapsed()
    }

    // What happens in it.

    /// Runs a command of a shell, as root.
    #[track_caller]
    pub(crate) fn run(&mut self, command: &str) -> Ended {
        self.run_within(command, COMMAND)
    }

    /// The same with a deadline of its own.
    #[track_caller]
    pub(crate) fn run_within(&mut self, command: &str, limit: Duration) -> Ended {
        match self.on().console.run(command, patient(limit)) {
            Ok(ended) => ended,
            Err(why) => panic!("{why}"),
        }
    }

    /// Waits until a condition of a shell holds.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, condition: &str, limit: Duration) {
        self.run_within(&format!("until {condition}; do sleep 0.3; done"), limit).expect(0);
    }

    /// Says a command, and doesn't wait for its end.
    #[track_caller]
    pub(crate) fn tell(&mut self, command: &str) {
        self.on().console.tell(command).unwrap();
    }

    #[track_caller]
    fn on(&mut self) -> &mut Running {
        self.running.as_mut().expect("the machine is off")
    }

    fn command(&self, serial: &Path, qmp: &Path, port: &Path) -> Command {
        let mut command = Command::new(QEMU);
        command.args(acceleration::arguments());
        if self.by_instructions && !acceleration::hardware() {
            command.args(["-icount", "shift=0,sleep=on"]);
        }
        command.args(["-M", "pc", "-m", MEMORY, "-nodefaults", "-no-user-config", "-no-reboot"]);
        command.args(["-display", "none"]);
        if self.firmware {
            command.arg("-drive").arg(format!("if=pflash,format=raw,readonly=on,file={FIRMWARE}"));
        } else {
            command.arg("-append").arg(format!("{} {KERNEL}", self.kernel_arguments));
            command.arg("-kernel").arg(&self.kernel);
        }
        // As EC2's firmware says it (EC2 user guide, "Identify EC2 instances").
        let id = &self.instance;
        // Its own: an empty machine id is filled with it (machine-id(5)).
        let uuid = format!("ec2e1916-9099-7caf-fd21-{:0>12}", &id[id.len().saturating_sub(12)..]);
        for table in [
            "type=0,vendor=Amazon EC2,version=1.0".to_owned(),
            format!("type=1,manufacturer=Amazon EC2,product=m7i.large,serial={uuid},uuid={uuid}"),
            format!("type=2,manufacturer=Amazon EC2,asset={id}"),
            format!("type=3,manufacturer=Amazon EC2,asset={id}"),
        ] {
            command.arg("-smbios").arg(table);
        }
        // Only the guest's power is ever cut, so the host need not sync.
        drive(&mut command, self.root.path(), "vol0root", "root");
        for disk in &self.disks {
            drive(&mut command, disk.path(), &disk.serial(), &disk.serial());
        }
        command.args(self.network.arguments());
        command.arg("-serial").arg(format!("file:{}", plain(serial)));
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", plain(qmp)));
        command.arg("-chardev");
        command.arg(format!("socket,id=rig,path={},server=on,wait=off", plain(port)));
        command.args(["-device", "virtio-serial-pci", "-device"]);
        command.arg("virtserialport,chardev=rig,name=rig");
        command
    }

    /// Tells what a person needs who sees only the test's failure.
    fn lament(&mut self) {
        let Some(running) = &mut self.running else { return };
        let serial = fs::read(&running.serial).unwrap_or_default();
        eprintln!("--- serial port\n{}", tail(&String::from_utf8_lossy(&serial), 60));
        let journal = "journalctl -b --no-pager -o short-monotonic | tail -n 150; systemctl list-jobs --no-pager; systemctl --failed --no-pager";
        match running.console.run(journal, PATIENCE) {
            Ok(ended) => eprintln!("--- journal and jobs\n{}", ended.all()),
            Err(why) => eprintln!("--- no journal: {why}"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            self.lament();
        }
        if let Some(mut running) = self.running.take() {
            let _ = running.qemu.kill();
            let _ = running.qemu.wait();
        }
        if failed && std::env::var_os("AGENT_VM_KEEP").is_some() {
            self.directory.disable_cleanup(true);
            eprintln!("--- the machine is kept in {}", self.directory.path().display());
        }
    }
}

fn drive(command: &mut Command, file: &Path, serial: &str, id: &str) {
    let file = plain(file);
    command.arg("-drive").arg(format!("file={file},format=raw,if=none,id={id},cache=unsafe"));
    command.arg("-device").arg(format!("nvme,drive={id},serial={serial}"));
}

/// A path in an option of QEMU's, which ends at a comma.
fn plain(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
