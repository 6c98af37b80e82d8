//! A machine with one disk. Started again it is the same machine after a restart: /etc, the
//! state, the home and the disk are kept, the mounts are gone.

use crate::readiness::{Readiness, layer_is_ready};
use crate::util::{Ended, PATH, built, directory, eventually, file, fresh, is_root, run};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Where the disk belongs.
pub(crate) const TARGET: &str = "/mnt/projects";

pub(crate) const MIB: u64 = 1 << 20;

/// Sets the stage, then does what the test says. `$1` is the directory.
const STAGE: &str = r#"
set -e
mount --bind "$1/etc" /etc
mount --bind "$1/lib" /var/lib
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /mnt
cd /
exec sh -c "$2"
"#;

/// Can the layer run here?
pub(crate) fn ready() -> bool {
    static READY: Readiness = Readiness::new();
    layer_is_ready("disk", &READY, look)
}

fn look() -> Result<(), String> {
    if !is_root() {
        return Err("loop devices need root".into());
    }
    let dir = fresh();
    let image = dir.path().join("image");
    File::create(&image).and_then(|f| f.set_len(MIB)).map_err(|e| e.to_string())?;
    let device = Loop::attach(&image).ok_or("loop devices do not work here")?;
    drop(device);
    Ok(())
}

/// A file as a block device, for as long as this lives.
pub(crate) struct Loop(pub(crate) PathBuf);

impl Loop {
    pub(crate) fn attach(image: &Path) -> Option<Self> {
        let ended = Command::new("losetup").args(["--find", "--show"]).arg(image).output().ok()?;
        let device = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
        (ended.status.success() && !device.is_empty()).then(|| Self(device.into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Mounts of a namespace that has just ended may still hold it.
        eventually("the loop device is free", || {
            let ended = Command::new("losetup").arg("--detach").arg(&self.0).output().unwrap();
            let name = self.0.file_name().unwrap();
            let backing = Path::new("/sys/block").join(name).join("loop/backing_file");
            (ended.status.success() && !backing.exists()).then_some(())
        });
    }
}

/// The machine.
pub(crate) struct Machine {
    // Detached before its file goes.
    pub(crate) disk: Loop,
    pub(crate) dir: TempDir,
}

impl Machine {
    /// With a disk of so many bytes that reads as zeros.
    pub(crate) fn new(size: u64) -> Self {
        let dir = fresh();
        let root = dir.path();
        let image = root.join("disk.img");
        File::create(&image).unwrap().set_len(size).unwrap();
        let disk = Loop::attach(&image).expect("a loop device");
        for name in ["etc/agent", "lib"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let home = directory(root, "home");
        fs::copy("/etc/mke2fs.conf", root.join("etc/mke2fs.conf")).unwrap();
        let passwd =
            format!("root:x:0:0::/root:/bin/sh\ndev:x:65534:65534::{}:/bin/sh\n", home.display());
        file(&root.join("etc"), "passwd", passwd);
        file(&root.join("etc"), "group", "root:x:0:\ndev:x:65534:\n");
        Self { disk, dir }
    }

    /// With these keys in `[volume.ebs]`, and this below it.
    pub(crate) fn ebs(self, keys: &str, more: &str) -> Self {
        let device = self.disk.0.display();
        let table = format!("[volume.ebs]\ndevice = \"{device}\"\nwait = \"1s\"\n{keys}\n{more}");
        self.config(&format!(
            "[[volume]]\ntarget = \"{TARGET}\"\nmin_free = 0\nmin_inodes = 0\n{table}"
        ))
    }

    /// With this below what every test needs.
    pub(crate) fn config(self, text: &str) -> Self {
        let all = format!(
            "[user]\nname = \"dev\"\n[tools]\nenabled = \"off\"\n[bootstrap]\ninstance = \"test\"\n{text}"
        );
        fs::write(self.dir.path().join("etc/agent/agent.toml"), all).unwrap();
        self
    }

    /// The disk's content.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.path().join("disk.img")
    }

    /// Writes to the disk.
    pub(crate) fn write(self, at: u64, bytes: &[u8]) -> Self {
        let device = File::options().write(true).open(&self.disk.0).unwrap();
        device.write_all_at(bytes, at).unwrap();
        device.sync_all().unwrap();
        self
    }

    /// Runs a program on the disk.
    pub(crate) fn tool(self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.disk.0);
        let ended = command.env("PATH", PATH).output().unwrap();
        assert!(ended.status.success(), "{program}: {ended:?}");
        self
    }

    /// Starts the machine, runs `script` in it, and ends it. `agent` is on PATH.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Ended {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", STAGE, "stage"]);
        command.arg(self.dir.path()).arg(script);
        let programs = built().parent().unwrap().display();
        command.env_clear().env("PATH", format!("{programs}:{PATH}")).current_dir("/");
        run(command)
    }

    /// Boots, runs `script`, and tells what the status says of the boot.
    #[track_caller]
    pub(crate) fn boot(&self, script: &str) -> Boot {
        let ended =
            self.run(&format!("agent boot; {script}\nagent status --json >&2; true")).expect(0);
        let start = ended.stderr.find("{\n").unwrap_or_else(|| panic!("no status: {ended:#?}"));
        let status = serde_json::from_str(&ended.stderr[start..]).unwrap();
        Boot { status, stdout: ended.stdout, took: ended.took }
    }

    /// The machine's /etc/fstab.
    pub(crate) fn fstab(&self) -> String {
        fs::read_to_string(self.dir.path().join("etc/fstab")).unwrap_or_default()
    }
}

/// What a boot came to.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) status: Value,
    /// What the script said behind it.
    pub(crate) stdout: String,
    pub(crate) took: std::time::Duration,
}

impl Boot {
    #[track_caller]
    pub(crate) fn is(self, state: &str) -> Self {
        assert_eq!(self.status["state"], state, "{self:#?}");
        self
    }

    fn volume(&self) -> &Value {
        let phases = self.status["phases"].as_array().unwrap();
        phases.iter().find(|p| p["name"] == "volume").unwrap()
    }

    pub(crate) fn problems(&self) -> Vec<Value> {
        self.volume()["problems"].as_array().cloned().unwrap_or_default()
    }

    /// The one problem has this code; returned is all that is said of it.
    #[track_caller]
    pub(crate) fn problem(&self, code: &str) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{self:#?}");
        assert_eq!(problems[0]["code"], code, "{self:#?}");
        problems[0].to_string()
    }

    /// Some note of the phase says this.
    #[track_caller]
    pub(crate) fn notes(self, part: &str) -> Self {
        assert!(self.volume()["notes"].to_string().contains(part), "{part:?}: {self:#?}");
        self
    }
}
