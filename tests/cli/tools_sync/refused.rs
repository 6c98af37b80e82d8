//! Archives that are refused, made by hand by a program that knows tar better than the one under
//! test (Python's tarfile).

use super::{CONFIG, Home, LOCK, hash, lock};
use crate::util::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A manifest that fits these files: place, path, content.
fn manifest(files: &[(&str, &str, &str)]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|(place, path, text)| {
            serde_json::json!({"place": place, "path": path, "size": text.len(), "sha256": hash(text.as_bytes())})
        })
        .collect();
    serde_json::json!({"schema": "agent.tools-export/1", "files": files}).to_string()
}

/// Makes an archive with Python: `add(name, text, **fields)` adds an entry.
fn by_hand(home: &Home, script: &str) -> PathBuf {
    let path = home.dir.path().join("home/by-hand.tar");
    let whole = format!(
        "import tarfile, io, sys\n\
         t = tarfile.open(sys.argv[1], 'w', format=tarfile.USTAR_FORMAT)\n\
         def add(name, text='', **fields):\n\
         \x20   i = tarfile.TarInfo(name); b = text.encode(); i.size = len(b)\n\
         \x20   for k, v in fields.items(): setattr(i, k, v)\n\
         \x20   t.addfile(i, io.BytesIO(b))\n\
         {script}\nt.close()\n"
    );
    let mut python = Command::new("python3");
    python.args(["-c", &whole]).arg(&path);
    run(python).expect(0);
    home.own(&path);
    path
}

/// A whole archive of one config, made by hand, and `more` lines of Python behind it.
fn with(home: &Home, more: &str) -> PathBuf {
    let text = "[tools]\n";
    let manifest = manifest(&[("user-config", CONFIG, text)]);
    by_hand(home, &format!("add('manifest.json', {manifest:?})\nadd({CONFIG:?}, {text:?})\n{more}"))
}

/// The archive is refused with `why`, and nothing is changed.
#[track_caller]
fn refused(home: &Home, archive: &Path, why: &str) {
    let before = home.content();
    let ended = home.import(archive).expect(65).says("nothing is changed").says(why);
    assert_eq!(ended.stdout, "");
    assert_eq!(home.content(), before, "{ended:#?}");
}

#[test]
fn an_archive_made_by_another_tar_of_the_same_files_is_accepted() {
    let home = Home::new();
    let archive = with(&home, "");
    home.import(&archive).expect(0);
    assert_eq!(home.read(CONFIG), "[tools]\n");
}

#[test]
fn what_is_no_plain_file_is_refused() {
    let home = Home::filled();
    for (more, why) in [
        ("add('x', type=tarfile.SYMTYPE, linkname='/etc/passwd')", "x is a symbolic link"),
        ("add('x', type=tarfile.LNKTYPE, linkname='y')", "x is a hard link"),
        ("add('x', type=tarfile.CHRTYPE, devmajor=1, devminor=3)", "x is a device"),
        ("add('x', type=tarfile.BLKTYPE, devmajor=8)", "x is a device"),
        ("add('x', type=tarfile.FIFOTYPE)", "x is a FIFO"),
        ("add('x', type=tarfile.DIRTYPE)", "x/ is a directory"),
        ("add('x', linkname='y')", "x is a link"),
        ("t.format = tarfile.GNU_FORMAT; add('x' * 200)", "a long name (GNU)"),
        ("t.format = tarfile.PAX_FORMAT; add('x' * 300)", "an extended header (pax)"),
        ("t.format = tarfile.PAX_FORMAT; add('x', pax_headers={'path': '/etc/x'})", "(pax)"),
        ("add('x', type=tarfile.GNUTYPE_SPARSE)", "x is a sparse file"),
        ("add('x', type=b'Z')", "of an unknown kind"),
    ] {
        refused(&home, &with(&home, more), why);
    }
}

#[test]
fn what_leads_elsewhere_is_refused() {
    let home = Home::filled();
    for (place, path, why) in [
        ("user-config", "/etc/mise/config.toml", "absolute"),
        ("user-config", "../mise/config.toml", "parent"),
        ("workspace-config", "p/../../x/mise.toml", "parent"),
        ("workspace-config", "p//mise.toml", "no plain path"),
        ("user-config", ".bashrc", "the sync table has no such file"),
        ("user-config", ".config/mise/conf.d/x.toml", "the sync table has no such file"),
        ("workspace-config", "mise.toml", "the sync table has no such file"),
        ("workspace-config", ".config/mise/mise.toml", "the sync table has no such file"),
        ("user-lock-sidecar", ".ssh/authorized_keys", "no lock in the archive names it"),
        ("workspace-lock", "p/site/mise.lock", "a lock without its config"),
        ("system-config", ".config/mise/config.toml", "manifest.json cannot be read"),
    ] {
        let manifest = manifest(&[(place, path, "")]);
        let archive = by_hand(&home, &format!("add('manifest.json', {manifest:?})\nadd({path:?})"));
        refused(&home, &archive, why);
    }
    // Below what must never be synced, which only the target's own places tell.
    for path in [".local/share/mise/x/mise.toml", ".local/state/agent/x/mise.toml"] {
        let manifest = manifest(&[("workspace-config", path, "")]);
        let archive = by_hand(&home, &format!("add('manifest.json', {manifest:?})\nadd({path:?})"));
        let before = home.content();
        home.import(&archive).expect(73).says("no workspace");
        assert_eq!(home.content(), before);
    }
}

#[test]
fn a_lock_that_names_files_elsewhere_is_refused() {
    let home = Home::filled();
    for sidecar in ["../../.ssh", "/etc", ".mise/locks/x", "locks"] {
        let text = lock(sidecar);
        let files = [("user-config", CONFIG, ""), ("user-lock", LOCK, text.as_str())];
        let script = format!(
            "add('manifest.json', {:?})\nadd({CONFIG:?})\nadd({LOCK:?}, {text:?})",
            manifest(&files)
        );
        refused(&home, &by_hand(&home, &script), "it names");
        let exporter = Home::filled();
        exporter.put(LOCK, &text);
        exporter.run(&["export"]).expect(65).says("it names");
    }
}

#[test]
fn what_the_manifest_does_not_bear_out_is_refused() {
    let home = Home::filled();
    refused(&home, &with(&home, "add('p/x/mise.toml')"), "p/x/mise.toml: manifest.json does not");
    refused(&home, &with(&home, &format!("add({CONFIG:?}, '[tools]\\n')")), "it is there twice");
    let lines = manifest(&[("user-config", CONFIG, "[tools]\n")]);
    let first = |rest: &str| by_hand(&home, &format!("add('manifest.json', {lines:?})\n{rest}"));
    refused(&home, &first(""), "it is missing in the archive");
    refused(&home, &first(&format!("add({CONFIG:?}, '[TOOLS]\\n')")), "SHA-256");
    let other = lines.replace("export/1", "export/9");
    let newer = by_hand(&home, &format!("add('manifest.json', {other:?})"));
    refused(&home, &newer, "agent.tools-export/9");
    let none = by_hand(&home, &format!("add({CONFIG:?}, '[tools]\\n')"));
    refused(&home, &none, "its first entry is no manifest.json");
    let text = "[tools\nsecret = hunter2\n";
    let bad = manifest(&[("user-config", CONFIG, text)]);
    let bad = by_hand(&home, &format!("add('manifest.json', {bad:?})\nadd({CONFIG:?}, {text:?})"));
    refused(&home, &bad, "line 1 is no TOML");
    assert!(!home.import(&bad).stderr.contains("hunter2"));
}

#[test]
fn what_is_no_whole_tar_archive_is_refused_with_what_it_is() {
    let home = Home::filled();
    let whole = fs::read(home.export()).unwrap();
    let put = |bytes: &[u8]| {
        home.put("bad.tar", bytes);
        home.at("bad.tar")
    };
    refused(&home, &put(b""), "it is empty");
    refused(&home, &put(&[b'x'; 4096]), "it is no tar archive");
    refused(&home, &put(&whole[..whole.len() - 1024]), "it is cut off after");
    refused(&home, &put(&whole[..1300]), "it is cut off in");
    // A size that no archive can hold, in a header that is otherwise right.
    for size in ["0o77777777777", "1 << 40", "(8 << 20) + 1"] {
        let header = format!(
            "i = tarfile.TarInfo('x'); i.size = {size}; t.fileobj.write(i.tobuf(tarfile.GNU_FORMAT))"
        );
        refused(&home, &with(&home, &header), "x is announced as larger than");
    }
    for (program, name) in [("gzip", "gzip"), ("xz", "xz"), ("bzip2", "bzip2")] {
        let mut pack = Command::new(program);
        pack.args(["-kf"]).arg(home.path().join("tools.tar"));
        run(pack).expect(0);
        let ending = match name {
            "gzip" => "gz",
            "bzip2" => "bz2",
            _ => name,
        };
        let packed = home.at(&format!("tools.tar.{ending}"));
        home.own(&packed);
        refused(&home, &packed, &format!("compressed with {name}"));
    }
    home.import(Path::new("/nonexistent.tar")).expect(66);
    home.put("huge.tar", "");
    let huge = fs::File::options().write(true).open(home.at("huge.tar")).unwrap();
    huge.set_len(1 << 36).unwrap();
    let ended = home.import(&home.at("huge.tar")).expect(66).says("larger than");
    assert!(ended.took < Duration::from_secs(10), "{ended:#?}");
}
