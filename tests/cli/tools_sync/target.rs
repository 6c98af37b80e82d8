//! What an import meets on the target: links and other things in the way, another import, a
//! kill.

use super::{CONFIG, Home, LOCK, lock};
use crate::util::{NOBODY, fresh, is_root, run, start};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[test]
fn what_stands_in_the_way_on_the_target_is_named_and_left() {
    let archive = Home::filled();
    let tar = archive.export();
    let outside = fresh();
    fs::write(outside.path().join("mise.toml"), "theirs").unwrap();
    type Plant<'a> = &'a dyn Fn(&Path);
    let cases: &[(&str, Plant<'_>)] = &[
        (".config", &|p| symlink(outside.path(), p).unwrap()),
        ("p", &|p| symlink(outside.path(), p).unwrap()),
        ("p/site", &|p| symlink(outside.path(), p).unwrap()),
        (CONFIG, &|p| symlink(outside.path().join("mise.toml"), p).unwrap()),
        (LOCK, &|p| nix::unistd::mkfifo(p, Mode::S_IRWXU).unwrap()),
        ("p/site/mise.toml", &|p| fs::create_dir(p).unwrap()),
        (".local/share/agent", &|p| symlink(outside.path(), p).unwrap()),
        (".local/state", &|p| symlink(outside.path(), p).unwrap()),
    ];
    for (path, plant) in cases {
        let home = Home::new();
        // Something to keep, so that backups are wanted too.
        if !CONFIG.starts_with(path) {
            home.put(CONFIG, "[tools]\n\"npm:old\" = \"1\"\n");
        }
        home.put(&format!("{path}.beside"), "");
        plant(&home.at(path));
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &home.at(path),
            is_root().then_some(NOBODY.into()),
            is_root().then_some(NOBODY.into()),
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .unwrap();
        let before = home.content();
        let ended = home.import(&tar).expect(73).says(home.at(path).to_str().unwrap());
        assert!(ended.took < Duration::from_secs(10), "{ended:#?}");
        assert_eq!(home.content(), before, "{path}: {ended:#?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "{path}");
    }
    assert_eq!(fs::read_to_string(outside.path().join("mise.toml")).unwrap(), "theirs");
}

/// A repository may bring a link in place of its config: it must not take what it points at
/// along. Python's own tar, told to follow links as a careless export would, does.
#[test]
fn an_export_follows_no_link_that_a_workspace_brings() {
    let home = Home::filled();
    home.put(".ssh/id_ed25519", "a private key 4711\n");
    fs::remove_file(home.at("p/site/mise.toml")).unwrap();
    symlink(home.at(".ssh/id_ed25519"), home.at("p/site/mise.toml")).unwrap();
    let ended = home.run(&["export", "--workspace", "~/p/site"]).expect(65);
    let ended = ended.says("p/site/mise.toml: it is a symbolic link");
    assert!(!ended.all().contains("4711"));
    let mut careless = Command::new("tar");
    careless.arg("-C").arg(home.path()).args(["-chf", "-", "p/site/mise.toml"]);
    assert!(run(careless).expect(0).stdout.contains("4711"), "the control");
}

/// The last of several directories can't be written to: what was made in the others before that
/// is removed again.
#[test]
fn an_import_that_fails_half_way_leaves_nothing_of_it() {
    let (from, to) = (Home::filled(), Home::new());
    let archive = from.export();
    to.put(CONFIG, "[tools]\n\"npm:old\" = \"1\"\n");
    to.put("p/site/mise.toml", "# old\n");
    fs::set_permissions(to.at("p/site"), fs::Permissions::from_mode(0o555)).unwrap();
    let before = to.content();
    let ended = to.import(&archive).expect(73).says("nothing is changed").says("p/site/");
    assert_eq!(to.content(), before, "{ended:#?}");
    assert!(!to.at(".local/share/agent/backups").join("x").exists());
    assert!(
        !to.at(".config/mise/locks").exists() && !to.at(".local/state/agent/import.json").exists()
    );
    fs::set_permissions(to.at("p/site"), fs::Permissions::from_mode(0o755)).unwrap();
    to.import(&archive).expect(0);
    assert_eq!(to.read(CONFIG), from.read(CONFIG));
}

#[test]
fn two_imports_exclude_each_other() {
    let (from, to) = (Home::filled(), Home::new());
    let archive = from.export();
    to.put(".local/state/agent/import.lock", "");
    let file = fs::File::options().append(true).open(to.at(".local/state/agent/import.lock"));
    let held = nix::fcntl::Flock::lock(file.unwrap(), nix::fcntl::FlockArg::LockExclusive);
    to.import(&archive).expect(75).says("another import is running");
    drop(held);
    to.import(&archive).expect(0);
}

/// Kills at moments that nobody chose: whatever is there afterwards is the old or the new, or
/// there is a record that says otherwise, and the next import leaves one of the two.
#[test]
fn killed_at_random_moments_config_and_lock_belong_together() {
    let (old, new, home) = (Home::filled(), Home::filled(), Home::new());
    let version = |of: &Home, v: &str| {
        of.put(CONFIG, format!("[tools]\n\"npm:a\" = \"{v}\"\n"));
        of.put(LOCK, format!("# {v}\n{}", lock("locks/npm-a/1.0.0")));
        of.put("p/site/mise.toml", format!("# {v}\n"));
        of.export()
    };
    let archives = [version(&old, "1.0.0"), version(&new, "2.0.0")];
    home.import(&archives[0]).expect(0);
    let took = home.import(&archives[1]).expect(0).took;
    let (mut cut, mut whole) = (0, 0);
    for round in 0..60 {
        let mut running = start(home.command(&["import", archives[round % 2].to_str().unwrap()]));
        std::thread::sleep(took.mul_f64(fastrand::f64() * 1.2));
        match running.has_ended() {
            true => whole += 1,
            false => cut += 1,
        }
        crate::util::signal(-running.pid(), 9);
        drop(running.end());
        let pending = home.at(".local/state/agent/import.json").exists();
        let versions =
            || [CONFIG, LOCK, "p/site/mise.toml"].map(|path| home.read(path).contains("2.0.0"));
        let now = versions();
        assert!(
            pending || now == [now[0]; 3],
            "round {round}: a mix that nothing tells of: {now:?}"
        );
        // Something else is imported, or the same again: what was cut off is seen to first.
        let listed = home.run(&["sync-list"]).expect(0).stdout.contains("cut off");
        assert_eq!(listed, pending);
        home.run(&["export"]).expect(0);
        let now = versions();
        assert_eq!(now, [now[0]; 3], "round {round}");
        assert!(!home.at(".local/state/agent/import.json").exists());
        assert!(!home.content().iter().any(|(name, _)| name.ends_with(".agent-import")));
    }
    assert!(cut > 5, "{cut} cut off, {whole} whole: the test's own timing is wrong");
}
