//! What it takes until the user's script runs: a bare unit, cloud-init and the agent, each on
//! its first boot of the same image, where nothing else is asked of them.

use super::{
    BOOT_SLICE, ONE_ADDRESS, SCRIPT, TAGS_SLICE, Taken, by_turns, cloud_init_is_content, count,
    counted, number, spread,
};
use crate::instance::{BOOT, Instance};
use crate::rig::Variant;
use crate::rig::machine::Machine;
use std::collections::BTreeMap;
use std::fmt::Write as _;

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
            Bare | Online => &[("bare.service", BOOT_SLICE)],
            Agent => &[("agent-boot.service", BOOT_SLICE), ("agent-tags.service", TAGS_SLICE)],
            CloudInit => &[
                ("cloud-init-local.service", BOOT_SLICE),
                ("cloud-init.service", BOOT_SLICE),
                ("cloud-config.service", BOOT_SLICE),
                ("cloud-final.service", BOOT_SLICE),
            ],
        }
    }
}

#[test]
#[ignore = "takes long and tests nothing: tests/bench/vm runs it"]
fn side_by_side() {
    let rounds = number("AGENT_BENCH_ROUNDS", 5);
    let slow_rounds = number("AGENT_BENCH_SLOW_ROUNDS", 3).min(rounds);
    let of = |contender| if contender == CloudInit { slow_rounds } else { rounds };
    println!("{}", table(&by_turns(&ALL, of, boot)));
}

/// One first boot of a new machine.
fn boot(contender: Contender) -> Taken {
    let mut machine = Machine::with_agent(Variant::CloudInit);
    count(&mut machine, contender.services());
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
    ec2.machine.kernel_arguments(ONE_ADDRESS);
    ec2.machine.start();
    let ended = ec2.machine.run_within("systemctl is-system-running --wait", BOOT);
    assert_eq!(ended.stdout.trim(), "running", "{contender:?}: {ended:?}");
    if contender == Agent {
        ec2.machine.wait_for("! systemctl list-jobs --no-legend | grep -q agent", BOOT);
        assert_eq!(ec2.tags()["mint:bootstrap"], "complete");
    }
    if contender == CloudInit {
        cloud_init_is_content(&mut ec2.machine);
    }
    counted(&mut ec2.machine)
}

/// Medians, and from the least to the most.
fn table(taken: &BTreeMap<Contender, Vec<Taken>>) -> String {
    let of = |contender: Contender, value: fn(&Taken) -> f64| spread(&taken[&contender], value);
    let mut text = String::from(
        "| | boots | script starts, s | CPU, s | of that after the script, s | memory, MiB |\n\
         |---|---|---|---|---|---|\n",
    );
    for contender in ALL.into_iter().filter(|c| taken.contains_key(c)) {
        _ = write!(text, "| {} | {} ", contender.label(), taken[&contender].len());
        for value in
            [|t: &Taken| t.start, |t: &Taken| t.cpu, |t: &Taken| t.tags, |t: &Taken| t.memory]
        {
            let [median, least, most] = of(contender, value);
            _ = write!(text, "| {median:.2} ({least:.2} to {most:.2}) ");
        }
        text += "|\n";
    }
    if !taken.contains_key(&CloudInit) {
        return text;
    }
    let cpu = |contender| of(contender, |t| t.cpu)[0];
    let boot = |contender| of(contender, |t| t.cpu - t.tags)[0];
    let start = |contender| of(contender, |t| t.start)[0];
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
