//! PID 1 with a terminal, as a container on one has it: the leader of the terminal's session.

use crate::pty::{CTRL_C, CTRL_Z, Terminal};
use crate::sandbox::Sandbox;
use crate::util::child_of;

/// `line` of a shell's becomes PID 1 on a terminal.
fn on_terminal(sandbox: &Sandbox, line: &str) -> Terminal {
    Terminal::start(sandbox.pid1(&["setsid", "--ctty", "bash", "-c", &format!("exec {line}")]))
}

/// Whoever leads the session gives the terminal up for a session of the child's, as dumb-init
/// does; the hang-up that the kernel sends for it is not the child's.
#[test]
fn a_shell_has_job_control_by_whichever_name_pid_1_goes() {
    for init in [
        "agent init --no-boot --",
        "-a tini agent --",
        "-a dumb-init agent --",
        "-a dumb-init agent -c --",
        "-a catatonit agent --",
    ] {
        let sandbox = Sandbox::new().variable("TERM", "dumb");
        let mut terminal = on_terminal(&sandbox, &format!("{init} bash --norc --noprofile -i"));
        terminal.see("bash-");
        terminal.line("sleep 300");
        terminal.belongs_to("sleep");
        terminal.press(CTRL_Z);
        terminal.see("Stopped");
        terminal.line("fg");
        terminal.belongs_to("sleep");
        terminal.press(CTRL_C);
        terminal.line("exit 7");
        assert_eq!(terminal.ended(), 7, "{init}");
        let screen = terminal.screen();
        assert!(!screen.contains("job control") && !screen.contains("process group"), "{screen}");
    }
}

/// Standard input is something else, so the terminal isn't lent before somebody asks for it.
#[test]
fn a_workload_that_opens_the_terminal_gets_it() {
    let sandbox = Sandbox::new();
    let workload = "sh -c 'echo up; read x </dev/tty; echo got:$x; exit 5'";
    for init in ["agent init --no-boot --", "agent init --no-boot --subreaper --"] {
        let mut terminal = on_terminal(&sandbox, &format!("{init} {workload} </dev/null"));
        terminal.see("up");
        terminal.belongs_to("sh");
        terminal.line("hello");
        terminal.see("got:hello");
        assert_eq!(terminal.ended(), 5, "{init}");
    }
}

#[test]
fn a_stopped_workload_goes_on_when_pid_1_is_told_so() {
    let sandbox = Sandbox::new();
    let workload = "sh -c 'echo up; read x; echo got:$x; exit 5'";
    let mut terminal = on_terminal(&sandbox, &format!("agent init --no-boot -- {workload}"));
    terminal.see("up");
    terminal.belongs_to("sh");
    terminal.press(CTRL_Z);
    let pid1 = child_of(terminal.pid());
    let workload = child_of(pid1);
    let state = || std::fs::read_to_string(format!("/proc/{workload}/stat")).unwrap();
    crate::util::eventually("it has stopped", || state().contains(") T ").then_some(()));
    crate::util::signal(pid1, 18);
    terminal.line("hello");
    terminal.see("got:hello");
    assert_eq!(terminal.ended(), 5);
}
