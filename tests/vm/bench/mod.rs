//! What a first boot takes, beside cloud-init: [`script`] is about the user's script alone, on
//! the tests' own image; [`machine`] about everything that a machine image needs done, on the one
//! that is shipped. `tests/bench/vm` runs them.
//!
//! A contender's services are put into a slice of their own. Its control group outlives them,
//! so that what they took can be read when all is over, and nothing in the machine has to
//! watch them. The shell that reads it says nothing until the boot has ended.

use crate::rig::machine::Machine;
use std::collections::BTreeMap;
use std::fmt::Debug;

mod machine;
mod script;

/// The user's script. Its first line tells when it ran; nothing else is started for that.
const SCRIPT: &str = "#!/bin/sh\nread -r up _ </proc/uptime; echo $up >>/tmp/script\n";

/// Where what a contender does after its script is counted, beside [`BOOT_SLICE`].
const TAGS_SLICE: &str = "contender-tags.slice";
const BOOT_SLICE: &str = "contender-boot.slice";

/// An emulator translates a program again at each address where it finds it. No processor
/// does that, so all programs stay at one.
const ONE_ADDRESS: &str = "norandmaps";

/// What the services of one boot took.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    /// Uptime at the script's first line, in seconds.
    start: f64,
    /// CPU seconds.
    cpu: f64,
    /// Of that, in [`TAGS_SLICE`].
    tags: f64,
    /// The most memory of them all at a time, in MiB.
    memory: f64,
}

/// Has each of these services counted in its slice, from the next start on.
fn count(machine: &mut Machine, services: &[(&str, &str)]) {
    for (service, slice) in services {
        let text = format!("[Service]\nSlice={slice}\n");
        machine.put(&format!("/etc/systemd/system/{service}.d/slice.conf"), text, 0o644);
    }
}

/// What was counted, when the boot is over.
#[track_caller]
fn counted(machine: &mut Machine) -> Taken {
    let told = machine.run(
        "set -e; cat /tmp/script; cd /sys/fs/cgroup/contender.slice; \
         sed -n 's/usage_usec //p' cpu.stat; cat memory.peak; \
         sed -n 's/usage_usec //p' contender-tags.slice/cpu.stat 2>/dev/null || echo 0",
    );
    let numbers: Vec<f64> =
        told.expect(0).stdout.lines().map(|line| line.parse().unwrap()).collect();
    let [start, cpu, memory, tags] = numbers[..] else { panic!("not once: {numbers:?}") };
    Taken { start, cpu: cpu / 1e6, tags: tags / 1e6, memory: memory / f64::from(1 << 20) }
}

/// cloud-init ended well, and found nothing to complain of.
#[track_caller]
fn cloud_init_is_content(machine: &mut Machine) {
    let status = machine.run("cloud-init status --long").expect(0).stdout;
    assert!(status.contains("status: done"), "{status}");
    let log = machine.run("grep -E 'WARN|ERROR|CRITICAL|Traceback' /var/log/cloud-init*.log");
    assert_eq!(log.stdout, "", "cloud-init is not judged fairly");
}

/// Boots each contender as often as it has rounds, in turn, and each round begins with another.
fn by_turns<C: Copy + Debug + Ord, T: Debug>(
    all: &[C],
    rounds: impl Fn(C) -> usize,
    mut boot: impl FnMut(C) -> T,
) -> BTreeMap<C, Vec<T>> {
    let mut taken: BTreeMap<C, Vec<T>> = BTreeMap::new();
    for round in 0..all.iter().map(|c| rounds(*c)).max().unwrap_or(0) {
        let mut order: Vec<C> = all.iter().copied().filter(|c| round < rounds(*c)).collect();
        let first = round % order.len();
        order.rotate_left(first);
        for contender in order {
            let one = boot(contender);
            let load = std::fs::read_to_string("/proc/loadavg").unwrap();
            eprintln!("{round} {contender:?} {one:?}, load {}", load.trim());
            taken.entry(contender).or_default().push(one);
        }
    }
    taken
}

/// The median, the least and the most.
fn spread<T>(taken: &[T], value: impl Fn(&T) -> f64) -> [f64; 3] {
    let mut all: Vec<f64> = taken.iter().map(value).collect();
    all.sort_by(f64::total_cmp);
    [all[all.len() / 2], all[0], all[all.len() - 1]]
}

/// A number of the environment's.
fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
