//! A program whose bytes are at hand: the user's script, a boothook, the commands of cloud-config.
//! It is run from a private file by its own first line, as the kernel would run it.

use super::scratch::Scratch;
use crate::engine::Context;
use crate::engine::command::{self, End, Identity, Invocation, Log};
use crate::journal::Problem;
use crate::plan::Environment;
use crate::stub::shebang::{self, Shebang};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunAs {
    /// The sandbox user, in the home.
    SandboxUser,
    /// Root, in the root directory, as cloud-init does it.
    Root,
}

/// A program that can be started.
pub(super) struct Ready {
    shebang: Option<Shebang>,
    scratch: Scratch,
    run_as: RunAs,
}

/// Why one can't be started.
pub(super) enum Unready {
    /// Its first line is at fault: it will not do better at the next boot.
    Script(Problem),
    /// The sandbox has no place for it.
    Sandbox(Problem),
}

impl Unready {
    /// Why, whichever it is.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Script(problem) | Self::Sandbox(problem) => problem,
        }
    }
}

/// There is no place for a file that is needed.
pub(super) fn no_file(what: &str, e: &io::Error) -> Unready {
    Unready::Sandbox(Problem::new(
        "script-unwritable",
        format!("{what} cannot be made: {e}"),
        "make room in /tmp, /dev/shm or on the volume; the next boot runs the script",
    ))
}

/// Reads the first line.
pub(super) fn first_line(bytes: &[u8]) -> Result<Option<Shebang>, Problem> {
    shebang::parse(bytes).map_err(|fault| {
        let (message, next) = fault.words();
        Problem::new("script-first-line", message, next)
    })
}

/// Writes the program where it can be run from.
pub(super) fn ready(
    bytes: &[u8],
    run_as: RunAs,
    log: &Log,
    cx: &Context<'_>,
) -> Result<Ready, Unready> {
    let shebang = first_line(bytes).map_err(|problem| Unready::Script(problem.log(&log.path)))?;
    if let Some(s) = &shebang
        && !interpreter(s).is_file()
    {
        // Its name is a part of the script: it is told in the private log alone.
        log.say(&format!("the interpreter {} does not exist", interpreter(s).display()));
        let problem = Problem::new(
            "script-interpreter",
            "the program that the script's first line names is not in this image",
            "correct the first line, or add the program to the image; the log names it",
        );
        return Err(Unready::Script(problem.log(&log.path)));
    }
    let root = run_as == RunAs::Root;
    let scratch =
        Scratch::write(bytes, shebang.is_none(), root, cx).map_err(|e| match e.kind() {
            io::ErrorKind::Unsupported => Unready::Sandbox(Problem::new(
                "script-noexec",
                "the user script is a program, and every place for it is mounted noexec",
                "mount one of /tmp, /dev/shm or the volume without noexec",
            )),
            _ => no_file("the script's private file", &e),
        })?;
    Ok(Ready { shebang, scratch, run_as })
}

fn interpreter(shebang: &Shebang) -> PathBuf {
    OsString::from_vec(shebang.interpreter.clone()).into()
}

impl Ready {
    /// Where it lies; whoever runs it may write there, and nobody else.
    pub(super) fn directory(&self) -> &Path {
        self.scratch.directory()
    }

    /// Runs it to its end; the deadline is the phase's.
    pub(super) async fn run(
        &self,
        environment: &Environment,
        log: &mut Log,
        cx: &Context<'_>,
    ) -> End {
        let home = &cx.user().home;
        let (identity, cwd) = match self.run_as {
            RunAs::SandboxUser if home.is_dir() => (Identity::SandboxUser, home.clone()),
            RunAs::SandboxUser => (Identity::SandboxUser, "/".into()),
            RunAs::Root => (Identity::Agent, "/".into()),
        };
        let argv = argv(self.shebang.as_ref(), &self.scratch);
        let what = Invocation { argv, cwd, environment, identity };
        command::run(&what, log, cx).await
    }
}

/// The script itself where its filesystem allows that; on a noexec one, what the
/// kernel would have run: the interpreter, its argument, the script.
fn argv(shebang: Option<&Shebang>, scratch: &Scratch) -> Vec<OsString> {
    let path = scratch.script().into_os_string();
    match shebang {
        Some(s) if scratch.noexec() => {
            let argument = s.argument.clone().map(OsString::from_vec);
            [Some(interpreter(s).into_os_string()), argument, Some(path)]
                .into_iter()
                .flatten()
                .collect()
        }
        _ => vec![path],
    }
}
