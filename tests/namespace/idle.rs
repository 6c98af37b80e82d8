//! What PID 1 does, seen by strace: nothing while there is nothing to do, three system calls for an
//! orphan, one for each of many, two for a signal, and never one for memory.

use crate::inits::named;
use crate::sandbox::{Life, Sandbox};
use crate::util::{child_of, children, eventually, signal, start};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::NamedTempFile;

/// The loop's own.
const LOOP: [&str; 3] = ["kill", "rt_sigtimedwait", "wait4"];

/// What makes the workload do something, one thing a number, and says when it is done.
const ORDERS: &str = r#"
trap 'echo $((got = got + 1)) > /mnt/out/.got; mv /mnt/out/.got /mnt/out/got' USR1
alone() { while read -r all < /proc/1/task/1/children; [ "$all" != $$ ]; do :; done; }
lone() { i=0; while [ $i -lt $1 ]; do (: &); alone; i=$((i+1)); done; }
killed() { i=0; while [ $i -lt $1 ]; do (sh -c 'kill -9 $$' &); alone; i=$((i+1)); done; }
many() { i=0; while [ $i -lt $1 ]; do (: &); i=$((i+1)); done; }
echo up > /mnt/out/up
while :; do
    if [ -e /mnt/out/order ]; then
        . /mnt/out/order
        rm /mnt/out/order
        echo done > /mnt/out/done
    fi
    [ ! -e /mnt/out/end ] || exit 4
done
"#;

/// A workload that waits without a process of its own, so that PID 1 is told of nothing.
const WAITING: &str = "echo up > /mnt/out/up; exec sleep 300";

fn started(sandbox: &Sandbox, script: &str) -> Life {
    let mut life = sandbox.start(&["--no-boot"], script);
    life.reaches(sandbox, "up");
    life
}

/// Has the workload do something.
#[track_caller]
fn give(sandbox: &Sandbox, order: &str) {
    sandbox.put_out("done", "");
    sandbox.put_out(".order", order);
    fs::rename(sandbox.path("out/.order"), sandbox.path("out/order")).unwrap();
    sandbox.out("done");
}

/// Has the workload do `order`, and returns PID 1's system calls meanwhile. What comes `before` may
/// be the first that PID 1 has to decide, which starts its C library.
#[track_caller]
fn calls_for(order: &str, before: &str) -> BTreeMap<String, usize> {
    let sandbox = Sandbox::new();
    let life = started(&sandbox, ORDERS);
    give(&sandbox, before);
    let trace = Trace::attach(life.pid1());
    give(&sandbox, order);
    let calls = trace.calls();
    sandbox.put_out("end", "now");
    life.end().expect(4);
    calls
}

#[track_caller]
fn only(calls: &BTreeMap<String, usize>, allowed: &[&str]) -> usize {
    let others: Vec<_> = calls.keys().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{others:?}: {calls:?}");
    calls.values().sum()
}

#[test]
fn while_nothing_happens_it_does_nothing() {
    let sandbox = Sandbox::new();
    let life = started(&sandbox, WAITING);
    stay_idle(&[life.pid1()]);
}

#[test]
fn without_a_terminal_or_an_open_descriptor_it_does_nothing_either() {
    let closed = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "</dev/null", "> >(:) 2>&1"];
    let lives = closed.map(|closed| {
        let sandbox = Sandbox::new();
        let line = format!("exec agent init --no-boot -- sh -c \"$0\" {closed}");
        let running = start(sandbox.pid1(&["bash", "-c", &line, WAITING]));
        sandbox.out("up");
        (running, sandbox)
    });
    stay_idle(&lives.each_ref().map(|(running, _)| child_of(running.pid())));
}

#[test]
fn a_pause_does_nothing_either() {
    let sandbox = Sandbox::new();
    let running = start(named(&sandbox, "catatonit", &["-P"]));
    let pid1 = child_of(running.pid());
    let command = || fs::read_to_string(format!("/proc/{pid1}/cmdline")).unwrap();
    eventually("it runs", || command().starts_with("catatonit").then_some(()));
    stay_idle(&[pid1]);
}

/// Who tells everything gives the program back to the kernel too, between two things to tell.
#[test]
fn with_every_end_told_it_is_no_larger() {
    for option in ["--warn-on-reap", "--verbose"] {
        let sandbox = Sandbox::new();
        let line = format!("exec agent init --no-boot {option} -- sh -c \"$0\"");
        let running = start(sandbox.pid1(&["sh", "-c", &line, WAITING]));
        sandbox.out("up");
        let pid1 = child_of(running.pid());
        let resident = || {
            let status = fs::read_to_string(format!("/proc/{pid1}/status")).unwrap();
            let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap().to_owned();
            line.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap()
        };
        eventually("it is small", || (resident() < 400).then_some(()));
    }
}

/// They wait, without an end to the wait, and are not woken.
#[track_caller]
fn stay_idle(all: &[i32]) {
    let settled = |pid: i32| {
        let before = switches(pid);
        sleep(Duration::from_millis(200));
        (switches(pid) == before).then_some(())
    };
    all.iter().for_each(|pid| eventually("it waits", || settled(*pid)));
    let traces: Vec<Trace> = all.iter().map(|pid| Trace::attach(*pid)).collect();
    let before: Vec<String> = all.iter().map(|pid| switches(*pid)).collect();
    sleep(Duration::from_secs(3));
    let after: Vec<String> = all.iter().map(|pid| switches(*pid)).collect();
    assert_eq!(before, after);
    for text in traces.into_iter().map(Trace::text) {
        // The one that it is in.
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("rt_sigtimedwait(~[], NULL, NULL, 8"), "{text}");
    }
}

#[test]
fn a_lone_orphan_is_three_system_calls() {
    let calls = calls_for("lone 50", "lone 1");
    let all = only(&calls, &LOOP);
    // Each is told of, taken, and the last that there is.
    assert!((100..=152).contains(&all), "{calls:?}");
}

/// Stopped meanwhile, PID 1 finds all of them at once.
#[test]
fn many_orphans_are_a_system_call_each() {
    let sandbox = Sandbox::new();
    let life = started(&sandbox, ORDERS);
    let pid1 = life.pid1();
    let trace = Trace::attach(pid1);
    signal(pid1, 19);
    give(&sandbox, "many 500");
    assert_eq!(children(pid1).len(), 501, "they wait for PID 1");
    signal(pid1, 18);
    eventually("all are reaped", || (children(pid1).len() == 1).then_some(()));
    let calls = trace.calls();
    let all = only(&calls, &LOOP);
    assert!((501..=508).contains(&all), "{calls:?}");
    sandbox.put_out("end", "now");
    life.end().expect(4);
}

#[test]
fn a_signal_is_two_system_calls() {
    let sandbox = Sandbox::new();
    let life = started(&sandbox, ORDERS);
    let pid1 = life.pid1();
    let trace = Trace::attach(pid1);
    for n in 1..=20 {
        signal(pid1, 10);
        eventually("it came", || (sandbox.out("got") == format!("{n}\n")).then_some(()));
    }
    let calls = trace.calls();
    let all = only(&calls, &LOOP);
    // The last wait is not over yet.
    assert!((39..=41).contains(&all), "{calls:?}");
    sandbox.put_out("end", "now");
    life.end().expect(4);
}

/// Whether the kernel did that for want of memory is looked up; memory is asked for neither then.
#[test]
fn an_orphan_that_is_killed_costs_a_look_and_no_memory() {
    let look = ["openat", "statx", "read", "close", "madvise"];
    let calls = calls_for("killed 50", "killed 1");
    let all = only(&calls, &[&LOOP[..], &look].concat());
    assert!(all <= 50 * 20, "{calls:?}");
}

/// How often the process gave the processor up, or lost it.
#[track_caller]
fn switches(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().filter(|l| l.contains("voluntary_ctxt_switches")).collect()
}

/// A process's system calls.
struct Trace {
    strace: Child,
    file: NamedTempFile,
}

impl Trace {
    #[track_caller]
    fn attach(pid: i32) -> Self {
        let file = NamedTempFile::new().unwrap();
        let mut command = Command::new("strace");
        command.args(["-p", &pid.to_string(), "-o"]).arg(file.path()).stderr(Stdio::piped());
        let mut strace = command.spawn().expect("strace, which tests/run installs");
        let mut line = String::new();
        BufReader::new(strace.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        eventually("it goes on", || status().contains("\nState:\tS").then_some(()));
        Self { strace, file }
    }

    /// Ends it, and returns what it saw.
    fn text(mut self) -> String {
        signal(i32::try_from(self.strace.id()).unwrap(), 2);
        self.strace.wait().unwrap();
        fs::read_to_string(self.file.path()).unwrap()
    }

    /// Ends it, and returns how often it saw each call.
    fn calls(self) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        for line in self.text().lines() {
            if let Some((name, _)) = line.split_once('(').filter(|_| !line.starts_with("---")) {
                *calls.entry(name.to_owned()).or_default() += 1;
            }
        }
        calls
    }
}
