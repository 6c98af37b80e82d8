//! `agent-stub check` on what cloud-init itself publishes as examples: those of Debian's package, fetched
//! by the tests' command and not kept here. What is taken does something that is told; what is
//! refused is refused by the names of its keys, each with its line and a next step.

use crate::readiness::{Readiness, layer_is_ready};
use crate::util::run;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What is taken whole, and what it says that it does.
const TAKEN: &[(&str, &str)] = &[
    ("cloud-config-install-packages.txt", "as root: packages: pwgen, pastebinit, libpython2.7"),
    ("cloud-config-run-cmds.txt", "as root: run 6 commands"),
    ("cloud-config-update-apt.txt", "as root: packages: read the indexes"),
    ("cloud-config-update-packages.txt", "as root: packages: upgrade what is installed"),
    ("user-script.txt", "the user's script is run last"),
];

/// What is refused, and what must be named.
const REFUSED: &[(&str, &[&str])] = &[
    ("cloud-config-ansible-pull.txt", &["`ansible`"]),
    ("cloud-config-archive.txt", &["cloud-config archive"]),
    ("cloud-config-boot-cmds.txt", &["`bootcmd`", "boothook"]),
    ("cloud-config-ca-certs.txt", &["`ca_certs`"]),
    ("cloud-config-datasources.txt", &["`datasource`"]),
    ("cloud-config-lxd.txt", &["`lxd`"]),
    ("cloud-config-mount-points.txt", &["`mounts`", "[[volume]]"]),
    ("cloud-config-ntp.txt", &["`ntp`"]),
    ("cloud-config-ssh-keys.txt", &["`ssh_keys`"]),
    ("cloud-config-user-groups.txt.gz", &["`groups`", "`users`"]),
    // Its contents are cut short, and so no base64.
    ("cloud-config-write-files.txt", &["line 12: `write_files.content`"]),
    ("cloud-config-yum-repo.txt", &["`yum_repos`"]),
    ("include.txt", &["include file", "SHA-256"]),
    ("part-handler.txt", &["part handler"]),
    ("plain-ignored.txt", &["without a #! line"]),
];

fn examples() -> Option<PathBuf> {
    static READY: Readiness = Readiness::new();
    let there = std::env::var_os("AGENT_TEST_PUBLISHED").map(PathBuf::from);
    let ready = layer_is_ready("cli/stub/published", &READY, || match &there {
        Some(directory) if directory.is_dir() => Ok(()),
        _ => Err("AGENT_TEST_PUBLISHED names no directory (tests/util/published makes it)".into()),
    });
    there.filter(|_| ready)
}

#[test]
fn the_examples_that_cloud_init_publishes_are_taken_or_refused_by_name() {
    let Some(examples) = examples() else { return };
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(&examples).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            continue;
        }
        let mut check = Command::new(env!("CARGO_BIN_EXE_agent-stub"));
        check.arg("check").arg(entry.path());
        let ended = run(check);
        let all = ended.all();
        assert!([0, 1].contains(&ended.code()), "{name}: {ended:#?}");
        if let Some((_, does)) = TAKEN.iter().find(|(n, _)| *n == name) {
            assert!(ended.code() == 0 && all.contains(does), "{name}: {ended:#?}");
        } else {
            // Every other one has a key, or is a form, that is not read.
            assert_eq!(ended.code(), 1, "{name}: {ended:#?}");
            assert!(all.contains("next: "), "{name}: {all}");
        }
        if let Some((_, named)) = REFUSED.iter().find(|(n, _)| *n == name) {
            assert!(named.iter().all(|n| all.contains(n)), "{name}: {all}");
        }
        seen.insert(name);
    }
    let expected = TAKEN.iter().map(|(n, _)| *n).chain(REFUSED.iter().map(|(n, _)| *n));
    let missing: Vec<&str> = expected.filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "not published any more: {missing:?}");
}
