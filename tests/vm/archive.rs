//! A Debian archive for machines that reach no other: packages that dpkg-deb makes, a flat
//! repository of them (sources.list(5)), and a server for it on the loopback.

use crate::util;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// An archive, while it is served.
pub(crate) struct Archive {
    directory: TempDir,
    server: Child,
    port: u16,
    index: String,
}

impl Archive {
    /// An empty one at a free port.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let directory = util::fresh();
        // It ends with the thread that runs the test, also where that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "python3", "-u", "-m", "http.server"]);
        command.args(["0", "--bind", "127.0.0.1", "--directory"]).arg(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut said = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let port = said.split(' ').skip_while(|word| *word != "port").nth(1);
        let port = port.and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{command:?} says {said:?}"));
        let archive = Self { directory, server, port, index: String::new() };
        archive.publish();
        archive
    }

    /// Its port on the loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The line of sources.list(5) for a machine that sees it at this URL.
    pub(crate) fn source(url: &str) -> String {
        format!("deb [trusted=yes] {url} ./\n")
    }

    /// Puts a package into it: its control file's further lines, a program of its name that
    /// says `says`, and what is done when it is installed.
    #[track_caller]
    pub(crate) fn add(&mut self, name: &str, version: &str, more: &str, says: &str, then: &str) {
        let root = util::fresh();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\n\
             Maintainer: Nobody <nobody@example.org>\nDescription: a package of the tests\n{more}"
        );
        let put = |path: &str, text: &str, mode: u32| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        put("DEBIAN/control", &control, 0o644);
        put("DEBIAN/postinst", &format!("#!/bin/sh\nset -e\n{then}\n"), 0o755);
        put(&format!("usr/bin/{name}"), &format!("#!/bin/sh\necho {says}\n"), 0o755);
        // As a package has them.
        for path in ["", "usr", "usr/bin", "DEBIAN"] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(root.path().join(path), mode).unwrap();
        }
        let file = format!("{name}_{version}_all.deb");
        let deb = self.directory.path().join(&file);
        let mut build = Command::new("dpkg-deb");
        build.args(["--root-owner-group", "-Zgzip", "--build"]).arg(root.path()).arg(&deb);
        util::run(build).expect(0);
        let bytes = fs::read(&deb).unwrap();
        let (hash, size) = (sha256(&bytes), bytes.len());
        write!(self.index, "{control}Filename: ./{file}\nSize: {size}\nSHA256: {hash}\n\n")
            .unwrap();
        self.publish();
    }

    /// The index, and what names it: without that, apt asks for it by eight names.
    #[track_caller]
    fn publish(&self) {
        let (hash, size) = (sha256(self.index.as_bytes()), self.index.len());
        let release =
            format!("Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {hash} {size} Packages\n");
        fs::write(self.directory.path().join("Packages"), &self.index).unwrap();
        fs::write(self.directory.path().join("Release"), release).unwrap();
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
