//! Once an instance: what ran to its end is not run again, what was cut off is.

use crate::rehearse::Rehearsal;
use crate::sandbox::Sandbox;

/// Notes each run, then does what the test wants of this one: `out/then`.
const COUNTING: &str = "#!/bin/sh\necho run >> /mnt/out/runs\n. /mnt/out/then\n";

fn counting(then: &str) -> Sandbox {
    Sandbox::new().script_file(COUNTING).counting(then)
}

#[test]
fn a_script_that_succeeded_is_not_run_at_the_next_start() {
    let sandbox = counting("exit 0");
    sandbox.look().is("complete");
    let again = sandbox.look().is("complete");
    assert_eq!((sandbox.runs(), again.attempt()), (1, 1));
    let notes = again.phase("user-script")["notes"].to_string();
    assert!(notes.contains("already ran on this instance"), "{notes}");
}

#[test]
fn a_script_that_succeeded_is_not_run_by_a_boot_by_hand() {
    let sandbox = counting("exit 0");
    sandbox.look_after("agent boot || exit 9").is("complete");
    assert_eq!(sandbox.runs(), 1);
    let rehearsal = Rehearsal::of("#!/bin/sh\necho run >> ~/runs\n");
    let ended = rehearsal.then("agent boot >&2 && cat ~/runs && agent status >&2").expect(0);
    assert_eq!(ended.stdout, "run\n");
}

#[test]
fn again_runs_it_again_whatever_happened_before() {
    let sandbox = counting("exit 0");
    let seen = sandbox.look_after("agent boot --again || exit 9").is("complete");
    assert_eq!((sandbox.runs(), seen.attempt()), (2, 2));
    let rehearsal = Rehearsal::of("#!/bin/sh\necho run >> ~/runs\n");
    let ended = rehearsal.then("agent boot --again >&2 && cat ~/runs").expect(0);
    assert_eq!(ended.stdout, "run\nrun\n");
}

#[test]
fn again_after_a_failure_can_make_the_boot_complete() {
    let sandbox = counting("exit 3");
    let seen = sandbox.look_after("echo exit 0 > /mnt/out/then; agent boot --again").is("complete");
    assert_eq!((sandbox.runs(), seen.attempt()), (2, 2));
}

#[test]
fn a_script_that_failed_is_not_run_again_and_the_boot_stays_failed() {
    let sandbox = counting("exit 3");
    sandbox.look().is("failed").problem("user-script", "script-failed");
    sandbox.put_out("then", "exit 0");
    let seen = sandbox.look().is("failed").problem("user-script", "script-failed-before");
    assert_eq!((sandbox.runs(), seen.attempt()), (1, 1));
    assert!(seen.summary().contains("ended with status 3 on this instance"), "{}", seen.summary());
}

#[test]
fn a_script_that_failed_stays_failed_when_a_boot_is_run_by_hand() {
    let sandbox = counting("exit 3");
    sandbox.look_after("agent boot; [ $? = 1 ] || exit 9").is("failed");
    assert_eq!(sandbox.runs(), 1);
}

/// The payload has left the environment, so a boot by hand has no script: it must not take the
/// failure back.
#[test]
fn a_script_from_the_environment_that_failed_stays_failed_when_a_boot_is_run_by_hand() {
    let sandbox = Sandbox::new().script("#!/bin/sh\nexit 3\n");
    sandbox.look_after("agent boot").is("failed");
}

#[test]
fn again_without_the_script_at_hand_is_no_success() {
    let sandbox = Sandbox::new().script("#!/bin/sh\nexit 3\n");
    sandbox.look_after("agent boot --again && exit 9").is("failed");
}

#[test]
fn a_boot_by_hand_after_a_good_script_from_the_environment_stays_complete() {
    let sandbox = Sandbox::new().script("#!/bin/sh\nexit 0\n");
    sandbox.look_after("agent boot || exit 9").is("complete");
}

#[test]
fn retry_at_the_next_boot_runs_a_failed_script_until_it_succeeds() {
    let sandbox = counting("exit 3").variable("AGENT__BOOTSTRAP__RETRY", "next-boot");
    sandbox.look().is("failed");
    assert_eq!(sandbox.look().is("failed").attempt(), 2);
    sandbox.put_out("then", "exit 0");
    assert_eq!(sandbox.look().is("complete").attempt(), 3);
    assert_eq!(sandbox.look().is("complete").attempt(), 3);
    assert_eq!(sandbox.runs(), 3, "one that succeeded is not retried");
}

#[test]
fn another_instance_on_the_same_volume_runs_it() {
    let sandbox = counting("exit 0");
    sandbox.look().is("complete");
    let sandbox = sandbox.variable("AGENT__BOOTSTRAP__INSTANCE", "recreated");
    let seen = sandbox.look().is("complete");
    assert_eq!((sandbox.runs(), seen.attempt()), (2, 1));
}

#[test]
fn another_payload_on_the_same_instance_is_run() {
    let sandbox = counting("exit 0");
    sandbox.look().is("complete");
    let sandbox = sandbox.script_file(format!("{COUNTING}# changed\n"));
    let seen = sandbox.look().is("complete");
    assert_eq!((sandbox.runs(), seen.attempt()), (2, 1));
}

#[test]
fn a_script_that_was_killed_is_repeated_at_the_next_boot() {
    let sandbox = counting("kill -9 $$");
    sandbox.look().is("failed").problem("user-script", "script-killed");
    sandbox.put_out("then", "exit 0");
    let seen = sandbox.look().is("complete");
    assert_eq!((sandbox.runs(), seen.attempt()), (2, 2));
    let notes = seen.phase("user-script")["notes"].to_string();
    assert!(notes.contains("attempt 1 was cut off before its end"), "{notes}");
}

#[test]
fn a_script_past_its_deadline_is_not_repeated() {
    let sandbox = counting("exec sleep 300").variable("AGENT__BOOTSTRAP__DEADLINE", "300ms");
    sandbox.look().is("failed").problem("user-script", "script-deadline");
    sandbox.look().is("failed").problem("user-script", "script-failed-before");
    assert_eq!(sandbox.runs(), 1);
}

#[test]
fn a_script_that_waited_for_the_volume_runs_once_that_is_there() {
    let sandbox = counting("exit 0").no_volume();
    let seen = sandbox.look().is("failed").problem("volume", "volume-not-mounted");
    assert_eq!(seen.phase("user-script")["state"], "not-run");
    assert_eq!(std::fs::read_to_string(sandbox.path("out/runs")).unwrap(), "", "it comes last");
}
