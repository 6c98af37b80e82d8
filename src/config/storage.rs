//! What a machine has beside the mount points of a container: `volume.efs`,
//! `volume.ebs`, and `[home]`.

use super::error::ConfigError;
use super::layer::{EbsLayer, EfsLayer, HomeLayer};
use super::resolved::{Volume, stays_beneath};
use super::value::Span;
use crate::stub::is_resource_id;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// An EFS file system as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Efs {
    /// Its id; the launch's where `None`.
    pub id: Option<String>,
    /// Where its server is, if not at the name made of id and region.
    pub address: Option<String>,
    /// The server's port.
    pub port: Option<u16>,
    /// Deadline of mounting it.
    pub deadline: Span,
}

/// An EBS volume as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Ebs {
    /// Volume id or device name; the launch's where `None`.
    pub device: Option<String>,
    /// How long it may take to appear.
    pub wait: Span,
    /// May ext4 be made where it is provably blank?
    pub format: bool,
    /// Is the file system grown to the device's size?
    pub grow: bool,
    /// Deadline of everything after it has appeared.
    pub deadline: Span,
}

/// `[home]`. Paths are relative to the home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// Directory whose files are copied where they are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skeleton: Option<PathBuf>,
    /// Directories to make.
    pub directories: Vec<PathBuf>,
    /// Directories with permissions 0700.
    pub private: Vec<PathBuf>,
    /// Symbolic links: name to what it leads to.
    pub links: BTreeMap<PathBuf, PathBuf>,
}

impl Home {
    /// Is nothing asked for?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) fn efs_of(layer: EfsLayer) -> Efs {
    Efs {
        id: layer.id,
        address: layer.address,
        port: layer.port,
        deadline: layer.deadline.unwrap_or(Span::seconds(90)),
    }
}

pub(super) fn ebs_of(layer: EbsLayer) -> Ebs {
    Ebs {
        device: layer.device,
        wait: layer.wait.unwrap_or(Span::seconds(90)),
        format: layer.format.unwrap_or(false),
        grow: layer.grow.unwrap_or(true),
        // A check of a damaged file system reads all of its metadata.
        deadline: layer.deadline.unwrap_or(Span::seconds(15 * 60)),
    }
}

pub(super) fn home_of(layer: HomeLayer, origin: &str) -> Result<Home, ConfigError> {
    let home = Home {
        skeleton: layer.skeleton.filter(|s| !s.as_os_str().is_empty()),
        directories: layer.directories.unwrap_or_default(),
        private: layer.private.unwrap_or_default(),
        links: layer.links.unwrap_or_default(),
    };
    let keys = [("directories", &home.directories), ("private", &home.private)];
    let listed = keys.into_iter().flat_map(|(key, paths)| paths.iter().map(move |p| (key, p)));
    let names = home.links.keys().map(|name| ("links", name));
    if let Some((key, bad)) = listed.chain(names).find(|(_, p)| !stays_beneath(p)) {
        return Err(ConfigError::of(
            origin,
            format!("home.{key}: \"{}\" leaves the home", bad.display()),
            "write a path relative to the home, without \"..\"",
        ));
    }
    if let Some((name, _)) = home.links.iter().find(|(_, to)| to.as_os_str().is_empty()) {
        return Err(ConfigError::of(
            origin,
            format!("home.links: \"{}\" leads nowhere", name.display()),
            "write what it leads to, such as projects = \"/mint/projects\"",
        ));
    }
    if let Some(skeleton) = home.skeleton.as_ref().filter(|s| !s.is_absolute()) {
        return Err(ConfigError::of(
            origin,
            format!("home.skeleton \"{}\" is relative", skeleton.display()),
            "write an absolute path",
        ));
    }
    Ok(home)
}

/// Refuses what cannot be meant of a volume's storage.
pub(super) fn refuse(v: &Volume, origin: &str) -> Result<(), ConfigError> {
    let target = v.target.display();
    let refuse = |what: String, hint: &str| {
        Err(ConfigError::of(origin, format!("volume {target}: {what}"), hint))
    };
    let said = [("mount", v.mount.is_some()), ("efs", v.efs.is_some()), ("ebs", v.ebs.is_some())];
    let said: Vec<&str> = said.iter().filter(|(_, there)| *there).map(|(key, _)| *key).collect();
    if said.len() > 1 {
        return refuse(
            format!("`{}` stand beside each other", said.join("` and `")),
            "one mount point holds one of them",
        );
    }
    if v.target == Path::new("/") && !said.is_empty() {
        return refuse("nothing is mounted over the root".into(), "write another target");
    }
    if let Some(id) = v.efs.as_ref().and_then(|e| e.id.as_ref())
        && !is_file_system(id)
    {
        return refuse(
            format!("efs.id {id:?} is no file system's id"),
            "write one such as \"fs-0123456789abcdef0\"",
        );
    }
    if let Some(address) = v.efs.as_ref().and_then(|e| e.address.as_ref())
        && !is_address(address)
    {
        return refuse(
            format!("efs.address {address:?} is no host name or IP address"),
            "write the mount target's address, without \":/\" behind it",
        );
    }
    if v.efs.as_ref().is_some_and(|e| e.port == Some(0)) {
        return refuse("efs.port is 0".into(), "leave it out for 2049");
    }
    if let Some(device) = v.ebs.as_ref().and_then(|e| e.device.as_ref())
        && !is_device(device)
    {
        return refuse(
            format!("ebs.device {device:?} names no device"),
            "write a volume id such as \"vol-0123456789abcdef0\", or a name such as \"/dev/sdf\"",
        );
    }
    Ok(())
}

/// Has `id` the form of an EFS file system's id (`fs-` and 8 to 40 hexadecimal digits, EFS API
/// reference)? It becomes a part of a host name and of a command line.
pub fn is_file_system(id: &str) -> bool {
    is_resource_id(id, "fs-")
}

/// Has `device` the form of a volume's id (`vol-` and hexadecimal digits) or of a device's
/// name, with or without `/dev/`?
pub fn is_device(device: &str) -> bool {
    if device.starts_with("vol-") {
        return is_resource_id(device, "vol-");
    }
    let name = device.strip_prefix("/dev/").unwrap_or(device);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b);
    name.bytes().all(plain) && stays_beneath(Path::new(name))
}

fn is_address(address: &str) -> bool {
    let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let host = |a: &str| {
        !a.starts_with('-') && a.split('.').all(|l| !l.is_empty() && l.bytes().all(label))
    };
    address.parse::<IpAddr>().is_ok() || host(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_told_from_what_could_be_more() {
        for good in ["fs-01234567", "fs-0123456789abcdef0"] {
            assert!(is_file_system(good), "{good}");
        }
        for bad in
            ["", "fs-", "fs-0123", "fs-0123456z", "fs-01234567:/", "fs-01234567 x", "vol-01234567"]
        {
            assert!(!is_file_system(bad), "{bad}");
        }
        for good in [
            "vol-0123456789abcdef0",
            "/dev/sdf",
            "sdf",
            "xvdf",
            "/dev/nvme1n1p1",
            "/dev/disk/by-id/nvme-Amazon_x",
        ] {
            assert!(is_device(good), "{good}");
        }
        for bad in [
            "",
            "/dev/",
            "/dev/../etc/passwd",
            "/etc/passwd",
            "vol-",
            "vol-xyz",
            "sd f",
            "/dev/sdf\n",
            "-x y",
        ] {
            assert!(!is_device(bad), "{bad}");
        }
        for good in
            ["10.0.0.7", "fd00::7", "fs-01234567.efs.eu-central-1.amazonaws.com", "localhost"]
        {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "a:/", "a b", "-o", "a,b", "a..b", "host:2049"] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
