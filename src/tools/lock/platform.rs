//! Platforms as mise names them: `linux-x64`, `macos-arm64`, with a qualifier perhaps.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Platform(String);

impl Platform {
    /// Reads a name.
    ///
    /// # Errors
    /// It is none that mise has (its reference of mise.lock, "Platform keys").
    pub fn parse(name: &str) -> Result<Self, String> {
        let mut parts = name.splitn(3, '-');
        let (os, arch, qualifier) = (parts.next(), parts.next(), parts.next());
        let known = matches!(os, Some("linux" | "macos" | "windows"))
            && matches!(arch, Some("x64" | "arm64" | "x86" | "arm" | "armv7" | "riscv64"))
            && matches!(
                qualifier,
                None | Some("gnu" | "glibc" | "musl" | "msvc" | "baseline" | "musl-baseline")
            );
        known
            .then(|| Self(name.to_owned()))
            .ok_or_else(|| format!("{name:?} is no platform; write such as linux-x64,linux-arm64"))
    }

    /// This machine's.
    pub fn here() -> Self {
        Self(format!("{}-{}", word(std::env::consts::OS), word(std::env::consts::ARCH)))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Without a qualifier: what every release of a tool may have a build for.
    pub fn is_plain(&self) -> bool {
        self.0.matches('-').count() == 1
    }

    /// Does a tool limited to `os` (`linux`, `macos`, `linux/arm64`) run here? An empty list
    /// limits nothing.
    pub fn within(&self, os: &[String]) -> bool {
        let mut parts = self.0.split('-');
        let (own, arch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        os.is_empty()
            || os.iter().any(|limit| match limit.split_once(['/', '-']) {
                Some((os, limit)) => word(os) == own && word(limit) == arch,
                None => word(limit) == own || word(limit) == arch,
            })
    }
}

/// mise's word for an operating system or a processor.
fn word(name: &str) -> &str {
    match name {
        "darwin" => "macos",
        "x86_64" | "amd64" => "x64",
        "aarch64" => "arm64",
        same => same,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_limits_obeyed() {
        let linux = Platform::parse("linux-arm64").unwrap();
        assert!(Platform::parse("linux-x64-musl").is_ok_and(|p| !p.is_plain()));
        for wrong in ["linux", "linux_x64", "linux-amd64", "beos-x64", "linux-x64-odd", ""] {
            assert!(Platform::parse(wrong).is_err(), "{wrong}");
        }
        let within =
            |os: &[&str]| linux.within(&os.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>());
        assert!(within(&[]) && within(&["macos", "linux"]) && within(&["linux/aarch64"]));
        assert!(!within(&["darwin"]) && !within(&["linux/amd64"]));
        assert!(Platform::parse(Platform::here().name()).is_ok());
    }
}
