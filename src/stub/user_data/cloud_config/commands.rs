//! `runcmd`: a text is a line of shell, a list is a command with its arguments.

use super::super::super::payload::Script;
use super::super::super::shell::quote;
use super::super::fault::{Fault, INVALID};
use super::super::yaml::{Key, Node, Value};
use super::{Faults, RunCommand, must, text};

/// What to do about a value that YAML has taken apart.
const QUOTE: &str = "write a text or a list of texts; quote a text that holds `: ` or begins with a sign, or write it below `- |`";

/// The commands, in order.
pub(super) fn read(key: &Key, node: &Node, faults: &mut Faults) -> Vec<RunCommand> {
    let mut all = Vec::new();
    for entry in faults.list(&key.name, node) {
        let shell = match &entry.value {
            Value::List(words) => argv(&key.name, entry, words),
            Value::Map(_) => Err(must(&key.name, entry, "a list of texts and lists", QUOTE)),
            Value::Text(_) => text(&key.name, entry).map(str::to_owned),
        };
        let command = faults.hold(shell).and_then(|shell| {
            let shell = Script::verbatim(shell.into_bytes()).ok()?;
            Some(RunCommand { shell, line: entry.line })
        });
        all.extend(command);
    }
    all
}

/// Each word in quotes, so that the shell takes it as it is.
fn argv(key: &str, node: &Node, words: &[Node]) -> Result<String, Fault> {
    if words.is_empty() {
        let message = format!("a command of `{key}` is an empty list");
        return Err(Fault::new(INVALID, message, "name the program and its arguments")
            .at(node.line)
            .key(key));
    }
    let each = words.iter().map(|word| match &word.value {
        Value::Text(_) => text(key, word).map(quote),
        // `find … -exec … {} \;` as it is published everywhere: to YAML an empty map.
        Value::Map(entries) if entries.is_empty() => Ok(quote("{}")),
        _ => Err(must(key, word, "a text", QUOTE)),
    });
    Ok(each.collect::<Result<Vec<_>, _>>()?.join(" "))
}
