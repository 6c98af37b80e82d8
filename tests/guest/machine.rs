//! A machine from an image: its disk is kept from start to start, what is mounted and what the
//! kernel knows is not.

use crate::readiness::{Readiness, layer_is_ready};
use crate::util::metadata::Service;
use crate::util::{Ended, PATH, Running, built, file, fresh, is_root, run, start};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Keys that nobody has the other half of.
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0hYGvhvpDCrcULfGDkXrqxGJ0QzVKzMR4gYbkqJ6nC launch";
pub(crate) const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexMPl0wRSnCpQT0YW0mXnYQbqYgqVLSn1NnGs5Wc3f other";

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";

/// What came with the image, and is on all of its copies.
pub(crate) const MACHINE_ID: &str = "00112233445566778899aabbccddeeff";

/// The machine's own programs lie before this one's in its /usr. `$1` is the directory, `$2` what
/// is done.
const STAGE: &str = r#"
set -e
mount -t overlay -o "lowerdir=$1/usr:/usr" overlay /usr
mount --bind "$1/etc" /etc
mount --bind "$1/lib" /var/lib
mount --bind "$1/home" /home
mount -t tmpfs -o mode=755 tmpfs /run
hostname image
mount --bind "$1" /mnt
cd /
exec sh -c "$2"
"#;

/// Can the layer run here?
pub(crate) fn ready() -> bool {
    static READY: Readiness = Readiness::new();
    layer_is_ready("guest", &READY, || {
        if !is_root() {
            return Err("accounts and their files need root".into());
        }
        for program in ["/usr/bin/ssh-keygen", "/usr/sbin/useradd"] {
            if !Path::new(program).exists() {
                return Err(format!("there is no {program}"));
            }
        }
        let machine = Machine::new("");
        let ended = machine.run("true");
        if ended.code() == 0 { Ok(()) } else { Err(format!("no namespaces: {}", ended.stderr)) }
    })
}

pub(crate) struct Machine {
    dir: TempDir,
    pub(crate) service: Service,
}

impl Machine {
    /// With `more` configuration; it has an SSH server, sudo, and no login user.
    #[track_caller]
    pub(crate) fn new(more: &str) -> Self {
        let dir = fresh();
        let root = dir.path();
        for name in ["etc/agent", "etc/ssh", "etc/sudoers.d", "etc/default", "lib", "home", "out"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["usr/sbin", "usr/bin"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        root_owns(root);
        let etc = root.join("etc");
        for name in ["login.defs", "default/useradd", "nsswitch.conf"] {
            let _ = fs::copy(Path::new("/etc").join(name), etc.join(name));
        }
        copy_directory(Path::new("/etc/pam.d"), &etc.join("pam.d"));
        for (name, text) in [
            ("passwd", "root:x:0:0:root:/root:/bin/sh\n"),
            ("group", "root:x:0:\nadm:x:4:\nsudo:x:27:\n"),
            ("shadow", "root:*:19000:0:99999:7:::\n"),
            ("gshadow", "root:*::\nadm:*::\nsudo:*::\n"),
            ("hosts", "127.0.0.1 localhost\n"),
            ("hostname", "image\n"),
            ("machine-id", &format!("{MACHINE_ID}\n")),
            ("ssh/sshd_config", "UsePAM yes\n"),
            ("ssh/ssh_host_ed25519_key", "the image's\n"),
            ("ssh/ssh_host_dsa_key", "the image's\n"),
        ] {
            fs::write(etc.join(name), text).unwrap();
        }
        let service = Service::start(&[]);
        service.change(json!({"instance_id": INSTANCE, "ssh_key": KEY}));
        let machine = Self { dir, service };
        machine.age_machine_id();
        machine.program("usr/sbin/visudo", "#!/bin/sh\ngrep -q 'NOPASSWD:ALL$' \"$4\"\n");
        machine.configure(more);
        machine
    }

    /// Another configuration.
    pub(crate) fn configure(&self, more: &str) {
        let text = format!(
            "[ec2]\nenabled = true\ntags = false\nendpoints = [\"{}\"]\nrequest_deadline = \"1s\"\ndeadline = \"3s\"\n[tools]\nenabled = \"off\"\n{more}",
            self.service.url()
        );
        fs::write(self.path("etc/agent/agent.toml"), text).unwrap();
    }

    /// A program of the image's, or of the test's in place of one of this machine's.
    pub(crate) fn program(&self, path: &str, text: &str) {
        file(self.dir.path(), path, text);
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn user_data(&self, text: &str) {
        self.service.change(json!({"user_data_base64": STANDARD.encode(text)}));
    }

    /// The image is older than this kernel's start.
    fn age_machine_id(&self) {
        let long_ago = SystemTime::now() - Duration::from_secs(400 * 86_400);
        let file = fs::File::options().write(true).open(self.path("etc/machine-id")).unwrap();
        file.set_modified(long_ago).unwrap();
    }

    /// A path of the machine, as it is outside.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    #[track_caller]
    pub(crate) fn read(&self, below: &str) -> String {
        let path = self.path(below);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--propagation", "private", "sh", "-c", STAGE, "stage"]);
        command.arg(self.dir.path()).arg(script);
        let programs = built().parent().unwrap().display();
        command.env_clear().env("PATH", format!("{programs}:{PATH}")).current_dir("/");
        // The root is this machine's own.
        command.env("AGENT__GUEST__ROOT_DISK", "false");
        command
    }

    /// Starts the machine, runs `script` in it, and ends it.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Ended {
        run(self.command(script))
    }

    /// The same, still running.
    #[track_caller]
    pub(crate) fn start(&self, script: &str) -> Running {
        start(self.command(script))
    }

    /// Boots, and tells the status.
    #[track_caller]
    pub(crate) fn boot(&self) -> Value {
        self.run("agent boot >/mnt/out/log 2>&1; hostname >/mnt/out/hostname; agent status --json")
            .json()
    }

    /// Boots well.
    #[track_caller]
    pub(crate) fn boots(&self) -> Value {
        let status = self.boot();
        assert_eq!(status["state"], "complete", "{status:#}");
        status
    }

    /// The public halves of the host keys, with their names.
    pub(crate) fn host_keys(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = fs::read_dir(self.path("etc/ssh"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("ssh_host"))
            .map(|name| (name.clone(), self.read(&format!("etc/ssh/{name}"))))
            .collect();
        all.sort();
        all
    }

    /// The lines of the login user's authorized keys.
    pub(crate) fn authorized(&self) -> Vec<String> {
        let file = self.path("home/ubuntu/.ssh/authorized_keys");
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A phase of a status.
#[track_caller]
pub(crate) fn phase<'a>(status: &'a Value, name: &str) -> &'a Value {
    let phases = status["phases"].as_array().unwrap();
    phases.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("no {name}: {status:#}"))
}

/// The code of a phase's first problem.
#[track_caller]
pub(crate) fn problem<'a>(status: &'a Value, name: &str) -> &'a str {
    phase(status, name)["problems"][0]["code"].as_str().unwrap_or_else(|| panic!("{status:#}"))
}

/// What `fresh` gives away belongs to root here: it is the machine's disk.
fn root_owns(root: &Path) {
    std::os::unix::fs::chown(root, Some(0), Some(0)).unwrap();
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let _ = fs::copy(entry.path(), to.join(entry.file_name()));
    }
}
