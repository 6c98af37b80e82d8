//! A signal at the end of the parent (`PR_SET_PDEATHSIG`): tini's `-p`, `--parent-death`. It is
//! the init that gets it, and forwards it.

use super::Init;
use crate::sandbox::Sandbox;
use crate::util::run;

/// Prints what the child was told. PID 1 starts a parent, that one the init; once all are there the
/// parent is killed, and the init is PID 1's. The child notes a USR1 and ends when it is told to.
fn after_the_parent(name: &str, options: &[&str]) -> String {
    let child = "trap 'echo told >/mnt/out/told' USR1; echo $PPID >/mnt/out/up
        while [ ! -e /mnt/out/stop ]; do sleep 0.02; done; echo $? >/mnt/out/ended";
    let outer = "sh -c '\"$@\"; exit $?' sh \"$@\" & parent=$!
        while [ ! -s /mnt/out/up ]; do sleep 0.02; done; init=$(cat /mnt/out/up)
        kill -KILL $parent; wait $parent
        while [ \"$(cut -d ' ' -f 4 /proc/$init/stat)\" != 1 ]; do sleep 0.02; done
        n=0; while [ ! -s /mnt/out/told ] && [ $n -lt 20 ]; do sleep 0.02; n=$((n+1)); done
        echo now >/mnt/out/stop; while [ ! -s /mnt/out/ended ]; do sleep 0.02; done
        cat /mnt/out/told || echo nothing";
    let init = Init::ours(name).with(options).through(&["sh", "-c", outer, "sh"]);
    init.run(&["--", "sh", "-c", child]).expect(0).stdout
}

#[test]
fn the_end_of_the_parent_is_a_signal_that_is_forwarded() {
    for (name, options) in [
        ("tini", &["-p", "SIGUSR1"][..]),
        ("tini", &["-s", "-pSIGUSR1"]),
        ("agent", &["--parent-death", "USR1"]),
        ("agent", &["--parent-death", "SIGUSR1"]),
        ("agent", &["--parent-death", "10"]),
        ("agent", &["--subreaper", "--parent-death=usr1"]),
    ] {
        assert_eq!(after_the_parent(name, options), "told\n", "{name} {options:?}");
    }
}

#[test]
fn without_it_the_end_of_the_parent_is_nothing_to_the_init() {
    for name in super::NAMES {
        assert_eq!(after_the_parent(name, &[]), "nothing\n", "{name}");
    }
}

/// The kernel asks nobody: the init is gone, and its child's parent with it.
#[test]
fn it_may_be_the_kill_signal() {
    for (name, options) in [("tini", ["-p", "SIGKILL"]), ("agent", ["--parent-death", "KILL"])] {
        let script = format!(
            "sh -c '\"$@\"' sh {} {} -- sh -c 'echo up >/mnt/out/up; sleep 60' & parent=$!
            while [ ! -e /mnt/out/up ]; do sleep 0.02; done
            init=$(cat /proc/$parent/task/$parent/children | cut -d ' ' -f 1)
            kill -KILL $parent; n=0
            while [ -e /proc/$init ] && ! grep -q '^State:.Z' /proc/$init/status && [ $n -lt 600 ]; do sleep 0.02; n=$((n+1)); done
            [ $n -lt 600 ] && echo gone",
            if name == "agent" { "agent init --no-boot" } else { "/mnt/bin/tini" },
            options.join(" "),
        );
        let sandbox = Sandbox::new();
        let command = Init::ours("tini").command(&sandbox, &["--", "bash", "-c", &script]);
        assert_eq!(run(command).stdout, "gone\n", "{name}");
    }
}

/// The child asks for itself, where it wants that (`prctl(2)` clears it in a child).
#[test]
fn the_child_has_no_such_signal_of_the_inits() {
    let look = "use POSIX; my $prctl = (POSIX::uname())[4] eq 'x86_64' ? 157 : 167;
        my $signal = pack('i', 99); syscall($prctl, 2, $signal) == 0 or die; print unpack('i', $signal)";
    for (name, options) in [("tini", ["-p", "SIGTERM"]), ("agent", ["--parent-death", "TERM"])] {
        for place in super::PLACES {
            let init = Init::ours(name).with(&options).at(place);
            assert_eq!(init.run(&["--", "perl", "-e", look]).expect(0).stdout, "0");
        }
    }
}

#[test]
fn what_is_no_signal_is_refused() {
    for text in ["", "NOPE", "SIG", "0", "99", "-1"] {
        Init::ours("tini").with(&["-p", text]).run(&["true"]).expect(1);
        Init::ours("agent").with(&["--parent-death", text]).run(&["true"]).expect(64);
    }
}
