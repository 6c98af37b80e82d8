//! `agent-stub` and the user-data: what is rendered, what real shells make of it, and what
//! is read back.

mod check;
mod fetch;
mod inspect;
mod parents;
mod published;
mod render;
mod round_trip;
mod shells;
mod size;
mod truncated;

use crate::util::{clean, directory, fresh};
use agent::stub::payload::Script;
use agent::stub::{Fetch, Launch, Parameters};
use fastrand::Rng;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Stands for a secret in the script. Nothing else that is printed looks like it.
const TOKEN: &str = "ghp_0PlantedT0kenOfTheStub";

/// A hash that nothing has.
const SHA256: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The host's program.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agent-stub"))
}

/// The host's program as a command of the user who lives in `home`.
fn stub(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    clean(&mut command);
    command.env("HOME", home);
    command
}

/// A home with this script in the one place for it.
fn home_with(script: impl AsRef<[u8]>) -> TempDir {
    let home = fresh();
    let mint = directory(&directory(home.path(), ".config"), "mint");
    fs::write(mint.join("user-bootstrap.sh"), script).unwrap();
    home
}

/// A random number generator, whose seed is shown where the test fails.
fn seeded() -> Rng {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    Rng::with_seed(seed)
}

fn launch(script: &[u8]) -> Launch {
    Launch { script: Some(Script::verbatim(script.to_vec()).unwrap()), ..Launch::default() }
}

/// The same launch with an agent that is downloaded.
fn fetching(launch: Launch) -> Launch {
    let fetch = Fetch { url: "https://example.com/agent?a=b&c=%20".into(), sha256: SHA256.into() };
    Launch { fetch: Some(fetch), ..launch }
}

fn rendered(launch: &Launch) -> Vec<u8> {
    agent::stub::render(launch).unwrap().into_bytes()
}

/// `count` characters of `alphabet`.
fn text_of(rng: &mut Rng, alphabet: &str, count: usize) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    (0..count).map(|_| alphabet[rng.usize(..alphabet.len())]).collect()
}

/// Parameters that are valid, each there or not.
fn any_parameters(rng: &mut Rng) -> Parameters {
    let hex = "0123456789abcdef";
    let name = |rng: &mut Rng| {
        let inside = rng.usize(0..30);
        format!("{}{}ß", rng.alphanumeric(), text_of(rng, "aZ9 +-=._:/@é名", inside))
    };
    let device = |rng: &mut Rng| match rng.bool() {
        true => format!("/dev/sd{}", rng.lowercase()),
        false => format!("vol-{}", text_of(rng, hex, 17)),
    };
    Parameters {
        efs_id: rng.bool().then(|| format!("fs-{}", text_of(rng, hex, 17))),
        project_dev: rng.bool().then(|| device(rng)),
        vm_name: rng.bool().then(|| name(rng)),
        idle_timeout: rng.bool().then(|| rng.u32(1..=525_600)),
    }
}

/// Writes an executable file.
fn executable(path: &Path, text: impl AsRef<[u8]>) -> PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.into()
}

/// A program in place of the agent. It writes down its arguments, its environment and
/// what of the user-data it was given, in `dir`.
fn fake_agent(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >{dir}/arguments\nenv -0 >{dir}/environment\ncp \"$3\" {dir}/user-data\n"
    )
}

/// The user-data with the agent's place moved to where a test may write. Nothing else of
/// it is changed.
fn moved(user_data: &[u8], baked: &Path, fetched: &Path) -> Vec<u8> {
    String::from_utf8(user_data.to_vec())
        .unwrap()
        .replace("/usr/local/bin/agent", baked.to_str().unwrap())
        .replace("/var/lib/agent/bin", fetched.to_str().unwrap())
        .into_bytes()
}
