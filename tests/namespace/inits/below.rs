//! Not PID 1: under another init, a supervisor, a shell. Orphans are adopted all the same, and at
//! the end `agent init` ends what is left of its own; by another name it leaves what that one does.

use super::{Init, NAMES, PEERS, Place};
use crate::sandbox::Sandbox;
use crate::util::run;

fn below(name: &str, options: &[&str]) -> Init {
    Init::ours(name).with(options).at(Place::Below)
}

#[test]
fn orphans_are_the_inits_whether_or_not_that_was_asked_for() {
    let orphan = r#"my $init = getppid();
        if (!fork()) {
            my $between = $$;
            exit 0 if fork();
            select(undef, undef, undef, 0.01) while getppid() == $between;
            open(my $f, ">", "/tmp/parent") or die; print $f getppid(); close $f; exit 0;
        }
        wait; my $tries = 0;
        select(undef, undef, undef, 0.02) while ! -s "/tmp/parent" && $tries++ < 1000;
        open(my $f, "<", "/tmp/parent") or die; my $parent = <$f>;
        exit($init != 1 && $parent == $init ? 5 : 6);"#;
    for init in [
        below("agent", &[]),
        below("agent", &["-s"]),
        below("tini", &[]),
        below("tini", &["-s"]),
        below("tini", &[]).variable("TINI_SUBREAPER", ""),
        below("dumb-init", &[]),
        below("dumb-init", &["-c"]),
        below("catatonit", &[]),
    ] {
        init.run(&["--", "perl", "-e", orphan]).expect(5);
    }
}

/// tini warns where it adopts nobody; here there is nothing to warn of. The agent's own line is
/// information.
#[test]
fn that_orphans_are_adopted_is_said_at_most_once_and_not_by_another_name() {
    let said = below("agent", &[]).script("exit 0").expect(0);
    assert_eq!(said.stderr.lines().count(), 1, "{said:#?}");
    assert!(said.stderr.contains("adopting orphans as a subreaper"), "{said:#?}");
    for init in [below("agent", &["-s"]), below("agent", &["-q"])]
        .into_iter()
        .chain(PEERS.map(|name| below(name, &[])))
    {
        assert_eq!(init.script("exit 0").expect(0).stderr, "", "{init:?}");
    }
}

/// Two are left by the child: one in its group (and session), one with a session of its own. Each
/// notes a TERM and goes on. `then` looks a second after the init has ended.
fn left(init: &Init) -> String {
    let noting = "sh -c 'trap \"echo $0 >>/mnt/out/got\" TERM; echo up >/mnt/out/$0; while :; do sleep 0.05; done'";
    let child = format!(
        "{noting} group & setsid {noting} apart & while [ ! -s /mnt/out/group ] || [ ! -s /mnt/out/apart ]; do sleep 0.02; done; exit 5"
    );
    let sandbox = Sandbox::new();
    sandbox.put_out("got", "");
    crate::util::give(&sandbox.path("out/got"), 0o666);
    let after = "\"$@\"; echo $?; sleep 0.5; sort /mnt/out/got
        for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null | grep -cE '(group|apart) $'; exit 0";
    let init = init.clone().at(Place::First).through(&["sh", "-c", after, "sh"]);
    run(init.command(&sandbox, &["--", "sh", "-c", &child])).expect(0).stdout
}

#[test]
fn what_is_left_is_ended_by_the_agent_in_its_own_name() {
    let init = Init::ours("agent").with(&["--leftover-grace", "300ms"]);
    assert_eq!(left(&init), "5\napart\ngroup\n0\n");
}

#[test]
fn what_is_left_goes_on_where_the_name_is_tinis_or_catatonits() {
    for name in ["tini", "catatonit"] {
        assert_eq!(left(&Init::ours(name)), "5\n2\n", "{name}");
        assert_eq!(left(&Init::ours(name).with(&["-g"])), "5\n2\n", "{name}");
    }
}

#[test]
fn what_is_left_of_the_session_gets_term_where_the_name_is_dumb_inits() {
    assert_eq!(left(&Init::ours("dumb-init")), "5\ngroup\n2\n");
    assert_eq!(left(&Init::ours("dumb-init").with(&["-c"])), "5\n2\n");
    // By its rules, like every TERM.
    assert_eq!(left(&Init::ours("dumb-init").with(&["-r", "15:0"])), "5\n2\n");
}

/// As PID 1 there is nobody to leave anything to: the kernel would kill it all, so it gets a TERM
/// and a moment first, whatever the name.
#[test]
fn as_pid_1_what_is_left_gets_term_under_each_name() {
    let script = "setsid sh -c 'trap \"echo got >/mnt/out/got; exit 0\" TERM; echo up >/mnt/out/up; while :; do sleep 0.05; done' &
        while [ ! -s /mnt/out/up ]; do sleep 0.02; done; exit 5";
    for name in NAMES {
        let sandbox = Sandbox::new();
        run(Init::ours(name).command(&sandbox, &["--", "sh", "-c", script])).expect(5);
        assert_eq!(sandbox.out("got"), "got\n", "{name}");
    }
}

/// A stopped process takes no TERM before it goes on.
#[test]
fn what_is_left_and_stopped_is_continued_to_take_its_term() {
    let script = "setsid sh -c 'trap \"echo got >/mnt/out/got; exit 0\" TERM; echo $$ >/mnt/out/up; while :; do sleep 0.05; done' &
        while [ ! -s /mnt/out/up ]; do sleep 0.02; done; kill -STOP $(cat /mnt/out/up); exit 5";
    for place in super::PLACES {
        let sandbox = Sandbox::new();
        let init = Init::ours("agent").with(&["--leftover-grace", "20s"]).at(place);
        let ended = run(init.command(&sandbox, &["--", "sh", "-c", script])).expect(5);
        assert_eq!(sandbox.out("got"), "got\n");
        assert!(!ended.stderr.contains("killed"), "{ended:#?}");
    }
}

#[test]
fn inits_can_run_under_each_other() {
    for outer in NAMES {
        for inner in NAMES {
            let words = Init::ours(outer).with(&["--"]);
            let inner = match inner {
                "agent" => vec!["agent", "init", "--no-boot", "-s"],
                "tini" => vec!["/mnt/bin/tini"],
                "dumb-init" => vec!["/mnt/bin/dumb-init"],
                _ => vec!["/mnt/bin/catatonit"],
            };
            let init = words.with(&inner);
            init.script("exit 7").expect(7);
            init.script("kill -TERM $$").expect(143);
            let mut scene = init.start(&["--", "sh", "-c", "echo up >/mnt/out/up; exec sleep 60"]);
            scene.reaches("up");
            scene.signal(2);
            scene.end().expect(130);
        }
    }
}
