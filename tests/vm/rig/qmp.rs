//! QEMU's own control channel: lines of JSON, a command and its answer
//! (QEMU, docs/interop/qmp-spec). What happens in between is told too, and skipped.

use crate::util::PATIENCE;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A channel that is ready for commands.
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket of a running QEMU.
    #[track_caller]
    pub(crate) fn connect(path: &Path) -> Self {
        let stream =
            UnixStream::connect(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut qmp = Self { stream: BufReader::new(stream) };
        let greeting = qmp.line();
        assert!(greeting.get("QMP").is_some(), "{greeting}");
        qmp.execute("qmp_capabilities", &json!({}));
        qmp
    }

    /// Executes a command; its answer.
    #[track_caller]
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        let told = json!({"execute": command, "arguments": arguments});
        writeln!(self.stream.get_mut(), "{told}").unwrap();
        loop {
            let mut answer = self.line();
            assert!(answer.get("error").is_none(), "{told}: {answer}");
            if let Some(value) = answer.get_mut("return") {
                return value.take();
            }
        }
    }

    #[track_caller]
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("QEMU says {line:?}: {e}"))
    }
}
