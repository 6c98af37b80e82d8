//! PID 1 reaps: no defunct process stays, however many orphans there are.

use crate::sandbox::Sandbox;
use crate::util::run;

/// Counts defunct processes: the state in /proc/PID/status.
const DEFUNCT: &str = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";

/// Makes `n` orphans: each outer shell ends at once, so the inner one gets PID 1 as its parent.
fn orphans(n: u32) -> String {
    format!("i=0; while [ $i -lt {n} ]; do (: &); i=$((i+1)); done")
}

/// Waits until no process is defunct, at most some seconds, and prints how many are. Who counts
/// beside others that start and end sees one of those now and then; one that stays is seen
/// every time.
fn settle() -> String {
    format!(
        "n=0; z=$({DEFUNCT}); while [ $z -gt 0 ] && [ $n -lt 100 ]; do sleep 0.05; z=$({DEFUNCT}); n=$((n+1)); done; echo $z"
    )
}

/// Negative control: with a PID 1 that does not reap, the same orphans stay defunct.
#[test]
fn without_reaping_orphans_stay_defunct() {
    let sandbox = Sandbox::new();
    let script = format!(
        "( sleep 0.3; {}; sleep 0.3; {DEFUNCT} > /mnt/out/defunct; kill -15 -1 ) & exec sleep 30",
        orphans(50)
    );
    let mut pid1 = crate::util::start(sandbox.pid1(&["sh", "-c", &script]));
    let defunct: u32 = sandbox.out("defunct").trim().parse().unwrap();
    assert!(defunct >= 50, "{defunct}");
    assert!(!pid1.has_ended(), "sleep(1) is still PID 1");
}

#[test]
fn ten_thousand_orphans_leave_no_defunct_process_and_the_status_is_the_workloads() {
    let watch = format!(
        "most=0; while [ ! -e /tmp/done ]; do z=$({DEFUNCT}); [ $z -gt $most ] && most=$z; sleep 0.1; done; echo $most > /mnt/out/most"
    );
    let script =
        format!("( {watch} ) & {}; touch /tmp/done; wait; {}; exit 7", orphans(10_000), settle());
    let sandbox = Sandbox::new();
    let ended = sandbox.init(&["--no-boot"], &script).expect(7);
    assert_eq!(ended.stdout, "0\n", "{ended:#?}");
    // At any one instant a few have ended and are not yet waited for.
    let most: u32 = sandbox.out("most").trim().parse().unwrap();
    assert!(most < 100, "{most} at once");
}

#[test]
fn orphans_are_reaped_while_the_boot_runs() {
    let sandbox =
        Sandbox::new().script(format!("#!/bin/sh\n{}\n[ $({}) = 0 ]\n", orphans(300), settle()));
    sandbox.look().is("complete");
}

#[test]
fn orphans_are_reaped_after_a_boot_that_died() {
    let sandbox = Sandbox::new().script("#!/bin/sh\nkill -9 $PPID; sleep 300\n");
    let script = format!("{}; {}", orphans(300), settle());
    let ended = sandbox.init(&["--on-boot-failure", "hold"], &script).expect(0);
    assert_eq!(ended.stdout, "0\n", "{ended:#?}");
}

#[test]
fn the_end_of_an_orphan_is_not_taken_for_the_workloads() {
    let script =
        "(sh -c 'sleep 0.1; exit 9' &); (sh -c 'sleep 0.1; kill -9 $$' &); sleep 0.5; exit 4";
    Sandbox::new().init(&["--no-boot"], script).expect(4);
}

/// A signal without a name is a way to end, too.
#[test]
fn an_orphan_that_a_real_time_signal_ends_is_reaped_like_any_other() {
    let script =
        format!("(sh -c 'kill -35 $$' &); (sh -c 'exit 0' &); sleep 0.2; {}; exit 4", settle());
    let ended = Sandbox::new().init(&["--no-boot"], &script).expect(4);
    assert_eq!(ended.stdout, "0\n", "{ended:#?}");
}

#[test]
fn a_stopped_and_continued_workload_is_not_taken_for_ended() {
    let script = "(sleep 0.2; kill -CONT $$) & kill -STOP $$; exit 4";
    Sandbox::new().init(&["--no-boot"], script).expect(4);
}

#[test]
fn a_workload_that_ends_at_once_is_not_missed() {
    let sandbox = Sandbox::new();
    for _ in 0..20 {
        run(sandbox.pid1(&["agent", "init", "--no-boot", "true"])).expect(0);
    }
}
