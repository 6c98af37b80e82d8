//! Making a directory of links: from what mise lists, by whoever shall own it.
//!
//! A new directory is written beside the old one and put in its place whole, so that nobody
//! meets half of it and nothing of an older baseline stays behind. mise names directories
//! of programs in the order of its config; where two tools have a program of one name, the
//! first has it, as with mise itself.

use super::{LINKS, Linked, Links, Program, RECORD, Record, SCHEMA, programs, runnable};
use crate::sys::{files, replace};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// How much of a script is read to find what runs it, in bytes.
const HEAD: u64 = 4096;

/// What is to be linked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// The directory for record and links. It is made; without tools it is removed.
    pub dir: PathBuf,
    /// What the config asks for, by the tool's name.
    pub asked: BTreeMap<String, Vec<String>>,
    /// The tools that mise lists as installed: name, version, and where.
    pub tools: Vec<(String, String, PathBuf)>,
    /// The directories of programs that mise names, in its order.
    pub directories: Vec<PathBuf>,
    /// Where the image's own programs are, in order: what a linked script is run by is found
    /// there and linked too, or a tool of the user's with a program `node` would run it.
    #[serde(default)]
    pub interpreters: Vec<PathBuf>,
    /// Names that are served elsewhere and not linked here.
    pub except: BTreeSet<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Made {
    /// What is linked now.
    pub record: Record,
    /// Tools whose directory is empty: name and version.
    pub emptied: Vec<(String, String)>,
    /// What a reader should know: tools without a program, programs of two tools.
    pub notes: Vec<String>,
    /// Something had to be changed.
    pub changed: bool,
    /// Why the links could not be made.
    pub error: Option<String>,
}

/// Makes the links. Errors are in the answer.
pub fn make(wanted: &Wanted) -> Made {
    let mut made = Made::default();
    made.record = found(wanted, &mut made);
    let there = Links::at(&wanted.dir);
    let done = if made.record.tools.is_empty() {
        made.changed = there.present;
        remove(&wanted.dir)
    } else if there.record.as_ref() == Some(&made.record) && there.faults.is_empty() {
        Ok(())
    } else {
        made.changed = true;
        put(&wanted.dir, &made.record)
    };
    made.error = done.err().map(|e| format!("{}: {e}", wanted.dir.display()));
    made
}

/// The programs of each tool, as they lie on the disk.
fn found(wanted: &Wanted, made: &mut Made) -> Record {
    let mut owner: BTreeMap<String, String> = BTreeMap::new();
    // Directories in mise's order decide; tools in the record stand in that order too.
    let of = |tool: &Path| {
        let tool = tool.canonicalize().unwrap_or_else(|_| tool.into());
        // A version asked for as `1` or `latest` is named by a link that moves.
        let real = wanted.directories.iter().enumerate();
        let real = real.filter_map(|(n, d)| Some((n, d.canonicalize().ok()?)));
        real.filter(|(_, d)| d.starts_with(&tool)).collect::<Vec<_>>()
    };
    let mut tools: Vec<_> = wanted.tools.iter().map(|t| (of(&t.2), t)).collect();
    tools.sort_by_key(|(dirs, _)| dirs.first().map_or(usize::MAX, |(n, _)| *n));
    let mut linked = Vec::new();
    for (directories, (name, version, path)) in tools {
        if path.read_dir().map_or(true, |mut all| all.next().is_none()) {
            made.emptied.push((name.clone(), version.clone()));
            continue;
        }
        let all = directories.iter().flat_map(|(_, d)| executables(d)).collect::<Vec<_>>();
        if all.is_empty() {
            made.notes.push(format!("{name}@{version} has no program to link"));
        }
        let mut own = Vec::new();
        for program in all {
            if wanted.except.contains(&program.name) {
                continue;
            }
            match owner.get(&program.name) {
                Some(other) if other != name => made.notes.push(format!(
                    "{name}@{version} has a program {} too; {other}'s answers, as with mise",
                    program.name
                )),
                Some(_) => {}
                None => {
                    owner.insert(program.name.clone(), name.clone());
                    own.push(program);
                }
            }
        }
        let run_by: BTreeSet<String> =
            own.iter().filter_map(|p| interpreter(&p.leads_to)).collect();
        for program in run_by.iter().filter_map(|name| on_path(&wanted.interpreters, name)) {
            if !wanted.except.contains(&program.name) && !owner.contains_key(&program.name) {
                owner.insert(program.name.clone(), name.clone());
                own.push(program);
            }
        }
        linked.push(Linked { name: name.clone(), version: version.clone(), programs: own });
    }
    let there = |name: &String| linked.iter().any(|t| t.name == *name);
    let asked = wanted.asked.iter().filter(|(name, _)| there(name));
    let asked = asked.map(|(n, v)| (n.clone(), v.clone())).collect();
    Record { schema: SCHEMA.into(), asked, tools: linked }
}

/// The programs in a directory, by name.
fn executables(directory: &Path) -> Vec<Program> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let mut all: Vec<Program> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let leads_to = directory.join(&name);
            (!name.starts_with('.') && runnable(&leads_to).is_ok())
                .then_some(Program { name, leads_to })
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The program on PATH that a script is run by: `#!/usr/bin/env NAME`, or the `exec NAME "…` of
/// the small scripts that npm's installers write. What is no such script runs by itself.
fn interpreter(program: &Path) -> Option<String> {
    let mut head = Vec::new();
    files::open_regular(program).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let first = head.lines().next()?.strip_prefix("#!")?.trim();
    let named = match first.split_once("/env ") {
        Some((_, name)) => name.trim().to_owned(),
        None => {
            let start =
                |l: &str| Some(l.trim().strip_prefix("exec ")?.split_once(' ')?.0.to_owned());
            head.lines().filter_map(start).find(|name| !name.contains(['/', '"', '$']))?
        }
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+');
    (!named.is_empty() && named.bytes().all(plain)).then_some(named)
}

fn on_path(directories: &[PathBuf], name: &str) -> Option<Program> {
    let found = directories.iter().map(|d| d.join(name)).find(|p| runnable(p).is_ok())?;
    Some(Program { name: name.to_owned(), leads_to: found })
}

/// Writes record and links into a new directory and puts it in place of `dir`.
fn put(dir: &Path, record: &Record) -> io::Result<()> {
    let Some((parent, name)) = dir.parent().zip(dir.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    make_all(parent)?;
    let start = format!("{}.new-", name.to_string_lossy());
    // What a killed one left.
    for entry in parent.read_dir()?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&start) {
            let _ = remove(&entry.path());
        }
    }
    let new = parent.join(format!("{start}{}", std::process::id()));
    let written = write(&new, record).and_then(|()| replace::directory(&new, dir));
    let _ = remove(&new);
    written
}

fn write(new: &Path, record: &Record) -> io::Result<()> {
    let bin = new.join(LINKS);
    for directory in [new, &bin] {
        fs::create_dir(directory)?;
        // Whatever the umask took away: the sandbox user reads what root makes.
        fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    }
    for (_, program) in programs(record) {
        symlink(&program.leads_to, bin.join(&program.name))?;
    }
    let path = new.join(RECORD);
    fs::write(&path, serde_json::to_vec_pretty(record)?)?;
    fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    fs::File::open(&path)?.sync_all()
}

/// The directory `path` and all above it, readable by everybody where they are new.
fn make_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), make_all)?;
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Removes whatever is there; what is missing is no error.
fn remove(path: &Path) -> io::Result<()> {
    let gone = match path.symlink_metadata() {
        Ok(m) if m.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match gone {
        Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(e)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn program(tool: &Path, name: &str) {
        let bin = tool.join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join(name), "#!/bin/sh\n").unwrap();
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
    }

    /// Two tools, `a` and `b`, that both have a program `both`.
    fn two(tmp: &TempDir) -> Wanted {
        let installs = tmp.path().join("installs");
        let tool = |name: &str| {
            program(&installs.join(name), name);
            program(&installs.join(name), "both");
            (format!("npm:{name}"), "1.0.0".to_owned(), installs.join(name))
        };
        let tools = vec![tool("a"), tool("b")];
        fs::write(installs.join("a/bin/README"), "no program").unwrap();
        Wanted {
            dir: tmp.path().join("agent/baseline"),
            asked: BTreeMap::from([("npm:a".into(), vec!["1".into()])]),
            directories: ["b/bin", "a/bin"].map(|d| installs.join(d)).to_vec(),
            tools,
            ..Wanted::default()
        }
    }

    fn linked(wanted: &Wanted) -> Vec<String> {
        let all = fs::read_dir(wanted.dir.join(LINKS)).into_iter().flatten().flatten();
        let mut all: Vec<_> = all.map(|e| e.file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn mises_order_decides_whose_program_it_is() {
        let tmp = TempDir::new().unwrap();
        let mut wanted = two(&tmp);
        let made = make(&wanted);
        assert!(made.error.is_none() && made.changed, "{made:?}");
        assert_eq!(linked(&wanted), ["a", "b", "both"]);
        let both = wanted.dir.join("bin/both");
        assert!(fs::read_link(&both).unwrap().ends_with("installs/b/bin/both"));
        assert!(made.notes[0].starts_with("npm:a@1.0.0 has a program both too"), "{made:?}");
        wanted.directories.reverse();
        assert!(make(&wanted).changed);
        assert!(fs::read_link(&both).unwrap().ends_with("installs/a/bin/both"));
        wanted.except = BTreeSet::from(["both".to_owned()]);
        make(&wanted);
        assert_eq!(linked(&wanted), ["a", "b"]);
    }

    #[test]
    fn nothing_is_changed_where_all_is_right_and_nothing_stale_stays() {
        let tmp = TempDir::new().unwrap();
        let mut wanted = two(&tmp);
        assert!(make(&wanted).changed);
        assert!(!make(&wanted).changed);
        fs::write(wanted.dir.join("bin/planted"), "").unwrap();
        assert!(make(&wanted).changed);
        wanted.tools.remove(1);
        assert!(make(&wanted).changed);
        assert_eq!(linked(&wanted), ["a", "both"]);
        wanted.tools.clear();
        assert!(make(&wanted).changed && !wanted.dir.exists());
        assert!(!make(&wanted).changed);
        assert_eq!(fs::read_dir(tmp.path().join("agent")).unwrap().count(), 0);
    }

    #[test]
    fn whatever_lies_in_the_place_is_replaced() {
        let tmp = TempDir::new().unwrap();
        let wanted = two(&tmp);
        let outside = tmp.path().join("outside");
        fs::create_dir_all(outside.join("bin")).unwrap();
        fs::create_dir_all(tmp.path().join("agent")).unwrap();
        let plant: [&dyn Fn(); 4] = [
            &|| fs::write(&wanted.dir, "a file").unwrap(),
            &|| symlink(&outside, &wanted.dir).unwrap(),
            &|| nix::unistd::mkfifo(&wanted.dir, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            &|| {
                fs::create_dir(&wanted.dir).unwrap();
                let fifo = wanted.dir.join(RECORD);
                nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
            },
        ];
        for planted in plant {
            remove(&wanted.dir).unwrap();
            planted();
            let made = make(&wanted);
            assert!(made.error.is_none(), "{made:?}");
            assert_eq!(linked(&wanted), ["a", "b", "both"]);
        }
        assert_eq!(fs::read_dir(outside.join("bin")).unwrap().count(), 0);
    }

    #[test]
    fn an_emptied_tool_and_one_without_a_program_are_told() {
        let tmp = TempDir::new().unwrap();
        let mut wanted = two(&tmp);
        fs::remove_dir_all(tmp.path().join("installs/a/bin")).unwrap();
        fs::set_permissions(tmp.path().join("installs/b/bin/both"), Permissions::from_mode(0o644))
            .unwrap();
        wanted.directories.remove(0);
        let made = make(&wanted);
        assert_eq!(made.emptied, [("npm:a".to_owned(), "1.0.0".to_owned())]);
        assert!(made.notes[0].contains("npm:b@1.0.0 has no program"), "{made:?}");
        assert!(made.record.asked.is_empty(), "a tool that isn't there was not asked for");
    }

    #[test]
    fn a_version_named_by_a_link_that_moves_is_linked_by_its_own_name() {
        let tmp = TempDir::new().unwrap();
        let mut wanted = two(&tmp);
        symlink("a", tmp.path().join("installs/latest")).unwrap();
        wanted.directories = vec![tmp.path().join("installs/latest/bin")];
        wanted.tools.truncate(1);
        make(&wanted);
        let target = fs::read_link(wanted.dir.join("bin/a")).unwrap();
        assert!(target.ends_with("installs/a/bin/a"), "{}", target.display());
    }
}
