//! The targets: a file a subject.

mod answers;
mod command_lines;
mod config;
mod journal;
mod machine;
mod mise;
mod secrets;
mod stub;
mod sync;
mod user_data;

/// One subject.
pub struct Target {
    /// Its name; also that of its corpus.
    pub name: &'static str,
    /// Tries one input. What must not be is a panic.
    pub run: fn(&[u8]),
    /// What is under test, as beginnings of paths below `src/`.
    pub reads: &'static [&'static str],
    /// The most memory that an input may take, in bytes, beside some for each of its own.
    pub memory: usize,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All of them.
pub const ALL: &[Target] = &[
    Target {
        name: "user-data",
        run: user_data::run,
        reads: &[
            "stub/user_data",
            "stub/payload",
            "stub/shebang",
            "stub/shell",
            "stub/public_key",
            "stub/told",
        ],
        // Eight MiB unpacked, some copies of them, and a vector that doubles as it grows.
        memory: 64 * MIB,
    },
    Target {
        name: "stub",
        run: stub::run,
        reads: &["stub/render", "stub/parameters", "stub/budget", "stub/template"],
        memory: 64 * MIB,
    },
    Target { name: "config", run: config::run, reads: &["config/", "plan/"], memory: 4 * MIB },
    Target {
        name: "mise-output",
        run: mise::output,
        reads: &["tools/output", "tools/policy/backends"],
        memory: MIB,
    },
    Target {
        name: "mise-files",
        run: mise::files,
        reads: &["tools/manifest", "tools/lock/"],
        memory: 4 * MIB,
    },
    Target {
        name: "sync",
        run: sync::run,
        reads: &["tools/sync/ustar", "tools/sync/bundle", "tools/sync/text", "tools/sync/table"],
        memory: 4 * MIB,
    },
    Target { name: "journal", run: journal::bytes, reads: &["journal/", "views/"], memory: MIB },
    Target {
        name: "journal-events",
        run: journal::events,
        reads: &["journal/status", "journal/ledger", "journal/tags"],
        memory: 4 * MIB,
    },
    Target { name: "handoff", run: command_lines::handoff, reads: &["init/handoff"], memory: MIB },
    Target { name: "init", run: command_lines::init, reads: &["init/options"], memory: MIB },
    Target {
        name: "metadata",
        run: answers::metadata,
        reads: &["ec2/imds/shape", "ec2/credentials", "stub/public_key"],
        memory: 64 * KIB,
    },
    Target {
        name: "ec2-api",
        run: answers::api,
        reads: &["ec2/tags/answer", "ec2/credentials"],
        memory: 64 * KIB,
    },
    Target {
        name: "dns",
        run: answers::dns,
        reads: &["ec2/names/wire", "ec2/names/files"],
        memory: 64 * KIB,
    },
    Target {
        name: "machine",
        run: machine::run,
        reads: &[
            "sys/mounts",
            "sys/users",
            "phases/volume/fstab",
            "phases/volume/content",
            "phases/volume/blank",
        ],
        memory: 4 * MIB,
    },
    Target {
        name: "processes",
        run: machine::processes,
        reads: &["idle/processes", "idle/criteria"],
        memory: MIB,
    },
    Target {
        name: "secrets",
        run: secrets::run,
        reads: &["support/redact", "engine/redact", "engine/excerpt"],
        memory: 4 * MIB,
    },
];

/// Text of the part before the first line that is exactly `mark`, and the rest.
fn halves<'a>(data: &'a [u8], mark: &str) -> (&'a [u8], &'a [u8]) {
    let mut at = 0;
    for line in data.split_inclusive(|&b| b == b'\n') {
        if line.trim_ascii_end() == mark.as_bytes() {
            return (&data[..at], &data[at + line.len()..]);
        }
        at += line.len();
    }
    (data, b"")
}

/// Is `place` (line and column, from 1) one of `text`, or right behind its end?
fn is_place(text: &str, place: (usize, usize)) -> bool {
    let (line, column) = place;
    line >= 1
        && column >= 1
        && text.split('\n').nth(line - 1).is_some_and(|l| column <= l.chars().count() + 1)
}
