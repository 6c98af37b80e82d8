//! The agent alone (`--no-boot`) with everything that `podman run -it` has to do with a terminal:
//! keys, sizes, leaving and coming back, a second terminal, and no terminal at all.

use crate::engine::{ready, wait_for};
use crate::pty::{CTRL_BACKSLASH, CTRL_C, CTRL_Z, Terminal};
use crate::sandbox::{Recipe, Sandbox};
use std::time::Duration;

/// Shows a prompt that no test types.
const PROMPT: &str = "--env=PS1=prompt> ";

/// A shell as the workload, with its prompt.
fn shell(recipe: Recipe) -> (Sandbox, Terminal) {
    let (sandbox, mut terminal) = recipe.argument(PROMPT).on_terminal(&["bash", "--norc"]);
    terminal.see("prompt> ");
    (sandbox, terminal)
}

/// What job control is for, and no word of the shell's that there is none.
#[track_caller]
fn has_job_control(terminal: &mut Terminal) {
    terminal.line("sh -c 'echo up$((1+1)); exec sleep 300' & fg");
    terminal.see("up2");
    terminal.press(CTRL_Z);
    terminal.see("Stopped");
    terminal.see("prompt> ");
    terminal.line("bg; jobs");
    terminal.see("Running");
    terminal.see("prompt> ");
    terminal.line("kill %1; wait %1; echo ended:$?");
    terminal.see("ended:143");
    terminal.see("prompt> ");
    let screen = terminal.screen();
    assert!(!screen.contains("job control") && !screen.contains("terminal process"), "{screen}");
}

#[test]
fn keys_end_the_workload_with_128_and_the_signal() {
    if !ready() {
        return;
    }
    for (key, status) in [(CTRL_C, 130), (CTRL_BACKSLASH, 131)] {
        let line = "ulimit -c 0; echo up; exec sleep 300";
        let (_sandbox, mut terminal) = Recipe::alone().on_terminal(&["sh", "-c", line]);
        terminal.see("up");
        terminal.press(key);
        assert_eq!(terminal.ended(), status);
    }
}

/// PID 1 is nobody's job: no shell is there to continue it. Who stopped it can.
#[test]
fn ctrl_z_stops_the_workload_until_somebody_continues_it() {
    if !ready() {
        return;
    }
    let line = "echo up; read x; echo got:$x; exit 4";
    let (sandbox, mut terminal) = Recipe::alone().on_terminal(&["sh", "-c", line]);
    let state = |letter: &str| {
        wait_for(&format!("state {letter}"), Duration::from_secs(20), || {
            let stat = sandbox.sh("sed 's/.*) //' /proc/$(pgrep -o sh)/stat").stdout;
            stat.starts_with(letter).then_some(())
        });
    };
    terminal.see("up");
    terminal.press(CTRL_Z);
    state("T");
    sandbox.signal("CONT");
    state("S");
    terminal.line("hello");
    terminal.see("got:hello");
    assert_eq!(terminal.ended(), 4);
}

#[test]
fn a_stopped_workload_ends_when_it_is_asked_to() {
    if !ready() {
        return;
    }
    let (sandbox, mut terminal) = Recipe::alone().on_terminal(&["sh", "-c", "echo up; cat"]);
    terminal.see("up");
    terminal.press(CTRL_Z);
    terminal.see("^Z");
    let stop = sandbox.stop();
    assert!(stop.took < Duration::from_secs(5), "{:?}", stop.took);
    assert_eq!(terminal.ended(), 143);
}

#[test]
fn a_new_size_of_the_window_arrives() {
    if !ready() {
        return;
    }
    let line =
        "trap 'echo size:$(stty size)' WINCH; echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done";
    let (sandbox, mut terminal) = Recipe::alone().on_terminal(&["bash", "-c", line]);
    terminal.see("up");
    terminal.resize(50, 132);
    // The terminal is no session's, so nobody but the test tells podman.
    assert!(podman_is_told(&terminal));
    terminal.see("size:50 132");
    sandbox.sh("touch /tmp/go").good();
    assert_eq!(terminal.ended(), 0);
}

fn podman_is_told(terminal: &Terminal) -> bool {
    use nix::sys::signal::{Signal, kill};
    kill(nix::unistd::Pid::from_raw(terminal.pid()), Signal::SIGWINCH).is_ok()
}

#[test]
fn a_shell_alone_has_job_control_whoever_it_is() {
    if !ready() {
        return;
    }
    let closed = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"];
    for user in ["root", "nobody", "4242:4343"] {
        let with = closed.iter().fold(Recipe::alone(), |recipe, flag| recipe.argument(flag));
        let (_sandbox, mut terminal) = shell(with.argument(&format!("--user={user}")));
        has_job_control(&mut terminal);
        terminal.line("tty; tty </dev/tty; read x </dev/tty; echo got:$x");
        terminal.see("/dev/pts/");
        terminal.see("/dev/tty");
        terminal.line("hello");
        terminal.see("got:hello");
        terminal.line("exit 7");
        assert_eq!(terminal.ended(), 7, "{user}");
    }
}

#[test]
fn whoever_leaves_can_come_back() {
    if !ready() {
        return;
    }
    let (sandbox, mut terminal) = shell(Recipe::alone());
    // podman knows the keys one by one.
    terminal.press("\u{10}");
    std::thread::sleep(Duration::from_millis(300));
    terminal.press("\u{11}");
    assert_eq!(terminal.ended(), 0, "{}", terminal.screen());
    let mut again = sandbox.attach();
    // What is typed before podman listens is there for it to read.
    again.line("echo here$((1+1))");
    again.see("here2");
    has_job_control(&mut again);
    again.line("exit 8");
    again.ended();
    assert_eq!(sandbox.ended(), 8);
}

#[test]
fn a_second_terminal_beside_it_is_one_of_its_own() {
    if !ready() {
        return;
    }
    let (sandbox, mut first) = shell(Recipe::alone());
    let mut second = sandbox.exec_on_terminal(&[PROMPT], &["bash", "--norc"]);
    second.see("prompt> ");
    has_job_control(&mut second);
    has_job_control(&mut first);
    second.line("exit 6");
    assert_eq!(second.ended(), 6);
    first.line("tty; exit 5");
    first.see("/dev/pts/0");
    assert_eq!(first.ended(), 5);
}

/// The workload is killed while a job of its own has the foreground and ignores every key.
#[test]
fn a_job_that_is_left_in_the_foreground_is_ended_and_named() {
    if !ready() {
        return;
    }
    let (sandbox, mut terminal) = shell(Recipe::alone());
    terminal.line("sh -c 'trap \"\" TERM HUP INT; echo up$((1+1)); while :; do sleep 0.1; done'");
    terminal.see("up2");
    sandbox.sh("kill -KILL $(pgrep -o bash)").good();
    terminal.see("killed: sh (");
    assert_eq!(terminal.ended(), 137);
}

#[test]
fn without_a_terminal_a_pipe_is_read_to_its_end() {
    if !ready() {
        return;
    }
    let line = "cat; tty; exit 3";
    let piped =
        Recipe::alone().run_with_input(&["--interactive"], "one\ntwo\n", &["sh", "-c", line]);
    assert_eq!((piped.status, piped.stdout.as_str()), (3, "one\ntwo\nnot a tty\n"), "{piped:?}");
    assert_eq!(piped.stderr, "", "nothing is said of a terminal that is none");
    let neither = Recipe::alone().run_with_input(&[], "", &["sh", "-c", line]);
    assert_eq!((neither.status, neither.stdout.as_str()), (3, "not a tty\n"), "{neither:?}");
}

/// Nobody types, but there is one.
#[test]
fn a_terminal_without_input_is_a_terminal() {
    if !ready() {
        return;
    }
    let line = "tty; tty </dev/tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && exit 4";
    let seen = Recipe::alone().run_with_input(&["--tty"], "", &["sh", "-c", line]);
    assert_eq!(seen.status, 4, "{seen:?}");
    assert!(seen.stdout.contains("/dev/pts/0"), "{seen:?}");
}
