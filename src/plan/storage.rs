//! What stands behind a mount point of a machine: EFS and EBS, resolved with what the
//! launch said.

use super::facts::Facts;
use crate::config::value::Span;
use crate::config::{Ebs, Efs, Volume, is_device, is_file_system};
use crate::journal::Problem;
use crate::stub::Parameters;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Stands in a planned command for the device, which is known once it has appeared.
pub const DEVICE: &str = "DEVICE";

/// How the contract mounts EFS; what AWS recommends, too (EFS user guide, "NFS mount
/// settings"). `hard`: a server that is away for a while must lose no write.
const NFS_OPTIONS: &str =
    "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport";

/// One volume of the plan.
#[derive(Clone, Debug, Serialize)]
pub struct VolumeWork {
    /// The mount point and what must be true of it.
    #[serde(flatten)]
    pub volume: Volume,
    /// How it gets there, on a machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}

/// What belongs at a mount point.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Storage {
    /// The launch named none, so the volume is passed over.
    Skip {
        /// Why.
        reason: String,
    },
    /// What was named cannot be used, which is already known.
    Refuse {
        /// Why, and the way out.
        problem: Problem,
    },
    /// An EFS file system.
    Efs(EfsWork),
    /// An EBS volume.
    Ebs(EbsWork),
}

/// Mounting an EFS file system.
#[derive(Clone, Debug, Serialize)]
pub struct EfsWork {
    /// What the mount table will call it: `ADDRESS:/`.
    pub source: String,
    /// The command that mounts it.
    pub mount: Vec<String>,
    /// Until when it must be mounted and answer, in milliseconds.
    pub deadline: Span,
    /// Its line in `/etc/fstab`.
    #[serde(serialize_with = "line")]
    pub fstab: Entry,
}

/// Making an EBS volume ready.
#[derive(Clone, Debug, Serialize)]
pub struct EbsWork {
    /// Volume id or device name.
    pub device: String,
    /// How long it may take to appear, in milliseconds.
    pub wait: Span,
    /// What makes a file system where the device is provably blank; absent where that is
    /// not allowed.
    pub format: Option<Vec<String>>,
    /// What checks an ext4 file system before it is mounted.
    pub check: Vec<String>,
    /// What grows an ext4 file system; absent where that is not wanted.
    pub grow: Option<Vec<String>>,
    /// Deadline of everything after the device has appeared, in milliseconds.
    pub deadline: Span,
    /// Its line in `/etc/fstab`, with the file system's own UUID and type.
    #[serde(serialize_with = "line")]
    pub fstab: Entry,
}

/// A line of `fstab(5)`. It shows itself as the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `UUID=…`, or `SERVER:/`.
    pub source: String,
    /// Mount point.
    pub target: PathBuf,
    /// File system type.
    pub fstype: String,
    /// Mount options.
    pub options: String,
    /// In which turn it is checked at boot; 0 is never.
    pub pass: u8,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, target, fstype, options, pass } = self;
        let target = escape(&target.to_string_lossy());
        write!(f, "{} {target} {fstype} {options} 0 {pass}", escape(source))
    }
}

/// In JSON a person reads the line, too.
fn line<S: Serializer>(entry: &Entry, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(entry)
}

/// White space and backslashes stand in octal (`fstab(5)`, `getmntent(3)`).
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            ' ' | '\t' | '\n' | '\\' | '#' => out.push_str(&format!("\\{:03o}", u32::from(c))),
            c => out.push(c),
        }
        out
    })
}

/// The contract's line for a file system on a disk.
pub fn disk_entry(uuid: &str, target: &Path, fstype: &str) -> Entry {
    Entry {
        source: format!("UUID={uuid}"),
        target: target.into(),
        fstype: fstype.into(),
        options: "defaults,nofail".into(),
        // The kernel and xfs_repair see to XFS; fsck.xfs does nothing.
        pass: if fstype == "xfs" { 0 } else { 2 },
    }
}

/// What belongs at the mount point of `v`, whose target has been resolved.
pub(super) fn storage(v: &Volume, facts: &Facts) -> Option<Storage> {
    match (&v.efs, &v.ebs) {
        (Some(efs), _) => Some(self::efs(efs, v, facts)),
        (_, Some(ebs)) => Some(self::ebs(ebs, v, facts)),
        (None, None) => None,
    }
}

/// The launch names a file system or a disk that no volume takes. Passing it over would call
/// a machine complete that lacks what was asked for.
pub(super) fn unserved(volumes: &[Volume], facts: &Facts) -> Option<Problem> {
    let problem = |variable: &str, value: &str, table: &str| {
        Problem::new(
            "launch-unserved",
            format!(
                "the launch says {variable}={value}, and no [[volume]] of the configuration takes it"
            ),
            format!(
                "give the machine's configuration a [[volume]] with [volume.{table}], or launch without it"
            ),
        )
    };
    let efs = launched(facts, |p| p.efs_id.as_ref());
    if let Some(id) = efs.filter(|_| volumes.iter().all(|v| v.efs.is_none())) {
        return Some(problem("MINT_EFS_ID", id, "efs").filed_under("efs-mount"));
    }
    let device = launched(facts, |p| p.project_dev.as_ref());
    let device = device.filter(|_| volumes.iter().all(|v| v.ebs.is_none()));
    device.map(|device| problem("MINT_PROJECT_DEV", device, "ebs"))
}

/// How long making it ready may take.
pub(super) fn takes(v: &Volume) -> std::time::Duration {
    let efs = v.efs.as_ref().map(|e| e.deadline.0);
    let ebs = v.ebs.as_ref().map(|e| e.wait.0 + e.deadline.0);
    efs.or(ebs).unwrap_or_default()
}

fn efs(efs: &Efs, v: &Volume, facts: &Facts) -> Storage {
    let target = v.target.display();
    let id = efs.id.as_ref().or_else(|| launched(facts, |p| p.efs_id.as_ref()));
    let host = match (&efs.address, id) {
        (Some(address), _) => match address.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
            _ => address.clone(),
        },
        (None, None) => {
            return Storage::Skip {
                reason: format!("no EFS file system is given for {target} (MINT_EFS_ID)"),
            };
        }
        (None, Some(id)) if !is_file_system(id) => {
            return refuse(
                "efs-id",
                format!("MINT_EFS_ID is {id:?}, which is no file system's id"),
                "launch with an id such as fs-0123456789abcdef0",
            );
        }
        (None, Some(id)) => match facts.machine.as_ref().map(|m| m.region.as_str()) {
            Some(region) if is_region(region) => format!("{id}.efs.{region}.amazonaws.com"),
            _ => {
                return refuse(
                    "efs-region",
                    format!(
                        "the region of {id} for {target} is not known: there is no instance metadata"
                    ),
                    "say enabled = true in [ec2], or write the mount target's address in volume.efs.address",
                );
            }
        },
    };
    let port = efs.port.map(|p| format!(",port={p}")).unwrap_or_default();
    let options = format!("{NFS_OPTIONS}{port}");
    let source = format!("{host}:/");
    let at = v.target.to_string_lossy();
    let mount = ["mount", "-t", "nfs4", "-o", &options, &source, &at];
    Storage::Efs(EfsWork {
        mount: mount.map(str::to_owned).to_vec(),
        deadline: efs.deadline,
        fstab: Entry {
            source: source.clone(),
            target: v.target.clone(),
            fstype: "nfs4".into(),
            options: format!("{options},_netdev,nofail"),
            pass: 0,
        },
        source,
    })
}

fn ebs(ebs: &Ebs, v: &Volume, facts: &Facts) -> Storage {
    let target = v.target.display();
    let device = ebs.device.as_ref().or_else(|| launched(facts, |p| p.project_dev.as_ref()));
    let Some(device) = device else {
        return Storage::Skip {
            reason: format!("no EBS volume is given for {target} (MINT_PROJECT_DEV)"),
        };
    };
    if !is_device(device) {
        return refuse(
            "ebs-device",
            format!("MINT_PROJECT_DEV is {device:?}, which names no device"),
            "launch with a volume id such as vol-0123456789abcdef0, or a name such as /dev/sdf",
        );
    }
    let command = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<String>>();
    Storage::Ebs(EbsWork {
        device: device.clone(),
        wait: ebs.wait,
        format: ebs.format.then(|| {
            let label = label(&v.target);
            command(&["mkfs.ext4", "-m", "1", "-E", "nodiscard", "-L", &label, DEVICE])
        }),
        check: command(&["e2fsck", "-p", DEVICE]),
        grow: ebs.grow.then(|| command(&["resize2fs", DEVICE])),
        deadline: ebs.deadline,
        fstab: disk_entry("UUID", &v.target, "ext4"),
    })
}

fn refuse(code: &str, message: String, next: &str) -> Storage {
    Storage::Refuse { problem: Problem::new(code, message, next) }
}

/// What the launch said: to the instance by its user-data, or to this process by variables.
fn launched<'a>(
    facts: &'a Facts,
    parameter: impl Fn(&'a Parameters) -> Option<&'a String>,
) -> Option<&'a String> {
    let machine = facts.machine.as_ref().and_then(|m| parameter(&m.parameters));
    machine.or_else(|| parameter(&facts.launch))
}

/// A region becomes a part of a host name.
fn is_region(region: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !region.is_empty() && region.bytes().all(plain)
}

/// The name of the file system is that of its mount point; ext4 has room for 16 bytes.
fn label(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    name.chars().filter(char::is_ascii_graphic).take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::super::facts::Machine;
    use super::super::resolve::tests::facts;
    use super::*;

    fn volume(text: &str) -> Volume {
        let layer = crate::config::check_text("test", text).unwrap();
        crate::config::config_of(layer, "test").unwrap().volumes.remove(0)
    }

    fn machine(efs_id: &str, project_dev: &str) -> Facts {
        let given = |s: &str| (!s.is_empty()).then(|| s.to_owned());
        let parameters = Parameters {
            efs_id: given(efs_id),
            project_dev: given(project_dev),
            ..Parameters::default()
        };
        let machine = Machine { region: "eu-central-1".into(), parameters, ..Machine::default() };
        Facts { machine: Some(machine), ..facts() }
    }

    const EFS: &str = "[[volume]]\ntarget = \"/mint/user\"\n[volume.efs]\n";
    const EBS: &str = "[[volume]]\ntarget = \"/mint/projects\"\n[volume.ebs]\n";

    #[test]
    fn efs_is_mounted_by_the_contracts_command() {
        let Some(Storage::Efs(work)) = storage(&volume(EFS), &machine("fs-0123456789abcdef0", ""))
        else {
            panic!()
        };
        assert_eq!(
            work.mount.join(" "),
            "mount -t nfs4 -o nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com:/ /mint/user"
        );
        assert_eq!(
            work.fstab.to_string(),
            "fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com:/ /mint/user nfs4 nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,_netdev,nofail 0 0"
        );
    }

    #[test]
    fn what_nobody_named_is_passed_over_and_what_has_no_form_is_refused() {
        let kind = |text: &str, facts: &Facts| match storage(&volume(text), facts) {
            Some(Storage::Skip { .. }) => "skip".to_owned(),
            Some(Storage::Refuse { problem }) => problem.code,
            Some(_) => "work".into(),
            None => "none".into(),
        };
        assert_eq!(kind(EFS, &machine("", "")), "skip");
        assert_eq!(kind(EBS, &machine("", "")), "skip");
        assert_eq!(kind(EFS, &machine("fs-1; reboot", "")), "efs-id");
        assert_eq!(kind(EBS, &machine("", "/etc/passwd")), "ebs-device");
        assert_eq!(kind("[[volume]]\ntarget = \"/x\"\n", &machine("", "")), "none");
        let mut nowhere = machine("fs-01234567", "");
        nowhere.machine = None;
        assert_eq!(kind(EFS, &nowhere), "skip");
        nowhere.launch.efs_id = Some("fs-01234567".into());
        assert_eq!(kind(EFS, &nowhere), "efs-region");
        let address = format!("{EFS}address = \"fd00::7\"\n");
        assert_eq!(kind(&address, &nowhere), "work");
        nowhere.launch.project_dev = Some("vol-0123456789abcdef0".into());
        assert_eq!(kind(EBS, &nowhere), "work");
    }

    #[test]
    fn the_config_outranks_the_launch_and_the_launch_outranks_the_environment() {
        let device = |text: &str, facts: &Facts| match storage(&volume(text), facts) {
            Some(Storage::Ebs(work)) => work.device,
            other => panic!("{other:?}"),
        };
        let mut f = machine("", "/dev/sdf");
        f.launch.project_dev = Some("/dev/sdg".into());
        assert_eq!(device(&format!("{EBS}device = \"/dev/sdh\"\n"), &f), "/dev/sdh");
        assert_eq!(device(EBS, &f), "/dev/sdf");
        f.machine = None;
        assert_eq!(device(EBS, &f), "/dev/sdg");
    }

    #[test]
    fn a_format_that_is_not_allowed_is_not_in_the_plan() {
        let work = |text: &str| match storage(&volume(text), &machine("", "/dev/sdf")) {
            Some(Storage::Ebs(work)) => work,
            other => panic!("{other:?}"),
        };
        assert!(work(EBS).format.is_none() && work(EBS).grow.is_some());
        let both = work(&format!("{EBS}format = true\ngrow = false\n"));
        assert_eq!(
            both.format.unwrap().join(" "),
            "mkfs.ext4 -m 1 -E nodiscard -L projects DEVICE"
        );
        assert!(both.grow.is_none());
        assert_eq!(both.fstab.to_string(), "UUID=UUID /mint/projects ext4 defaults,nofail 0 2");
    }

    #[test]
    fn a_line_of_fstab_has_no_bare_white_space_in_a_field() {
        let entry = disk_entry("a-b", Path::new("/mint/my projects"), "ext4");
        assert_eq!(entry.to_string(), "UUID=a-b /mint/my\\040projects ext4 defaults,nofail 0 2");
    }
}
