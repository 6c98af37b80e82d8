//! Whether the processor is lent (KVM) or emulated (TCG). A kernel that runs somewhere with
//! KVM is the only proof: there are machines whose /dev/kvm opens and never gets through a
//! stock kernel.

use super::Variant;
use super::machine::QEMU;
use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// A kernel without a root to mount takes a second to find that out.
const PROBE: Duration = Duration::from_secs(15);

/// QEMU's arguments for the processors.
pub(crate) fn arguments() -> &'static [&'static str] {
    if hardware() {
        return &["-accel", "kvm", "-cpu", "host", "-smp", "2"];
    }
    // Emulated, a processor with AVX is slower than one without (glibc takes every
    // instruction that it finds, and each vector is emulated in parts), and a second
    // processor costs more than it brings where two machines share two. RDRAND seeds the
    // kernel's random numbers, which early services wait for.
    &["-accel", "tcg", "-cpu", "Nehalem-v1,+rdrand,+aes,+pclmulqdq", "-smp", "1"]
}

/// Does hardware run the machine? `AGENT_VM_ACCELERATION=kvm` or `=tcg` decides instead.
pub(crate) fn hardware() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| match std::env::var("AGENT_VM_ACCELERATION").as_deref() {
        Ok("kvm") => true,
        Ok("tcg") => false,
        _ => possible() && tried(),
    })
}

/// The device is there for us, and the processor has what a stock kernel needs.
fn possible() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm")
        && OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// A kernel without a root gets as far as its panic, which ends QEMU.
fn tried() -> bool {
    let mut command = Command::new(QEMU);
    command.args(["-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-no-user-config"]);
    command.args(["-display", "none", "-no-reboot", "-append", "panic=-1 quiet", "-kernel"]);
    command.arg(Variant::Plain.directory().join("kernel"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let limit = Instant::now() + PROBE;
    while Instant::now() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}
