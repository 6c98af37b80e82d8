//! Files and devices of the machine: the mount table, accounts, fstab, superblocks, processes.

use agent::idle::criteria::found;
use agent::idle::processes;
use agent::phases::volume::fuzzing;
use agent::plan::Entry;
use agent::sys::mounts;
use agent::sys::users::Database;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub fn run(data: &[u8]) {
    let table = mounts::parse(data);
    assert!(table.len() <= data.len() / 8, "mounts of nothing");
    for mount in &table {
        assert!(mounts::at(&table, &mount.point).is_some());
    }
    accounts(data);
    for target in ["/mint/projects", "/srv/a b"] {
        fstab(data, Path::new(target));
    }
    device(data);
}

fn accounts(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let database = Database::of(text.clone(), text);
    for account in database.all() {
        assert!(!account.name.contains([':', '\n']), "{account:?}");
        let same = database.by_name(&account.name).expect("one that is listed");
        assert_eq!(same.name, account.name);
        let groups = database.groups_of(&account.name, account.gid);
        assert!(groups.contains(&account.gid));
    }
}

fn fstab(text: &[u8], target: &Path) {
    let entry = Entry {
        source: "UUID=0b7c1f5e-0000-4000-8000-0123456789ab".into(),
        target: target.into(),
        fstype: "ext4".into(),
        options: "defaults,nofail".into(),
        pass: 2,
    };
    let Some(new) = fuzzing::fstab(text, &entry) else { return };
    assert_eq!(fuzzing::fstab(&new, &entry), None, "written once more");
    assert!(new.ends_with(b"\n") || text.last().is_some_and(|b| *b != b'\n'));
    // At most one line is another; no other is lost or changed.
    let lines =
        |t: &[u8]| -> Vec<Vec<u8>> { t.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect() };
    let (old, new) = (lines(text), lines(&new));
    let kept = old.iter().zip(&new).filter(|(a, b)| a == b).count();
    assert!(kept + 1 >= old.len(), "lines of the operator's are lost");
}

/// The first byte says what blkid answers; the rest is what lies on the device.
fn device(data: &[u8]) {
    let Some((status, content)) = data.split_first() else { return };
    let content = &content[..content.len().min(64 << 10)];
    let _ = fuzzing::filesystem(content);
    static SCRATCH: OnceLock<File> = OnceLock::new();
    let device = SCRATCH.get_or_init(|| {
        let path = format!("/dev/shm/agent-fuzz.{}.device", std::process::id());
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let _ = std::fs::remove_file(&path);
        file.expect("a scratch file")
    });
    device.set_len(0).and_then(|()| device.write_all_at(content, 0)).expect("room");
    let (status, output) = match status % 4 {
        0 => (0, "TYPE=ext4\nUUID=0b7c1f5e-0000-4000-8000-0123456789ab\n"),
        1 => (2, ""),
        2 => (8, ""),
        _ => (1, ""),
    };
    let Ok(blank) = fuzzing::is_blank(device, content.len() as u64, status, output) else { return };
    let empty = content.iter().all(|b| *b == 0);
    assert!(!blank || (empty && status == 2), "a file system would be made over something");
}

/// `stat`, `cmdline` and `status` of a process, with lines `---` between; a second one is init.
pub fn processes(data: &[u8]) {
    static PROC: OnceLock<PathBuf> = OnceLock::new();
    let proc = PROC.get_or_init(|| {
        let proc = PathBuf::from(format!("/dev/shm/agent-fuzz.{}.proc", std::process::id()));
        for pid in ["1", "2"] {
            std::fs::create_dir_all(proc.join(pid)).expect("room");
        }
        put(&proc, "1", b"1 (systemd) S 0 1 1 0", b"/sbin/init\0", b"NSpid:\t1\n");
        proc
    });
    let (stat, rest) = super::halves(data, "---");
    let (line, status) = super::halves(rest, "---");
    put(proc, "2", stat, line, status);
    match processes::table(proc) {
        Ok(all) => {
            assert!(all.iter().any(|p| p.pid == 1), "init is lost");
            assert!(found(&all, &["node".into(), "ä-long-name-of-a-program".into()]).len() <= 2);
        }
        Err(e) => assert!(e.contains("/2"), "it names another place: {e}"),
    }
}

fn put(proc: &Path, pid: &str, stat: &[u8], line: &[u8], status: &[u8]) {
    for (name, bytes) in [("stat", stat), ("cmdline", line), ("status", status)] {
        std::fs::write(proc.join(pid).join(name), bytes).expect("room");
    }
}
