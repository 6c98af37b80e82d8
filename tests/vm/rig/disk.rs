//! Disks beside the root: EBS volumes, as an instance sees them. Each is an NVMe device whose
//! serial number is the volume's id without its hyphen (EC2 user guide, "Map volumes to NVMe
//! device names"), and whose name in /dev depends on who came first.

use crate::util;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A volume. Its file is in the directory of the machine that it was made for.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    volume: String,
}

impl Disk {
    /// A volume with nothing on it. `volume` is its id, `vol-…`.
    #[track_caller]
    pub(crate) fn blank(directory: &Path, volume: &str, mebibytes: u64) -> Self {
        let path = directory.join(format!("{volume}.img"));
        File::create_new(&path).unwrap().set_len(mebibytes << 20).unwrap();
        Self { path, volume: volume.to_owned() }
    }

    /// Its file on the machine that runs the tests.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its id.
    pub(crate) fn volume(&self) -> &str {
        &self.volume
    }

    /// The serial number of its device.
    pub(crate) fn serial(&self) -> String {
        self.volume.replacen('-', "", 1)
    }

    /// Runs a program of this machine with the disk's file as the last argument, such as
    /// `mke2fs -q -t ext4`.
    #[track_caller]
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.path);
        util::run(command).expect(0).stdout
    }

    /// Writes bytes at a place.
    #[track_caller]
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        let mut file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// Makes it larger, as EC2 does when a volume is modified. While the machine is off.
    #[track_caller]
    pub(crate) fn grow(&self, mebibytes: u64) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        assert!(file.metadata().unwrap().len() < mebibytes << 20);
        file.set_len(mebibytes << 20).unwrap();
    }

    /// A hash of every byte of it.
    #[track_caller]
    pub(crate) fn digest(&self) -> String {
        struct Hash(Sha256);
        impl Write for Hash {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.update(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut hash = Hash(Sha256::new());
        std::io::copy(&mut File::open(&self.path).unwrap(), &mut hash).unwrap();
        hash.0.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}
