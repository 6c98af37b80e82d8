//! Signals that become another one, or none, on their way: `--rewrite`, dumb-init's `-r`.

use super::{Init, PLACES, Scene};

/// Both that can do it, with these rules.
fn both(rules: &[&str]) -> [Init; 2] {
    let options: Vec<&str> = rules.iter().flat_map(|r| ["--rewrite", r]).collect();
    ["agent", "dumb-init"].map(|name| Init::ours(name).with(&options))
}

/// Sends each and waits for what it becomes.
#[track_caller]
fn becomes(scene: &mut Scene, pairs: &[(i32, i32)]) {
    for (sent, got) in pairs {
        scene.signal(*sent);
        scene.notes(&format!("parent {got}"));
        scene.notes(&format!("child {got}"));
    }
}

#[test]
fn each_signal_can_become_each_other_one() {
    // By a step that meets all of them: 1 to 2, 2 to 3, and so on in a circle; no rule is applied
    // to the outcome of another.
    let signals: Vec<i32> = (1..=31).filter(|s| ![9, 17, 19, 20, 21, 22].contains(s)).collect();
    for step in [1, 7] {
        let to = |i: usize| signals[(i + step) % signals.len()];
        let pairs: Vec<(i32, i32)> = (0..signals.len()).map(|i| (signals[i], to(i))).collect();
        let rules: Vec<String> = pairs.iter().map(|(f, t)| format!("{f}:{t}")).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        for place in PLACES {
            for init in both(&rules) {
                // The stop of `agent init` begins with a TERM, whatever that becomes, and with what
                // becomes a TERM.
                let mut scene = init.at(place).noting();
                let (last, first): (Vec<_>, Vec<_>) =
                    pairs.iter().partition(|(f, t)| *f == 15 || *t == 15);
                becomes(&mut scene, &first);
                assert_eq!(scene.noted_by("parent").len(), first.len(), "{}", scene.noted());
                becomes(&mut scene, &last);
                scene.stop().expect(11);
            }
        }
    }
}

#[test]
fn the_highest_and_the_lowest_can_be_swapped_and_one_stay_itself() {
    for place in PLACES {
        for init in both(&["1:31", "31:1", "3:3"]) {
            let mut scene = init.at(place).noting();
            becomes(&mut scene, &[(1, 31), (31, 1), (3, 3), (2, 2)]);
            scene.stop().expect(11);
        }
        // Real-time ones dumb-init has no rules for; by the agent they go like the rest.
        for init in both(&["64:10", "12:34"]) {
            let mut scene = init.at(place).noting();
            becomes(&mut scene, &[(64, 10), (12, 34)]);
            scene.stop().expect(11);
        }
    }
}

#[test]
fn a_signal_that_becomes_0_is_dropped() {
    for place in PLACES {
        for init in both(&["15:3", "2:0", "28:0"]) {
            let mut scene = init.at(place).noting();
            for (dropped, sent, got) in [(2, 10, 10), (28, 1, 1), (2, 15, 3)] {
                scene.signal(dropped);
                becomes(&mut scene, &[(sent, got)]);
            }
            let all = scene.noted_by("parent");
            assert!(!all.contains(&2) && !all.contains(&28), "{all:?}");
            scene.stop().expect(11);
        }
        // A TERM that is dropped is no stop: nobody is killed for not ending.
        let init = Init::ours("agent").with(&["--grace", "100ms", "--rewrite", "TERM:0"]);
        let mut scene = init.at(place).noting();
        scene.signal(15);
        std::thread::sleep(std::time::Duration::from_millis(400));
        becomes(&mut scene, &[(10, 10)]);
        scene.stop().expect(11);
    }
}

#[test]
fn rules_may_have_names_and_the_last_one_holds() {
    for init in both(&["TERM:INT", "SIGHUP:RTMIN+2", "sigquit:USR1", "TERM:USR2", "WINCH:15"]) {
        let mut scene = init.noting();
        becomes(&mut scene, &[(1, 36), (3, 10), (28, 15), (15, 12)]);
        scene.stop().expect(11);
    }
}

/// From a terminal's background these two are somebody else's; a rule makes them the child's.
#[test]
fn a_rule_makes_a_terminals_signal_the_childs() {
    for place in PLACES {
        let options = ["--rewrite", "TTIN:USR1", "--rewrite", "22:12"];
        let mut scene = Init::ours("agent").with(&options).at(place).noting();
        becomes(&mut scene, &[(21, 10), (22, 12)]);
        scene.stop().expect(11);
        let mut scene = Init::ours("agent").at(place).noting();
        scene.signal(21);
        scene.signal(22);
        becomes(&mut scene, &[(10, 10)]);
        assert_eq!(scene.noted_by("parent"), [10]);
        scene.stop().expect(11);
    }
}

#[test]
fn what_is_no_rule_is_refused() {
    for rule in
        ["", ":", "15", "15:", ":3", "0:3", "-1:3", "15:-1", "99:1", "15:99", "15:3:1", "a:b"]
    {
        for (init, status) in both(&[rule]).into_iter().zip([64, 1]) {
            let ended = init.run(&["true"]).expect(status).says(&format!("{rule:?}"));
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
        }
        let short = Init::ours("dumb-init").with(&["-r", rule]);
        short.run(&["true"]).expect(1);
    }
    Init::ours("dumb-init").run(&["-r"]).expect(1);
    Init::ours("agent").run(&["--rewrite"]).expect(64);
}
