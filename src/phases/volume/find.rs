//! Which block device is the one that was asked for? EC2 shows a volume under another name
//! than it was attached by, and in an order of its own.
//!
//! A volume's id is the disk's serial number (EC2 user guide, "Identify the EBS device").
//! A name (`/dev/sdf`) is what the disk's controller says it was attached by; else that
//! very file; else the name that Xen's driver makes of it (`/dev/xvdf`).

use crate::sys::nvme;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The kernel's name, such as `nvme1n1`.
    pub(super) name: String,
    /// Its device file.
    pub(super) node: PathBuf,
    /// Major and minor number.
    pub(super) number: (u32, u32),
    /// Counts the disks that this kernel has seen: another disk under the same name has
    /// another number (sysfs-block, "diskseq", Linux 5.15).
    pub(super) sequence: Option<String>,
    /// It takes no writes.
    pub(super) read_only: bool,
    /// What else uses it, such as `dm-0`.
    pub(super) holders: Vec<String>,
    /// Its partitions, by name and number.
    pub(super) partitions: Vec<(String, (u32, u32))>,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Found {
    /// The device.
    Disk(Disk),
    /// More than one answers to the name.
    Several(Vec<String>),
    /// There is such a file, and it is no block device.
    NoDevice(PathBuf),
    /// No such device; these disks are there, with serial number and size.
    Nothing(Vec<String>),
}

/// Where the kernel shows its devices.
pub(super) struct Machine {
    sys: PathBuf,
    dev: PathBuf,
    /// By which name the disk was attached, as its controller says.
    attached_as: fn(&Path) -> Option<String>,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into(), attached_as }
    }

    /// Searches until there is an answer, at most for `wait`.
    pub(super) fn wait_for(&self, wanted: &str, wait: Duration) -> Found {
        let until = Instant::now() + wait;
        let mut pause = Duration::from_millis(50);
        loop {
            let found = self.find(wanted);
            let left = until.saturating_duration_since(Instant::now());
            if !matches!(found, Found::Nothing(_) | Found::NoDevice(_)) || left.is_zero() {
                return found;
            }
            // Nobody is asked but this machine's own kernel: no jitter.
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    fn find(&self, wanted: &str) -> Found {
        let disks = self.disks();
        let nothing = || Found::Nothing(disks.iter().map(|d| self.describe(d)).collect());
        if wanted.starts_with("vol-") {
            let serial = wanted.replace('-', "");
            let same = |d: &&String| self.serial(d).is_some_and(|s| s.replace('-', "") == serial);
            return self.one(disks.iter().filter(same)).unwrap_or_else(nothing);
        }
        let name = wanted.strip_prefix("/dev/").unwrap_or(wanted);
        let names: Vec<String> = std::iter::once(name.to_owned()).chain(alias(name)).collect();
        // The kernel's own `sdf` may be another disk than the one that EC2 calls so.
        let by_controller = disks.iter().filter(|d| {
            d.starts_with("nvme")
                && (self.attached_as)(&self.dev.join(d)).is_some_and(|n| names.contains(&n))
        });
        if let Some(found) = self.one(by_controller) {
            return found;
        }
        names
            .iter()
            .map(|name| self.dev.join(name))
            .find(|path| path.exists())
            .and_then(|path| self.at(&path))
            .unwrap_or_else(nothing)
    }

    /// The one device of these names, where there is one.
    fn one<'a>(&self, names: impl Iterator<Item = &'a String>) -> Option<Found> {
        let names: Vec<&String> = names.collect();
        match names.as_slice() {
            [] => None,
            // The kernel's event comes before the file.
            [name] => self.disk(name).map(Found::Disk),
            several => Some(Found::Several(several.iter().map(|n| (*n).clone()).collect())),
        }
    }

    /// The device at a path, which may be a link of udev's; `None` where it has no size (yet).
    fn at(&self, path: &Path) -> Option<Found> {
        let real = path.canonicalize().ok().filter(|real| real.starts_with(&self.dev));
        let name = real.as_deref().and_then(Path::file_name).map(OsStr::to_string_lossy);
        let disk = name.as_deref().and_then(|name| self.disk(name));
        match disk.filter(|disk| Some(&disk.node) == real.as_ref()) {
            Some(disk) => self.has_size(&disk.name).then_some(Found::Disk(disk)),
            None => Some(Found::NoDevice(path.into())),
        }
    }

    /// Disks with a size, without partitions and without those that only stand for a path of
    /// another.
    fn disks(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sys.join("block")).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|name| {
                let hidden = self.attribute(name, "hidden").is_some_and(|h| h == "1");
                !hidden && self.has_size(name)
            })
            .collect();
        names.sort();
        names
    }

    fn has_size(&self, name: &str) -> bool {
        self.attribute(name, "size").is_some_and(|size| size != "0")
    }

    fn disk(&self, name: &str) -> Option<Disk> {
        let node = self.dev.join(name);
        node.exists().then_some(())?;
        let own = |n: &String| self.attribute(name, &format!("{n}/partition")).is_some();
        let partitions = self.entries(name, "").into_iter().filter(own);
        Some(Disk {
            name: name.to_owned(),
            number: self.number(name)?,
            sequence: self.attribute(name, "diskseq"),
            read_only: self.attribute(name, "ro").is_some_and(|ro| ro != "0"),
            holders: self.entries(name, "holders"),
            partitions: partitions.filter_map(|n| Some((n.clone(), self.number(&n)?))).collect(),
            node,
        })
    }

    fn number(&self, name: &str) -> Option<(u32, u32)> {
        let number = self.attribute(name, "dev")?;
        let (major, minor) = number.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    /// The names in a directory of the device's.
    fn entries(&self, name: &str, directory: &str) -> Vec<String> {
        let path = self.sys.join("class/block").join(name).join(directory);
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// virtio and loop devices have it beside the disk, NVMe at the controller.
    fn serial(&self, name: &str) -> Option<String> {
        let here = self.attribute(name, "serial").filter(|s| !s.is_empty());
        here.or_else(|| self.attribute(name, "device/serial")).filter(|s| !s.is_empty())
    }

    fn attribute(&self, name: &str, attribute: &str) -> Option<String> {
        let path = self.sys.join("class/block").join(name).join(attribute);
        Some(String::from_utf8_lossy(&fs::read(path).ok()?).trim().to_owned())
    }

    fn describe(&self, name: &str) -> String {
        let serial = self.serial(name).map(|s| format!(" serial {s}")).unwrap_or_default();
        let sectors = self.attribute(name, "size").and_then(|s| s.parse().ok()).unwrap_or(0);
        let size = crate::config::value::Bytes(u64::saturating_mul(sectors, 512));
        format!("{name}{serial} {size}")
    }
}

/// `sdf` is `xvdf` to Xen's driver, and the other way round.
fn alias(name: &str) -> Option<String> {
    let letters = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    match (name.strip_prefix("sd"), name.strip_prefix("xvd")) {
        (Some(rest), _) if letters(rest) => Some(format!("xvd{rest}")),
        (_, Some(rest)) if letters(rest) => Some(format!("sd{rest}")),
        _ => None,
    }
}

fn attached_as(node: &Path) -> Option<String> {
    let device = File::open(node).ok()?;
    nvme::ebs_name(&nvme::identify(&device).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    struct Stage(TempDir);

    impl Stage {
        fn new() -> Self {
            let stage = Self(tempfile::tempdir().unwrap());
            for dir in ["sys/block", "sys/class/block", "dev/disk/by-id"] {
                fs::create_dir_all(stage.0.path().join(dir)).unwrap();
            }
            stage
        }

        fn device(&self, name: &str, number: &str, serial: Option<&str>) -> &Self {
            let root = self.0.path();
            let sys = root.join("sys/class/block").join(name);
            fs::create_dir_all(sys.join("holders")).unwrap();
            fs::create_dir_all(root.join("sys/block").join(name)).unwrap();
            fs::write(sys.join("dev"), format!("{number}\n")).unwrap();
            fs::write(sys.join("size"), "2097152\n").unwrap();
            fs::write(sys.join("ro"), "0\n").unwrap();
            if let Some(serial) = serial {
                let place = if name.starts_with("nvme") { "device/serial" } else { "serial" };
                fs::create_dir_all(sys.join("device")).unwrap();
                fs::write(sys.join(place), format!("{serial}\n")).unwrap();
            }
            fs::write(root.join("dev").join(name), "").unwrap();
            self
        }

        fn machine(&self) -> Machine {
            let root = self.0.path().canonicalize().unwrap();
            Machine { sys: root.join("sys"), dev: root.join("dev"), attached_as: told }
        }

        fn found(&self, wanted: &str) -> String {
            match self.machine().find(wanted) {
                Found::Disk(disk) => disk.name,
                Found::Several(names) => format!("several: {}", names.join(" ")),
                Found::NoDevice(path) => {
                    format!("no device: {}", path.file_name().unwrap().display())
                }
                Found::Nothing(seen) => format!("nothing; {}", seen.join(", ")),
            }
        }
    }

    fn told(node: &Path) -> Option<String> {
        match node.file_name()?.to_str()? {
            "nvme1n1" => Some("sdf".into()),
            "nvme2n1" => Some("xvdba".into()),
            _ => None,
        }
    }

    #[test]
    fn a_volume_is_known_by_its_serial_number_with_and_without_the_hyphen() {
        let stage = Stage::new();
        stage.device("nvme0n1", "259:0", Some("vol00000000000000001   "));
        stage.device("nvme1n1", "259:4", Some("vol0123456789abcdef0"));
        stage.device("vda", "254:0", Some("vol-0aaaaaaaaaaaaaaaa"));
        assert_eq!(stage.found("vol-0123456789abcdef0"), "nvme1n1");
        assert_eq!(stage.found("vol-00000000000000001"), "nvme0n1");
        assert_eq!(stage.found("vol-0aaaaaaaaaaaaaaaa"), "vda");
        let Found::Disk(disk) = stage.machine().find("vol-0123456789abcdef0") else { panic!() };
        assert_eq!((disk.number, disk.read_only), ((259, 4), false));
        let nothing = stage.found("vol-0123456789abcdef");
        assert!(
            nothing.starts_with("nothing; nvme0n1 serial vol00000000000000001 1.0 GiB"),
            "{nothing}"
        );
    }

    #[test]
    fn a_name_is_what_the_controller_was_told_before_it_is_a_file() {
        let stage = Stage::new();
        stage.device("nvme1n1", "259:4", None).device("sdf", "8:80", None);
        stage.device("nvme2n1", "259:8", None).device("xvdg", "202:96", None);
        assert_eq!(stage.found("/dev/sdf"), "nvme1n1");
        assert_eq!(stage.found("xvdf"), "nvme1n1");
        assert_eq!(stage.found("/dev/sdba"), "nvme2n1");
        assert_eq!(stage.found("/dev/sdg"), "xvdg");
        assert_eq!(stage.found("/dev/xvdg"), "xvdg");
        assert_eq!(stage.found("nvme2n1"), "nvme2n1");
    }

    #[test]
    fn links_of_udev_are_followed_to_a_device_and_to_nothing_else() {
        let stage = Stage::new();
        let dev = stage.0.path().join("dev");
        stage.device("dm-0", "253:0", None);
        symlink("../../dm-0", dev.join("disk/by-id/x")).unwrap();
        symlink("/etc/passwd", dev.join("sdh")).unwrap();
        fs::write(dev.join("sdi"), "a file").unwrap();
        assert_eq!(stage.found("/dev/disk/by-id/x"), "dm-0");
        assert_eq!(stage.found("/dev/sdh"), "no device: sdh");
        assert_eq!(stage.found("/dev/sdi"), "no device: sdi");
        assert!(stage.found("/dev/sdz").starts_with("nothing; "));
        stage.device("loop7", "7:7", None);
        fs::write(stage.0.path().join("sys/class/block/loop7/size"), "0\n").unwrap();
        assert!(stage.found("/dev/loop7").starts_with("nothing; "), "nothing is attached to it");
    }

    #[test]
    fn two_disks_of_one_volume_and_a_disk_without_its_file_are_not_chosen() {
        let stage = Stage::new();
        let serial = Some("vol0123456789abcdef0");
        stage.device("vdb", "254:16", serial);
        fs::remove_file(stage.0.path().join("dev/vdb")).unwrap();
        assert!(stage.found("vol-0123456789abcdef0").starts_with("nothing"));
        stage.device("vdb", "254:16", serial).device("vdc", "254:32", serial);
        assert_eq!(stage.found("vol-0123456789abcdef0"), "several: vdb vdc");
        let part = stage.0.path().join("sys/class/block/vdb/vdb1");
        fs::create_dir_all(&part).unwrap();
        fs::write(part.join("partition"), "1\n").unwrap();
        stage.device("vdb1", "254:17", None);
        fs::remove_dir_all(stage.0.path().join("sys/block/vdb1")).unwrap();
        fs::write(stage.0.path().join("sys/class/block/vdc/hidden"), "1\n").unwrap();
        assert_eq!(stage.found("vol-0123456789abcdef0"), "vdb");
        let Found::Disk(disk) = stage.machine().find("/dev/vdb") else { panic!() };
        assert_eq!(disk.partitions, [("vdb1".to_owned(), (254, 17))]);
        assert_eq!(stage.found("/dev/vdb1"), "vdb1");
    }

    #[test]
    fn a_disk_that_comes_later_is_waited_for() {
        let stage = Stage::new();
        let machine = stage.machine();
        thread::scope(|s| {
            s.spawn(|| {
                thread::sleep(Duration::from_millis(120));
                stage.device("vdb", "254:16", Some("vol0123456789abcdef0"));
            });
            let found = machine.wait_for("vol-0123456789abcdef0", Duration::from_secs(20));
            assert!(matches!(found, Found::Disk(_)), "{found:?}");
        });
        let began = Instant::now();
        let found = machine.wait_for("vol-00000000000000000", Duration::from_millis(100));
        assert!(matches!(found, Found::Nothing(_)), "{found:?}");
        assert!(began.elapsed() >= Duration::from_millis(100));
    }
}
