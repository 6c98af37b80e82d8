//! Who gets a signal that the init was sent: each of 1 to 64, once, the child alone or its group.
//! KILL, STOP and CHLD are nobody's to forward; 32 and 33 are the C library's own, and no program
//! can catch them.

use super::{Init, NAMES, PLACES};
use crate::util::eventually;

/// What can be caught, and is meant for the workload.
fn ordinary() -> Vec<i32> {
    (1..=64).filter(|s| ![9, 17, 19, 20, 21, 22, 32, 33].contains(s)).collect()
}

#[track_caller]
fn who_gets_what(init: &Init, child_too: bool) {
    let mut scene = init.noting();
    // TERM comes after it was looked: with it a stop of `agent init` begins, and that continues
    // whoever is stopped.
    let before = ordinary().into_iter().filter(|s| *s != 15).collect::<Vec<i32>>();
    for signal in &before {
        scene.signal(*signal);
    }
    for who in ["parent", "child"] {
        let expected = if who == "parent" || child_too { &before[..] } else { &[] };
        eventually(who, || (scene.noted_by(who).len() >= expected.len()).then_some(()));
        assert_eq!(scene.noted_by(who), expected, "{who} of {init:?}");
    }
    scene.signal(15);
    scene.notes("parent 15");
    if child_too {
        scene.notes("child 15");
    } else {
        assert!(scene.noted_by("child").is_empty(), "{init:?}");
    }
    scene.stop().expect(11);
}

#[test]
fn every_signal_reaches_the_child_alone_and_once() {
    for place in PLACES {
        for (name, options) in
            [("agent", vec!["--single"]), ("tini", vec![]), ("dumb-init", vec!["-c"])]
        {
            who_gets_what(&Init::ours(name).with(&options).at(place), false);
        }
        who_gets_what(&Init::ours("dumb-init").variable("DUMB_INIT_SETSID", "0").at(place), false);
        who_gets_what(&Init::ours("catatonit").at(place), false);
    }
}

#[test]
fn every_signal_reaches_the_childs_group_once() {
    for place in PLACES {
        for (name, options) in [
            ("agent", vec![]),
            ("agent", vec!["--single", "--group"]),
            ("tini", vec!["-g"]),
            ("dumb-init", vec![]),
            ("catatonit", vec!["-g"]),
        ] {
            who_gets_what(&Init::ours(name).with(&options).at(place), true);
        }
        let tini = Init::ours("tini").variable("TINI_KILL_PROCESS_GROUP", "");
        who_gets_what(&tini.at(place), true);
    }
}

/// Whoever starts a program by `posix_spawn(3)`, as these tests do, makes it ignore the two signals
/// that the C library keeps for itself; past the library they can be had back.
const BY_DEFAULT: &str = r#"
use POSIX; my $sigaction = (POSIX::uname())[4] eq "x86_64" ? 13 : 134;
my ($default, @numbers) = (pack("Q4", 0, 0, 0, 0), 32, 33);
for my $number (@numbers) { syscall($sigaction, $number, $default, 0, 8) == 0 or die "$!" }
open(my $up, ">", "/mnt/out/up") or die; print $up "up"; close $up;
sleep 60;
"#;

/// What the C library lets nobody block or catch would end an init that isn't PID 1.
#[test]
fn the_c_librarys_own_signals_end_the_child_and_not_the_init() {
    for place in PLACES {
        for name in NAMES {
            for signal in [32, 33] {
                let mut scene = Init::ours(name).at(place).start(&["--", "perl", "-e", BY_DEFAULT]);
                scene.reaches("up");
                scene.signal(signal);
                scene.end().expect(128 + signal);
            }
        }
    }
}

/// A child that ignores it is no reason for its group to be spared.
#[test]
fn a_group_gets_a_signal_that_its_leader_ignores() {
    let script = "trap '' USR1; perl -e '$SIG{USR1} = \"DEFAULT\"; open F, \">/mnt/out/up\"; print F 1; close F; sleep 60'; exit $?";
    for place in PLACES {
        for (name, options) in [("agent", vec![]), ("tini", vec!["-g"]), ("catatonit", vec!["-g"])]
        {
            let init = Init::ours(name).with(&options).at(place);
            let mut scene = init.start(&["--", "sh", "-c", script]);
            scene.reaches("up");
            scene.signal(10);
            scene.end().expect(128 + 10);
        }
    }
}

/// The kernel spares PID 1 of a namespace KILL and STOP from inside; all others are forwarded
/// from wherever they come.
#[test]
fn signals_from_inside_are_forwarded_too() {
    let wait = "n=0; while [ $n -lt 600 ]; do sleep 0.05; n=$((n+1)); done";
    for place in PLACES {
        for name in NAMES {
            let script = format!("trap 'exit 12' USR1; kill -USR1 $PPID; {wait}");
            Init::ours(name).at(place).script(&script).expect(12);
        }
    }
    for name in NAMES {
        Init::ours(name).script("kill -KILL 1; kill -STOP 1; sleep 0.2; exit 13").expect(13);
    }
}

/// What a process is sent for its own deeds isn't the workload's business.
#[test]
fn a_closed_standard_error_is_the_inits_own_affair() {
    // `-vvv` writes at every signal, into a pipe that nobody holds any more.
    for name in ["agent", "tini"] {
        let script = "trap 'exit 9' PIPE; trap 'exit 7' USR1; kill -WINCH $PPID; sleep 0.1
            kill -WINCH $PPID; sleep 0.1; kill -USR1 $PPID
            n=0; while [ $n -lt 600 ]; do sleep 0.05; n=$((n+1)); done";
        let options = if name == "agent" { vec!["-v"] } else { vec!["-vvv"] };
        let mut init = Init::ours(name).with(&options);
        init = init.after("mkfifo /tmp/pipe; sleep 0.2 </tmp/pipe & exec 2>/tmp/pipe; wait $!");
        init.script(script).expect(7);
    }
}
