//! How COMMAND is found and started: as `execvp(3)` does, whichever way the init itself started.
//! A plain init as PID 1 starts COMMAND before its C library; with an option it doesn't.

use crate::sandbox::Sandbox;
use crate::util::run;

/// Without an option, and with one that changes nothing here.
const WAYS: [&str; 2] = ["--no-boot --", "--no-boot --quiet --"];

/// What `shell` prints when it has become the init that its `$init` says.
#[track_caller]
fn printed(shell: &str, way: &str, status: i32) -> String {
    let sandbox = Sandbox::new();
    let script = format!("init='agent init {way}'; {shell}");
    let ended = run(sandbox.pid1(&["sh", "-c", &script])).expect(status);
    ended.stdout + &ended.stderr
}

#[test]
fn a_plain_init_waits_without_its_c_library() {
    let heaps = |way| printed("exec $init sh -c 'grep -c heap /proc/1/maps; true'", way, 0);
    assert_eq!(WAYS.map(heaps), ["0\n", "1\n"]);
}

#[test]
fn so_it_does_by_another_inits_name_unless_that_one_has_more_to_do() {
    let look = "sh -c 'grep -c heap /proc/1/maps; true'";
    for (name, command, heaps) in [
        ("tini", "exec /tmp/tini --", "0\n"),
        ("docker-init", "exec /tmp/docker-init", "0\n"),
        ("podman-init", "exec /tmp/podman-init --", "0\n"),
        ("tini", "exec /tmp/tini -g --", "1\n"),
        ("tini", "TINI_KILL_PROCESS_GROUP=1 exec /tmp/tini --", "1\n"),
        ("dumb-init", "exec /tmp/dumb-init --", "1\n"),
        ("other", "exec /tmp/other init --no-boot", "1\n"),
    ] {
        let shell = format!("ln -s /mnt/bin/agent /tmp/{name}; {command} {look}");
        assert_eq!(printed(&shell, "", 0), heaps, "{command}");
    }
}

#[test]
fn a_command_is_looked_for_in_each_directory_of_path() {
    let stage = "mkdir /tmp/a /tmp/b /tmp/closed; printf '#!/bin/sh\\necho b $*' > /tmp/b/it;
        chmod +x /tmp/b/it; echo > /tmp/a/it; echo > /tmp/file; cp /mnt/bin/agent /tmp/b";
    for way in WAYS {
        for path in ["/tmp/a:/tmp/b", "/nowhere:/tmp/file:/tmp/b:/tmp/a", ":/tmp/b", "/tmp/b:"] {
            let shell = format!("{stage}; PATH={path}:$PATH exec $init it 1 '2  3'");
            assert_eq!(printed(&shell, way, 0), "b 1 2 3\n", "{way} {path}");
        }
        // The directory that the init is in, by an empty entry.
        let here = format!("{stage}; cd /tmp/b; PATH=:$PATH exec $init it here");
        assert_eq!(printed(&here, way, 0), "b here\n", "{way}");
        // Too long for a path: passed over.
        let long = format!("{stage}; PATH=/{:0>5000}:/tmp/b:$PATH exec $init it long", 0);
        assert_eq!(printed(&long, way, 0), "b long\n", "{way}");
        let none = "exec env -u PATH /mnt/bin/agent ${init#agent} echo default";
        assert_eq!(printed(none, way, 0), "default\n", "{way}");
    }
}

#[test]
fn what_cannot_be_executed_is_told_alike() {
    let stage = "printf '#!/nowhere\\n' > /tmp/loose; echo exit 3 > /tmp/text; chmod +x /tmp/*";
    for (command, status) in [
        ("/tmp/none", 127),
        ("none", 127),
        ("/tmp", 126),
        ("/etc/passwd", 126),
        ("/tmp/loose", 127),
    ] {
        let [plain, other] =
            WAYS.map(|way| printed(&format!("{stage}; exec $init {command}"), way, status));
        assert_eq!(plain, other);
        assert!(plain.contains(&format!("{command}: ")), "{plain}");
    }
}

#[test]
fn a_script_without_an_interpreter_ends_alike() {
    let of = |way| {
        let script =
            format!("echo 'exit 3' > /tmp/it; chmod +x /tmp/it; exec agent init {way} /tmp/it");
        run(Sandbox::new().pid1(&["sh", "-c", &script])).code()
    };
    let [plain, other] = WAYS.map(of);
    assert_eq!(plain, other);
}

#[test]
fn the_environment_and_the_arguments_arrive_as_they_are() {
    for way in WAYS {
        let shell = "exec env -i A=1 'B=2 3' PATH=/bin:/usr/bin /mnt/bin/agent ${init#agent} \
                     sh -c 'env | grep ^[AB]= | sort; printf \"<%s>\" \"$@\"' x '' 'a b' --";
        assert_eq!(printed(shell, way, 0), "A=1\nB=2 3\n<><a b><-->", "{way}");
    }
}

#[test]
fn a_workload_that_was_stopped_goes_on_when_somebody_says_so() {
    for way in WAYS {
        let sandbox = Sandbox::new();
        let wait = "until grep -q '^State:.T' /proc/$$/status; do :; done; kill -CONT 1";
        let script = format!(
            "exec agent init {way} sh -c '({wait}) & kill -STOP $$; wait; echo on > /mnt/out/seen'"
        );
        run(sandbox.pid1(&["sh", "-c", &script])).expect(0);
        assert_eq!(sandbox.out("seen"), "on\n", "{way}");
    }
}
