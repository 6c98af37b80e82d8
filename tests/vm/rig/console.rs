//! Commands in the machine, through the root shell that listens on a port of its own
//! (`rig-console.service`). One command at a time: its standard output and standard error go
//! to files, and come back framed by their lengths, so that any bytes are told as they are.

use crate::util::Ended;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// What `timeout` says of a command that it had to end.
const TIMED_OUT: i32 = 124;

/// How much longer than the command itself may the answer take?
const ANSWER: Duration = Duration::from_secs(30);

/// The shell's other end.
pub(crate) struct Console {
    stream: UnixStream,
    buffer: Vec<u8>,
    number: u32,
}

impl Console {
    /// Connects; the machine need not have come so far.
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        stream.set_write_timeout(Some(ANSWER))?;
        Ok(Self { stream, buffer: Vec::new(), number: 0 })
    }

    /// Runs `command` with `sh -c`, for at most `limit`. An error names what didn't come: the
    /// command was cut off, the shell doesn't answer, the machine is gone.
    pub(crate) fn run(&mut self, command: &str, limit: Duration) -> Result<Ended, String> {
        self.number += 1;
        let mark = format!("rig-answer-{}", self.number);
        let line = format!(
            "timeout -k 5 {} sh -c {} </dev/null >/run/rig.out 2>/run/rig.err; \
             printf '%s %s %s %s\\n' {mark} $? $(stat -c %s /run/rig.out /run/rig.err); \
             cat /run/rig.out /run/rig.err\n",
            limit.as_secs_f32(),
            quoted(command)
        );
        let began = Instant::now();
        let end = began + limit + ANSWER;
        self.stream.write_all(line.as_bytes()).map_err(|e| format!("{command}: not told: {e}"))?;
        let failed = |why: String| format!("{why} after {:.0?}: {command}", began.elapsed());
        let head = self.line_with(&mark, end).map_err(failed)?;
        let numbers: Vec<usize> =
            head.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
        let [status, out, err] = numbers[..] else {
            return Err(failed(format!("the shell answers {head:?}")));
        };
        let stdout = self.bytes(out, end).map_err(failed)?;
        let stderr = self.bytes(err, end).map_err(failed)?;
        let status = i32::try_from(status).unwrap_or(255);
        let ended = Ended {
            status: ExitStatus::from_raw(status << 8),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            took: began.elapsed(),
        };
        if status == TIMED_OUT && ended.took >= limit {
            return Err(failed(format!("did not end ({ended:?})")));
        }
        Ok(ended)
    }

    /// Says `command` and does not wait for an answer: for what ends the machine.
    pub(crate) fn tell(&mut self, command: &str) -> io::Result<()> {
        writeln!(self.stream, "{command}")
    }

    /// The line that begins with `mark`. What comes before is of commands that were cut off.
    fn line_with(&mut self, mark: &str, end: Instant) -> Result<String, String> {
        let mark = format!("{mark} ");
        loop {
            while let Some(n) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=n).collect();
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(at) = line.find(&mark) {
                    return Ok(line[at..].trim_end().to_owned());
                }
            }
            self.more(end)?;
        }
    }

    fn bytes(&mut self, count: usize, end: Instant) -> Result<Vec<u8>, String> {
        while self.buffer.len() < count {
            self.more(end)?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    fn more(&mut self, end: Instant) -> Result<(), String> {
        let mut part = [0; 65536];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return Err("the machine is gone".into()),
                Ok(n) => {
                    self.buffer.extend_from_slice(&part[..n]);
                    return Ok(());
                }
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    if Instant::now() >= end {
                        return Err("no answer".into());
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(format!("the machine is gone: {e}")),
            }
        }
    }
}

/// `text` as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
