//! What the kernel's out-of-memory killer did in this process's control group.
//!
//! cgroup v2 counts it in `memory.events` (`oom_kill`), v1 in `memory.oom_control`
//! (kernel documents `cgroup-v2.rst` and `cgroup-v1/memory.rst`). A process sees only that it
//! was ended by SIGKILL; the counter tells by whom.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the mount points of the hierarchies lie.
const ROOT: &str = "/sys/fs/cgroup";

/// The memory controller of one control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    events: PathBuf,
    limit: PathBuf,
}

impl Memory {
    /// This process's own; `None` where no hierarchy with the controller can be seen.
    pub fn own() -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::find(&membership, Path::new(ROOT))
    }

    fn find(membership: &str, root: &Path) -> Option<Self> {
        let mut lines = membership.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            Some((fields.next()?, fields.next()?.trim_start_matches('/')))
        });
        lines.find_map(|(controllers, path)| {
            let (bases, events, limit): (&[&str], _, _) = match controllers {
                "" => (&["", "unified"], "memory.events", "memory.max"),
                c if c.split(',').any(|c| c == "memory") => {
                    (&["memory"], "memory.oom_control", "memory.limit_in_bytes")
                }
                _ => return None,
            };
            // In a control group namespace, or with the group mounted as the root, the path of
            // the outside means nothing.
            let places = bases.iter().flat_map(|b| [root.join(b).join(path), root.join(b)]);
            let mut groups = places.filter(|group| group.join(events).exists());
            groups.next().map(|g| Self { events: g.join(events), limit: g.join(limit) })
        })
    }

    /// How many processes of the group the out-of-memory killer has ended so far.
    pub fn kills(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.events).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }

    /// The group's limit in bytes; `None` where it has none.
    pub fn limit(&self) -> Option<u64> {
        // v1 writes "none" as the largest number of pages.
        let limit: u64 = fs::read_to_string(&self.limit).ok()?.trim().parse().ok()?;
        (limit < 1 << 60).then_some(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, events: &str, text: &str) {
        let group = root.join(path);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join(events), text).unwrap();
    }

    #[test]
    fn both_versions_are_found_and_a_path_of_the_outside_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        group(root.path(), "memory/a/b", "memory.oom_control", "oom_kill_disable 0\noom_kill 3\n");
        let v1 = "9:name=systemd:/\n4:memory:/a/b\n0::/\n";
        assert_eq!(Memory::find(v1, root.path()).unwrap().kills(), Some(3));
        group(root.path(), "memory", "memory.oom_control", "oom_kill 1\n");
        let outside = "4:memory:/docker/0123\n";
        assert_eq!(Memory::find(outside, root.path()).unwrap().kills(), Some(1));
        let root = tempfile::tempdir().unwrap();
        group(root.path(), "", "memory.events", "low 0\noom 2\noom_kill 2\n");
        fs::write(root.path().join("memory.max"), "67108864\n").unwrap();
        let found = Memory::find("0::/\n", root.path()).unwrap();
        assert_eq!((found.kills(), found.limit()), (Some(2), Some(64 << 20)));
        fs::write(root.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(found.limit(), None);
        assert_eq!(Memory::find("", root.path()), None);
    }
}
