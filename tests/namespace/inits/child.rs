//! How the child starts: as it would without an init. And what the init itself keeps of that:
//! nothing that anybody could wait for.

use super::{Init, NAMES, PLACES, Place, Scene};
use crate::sandbox::Sandbox;
use std::fs;

/// Blocks and ignores what its first two arguments say, then becomes the rest. 32 and 33 can't be
/// named here.
const MASKING: &str = r#"
use POSIX qw(:signal_h); use Config;
my ($blocked, $ignored) = (shift, shift);
my %name; @name{split ' ', $Config{sig_num}} = split ' ', $Config{sig_name};
sigprocmask(SIG_BLOCK, POSIX::SigSet->new(split /,/, $blocked)) or die;
$SIG{$name{$_}} = "IGNORE" for split /,/, $ignored;
exec @ARGV;
"#;

const LOOK: [&str; 5] = ["--", "grep", "-E", "^Sig(Blk|Ign|Cgt):", "/proc/self/status"];

#[test]
fn the_signal_mask_and_what_is_ignored_are_as_they_were() {
    let all = (1..=64).filter(|s| ![9, 19, 32, 33].contains(s)).map(|s| s.to_string());
    let all = all.collect::<Vec<_>>().join(",");
    let mut seen = Vec::new();
    for (blocked, ignored) in [
        ("", ""),
        ("2,4,15,21,35", "2,11,22,64"),
        ("13,17", "13,17"),
        ("", "13,17"),
        (&*all, &*all),
    ] {
        let masking = ["perl", "-e", MASKING, blocked, ignored];
        for place in PLACES {
            let without = Init::none().through(&masking).at(place).run(&LOOK).expect(0).stdout;
            for name in NAMES {
                let with = Init::ours(name).through(&masking).at(place).run(&LOOK).expect(0);
                assert_eq!(with.stdout, without, "{place:?} {name} {blocked} {ignored}");
            }
            seen.push(without);
        }
    }
    // Negative control: what differs is seen.
    seen.dedup();
    assert_eq!(seen.len(), 5, "{seen:#?}");
}

/// Prints what a program inherits, beside its signals.
const INHERITED: &str = r#"
printf '%s|' "$0" "$@"; echo
env | grep -vE '^(_|SHLVL|PWD|OLDPWD)=' | sort
pwd -P; umask; ulimit -n; ulimit -c; cat /proc/$$/oom_score_adj
cut -d ' ' -f 18,19,41 /proc/$$/stat
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/$$/status
for f in /proc/$$/fd/*; do n=${f##*/}; [ $n -ge 10 ] || echo $n; done
readlink /proc/$$/fd/0 /proc/$$/fd/5 /proc/$$/fd/7
cat
"#;

#[test]
fn everything_else_is_inherited() {
    let before = "mkdir /tmp/there; cd /tmp/there; umask 027; ulimit -n 77; ulimit -c 0
        renice -n 3 $$ >/dev/null; export EMPTY= 'SPACED=a b=c'; printf 'in\\n' >/tmp/in
        exec </tmp/in 5</etc/passwd 7>/tmp/seven";
    for place in PLACES {
        let look = ["--", "sh", "-c", INHERITED, "name", "a b", "", "--", "-g"];
        let without = Init::none().at(place).after(before).run(&look).expect(0);
        for part in
            ["name|a b||--|-g|\n", "/tmp/there\n0027\n77\n", "/etc/passwd\n/tmp/seven\nin\n"]
        {
            assert!(without.stdout.contains(part), "{without:#?}");
        }
        for name in NAMES {
            let with = Init::ours(name).at(place).after(before).run(&look).expect(0);
            assert_eq!(with.stdout, without.stdout, "{place:?} {name}");
        }
    }
}

#[test]
fn the_streams_are_the_childs() {
    for place in PLACES {
        for name in NAMES {
            let before = "printf 'echo out; echo err >&2; exit 4' >/tmp/in; exec </tmp/in";
            let ended = Init::ours(name).at(place).after(before).run(&["--", "sh"]).expect(4);
            assert_eq!(ended.stdout, "out\n");
            assert!(ended.stderr.contains("err\n"));
        }
    }
}

/// Every init makes its child the leader of a process group, but dumb-init in its single-child
/// mode; there with a session of its own.
#[test]
fn the_child_leads_a_group() {
    for place in PLACES {
        for (name, options, group, session) in [
            ("agent", vec![], true, false),
            ("tini", vec![], true, false),
            ("catatonit", vec![], true, false),
            ("dumb-init", vec![], true, true),
            ("dumb-init", vec!["-c"], false, false),
        ] {
            let init = Init::ours(name).with(&options).at(place);
            let seen = init.script("set -- $(cut -d ' ' -f 1,5,6 /proc/$$/stat); echo $*");
            let seen = seen.expect(0).stdout;
            let numbers: Vec<&str> = seen.split_whitespace().collect();
            let [pid, its_group, its_session] = numbers[..] else { panic!("{seen}") };
            assert_eq!((pid == its_group, pid == its_session), (group, session), "{name}: {seen}");
        }
    }
}

/// Starts `init` in a directory of its own with more descriptors open.
#[track_caller]
fn kept(init: Init, program: &[&str]) -> Scene {
    let before = "mkdir /tmp/there; cd /tmp/there; exec 5</etc/passwd 7>/tmp/seven";
    init.after(before).start(program)
}

fn descriptors(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A directory that somebody is in can't be unmounted, and an end of a pipe that somebody holds
/// stays open.
#[test]
fn the_init_keeps_no_directory_and_no_descriptor() {
    for place in PLACES {
        for name in NAMES {
            let wait =
                "echo up >/mnt/out/up; while [ ! -e /mnt/out/stop ]; do sleep 0.02; done; exit 11";
            let mut scene = kept(Init::ours(name).at(place), &["--", "sh", "-c", wait]);
            scene.reaches("up");
            let cwd = |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
            // Both happen once the child is started, which may be a moment after it speaks.
            crate::util::eventually("it lets go", || {
                (cwd(scene.pid).as_os_str() == "/").then_some(())
            });
            assert!(cwd(scene.child()).ends_with("tmp/there"), "{name}");
            assert_eq!(descriptors(scene.pid), ["0", "1", "2"], "{place:?} {name}");
            assert!(descriptors(scene.child()).contains(&"7".to_owned()), "{name}");
            scene.stop().expect(11);
        }
    }
}

/// Whoever hands sockets to a program says to which process; that is the init at first
/// (`sd_listen_fds(3)`).
#[test]
fn sockets_that_were_handed_to_the_init_are_the_childs() {
    let look = "[ \"$LISTEN_PID\" = $$ ] && echo mine; echo \"$LISTEN_PID $LISTEN_FDS\"";
    let handing = ["sh", "-c", "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"", "sh"];
    let others = ["sh", "-c", "export LISTEN_PID=4711 LISTEN_FDS=1; exec \"$@\"", "sh"];
    for place in PLACES {
        for name in NAMES {
            let ended = Init::ours(name).through(&handing).at(place).script(look).expect(0);
            assert!(ended.stdout.starts_with("mine\n"), "{place:?} {name}: {ended:#?}");
            let ended = Init::ours(name).through(&others).at(place).script(look).expect(0);
            assert_eq!(ended.stdout, "4711 1\n", "{place:?} {name}");
            assert_eq!(Init::ours(name).at(place).script(look).expect(0).stdout, " \n");
        }
    }
    // After a boot, which has variables of its own to set.
    let booted = Sandbox::new().variable("LISTEN_PID", "1").variable("LISTEN_FDS", "1");
    let ended = booted.init(&[], &format!("{look}; echo $PATH")).expect(0);
    assert!(ended.stdout.starts_with("mine\n"), "{ended:#?}");
}

/// What a parent ignores its children's ends by would take them from the init.
#[test]
fn an_init_that_was_started_with_sigchld_ignored_sees_its_child_end() {
    for place in PLACES {
        for name in NAMES {
            let masking = ["perl", "-e", MASKING, "", "17"];
            Init::ours(name).through(&masking).at(place).script("exit 3").expect(3);
        }
    }
    // The boot's children, too.
    let sandbox = Sandbox::new().script("#!/bin/sh\nexit 0\n");
    let program = ["perl", "-e", MASKING, "", "17", "agent", "init", "--", "agent", "status"];
    crate::util::run(sandbox.pid1(&program)).expect(0);
}

/// Not first: the shell that is PID 1 is the leader of nothing.
#[test]
fn the_childs_parent_is_the_init() {
    for name in NAMES {
        let first = Init::ours(name).script("echo $PPID").expect(0);
        assert_eq!(first.stdout, "1\n");
        let below = Init::ours(name).at(Place::Below).script("echo $PPID").expect(0);
        assert_ne!(below.stdout, "1\n");
    }
}
