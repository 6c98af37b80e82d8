//! The machine itself: what every other test here stands on.

use crate::rig::Variant;
use crate::rig::machine::Machine;
use crate::rig::ready;
use std::time::{Duration, Instant};

#[test]
fn it_starts_runs_the_agent_and_stops() {
    if !ready(Variant::Plain) {
        return;
    }
    let began = Instant::now();
    let mut machine = Machine::new();
    let made = began.elapsed();
    let volume = machine.disk("vol-0123456789abcdef0", 64);
    let started = machine.start();

    let version = machine.run("agent --version").expect(0);
    assert_eq!(version.stdout, format!("agent {}\n", env!("CARGO_PKG_VERSION")));
    let help = machine.run("agent boot --help").expect(0);
    assert!(help.stdout.contains("--user-data"), "{help:?}");
    let odd = machine.run("printf 'a\\0b\\n'; printf 'it'\\''s' >&2; exit 7").expect(7);
    assert_eq!((odd.stdout.as_str(), odd.stderr.as_str()), ("a\0b\n", "it's"));

    // The machine is EC2's, as far as it can see.
    let vendor = machine.run("cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/board_asset_tag");
    assert_eq!(vendor.stdout, "Amazon EC2\ni-0123456789abcdef0\n");

    // A volume comes while it runs.
    machine.attach(&volume);
    let serial = "grep -qx 'vol0123456789abcdef0 *' /sys/class/nvme/nvme1/serial";
    machine.wait_for(serial, Duration::from_secs(20));

    machine.wait_for("systemctl is-system-running | grep -qv starting", Duration::from_secs(120));
    let failed = machine.run("systemctl --failed --no-legend").expect(0);
    assert_eq!(failed.stdout, "");
    let up = machine.uptime();

    // What is synced outlives a cut, and what isn't does not.
    machine.run("echo synced >/root/synced; sync; echo lost >/root/lost").expect(0);
    machine.cut_power();
    assert_eq!(machine.read("/root/synced"), "synced\n");
    machine.put("/root/put", "while off\n", 0o640);
    let again = machine.start();
    let seen = machine.run("cd /root; cat synced put; stat -c %a put; test -s lost || echo lost");
    assert_eq!(seen.stdout, "synced\nwhile off\n640\nlost\n");
    machine.put("/root/put while on", b"'\0\xff", 0o600);
    assert_eq!(machine.run("od -An -tx1 '/root/put while on'").stdout.trim(), "27 00 ff");
    let stopping = Instant::now();
    machine.power_off();
    eprintln!(
        "made in {made:.1?}, shell after {started:.1?}, everything after {up:.1?}, \
         shell after {again:.1?} the second time, off in {:.1?}",
        stopping.elapsed()
    );
}
