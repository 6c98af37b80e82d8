//! Which container is this? The name by which "once an instance" is counted.
//!
//! A container is not told its own id, but its engine leaves traces: the id is in
//! the source directory of the files it mounts over `/etc/hostname`, `/etc/hosts`
//! and `/etc/resolv.conf`, in the control group's path, and by default in the host
//! name. A restart keeps all three, a new container changes them.

use super::mounts::{self, Mount};
use std::fs;
use std::path::Path;

/// The instance's name and how it was found, for the plan and the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Container id (shortened to 12 digits, as engines show it), pod UID, or host name.
    pub id: String,
    /// What it was read from.
    pub source: &'static str,
}

/// Finds the id of the container this process runs in; on a machine without a
/// container engine, the machine id (`machine-id(5)`); at last the host name.
pub fn find() -> Found {
    let table = mounts::table().unwrap_or_default();
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    from_mounts(&table)
        .map(|id| Found { id, source: "mount table" })
        .or_else(|| from_cgroup(&cgroup).map(|id| Found { id, source: "control group" }))
        .or_else(|| host_name(true).map(|id| Found { id, source: "host name" }))
        .or_else(|| machine_id().map(|id| Found { id, source: "machine id" }))
        .or_else(|| host_name(false).map(|id| Found { id, source: "host name" }))
        .unwrap_or(Found { id: "unknown".into(), source: "nothing" })
}

/// The id of the EC2 instance whose firmware this is, or `None`. A container sees its
/// host's, so this says what the machine is and not which container.
///
/// The vendor is on all instances; the id is in the asset tag of the board only on the
/// Nitro system (EC2 user guide, "Identify EC2 instances").
pub fn ec2_instance_id() -> Option<String> {
    let read = |name| fs::read_to_string(Path::new("/sys/class/dmi/id").join(name)).ok();
    ec2_id_from_dmi(&read("sys_vendor")?, &read("board_asset_tag")?)
}

fn ec2_id_from_dmi(vendor: &str, tag: &str) -> Option<String> {
    let id = tag.trim();
    (vendor.trim() == "Amazon EC2" && is_ec2_id(id)).then(|| id.to_owned())
}

/// Is it an EC2 instance's id: `i-` and 8 hexadecimal digits, or 17 since 2016?
pub fn is_ec2_id(text: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("i-")
        .is_some_and(|hex| (8..=17).contains(&hex.len()) && hex.bytes().all(digit))
}

fn from_mounts(table: &[Mount]) -> Option<String> {
    ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].iter().find_map(|file| {
        let mount = mounts::at(table, Path::new(file))?;
        id_in(&mount.root.to_string_lossy())
    })
}

fn from_cgroup(text: &str) -> Option<String> {
    text.lines().find_map(id_in)
}

/// The first 64-digit hexadecimal container id or pod UID among the words of a path.
fn id_in(path: &str) -> Option<String> {
    path.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .flat_map(|word| [word, word.rsplit_once('-').map_or(word, |(_, last)| last)])
        .find_map(|word| {
            let hex = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            if word.len() == 64 && hex(word) {
                return word.get(..12).map(str::to_owned);
            }
            let uid = word.trim_start_matches("pod");
            let parts: Vec<&str> = uid.split('-').collect();
            let lengths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
            (lengths == [8, 4, 4, 4, 12] && parts.iter().all(|p| hex(p))).then(|| uid.to_owned())
        })
}

/// The host name; with `engine_made`, only one of the form that engines give (12
/// hexadecimal digits).
fn host_name(engine_made: bool) -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let looks_made = name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
    (!name.is_empty() && (looks_made || !engine_made)).then_some(name)
}

fn machine_id() -> Option<String> {
    let text = fs::read_to_string("/etc/machine-id").ok()?;
    let id = text.trim();
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c2a9b8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a";

    #[test]
    fn ids_are_found_where_engines_leave_them() {
        let podman =
            format!("/var/lib/containers/storage/overlay-containers/{ID}/userdata/hostname");
        assert_eq!(id_in(&podman).unwrap(), "3f1c2a9b8d7e");
        assert_eq!(id_in(&format!("0::/machine.slice/libpod-{ID}.scope")).unwrap(), "3f1c2a9b8d7e");
        assert_eq!(id_in(&format!("12:pids:/docker/{ID}")).unwrap(), "3f1c2a9b8d7e");
        assert_eq!(
            id_in("/var/lib/kubelet/pods/7a5f3e1c-9b2d-4c8e-a1f0-3d6b5c4a2e10/etc-hosts").unwrap(),
            "7a5f3e1c-9b2d-4c8e-a1f0-3d6b5c4a2e10"
        );
        assert!(id_in("/user.slice/user-1000.slice/session-2.scope").is_none());
    }

    #[test]
    fn firmware_names_the_instance_on_nitro() {
        let id = "i-0123456789abcdef0";
        assert_eq!(ec2_id_from_dmi("Amazon EC2\n", &format!("{id}\n")).as_deref(), Some(id));
        assert_eq!(ec2_id_from_dmi("Amazon EC2\n", "i-0a1b2c3d\n").as_deref(), Some("i-0a1b2c3d"));
        assert_eq!(ec2_id_from_dmi("QEMU\n", id), None);
        for other in ["", "Not Specified", "i-0123", "i-0123456789ABCDEF0", "i-0123456789abcdef01"]
        {
            assert_eq!(ec2_id_from_dmi("Amazon EC2", other), None, "{other}");
        }
    }
}
