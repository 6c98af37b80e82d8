//! Log lines: one readable line an event on standard error, JSON where asked for, or
//! the journal of the machine where standard error is connected to it.

use crate::config::value::{LogFormat, LogLevel};
use crate::sys::terminal;
use nix::sys::stat::fstat;
use serde_json::{Map, Value};
use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// The identifier of the agent's entries: `journalctl -t agent`.
const IDENTIFIER: &str = "agent";

/// Sends log lines where they belong from here on. Later calls change nothing.
pub fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    if stderr_is_the_journal()
        && let Ok(journald) = tracing_journald::layer()
    {
        let journald = journald.with_syslog_identifier(IDENTIFIER.into());
        let _ = tracing::subscriber::set_global_default(
            tracing_subscriber::registry().with(level).with(journald),
        );
        return;
    }
    let line = Line { format, terminal: terminal::watched() };
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Stderr).event_format(line);
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(level).with(layer),
    );
}

/// systemd sets `JOURNAL_STREAM` to the device and inode of the stream it connected
/// (`systemd.exec(5)`). Only if standard error is still that one does it count.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Some((device, inode)) = stream.split_once(':') else {
        return false;
    };
    fstat(io::stderr())
        .is_ok_and(|s| device.parse() == Ok(s.st_dev) && inode.parse() == Ok(s.st_ino))
}

/// How long a line waits for a full pipe; then it is dropped.
const PATIENCE: Duration = Duration::from_millis(100);

/// Standard error that cannot stop the boot.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        terminal::say(&String::from_utf8_lossy(line), PATIENCE);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Line {
    format: LogFormat,
    terminal: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        match self.format {
            // On a terminal the line may stand where the progress was drawn.
            LogFormat::Text if self.terminal => {
                writeln!(out, "\x1b[K{}", text_line(level, &fields))
            }
            LogFormat::Text => writeln!(out, "{}", text_line(level, &fields)),
            LogFormat::Json => writeln!(out, "{}", json_line(level, fields)),
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.others.insert(field.name().into(), format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.others.insert(field.name().into(), value.into());
        }
    }
}

fn text_line(level: Level, fields: &Fields) -> String {
    // A line that is the state itself begins with its word.
    let word = match level {
        _ if fields.others.contains_key("state") => "",
        Level::ERROR => "error: ",
        Level::WARN => "warning: ",
        _ => "",
    };
    // The level stands behind the phase, where the eye looks for what happened.
    let phase = fields.others.get("phase").and_then(Value::as_str);
    let own = phase.and_then(|p| Some((p, fields.message.strip_prefix(p)?.strip_prefix(": ")?)));
    one_line(&match own {
        Some((phase, rest)) => format!("agent: {phase}: {word}{rest}"),
        None => format!("agent: {word}{}", fields.message),
    })
}

fn json_line(level: Level, fields: Fields) -> String {
    let mut object = Map::new();
    object.insert("time".into(), jiff::Timestamp::now().to_string().into());
    object.insert("level".into(), level.as_str().to_lowercase().into());
    object.insert("message".into(), fields.message.into());
    object.extend(fields.others);
    Value::Object(object).to_string()
}

/// One event is one line, and no control sequence reaches the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
