//! Users and groups, read from `/etc/passwd` and `/etc/group` alone.
//!
//! The look-ups of the C library load name-service plug-ins; a static one must not
//! (see the module [`crate::sys`]). A user that only a directory service knows is
//! written into the config with its numbers.

use nix::unistd::Gid;
use std::fs;
use std::path::{Path, PathBuf};

/// One line of `passwd(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric id of the primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// Whom a process becomes: numbers only, ready for `setresuid(2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<Gid>,
}

/// The accounts of the machine whose root directory is `root`.
pub struct Database {
    passwd: String,
    group: String,
}

impl Database {
    /// Reads `etc/passwd` and `etc/group` beneath `root`; a missing file has no accounts.
    pub fn read(root: &Path) -> Self {
        let text = |p: &str| {
            fs::read(root.join(p))
                .map(|b| String::from_utf8_lossy(&b).into_owned())
                .unwrap_or_default()
        };
        Self { passwd: text("etc/passwd"), group: text("etc/group") }
    }

    /// The accounts of these two files' content.
    pub fn of(passwd: String, group: String) -> Self {
        Self { passwd, group }
    }

    /// Every account, in order.
    pub fn all(&self) -> Vec<Account> {
        self.accounts().collect()
    }

    /// The account called `name`.
    pub fn by_name(&self, name: &str) -> Option<Account> {
        self.accounts().find(|a| a.name == name)
    }

    /// The first account with the number `uid`.
    pub fn by_uid(&self, uid: u32) -> Option<Account> {
        self.accounts().find(|a| a.uid == uid)
    }

    /// The number of the group called `name`.
    pub fn group(&self, name: &str) -> Option<u32> {
        self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        })
    }

    /// The groups that list `user` as a member, with `primary` first, as `initgroups(3)` would set.
    pub fn groups_of(&self, user: &str, primary: u32) -> Vec<u32> {
        let mut groups = vec![primary];
        for line in self.group.lines() {
            let mut fields = line.split(':');
            let (Some(gid), Some(members)) = (fields.nth(2), fields.next()) else {
                continue;
            };
            let Ok(gid) = gid.parse() else { continue };
            if members.split(',').any(|m| m == user) && !groups.contains(&gid) {
                groups.push(gid);
            }
        }
        groups
    }

    /// Is there a group called `name`?
    pub fn has_group(&self, name: &str) -> bool {
        self.group.lines().any(|line| line.split(':').next() == Some(name))
    }

    /// Is there a group with the number `gid`?
    pub fn has_gid(&self, gid: u32) -> bool {
        let gid = gid.to_string();
        self.group.lines().any(|line| line.split(':').nth(2) == Some(&gid))
    }

    fn accounts(&self) -> impl Iterator<Item = Account> + '_ {
        self.passwd.lines().filter_map(|line| {
            let f: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, shell] = f.as_slice() else {
                return None;
            };
            Some(Account {
                name: (*name).to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: home.into(),
                shell: shell.into(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Database {
        Database {
            passwd: "root:x:0:0:root:/root:/bin/bash\nbroken line\niteron:x:1000:1000::/home/iteron:/bin/bash\n".into(),
            group: "root:x:0:\ndocker:x:998:iteron,other\nsudo:x:27:other\niteron:x:1000:\nkvm:x:bad:iteron\n".into(),
        }
    }

    #[test]
    fn accounts_are_found_and_broken_lines_passed_over() {
        let db = sample();
        assert_eq!(db.by_name("iteron").unwrap().uid, 1000);
        assert_eq!(db.by_uid(0).unwrap().home, Path::new("/root"));
        assert!(db.by_name("nobody").is_none());
    }

    #[test]
    fn groups_start_with_the_primary_one() {
        assert_eq!(sample().groups_of("iteron", 1000), [1000, 998]);
    }

    #[test]
    fn a_group_has_a_number_or_is_none() {
        let db = sample();
        assert_eq!(
            (db.group("docker"), db.group("kvm"), db.group("none")),
            (Some(998), None, None)
        );
    }
}
