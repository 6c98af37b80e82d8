//! What drives a virtual machine: a real Debian with its own kernel and systemd in QEMU, seen
//! from outside as EC2 shows an instance.
//!
//! A [`machine::Machine`] has a disk of its own, a copy of what `tests/vm/image` builds. It can
//! be started, stopped in order or by cutting its power, and started again; commands run in it
//! through a root shell on a port of their own ([`console`]), so that neither a login nor the
//! network is in between. The network has nothing but what the test puts there
//! ([`network`]): no packet leaves the machine that runs the tests.

#![allow(dead_code, reason = "each scenario uses its own part")]

pub(crate) mod acceleration;
pub(crate) mod console;
pub(crate) mod disk;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod qmp;
pub(crate) mod root;

use crate::readiness::{Readiness, layer_is_ready};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a machine may take until its shell answers. An idle one takes 10 to 20 seconds
/// without hardware acceleration; machines that run tests are not idle.
pub(crate) const BOOT: Duration = Duration::from_secs(300);

/// How long a command in the machine may take where the test doesn't say.
pub(crate) const COMMAND: Duration = Duration::from_secs(60);

/// `limit`, on a computer that is so many times slower than one with nothing else to do
/// (`AGENT_VM_PATIENCE`, a whole number).
pub(crate) fn patient(limit: Duration) -> Duration {
    let times = std::env::var("AGENT_VM_PATIENCE").ok().and_then(|times| times.parse().ok());
    limit * times.unwrap_or(1).max(1)
}

/// Which of the images of `tests/vm/image` a machine starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// What the tests need.
    Plain,
    /// With cloud-init, for comparisons.
    CloudInit,
    /// The machine image as it is shipped (`image/ami`).
    Ami,
    /// The same with a cloud-init in it, which is switched off.
    AmiCloudInit,
}

impl Variant {
    /// Its name on the command line of `tests/vm/image`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::CloudInit => "cloud-init",
            Self::Ami => "ami",
            Self::AmiCloudInit => "ami-cloud-init",
        }
    }

    /// Where its root partition begins, in bytes: behind the boot partition, if it has one. What
    /// makes the disks has the same numbers.
    pub(crate) fn partition(self) -> u64 {
        match self {
            Self::Plain | Self::CloudInit => 1 << 20,
            Self::Ami | Self::AmiCloudInit => 129 << 20,
        }
    }

    /// Where its disk and kernel are.
    pub(crate) fn directory(self) -> PathBuf {
        cache().join(self.name())
    }
}

/// Where the images are, and the machines while they run.
pub(crate) fn cache() -> PathBuf {
    std::env::var_os("AGENT_VM_CACHE").map_or_else(|| repository().join("target/vm"), Into::into)
}

/// The repository's directory.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program under test. The build's own is without optimisation, which an emulated
/// processor makes 20 times slower still; `AGENT_TEST_BINARY` names another.
pub(crate) fn agent() -> PathBuf {
    std::env::var_os("AGENT_TEST_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_agent").into(), Into::into)
}

/// Can machines of this variant run here?
pub(crate) fn ready(variant: Variant) -> bool {
    static READY: [Readiness; 4] = [const { Readiness::new() }; 4];
    layer_is_ready("vm", &READY[variant as usize], || look(variant))
}

fn look(variant: Variant) -> Result<(), String> {
    if Command::new(machine::QEMU).arg("--version").output().is_err() {
        return Err(format!("there is no {}", machine::QEMU));
    }
    let image = repository().join("tests/vm/image");
    let checked = Command::new(image).args(["--check", variant.name()]).output();
    let checked = checked.map_err(|e| format!("tests/vm/image does not run: {e}"))?;
    if !checked.status.success() {
        return Err(String::from_utf8_lossy(&checked.stderr).trim().to_owned());
    }
    Ok(())
}
