//! Stops without a terminal: TSTP, TTIN and TTOU as somebody sends them, and a child that stops. PID 1
//! can't be stopped from inside, and never stops itself. With a terminal: [`super::terminal`].

use super::{Init, PLACES, Place, Scene, becomes, state};
use crate::sandbox::Sandbox;
use crate::util::children;

const STOPS: [i32; 3] = [20, 21, 22];

fn awake(scene: &Scene) {
    let what = format!("{} goes on", scene.pid);
    crate::util::eventually(&what, || (state(scene.pid) == 'S').then_some(()));
}

#[test]
fn dumb_init_stops_with_its_child_and_goes_on_with_it() {
    let scene = Init::ours("dumb-init").at(Place::Below).noting();
    for (round, stop) in STOPS.into_iter().enumerate() {
        scene.signal(stop);
        becomes(scene.pid, 'T');
        let child = scene.child();
        becomes(child, 'T');
        becomes(children(child)[0], 'T');
        scene.signal(18);
        awake(&scene);
        crate::util::eventually("both go on", || {
            let noted = scene.noted_by("parent").len() + scene.noted_by("child").len();
            (noted == 2 * (round + 1)).then_some(())
        });
        assert_ne!(state(child), 'T');
    }
    assert_eq!(scene.noted_by("parent"), [18, 18, 18]);
    scene.stop().expect(11);
}

/// Nobody continues what PID 1 of a namespace stopped but itself; that it stays awake is what counts.
#[test]
fn dumb_init_as_pid_1_stops_its_child_alone() {
    let scene = Init::ours("dumb-init").noting();
    for stop in STOPS {
        scene.signal(stop);
        becomes(scene.child(), 'T');
        awake(&scene);
        scene.signal(18);
        crate::util::eventually("it goes on", || (state(scene.child()) != 'T').then_some(()));
    }
    scene.stop().expect(11);
}

#[test]
fn dumb_init_of_a_single_child_passes_a_stop_on_and_stops() {
    for init in [
        Init::ours("dumb-init").with(&["-c"]),
        Init::ours("dumb-init").variable("DUMB_INIT_SETSID", "0"),
    ] {
        let mut scene = init.clone().at(Place::Below).noting();
        for stop in STOPS {
            scene.signal(stop);
            becomes(scene.pid, 'T');
            // A stopped process sends nothing on: it had before.
            scene.notes(&format!("parent {stop}"));
            scene.signal(18);
            awake(&scene);
        }
        crate::util::eventually("each CONT is passed on", || {
            (scene.noted_by("parent") == [18, 18, 18, 20, 21, 22]).then_some(())
        });
        assert!(scene.noted_by("child").is_empty());
        scene.stop().expect(11);
        let mut scene = init.noting();
        for stop in STOPS {
            scene.signal(stop);
            scene.notes(&format!("parent {stop}"));
            awake(&scene);
        }
        scene.stop().expect(11);
    }
}

#[test]
fn dumb_init_stops_also_where_a_rule_makes_the_stop_another_signal() {
    let rules = ["-r", "21:15", "-r", "22:2", "-r", "20:0"];
    let mut scene = Init::ours("dumb-init").with(&rules).at(Place::Below).noting();
    for (stop, got) in [(21, Some(15)), (22, Some(2)), (20, None)] {
        scene.signal(stop);
        becomes(scene.pid, 'T');
        if let Some(got) = got {
            scene.notes(&format!("parent {got}"));
        }
        assert_ne!(state(scene.child()), 'T');
        scene.signal(18);
        awake(&scene);
    }
    crate::util::eventually("each CONT is passed on", || {
        (scene.noted_by("parent") == [2, 15, 18, 18, 18]).then_some(())
    });
    scene.stop().expect(11);
}

/// Only the init: whoever stands in its process group has not been asked.
#[test]
fn the_inits_neighbours_are_not_stopped() {
    let outer = "sleep 60 & echo $! >/mnt/out/neighbour; \"$@\"; exit $?";
    let init = Init::ours("dumb-init").through(&["sh", "-c", outer, "sh"]).at(Place::Below);
    let mut scene =
        init.start_in(Sandbox::new(), &["--", "sh", "-c", "echo up >/mnt/out/up; sleep 60"]);
    scene.reaches("up");
    let shell = scene.pid;
    let [neighbour, init] = children(shell)[..] else { panic!("{:?}", children(shell)) };
    crate::util::signal(init, 20);
    becomes(init, 'T');
    assert!(state(shell) != 'T' && state(neighbour) != 'T');
    crate::util::signal(init, 18);
    crate::util::signal(init, 15);
    scene.end().expect(143);
}

#[test]
fn a_stop_reaches_the_child_of_every_other_init() {
    for place in PLACES {
        for name in ["agent", "tini", "catatonit"] {
            let mut scene = Init::ours(name).at(place).noting();
            scene.signal(20);
            scene.notes("parent 20");
            awake(&scene);
            scene.stop().expect(11);
        }
    }
}

/// A shell that started the init as its job sees it stop with the child, by the child's signal, and
/// continues both.
#[test]
fn the_init_follows_its_child_where_it_is_a_shells_job() {
    let shell = "set -m; \"$@\"; echo $? >/mnt/out/seen; fg >/dev/null; exit $?";
    for name in ["agent", "tini", "catatonit"] {
        let init = Init::ours(name).through(&["bash", "-c", shell, "bash"]);
        let script = "echo $$ >/mnt/out/up; kill -TSTP $$; exit 7";
        let sandbox = Sandbox::new();
        crate::util::run(init.command(&sandbox, &["--", "sh", "-c", script])).expect(7);
        assert_eq!(sandbox.out("seen"), "148\n", "{name}");
    }
}

/// PID 1 is nobody's job: its child stays stopped until somebody sends CONT.
#[test]
fn pid_1_does_not_follow_its_child() {
    for name in ["agent", "tini", "catatonit"] {
        let script = "echo up >/mnt/out/up; exec sleep 60";
        let mut scene = Init::ours(name).start(&["--", "sh", "-c", script]);
        scene.reaches("up");
        let child = scene.child();
        crate::util::signal(child, 20);
        becomes(child, 'T');
        awake(&scene);
        scene.signal(18);
        crate::util::eventually("it goes on", || (state(child) == 'S').then_some(()));
        scene.signal(2);
        scene.end().expect(130);
    }
}

/// What was stopped for good, by somebody else, is nobody's job control.
#[test]
fn a_child_that_sigstop_has_stopped_is_not_followed_and_not_taken_for_ended() {
    for name in super::NAMES {
        let script = "(sleep 0.3; kill -CONT $$) & kill -STOP $$; exit 4";
        for place in PLACES {
            Init::ours(name).at(place).script(script).expect(4);
        }
    }
}
