//! The root disk of one machine: a copy of the image, into which files are put without
//! mounting it, while the machine is off.

use crate::util;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the partition begins on the disk; `tests/vm/image` has the same number.
const PARTITION: u64 = 1_048_576;

/// A root disk.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    scratch: PathBuf,
    /// Has a machine run on it since it was last looked at?
    used: bool,
}

impl Root {
    /// A copy of `image` in `directory`; blocks are shared where the file system can do that.
    #[track_caller]
    pub(crate) fn copy(image: &Path, directory: &Path) -> Self {
        let path = directory.join("root.img");
        let mut copy = Command::new("cp");
        copy.args(["--sparse=always", "--reflink=auto", "--"]).arg(image).arg(&path);
        util::run(copy).expect(0);
        Self { path, scratch: directory.join("put"), used: false }
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the disk larger than its image, as a volume is launched larger. What is put into it by
    /// the tests goes in before a machine has grown its file system.
    #[track_caller]
    pub(crate) fn grow(&mut self, mebibytes: u64) {
        let file = File::options().write(true).open(&self.path).unwrap();
        assert!(file.metadata().unwrap().len() < mebibytes << 20);
        file.set_len(mebibytes << 20).unwrap();
    }

    /// A machine runs on it now.
    pub(crate) fn is_used(&mut self) {
        self.used = true;
    }

    /// Puts a file of root's in place, with the directories above it.
    #[track_caller]
    pub(crate) fn put(&mut self, path: &str, content: &[u8], mode: u32) {
        fs::write(&self.scratch, content).unwrap();
        self.put_file(path, &self.scratch.clone(), mode);
    }

    /// The same with the content of a file.
    #[track_caller]
    pub(crate) fn put_file(&mut self, path: &str, from: &Path, mode: u32) {
        let mut script = above(path);
        script += &format!("rm {path}\nwrite {} {path}\n", from.display());
        script += &format!("set_inode_field {path} mode 0100{mode:o}\n");
        script += &format!("set_inode_field {path} uid 0\nset_inode_field {path} gid 0\n");
        self.change(path, &script, "Type: regular");
    }

    /// Makes a symbolic link.
    #[track_caller]
    pub(crate) fn link(&mut self, path: &str, to: &str) {
        let script = above(path) + &format!("rm {path}\nsymlink {path} {to}\n");
        self.change(path, &script, "Type: symlink");
    }

    /// Reads a file.
    #[track_caller]
    pub(crate) fn read(&mut self, path: &str) -> String {
        let ended = self.debugfs(&["-R", &format!("cat {path}")]);
        assert!(!ended.stderr.contains("not found"), "{path}: {}", ended.stderr);
        ended.stdout
    }

    /// debugfs ends well whatever happened, so the result is looked at.
    #[track_caller]
    fn change(&mut self, path: &str, script: &str, wanted: &str) {
        let file = self.scratch.with_extension("debugfs");
        fs::write(&file, format!("{script}stat {path}\n")).unwrap();
        let ended = self.debugfs(&["-w", "-f", &file.to_string_lossy()]);
        let told = ended.stdout.rsplit("debugfs: ").next().unwrap_or_default();
        assert!(told.contains(wanted), "{path} is not what it should be: {ended:#?}");
    }

    #[track_caller]
    fn debugfs(&mut self, arguments: &[&str]) -> util::Ended {
        if std::mem::take(&mut self.used) {
            self.replay();
        }
        let mut command = Command::new("debugfs");
        command.args(arguments).arg(format!("{}?offset={PARTITION}", self.path.display()));
        util::run(command).expect(0)
    }

    /// Brings in what the machine left in the file system's journal, as it would itself.
    /// e2fsck forgets the partition's place while it does that, so it gets a copy.
    #[track_caller]
    fn replay(&self) {
        let copy = self.scratch.with_extension("partition");
        let disk = File::options().read(true).write(true).open(&self.path).unwrap();
        let partition =
            File::options().read(true).write(true).create(true).truncate(true).open(&copy).unwrap();
        let length = disk.metadata().unwrap().len() - 2 * PARTITION;
        partition.set_len(length).unwrap();
        copy_changed(&disk, PARTITION, &partition, 0, length);
        let mut replay = Command::new("e2fsck");
        replay.args(["-p", "-E", "journal_only"]).arg(&copy);
        let ended = util::run(replay);
        assert!(matches!(ended.code(), 0 | 1), "{ended:#?}");
        copy_changed(&partition, 0, &disk, PARTITION, length);
        fs::remove_file(copy).unwrap();
    }
}

/// Copies the blocks in which the two differ: holes stay holes.
fn copy_changed(from: &File, from_at: u64, to: &File, to_at: u64, length: u64) {
    const BLOCK: u64 = 1 << 20;
    let mut blocks = [vec![0; 1 << 20], vec![0; 1 << 20]];
    for at in (0..length).step_by(1 << 20) {
        let size = usize::try_from(BLOCK.min(length - at)).unwrap();
        let [new, old] = blocks.each_mut().map(|block| &mut block[..size]);
        from.read_exact_at(new, from_at + at).unwrap();
        to.read_exact_at(old, to_at + at).unwrap();
        if new != old {
            to.write_all_at(new, to_at + at).unwrap();
        }
    }
}

/// Commands that make the directories above `path`; debugfs minds none that is there.
fn above(path: &str) -> String {
    let slashes = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    slashes.map(|at| format!("mkdir {}\n", &path[..at])).collect()
}
