//! With a terminal, whose session PID 1 leads, as an engine's `-it` makes it. What a shell's job does
//! is in [`crate::job_control`]; here are the cases that the other inits have.

use super::{Init, NAMES};
use crate::pty::Terminal;
use crate::sandbox::Sandbox;

const CTRL_D: &str = "\u{4}";

/// `init` leads the session of a terminal.
fn on_terminal(init: &Init, sandbox: &Sandbox, program: &[&str]) -> Terminal {
    let init = init.clone().through(&["setsid", "--ctty"]);
    Terminal::start(init.command(sandbox, program))
}

#[test]
fn the_child_reads_and_writes_the_terminal() {
    for name in NAMES {
        let sandbox = Sandbox::new();
        let script = "stty -echo; echo ready; exec tac";
        let mut terminal = on_terminal(&Init::ours(name), &sandbox, &["--", "sh", "-c", script]);
        terminal.see("ready");
        terminal.press("1\n2\n3\n");
        terminal.press(CTRL_D);
        terminal.see("3\r\n2\r\n1\r\n");
        assert_eq!(terminal.ended(), 0, "{name}");
    }
}

#[test]
fn a_shell_has_job_control() {
    for name in NAMES {
        let sandbox = Sandbox::new().variable("PS1", "prompt> ").variable("TERM", "dumb");
        let shell = ["--", "bash", "--norc", "--noprofile", "-i"];
        let mut terminal = on_terminal(&Init::ours(name), &sandbox, &shell);
        terminal.see("prompt> ");
        terminal.line("case $- in *m*) echo job$((1+1));; esac");
        terminal.see("job2");
        terminal.see("prompt> ");
        terminal.line("sleep 60 | cat");
        terminal.belongs_to("sleep");
        terminal.press("\u{1a}");
        terminal.see("Stopped");
        terminal.see("prompt> ");
        terminal.line("kill %1; wait %1");
        terminal.see("prompt> ");
        terminal.line("exit 6");
        assert_eq!(terminal.ended(), 6, "{name}");
        let screen = terminal.screen();
        assert!(!screen.contains("no job control"), "{name}: {screen}");
    }
}

/// What the terminal is to the child: which of the group, the session, the foreground are its own.
const STANDING: &str = r#"
my @stat = split ' ', do { local (@ARGV, $/) = "/proc/self/stat"; <> =~ s/.*\) //sr };
my ($group, $session, $tty, $foreground) = @stat[2, 3, 4, 5];
printf "group %d session %d terminal %d foreground %d end\n",
    $group == $$, $session == $$, $tty != 0, $foreground == $group;
"#;

/// The numbers of a child's standing, with a terminal.
pub(super) fn standing(init: &Init) -> String {
    let sandbox = Sandbox::new();
    let mut terminal = on_terminal(init, &sandbox, &["--", "perl", "-e", STANDING]);
    terminal.see(" end");
    assert_eq!(terminal.ended(), 0);
    terminal.screen().trim().to_owned()
}

#[test]
fn the_child_has_the_terminal() {
    for (init, expected) in [
        (Init::ours("agent"), "group 1 session 0 terminal 1 foreground 1 end"),
        (Init::ours("tini"), "group 1 session 0 terminal 1 foreground 1 end"),
        (Init::ours("catatonit"), "group 1 session 0 terminal 1 foreground 1 end"),
        (Init::ours("dumb-init"), "group 1 session 1 terminal 1 foreground 1 end"),
        (Init::ours("dumb-init").with(&["-c"]), "group 0 session 0 terminal 1 foreground 1 end"),
    ] {
        assert_eq!(standing(&init), expected, "{init:?}");
    }
}

/// Whoever gives up a terminal whose session it leads is sent HUP and CONT for it. A child would
/// end of the HUP; one that somebody sends later is forwarded.
#[test]
fn the_signals_of_the_handing_over_stay_away_from_the_child() {
    let note =
        "for my $name (qw(HUP CONT TERM)) { $SIG{$name} = sub { syswrite STDOUT, \"got $name;\" } }
        syswrite STDOUT, \"ready;\"; $n = 0;
        while ($n++ < 20) { select(undef, undef, undef, 0.02) } kill 1, getppid();
        while (1) { select(undef, undef, undef, 0.02) }";
    for _ in 0..5 {
        let sandbox = Sandbox::new();
        let init = Init::ours("dumb-init");
        let mut terminal = on_terminal(&init, &sandbox, &["--", "perl", "-e", note]);
        terminal.see("got HUP;");
        assert_eq!(terminal.screen(), "ready;got HUP;");
    }
}

/// Without a terminal on standard input nothing of this happens, whatever the others are.
#[test]
fn a_terminal_beside_standard_input_is_nobodys() {
    for name in NAMES {
        let sandbox = Sandbox::new();
        let init = Init::ours(name).through(&["sh", "-c", "exec \"$@\" </dev/null", "sh"]);
        let mut terminal = on_terminal(&init, &sandbox, &["--", "sh", "-c", "echo said; exit 5"]);
        terminal.see("said");
        assert_eq!(terminal.ended(), 5, "{name}");
    }
}
