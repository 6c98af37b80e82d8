//! What it takes until a new instance is a machine to work on: the machine image as it is
//! shipped, a cloud-init in it, and once the agent and once cloud-init does the whole list —
//! host name, the SSH host's keys, the login user with the launch's key and a sudo rule, the root
//! grown to its disk, the user's script. Whether all of it was done is looked at after each boot.
//!
//! An emulated processor's time goes by its instructions here, so that the figures of a busy
//! machine are those of an idle one, but for what the boot waits for outside.

use super::{
    BOOT_SLICE, ONE_ADDRESS, SCRIPT, TAGS_SLICE, Taken, by_turns, cloud_init_is_content, count,
    counted, number, spread,
};
use crate::guest_duties::{identity, login, make_key};
use crate::instance::Instance;
use crate::rig::machine::Machine;
use crate::rig::{Variant, repository};
use crate::util::{Ended, fresh};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Who does the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Contender {
    /// Nobody: host keys and root's key are in the image, and so is the script.
    Nobody,
    Agent,
    CloudInit,
}

use Contender::{Agent, CloudInit, Nobody};

/// As the table has them.
const ALL: [Contender; 3] = [Nobody, Agent, CloudInit];

/// MiB of the root disk; the image has 2048.
const DISK: u64 = 3072;

/// The image's root, as cloud-init can find it: it knows no `PARTLABEL=`.
const ROOT: &str = "root=/dev/nvme0n1p2";

/// What is left out for all, as it is in the tests' own image: an emulated processor takes half a
/// minute to look at 250 devices, of which the machine has use for 30.
const DEVICES: &str = "/etc/systemd/system/systemd-udev-trigger.service.d/rig.conf";

/// How long one boot may take outside, on a machine that has other work.
const BOOT: Duration = Duration::from_secs(900);

/// cloud-init as Debian's package has it, with what an image of Debian's for EC2 says too: where
/// it runs, and who logs in. Two types of host keys, as the agent makes here: an emulated
/// processor looks for an RSA key for a minute, or two.
const CLOUD_CONFIG: &str = "datasource_list: [ Ec2 ]\n\
                            ssh_genkeytypes: [ ed25519, ecdsa ]\n\
                            system_info:\n  default_user:\n    name: admin\n";

/// The agent's units that the image starts.
const UNITS: [&str; 5] = [
    "agent-boot.service",
    "agent-login.service",
    "agent-tags.service",
    "agent-complete.target",
    "agent-idle.timer",
];

/// What nobody needs: everything is in the image. The script waits for the network, as the
/// others have to.
const BARE: &str = "[Unit]\nWants=network-online.target\nAfter=network-online.target\n\
                    [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/script\n";

impl Contender {
    fn label(self) -> &'static str {
        match self {
            Nobody => "neither: all in the image",
            Agent => "agent",
            CloudInit => "cloud-init",
        }
    }

    /// Its services, and the slice of each.
    fn services(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Nobody => &[("bare.service", BOOT_SLICE)],
            Agent => &[
                ("agent-boot.service", BOOT_SLICE),
                ("agent-login.service", BOOT_SLICE),
                ("agent-tags.service", TAGS_SLICE),
            ],
            CloudInit => &[
                ("cloud-init-local.service", BOOT_SLICE),
                ("cloud-init.service", BOOT_SLICE),
                ("cloud-config.service", BOOT_SLICE),
                ("cloud-final.service", BOOT_SLICE),
            ],
        }
    }

    /// The service that is active when everything is done.
    fn last(self) -> &'static str {
        match self {
            Nobody => "bare.service",
            Agent => "agent-boot.service",
            CloudInit => "cloud-final.service",
        }
    }

    /// Who logs in.
    fn user(self) -> &'static str {
        if self == Nobody { "root" } else { "admin" }
    }
}

/// What one boot took. Seconds are those after the kernel's start.
#[derive(Debug)]
struct Boot {
    services: Taken,
    /// A login with the launch's key would be let in.
    login: f64,
    /// All is done.
    complete: f64,
    /// EC2 has been told; zero where nobody does.
    told: f64,
    /// The host's key and the machine's id.
    identity: [String; 2],
}

#[test]
#[ignore = "takes long and tests nothing: tests/bench/vm runs it"]
fn side_by_side() {
    let keys = fresh();
    let key = make_key(keys.path(), "key");
    let rounds = number("AGENT_BENCH_ROUNDS", 3);
    let taken = by_turns(&ALL, |_| rounds, |contender| boot(contender, keys.path(), &key));
    let made = || ALL[1..].iter().flat_map(|c| &taken[c]).flat_map(|boot| &boot.identity);
    let different: BTreeSet<&String> = made().collect();
    assert_eq!(different.len(), made().count(), "two machines share an identity: {taken:#?}");
    println!("{}", table(&taken));
}

/// One first boot of a new instance.
fn boot(contender: Contender, keys: &Path, key: &str) -> Boot {
    let machine = Machine::with_agent(Variant::AmiCloudInit);
    let mut ec2 = match contender {
        Agent => Instance::as_baked(machine, SCRIPT),
        Nobody | CloudInit => Instance::without_units(machine, SCRIPT),
    };
    ec2.service.change(json!({"ssh_key": key}));
    let machine = &mut ec2.machine;
    count(machine, contender.services());
    machine.grow_root(DISK);
    let devices = fs::read(repository().join(format!("tests/vm/guest{DEVICES}"))).unwrap();
    machine.put(DEVICES, devices, 0o644);
    machine.link("/etc/systemd/system/serial-getty@ttyS0.service", "/dev/null");
    machine.put("/root/key", fs::read(keys.join("key")).unwrap(), 0o600);
    // What a real image and a real network have: the locale that is Debian's for the cloud, and
    // names that are answered at once, if only by a refusal.
    machine.put("/etc/default/locale", "LANG=C.UTF-8\n", 0o644);
    machine.put("/etc/resolv.conf", "nameserver 127.0.0.1\n", 0o644);
    let mut words = format!("{ONE_ADDRESS} {ROOT}");
    if contender != Agent {
        for unit in UNITS {
            machine.link(&format!("/etc/systemd/system/{unit}"), "/dev/null");
        }
    }
    if contender == CloudInit {
        machine.put("/etc/cloud/cloud.cfg.d/90_bench.cfg", CLOUD_CONFIG, 0o644);
        // The image has it switched off by a file; the kernel's word is the stronger one.
        words += " cloud-init=enabled";
    }
    if contender == Nobody {
        all_in_the_image(machine, keys, key);
    }
    machine.kernel_arguments(&words);
    machine.time_by_instructions();
    machine.start();
    let ended = machine.run_within("systemctl is-system-running --wait", BOOT);
    assert_eq!(ended.stdout.trim(), "running", "{contender:?}: {ended:?}");
    let mut told = 0.0;
    if contender == Agent {
        let status = ec2.settled();
        assert_eq!(status["state"], "complete", "{status:#}");
        assert_eq!(ec2.tags()["mint:bootstrap"], "complete");
        told = seconds(&ec2.machine.run(&when("ExecMainExit", "agent-tags.service")));
    }
    let machine = &mut ec2.machine;
    // First what was counted: what comes then takes memory and time itself.
    let services = counted(machine);
    let complete = seconds(&machine.run(&when("ActiveEnter", contender.last())));
    let login = login_possible(machine, contender.user());
    if contender == CloudInit {
        cloud_init_is_content(machine);
    }
    all_is_done(machine, contender);
    let identity = identity(&mut ec2);
    ec2.machine.cut_power();
    Boot { services, login, complete, told, identity }
}

/// Host keys, a key that lets root in, and the script: what an image could hold that is
/// started once.
fn all_in_the_image(machine: &mut Machine, keys: &Path, key: &str) {
    if !keys.join("host").exists() {
        make_key(keys, "host");
    }
    let host = "/etc/ssh/ssh_host_ed25519_key";
    machine.put(host, fs::read(keys.join("host")).unwrap(), 0o600);
    machine.put(&format!("{host}.pub"), fs::read(keys.join("host.pub")).unwrap(), 0o644);
    machine.put("/root/.ssh/authorized_keys", format!("{key}\n"), 0o600);
    machine.put("/usr/local/bin/script", SCRIPT, 0o755);
    machine.put("/etc/systemd/system/bare.service", BARE, 0o644);
    machine.enable("bare.service", "multi-user.target");
}

/// A command that tells when this happened to the unit.
fn when(what: &str, unit: &str) -> String {
    format!("systemctl show -P {what}TimestampMonotonic {unit}")
}

/// Seconds of the microseconds that a command has told.
#[track_caller]
fn seconds(told: &Ended) -> f64 {
    let microseconds: f64 = told.stdout.trim().parse().unwrap_or_else(|e| panic!("{e}: {told:?}"));
    assert!(microseconds > 0.0, "it has not happened: {told:?}");
    microseconds / 1e6
}

/// From when on somebody can log in: the server listens, the user's keys are as they were found,
/// and logins are no longer refused because the machine starts (pam_nologin(8)).
#[track_caller]
fn login_possible(machine: &mut Machine, user: &str) -> f64 {
    let open = seconds(&machine.run(&when("ActiveEnter", "systemd-user-sessions.service")));
    let listening = machine.run(
        "journalctl -b -u ssh.service -o json --output-fields=MESSAGE --no-pager | \
         grep 'Server listening on 0.0.0.0' | sed 's/.*\"__MONOTONIC_TIMESTAMP\" *: *\"\\([0-9]*\\)\".*/\\1/'",
    );
    let listening = seconds(&listening);
    // Changed when, by the clock; and when by that the kernel was started.
    let keys = machine.run(&format!(
        "stat -c %.6Z \"$(getent passwd {user} | cut -d: -f6)/.ssh/authorized_keys\"; \
         read -r up _ </proc/uptime; date +%s.%N; echo $up"
    ));
    let numbers: Vec<f64> = keys.stdout.lines().map(|line| line.parse().unwrap()).collect();
    let [changed, now, up] = numbers[..] else { panic!("{keys:?}") };
    let keys = changed - (now - up);
    listening.max(keys).max(open)
}

/// The list, item by item.
#[track_caller]
fn all_is_done(machine: &mut Machine, contender: Contender) {
    let user = contender.user();
    let ended = machine.run(&login(user, "id -un; sudo -n id -u"));
    assert_eq!(ended.stdout, format!("{user}\n0\n"), "{contender:?}: {ended:#?}");
    if contender == Nobody {
        return;
    }
    let size = machine.run("df --output=size -BM / | tail -1 | tr -dc 0-9").stdout;
    assert!(size.parse::<u32>().unwrap() > 2700, "{contender:?}: the disk has not grown: {size}");
    let name = machine.run("hostname; cat /etc/hostname").stdout;
    assert_eq!(name, "ip-169-254-10-15\nip-169-254-10-15\n", "{contender:?}");
    let types = machine.run("cd /etc/ssh && echo ssh_host_*_key").stdout;
    assert_eq!(types, "ssh_host_ecdsa_key ssh_host_ed25519_key\n", "{contender:?}");
}

/// One figure of a boot.
type Figure = fn(&Boot) -> f64;

/// A column for each contender, and one for the ratio.
fn table(taken: &BTreeMap<Contender, Vec<Boot>>) -> String {
    let mut text = String::from("| |");
    for contender in ALL {
        _ = write!(text, " {} |", contender.label());
    }
    text += " cloud-init to agent |\n|---|---|---|---|---|\n| boots |";
    for contender in ALL {
        _ = write!(text, " {} |", taken[&contender].len());
    }
    text += " |\n";
    let rows: [(&str, Figure); 7] = [
        ("SSH login possible, s", |b| b.login),
        ("user's script starts, s", |b| b.services.start),
        ("complete, s", |b| b.complete),
        ("EC2 has been told so (tags), s", |b| b.told),
        ("CPU of the services, s", |b| b.services.cpu),
        ("of that for the tags, s", |b| b.services.tags),
        ("peak memory of the services, MiB", |b| b.services.memory),
    ];
    for (label, value) in rows {
        _ = write!(text, "| {label} |");
        let columns = ALL.map(|contender| spread(&taken[&contender], value));
        for [median, least, most] in columns {
            // What a contender does not do takes no time.
            _ = match most {
                0.0 => write!(text, " – |"),
                _ => write!(text, " {median:.2} ({least:.2} to {most:.2}) |"),
            };
        }
        let [_, [agent, ..], [cloud_init, ..]] = columns;
        if cloud_init > 0.0 {
            _ = writeln!(text, " {:.1} |", cloud_init / agent);
        } else {
            text += " |\n";
        }
    }
    text
}
