//! A container that reaches its memory limit: status 137 tells nothing of why, so the agent does.

use crate::drop_in::as_podmans_init;
use crate::engine::ready;
use crate::guard::Volume;
use crate::sandbox::Recipe;

/// Takes memory until there is none.
const EATER: &str = "perl -e '$x .= q(a) x 1048576 while 1'";

/// What is said, whoever it was.
const SAID: &str = "was killed by the kernel's out-of-memory killer; next: raise the memory limit of 64.0 MiB, or let it use less";

/// With a limit that the kernel kills at: no swap.
fn limited() -> Recipe {
    limit(Recipe::alone_with(&["--grace=500ms"]))
}

fn limit(recipe: Recipe) -> Recipe {
    recipe.argument("--memory=64m").argument("--memory-swap=64m")
}

#[test]
fn a_workload_that_the_kernel_killed_for_its_memory_is_told() {
    if !ready() {
        return;
    }
    let (sandbox, output) = limited().run(&["sh", "-c", &format!("exec {EATER}")]);
    assert_eq!(output.status, 137, "{output:?}");
    let line = format!("agent: the workload {SAID}\n");
    assert_eq!(output.stderr, line);
    assert_eq!(sandbox.logs(), line, "one line, and it stays");
}

/// After a boot too, and by another init's name.
#[test]
fn it_is_told_after_a_boot_and_by_another_name() {
    if !ready() {
        return;
    }
    let line = ["sh", "-c", &format!("exec {EATER}")];
    let volume = Volume::new();
    let after_a_boot = limit(Recipe::on(&volume));
    let as_an_init = limit(as_podmans_init());
    for recipe in [after_a_boot, as_an_init] {
        let (_sandbox, output) = recipe.run(&line);
        assert_eq!(output.status, 137, "{output:?}");
        assert!(output.stderr.contains(&format!("the workload {SAID}")), "{output:?}");
    }
}

/// An orphan's end is PID 1's to see; the workload goes on.
#[test]
fn an_orphan_that_the_kernel_killed_is_told_and_the_workload_goes_on() {
    if !ready() {
        return;
    }
    let line = format!("({EATER} &); echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 3");
    // The agent's own KILL is no kernel's either.
    let sandbox = limited().start(&["bash", "-c", &line]);
    sandbox.says(SAID);
    assert!(!sandbox.logs().contains("the workload"), "{}", sandbox.logs());
    sandbox.sh("touch /tmp/go").good();
    assert_eq!(sandbox.ended(), 3);
    assert_eq!(sandbox.logs().matches("out-of-memory").count(), 1, "{}", sandbox.logs());
}

/// The workload reaps its own children, so PID 1 learns of it from the kernel's count alone. That
/// of one that ends well is its own business.
#[test]
fn a_child_of_the_workload_is_told_when_the_workload_fails_for_it() {
    if !ready() {
        return;
    }
    let (_sandbox, output) = limited().run(&["sh", "-c", &format!("{EATER}; exit 4")]);
    assert_eq!(output.status, 4, "{output:?}");
    let said = format!("agent: a child of the workload {SAID}");
    assert_eq!(output.stderr.matches(&said).count(), 1, "{output:?}");
    let (_sandbox, output) = limited().run(&["sh", "-c", &format!("{EATER}; exit 0")]);
    assert_eq!(output.status, 0, "{output:?}");
    assert!(!output.stderr.contains("agent:"), "{output:?}");
}

/// KILL has other senders.
#[test]
fn whoever_else_kills_is_not_taken_for_the_kernel() {
    if !ready() {
        return;
    }
    let (_sandbox, output) = limited().run(&["sh", "-c", "kill -KILL $$"]);
    assert_eq!((output.status, output.stderr.as_str()), (137, ""), "{output:?}");
    let sandbox =
        limited().start(&["bash", "-c", "trap '' TERM; echo up; sleep infinity & wait; wait"]);
    sandbox.says("up");
    sandbox.stop().good();
    assert_eq!(sandbox.exit_status(), 137);
    assert!(!sandbox.logs().contains("out-of-memory"), "{}", sandbox.logs());
}
