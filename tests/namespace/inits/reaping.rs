//! Orphans are reaped, whoever's they were, and none is taken for the child. As PID 1 by nature, below
//! it as a subreaper. More of it under load is in [`crate::reaping`].

use super::{Init, NAMES, PLACES, becomes, none_defunct};
use crate::util::{children, eventually};

/// Makes `n` orphans that end with different statuses, then says so and waits.
fn orphans(n: u32) -> String {
    format!(
        "i=0; while [ $i -lt {n} ]; do (sh -c \"exit $((i % 256))\" &); i=$((i+1)); done; echo made >/mnt/out/made
        while [ ! -e /mnt/out/stop ]; do sleep 0.02; done; exit 11"
    )
}

#[test]
fn orphans_are_reaped_and_none_is_taken_for_the_child() {
    for place in PLACES {
        for name in NAMES {
            let mut scene = Init::ours(name).at(place).start(&["--", "sh", "-c", &orphans(100)]);
            scene.reaches("made");
            none_defunct(scene.pid);
            eventually("the child alone is left", || {
                (children(scene.pid) == [scene.child()]).then_some(())
            });
            scene.stop().expect(11);
        }
    }
}

/// A daemon is an orphan that lives on: it is adopted, reaped at its end, and the child with the
/// init goes on. The shell at the child's place waits for the signal.
#[test]
fn a_daemon_is_adopted_and_reaped_at_its_end() {
    let script = "(setsid sh -c 'echo $$ >/mnt/out/made; sleep 60' &)
        while [ ! -e /mnt/out/stop ]; do sleep 0.02; done; exit 11";
    for place in PLACES {
        for name in NAMES {
            let mut scene = Init::ours(name).at(place).start(&["--", "sh", "-c", script]);
            scene.reaches("made");
            let daemon = eventually("it is adopted", || {
                children(scene.pid).into_iter().find(|c| {
                    let words = std::fs::read_to_string(format!("/proc/{c}/cmdline"));
                    words.is_ok_and(|w| w.starts_with("sh\0-c\0echo"))
                })
            });
            crate::util::signal(daemon, 9);
            becomes(daemon, '-');
            scene.stop().expect(11);
        }
    }
}

/// Signals of one kind coalesce: the child's end and an orphan's may be one.
#[test]
fn an_end_that_coalesces_with_an_orphans_is_not_missed() {
    // A stopped init takes both at once as it goes on.
    let script = "(sh -c 'while [ ! -e /mnt/out/stop ]; do sleep 0.02; done; exit 9' &)
        (sh -c 'while [ ! -e /mnt/out/stop ]; do sleep 0.02; done; kill -KILL $$' &)
        echo up >/mnt/out/up; while [ ! -e /mnt/out/stop ]; do sleep 0.02; done; exit 4";
    for name in NAMES {
        for _ in 0..5 {
            let below = Init::ours(name).at(super::Place::Below);
            let mut scene = below.start(&["--", "sh", "-c", script]);
            scene.reaches("up");
            scene.signal(19);
            becomes(scene.pid, 'T');
            scene.sandbox.put_out("stop", "now");
            let all = children(scene.pid);
            assert_eq!(all.len(), 3, "{all:?}");
            for child in all {
                becomes(child, 'Z');
            }
            scene.signal(18);
            scene.end().expect(4);
        }
    }
}

#[test]
fn what_is_reaped_is_named_where_that_is_asked_for() {
    let script = "(sh -c 'exit 5' &); (sh -c 'kill -KILL $$' &); sleep 0.3; exit 2";
    for place in PLACES {
        for (name, options) in [("tini", vec!["-w"]), ("agent", vec!["--warn-on-reap"])] {
            let told = Init::ours(name).with(&options).at(place).script(script).expect(2);
            for part in ["reaped process", ": exit status 5", ": ended by SIGKILL"] {
                assert!(told.stderr.contains(part), "{told:#?}");
            }
            let silent = Init::ours(name).at(place).script(script).expect(2);
            assert!(!silent.stderr.contains("reaped process"), "{silent:#?}");
        }
    }
}
