//! What it takes until the user's script runs: a bare unit, cloud-init and the agent, each on
//! its first boot of the same image. `tests/bench/vm` runs it.
//!
//! A contender's services are put into a slice of their own. Its control group outlives them,
//! so that what they took can be read when all is over, and nothing in the machine has to
//! watch them. The shell that reads it says nothing until the boot has ended.

use crate::instance::{BOOT, Instance};
use crate::rig::Variant;
use crate::rig::machine::Machine;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Its first line tells when it ran. Nothing else is started for that.
const SCRIPT: &str = "#!/bin/sh\nread -r up _ </proc/uptime; echo $up >>/tmp/script\n";

/// Who runs the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Contender {
    /// A unit that runs it from the disk.
    Bare,
    /// The same, once the network is there.
    Online,
    Agent,
    CloudInit,
}

use Contender::{Agent, Bare, CloudInit, Online};

/// As the table has them.
const ALL: [Contender; 4] = [Bare, Online, Agent, CloudInit];

impl Contender {
    fn label(self) -> &'static str {
        match self {
            Bare => "oneshot unit, script on the disk",
            Online => "the same after network-online.target",
            Agent => "agent",
            CloudInit => "cloud-init",
        }
    }

    /// Its services, and the slice of each.
    fn services(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Bare | Online => &[("bare.service", "contender-boot.slice")],
            Agent => &[
                ("agent-boot.service", "contender-boot.slice"),
                ("agent-tags.service", "contender-tags.slice"),
            ],
            CloudInit => &[
                ("cloud-init-local.service", "contender-boot.slice"),
                ("cloud-init.service", "contender-boot.slice"),
                ("cloud-config.service", "contender-boot.slice"),
                ("cloud-final.service", "contender-boot.slice"),
            ],
        }
    }
}

/// What one boot took.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    /// Uptime at the script's first line, in seconds.
    start: f64,
    /// CPU seconds of the services.
    cpu: f64,
    /// Of that, after the script.
    tags: f64,
    /// The most memory of them all at a time, in MiB.
    memory: f64,
}

#[test]
#[ignore = "takes long and tests nothing: tests/bench/vm runs it"]
fn side_by_side() {
    let rounds = number("AGENT_BENCH_ROUNDS", 5);
    let slow_rounds = number("AGENT_BENCH_SLOW_ROUNDS", 3).min(rounds);
    let mut taken: BTreeMap<Contender, Vec<Taken>> = BTreeMap::new();
    for round in 0..rounds {
        let mut order: Vec<Contender> =
            ALL.into_iter().filter(|c| *c != CloudInit || round < slow_rounds).collect();
        let first = round % order.len();
        order.rotate_left(first);
        for contender in order {
            let one = boot(contender);
            let load = std::fs::read_to_string("/proc/loadavg").unwrap();
            eprintln!("{round} {contender:?} {one:?}, load {}", load.trim());
            taken.entry(contender).or_default().push(one);
        }
    }
    println!("{}", table(&taken));
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// One first boot of a new machine.
fn boot(contender: Contender) -> Taken {
    let mut machine = Machine::with_agent(Variant::CloudInit);
    for (service, slice) in contender.services() {
        let text = format!("[Service]\nSlice={slice}\n");
        machine.put(&format!("/etc/systemd/system/{service}.d/slice.conf"), text, 0o644);
    }
    if contender != CloudInit {
        machine.put("/etc/cloud/cloud-init.disabled", "", 0o644);
    }
    let mut ec2 = match contender {
        Agent => Instance::of(machine, "", SCRIPT),
        _ => Instance::without_units(machine, SCRIPT),
    };
    if matches!(contender, Bare | Online) {
        let after = if contender == Online {
            "Wants=network-online.target\nAfter=network-online.target\n"
        } else {
            ""
        };
        let unit =
            format!("[Unit]\n{after}[Service]\nType=oneshot\nExecStart=/usr/local/bin/script\n");
        ec2.machine.put("/usr/local/bin/script", SCRIPT, 0o755);
        ec2.machine.put("/etc/systemd/system/bare.service", unit, 0o644);
        ec2.machine.enable("bare.service", "multi-user.target");
    }
    // An emulator translates a program again at each address where it finds it. No processor
    // does that, so all programs stay at one.
    ec2.machine.kernel_arguments("norandmaps");
    ec2.machine.start();
    let ended = ec2.machine.run_within("systemctl is-system-running --wait", BOOT);
    assert_eq!(ended.stdout.trim(), "running", "{contender:?}: {ended:?}");
    if contender == Agent {
        ec2.machine.wait_for("! systemctl list-jobs --no-legend | grep -q agent", BOOT);
        assert_eq!(ec2.tags()["mint:bootstrap"], "complete");
    }
    if contender == CloudInit {
        let status = ec2.machine.run("cloud-init status --long").expect(0).stdout;
        assert!(status.contains("status: done"), "{status}");
        let log =
            ec2.machine.run("grep -E 'WARN|ERROR|CRITICAL|Traceback' /var/log/cloud-init*.log");
        assert_eq!(log.stdout, "", "cloud-init is not judged fairly");
    }
    measured(&mut ec2.machine)
}

fn measured(machine: &mut Machine) -> Taken {
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

/// Medians, and from the least to the most.
fn table(taken: &BTreeMap<Contender, Vec<Taken>>) -> String {
    let of = |contender: Contender, value: fn(&Taken) -> f64| {
        let mut all: Vec<f64> = taken[&contender].iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[0], all[all.len() - 1])
    };
    let mut text = String::from(
        "| | boots | script starts, s | CPU, s | of that after the script, s | memory, MiB |\n\
         |---|---|---|---|---|---|\n",
    );
    for contender in ALL.into_iter().filter(|c| taken.contains_key(c)) {
        _ = write!(text, "| {} | {} ", contender.label(), taken[&contender].len());
        for value in
            [|t: &Taken| t.start, |t: &Taken| t.cpu, |t: &Taken| t.tags, |t: &Taken| t.memory]
        {
            let (median, least, most) = of(contender, value);
            _ = write!(text, "| {median:.2} ({least:.2} to {most:.2}) ");
        }
        text += "|\n";
    }
    if !taken.contains_key(&CloudInit) {
        return text;
    }
    let cpu = |contender| of(contender, |t| t.cpu).0;
    let boot = |contender| of(contender, |t| t.cpu - t.tags).0;
    let start = |contender| of(contender, |t| t.start).0;
    let script = cpu(Bare);
    _ = writeln!(
        text,
        "\nwithout the script's own {script:.3} s of CPU: cloud-init {:.2}, agent {:.3} (tags in it), {:.3} (without)",
        cpu(CloudInit) - script,
        cpu(Agent) - script,
        boot(Agent) - script
    );
    _ = writeln!(
        text,
        "CPU, cloud-init to agent: {:.0} (tags in it), {:.0} (without)",
        (cpu(CloudInit) - script) / (cpu(Agent) - script),
        (cpu(CloudInit) - script) / (boot(Agent) - script)
    );
    _ = writeln!(
        text,
        "script's start after the floor (with the network): agent {:+.2} s, cloud-init {:+.2} s",
        start(Agent) - start(Online),
        start(CloudInit) - start(Online)
    );
    text
}
