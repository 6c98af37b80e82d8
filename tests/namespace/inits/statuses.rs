//! What an init ends with: the child's status, 128+n where signal n ended it, what is said for a
//! success, and where there is nothing to start. The loops run in one sandbox, each round in a
//! namespace of its own, or as a plain child.

use super::{Init, NAMES, PEERS, PLACES, Place};
use crate::sandbox::Sandbox;
use crate::util::run;

/// Runs `INIT OPTIONS -- sh -c SCRIPT` in a loop's body; `$s` is the round's number.
fn each(name: &str, place: Place, options: &str, script: &str) -> String {
    let words = match name {
        "agent" => "agent init --no-boot --subreaper",
        name => name,
    };
    let place = match place {
        Place::First => "unshare --pid --fork --kill-child",
        Place::Below => "",
    };
    format!("{place} {words} {options} -- sh -c \"{script}\"")
}

/// Runs the loop, which prints what is wrong.
#[track_caller]
fn all(rounds: &str, body: &str) {
    let script = format!("ulimit -c 0; for s in {rounds}; do {body}; done 2>&1; echo all");
    let sandbox = Sandbox::new();
    // The links are made with the command.
    let mut command = Init::ours("tini").command(&sandbox, &["--", "sh", "-c", &script]);
    command.stdin(std::process::Stdio::null());
    assert_eq!(run(command).expect(0).stdout, "all\n", "{body}");
}

#[test]
fn every_exit_status_is_the_childs() {
    for place in PLACES {
        for name in NAMES {
            let body = each(name, place, "", "exit $s");
            all("$(seq 0 255)", &format!("{body}; c=$?; [ $c = $s ] || echo $s is $c"));
        }
    }
}

/// Those that end a process by default (`signal(7)`); 32 and 33 are in [`signals`](super::signals).
const FATAL: &str = "$(seq 1 16) $(seq 24 27) $(seq 29 31) $(seq 34 64)";

#[test]
fn every_signal_that_ends_the_child_is_128_and_its_number() {
    for place in PLACES {
        for name in NAMES {
            let body = each(name, place, "", "kill -$s \\$\\$; sleep 5");
            all(FATAL, &format!("{body}; c=$?; [ $c = $((128 + s)) ] || echo $s is $c"));
        }
    }
}

#[test]
fn each_status_can_count_as_success_alone_and_with_all_others() {
    for (name, option) in [("tini", "-e"), ("agent", "--success")] {
        let alone = each(name, Place::Below, &format!("{option} $s"), "exit $s");
        let others = format!("$(seq 0 255 | grep -vx $s | sed 's/^/{option} /')");
        let others = each(name, Place::Below, &others, "exit $s");
        let body = format!(
            "{alone}; c=$?; [ $c = 0 ] || echo $s alone is $c; {others}; c=$?; [ $c = $s ] || echo $s is $c"
        );
        all("$(seq 0 255)", &body);
    }
}

#[test]
fn a_success_may_be_an_end_by_a_signal() {
    for place in PLACES {
        for (name, option) in [("tini", "-e"), ("agent", "--success")] {
            let init = Init::ours(name).with(&[option, "143", option, "7"]).at(place);
            init.script("kill -TERM $$").expect(0);
            init.script("exit 7").expect(0);
            init.script("exit 8").expect(8);
        }
    }
}

/// What each says of a program that is not there, of one that is and can't be executed.
fn refusal(name: &str) -> (i32, i32) {
    match name {
        "dumb-init" => (2, 2),
        "catatonit" => (1, 1),
        _ => (127, 126),
    }
}

#[test]
fn what_cannot_be_started_is_named_and_has_a_status() {
    let files = "printf '#!/nonexistent\\n' >/tmp/lost; printf x >/tmp/closed; printf 'exit 5\\n' >/tmp/plain
        chmod 755 /tmp/lost /tmp/plain; ln -s loop /tmp/loop; mkdir -m 0 /tmp/shut; PATH=$PATH:/tmp/shut:/tmp";
    for place in PLACES {
        for name in NAMES {
            let (missing, closed) = refusal(name);
            for (program, status) in [
                ("nonexistent", missing),
                ("", missing),
                ("/nonexistent/program", missing),
                ("/tmp/lost", missing),
                ("/tmp/closed", closed),
                ("closed", closed),
                ("/etc", closed),
                ("/etc/passwd/x", closed),
                ("/tmp/loop", closed),
            ] {
                let init = Init::ours(name).at(place).after(files);
                let ended = init.run(&["--", program]).expect(status).says(program);
                assert_eq!(ended.stdout, "", "{ended:#?}");
            }
            // As execvp(3) has it: a text without an interpreter is a shell's.
            Init::ours(name).at(place).after(files).run(&["--", "/tmp/plain"]).expect(5);
            Init::ours(name).at(place).after(files).run(&["--", "plain"]).expect(5);
        }
    }
}

/// Where PATH is empty or unset, execvp(3) looks where a system's programs are.
#[test]
fn without_a_path_a_program_is_found_all_the_same() {
    for name in NAMES {
        let init = Init::ours(name);
        let words = init.clone().after("init=$(command -v agent); unset PATH");
        if name != "agent" {
            words.run(&["--", "sh", "-c", "exit 6"]).expect(6);
            words.run(&["--", "nonexistent"]).expect(refusal(name).0);
        }
    }
    let line = "PATH= /mnt/bin/agent init --no-boot -- sh -c 'exit 6'; echo $?
        unset PATH; /mnt/bin/agent init --no-boot -- sh -c 'exit 6'; echo $?";
    let ended = run(Sandbox::new().pid1(&["sh", "-c", line]));
    assert_eq!(ended.stdout, "127\n6\n", "{ended:#?}");
}

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    for name in PEERS {
        for arguments in [&[][..], &["--"], &["-x", "true"], &["--bogus", "true"]] {
            let ended = Init::ours(name).run(arguments).expect(1);
            assert_eq!(ended.stdout, "", "{ended:#?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
        }
    }
    Init::ours("agent").run(&["--bogus", "true"]).expect(64);
}
