//! YAML as far as cloud-config needs it: maps, lists and texts, each with its line.
//!
//! What would make one text mean two things is refused: a key that stands twice (cloud-init
//! takes the last one silently), aliases, and a second document. Values stay the text that was
//! written; whether `yes` is a truth or a word is for the key to say.

use super::fault::{DAMAGED, Fault, INVALID, TOO_LARGE, UNSUPPORTED, is_like_a_key};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use std::borrow::Cow;

/// The most values that a document may have.
const MAX_NODES: usize = 50_000;

/// The most entries that a map may have: each is compared with those before it.
const MAX_ENTRIES: usize = 200;

/// How deep they may lie in one another.
const MAX_DEPTH: usize = 24;

/// A value with its line, from 1.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// A map, in order.
    Map(Vec<(Key, Node)>),
}

/// A text, and how it was written.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// Without quotes: it may be a number, a truth, or nothing.
    pub(super) plain: bool,
    /// Base64 of bytes (`!!binary`).
    pub(super) binary: bool,
}

/// The name of a map's entry.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) line: usize,
}

impl Node {
    /// What it is, for the person who wrote something else.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) if self.is_null() => "nothing",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Is it nothing at all (`key:`, `~`, `null`)?
    pub(super) fn is_null(&self) -> bool {
        let null = |t: &str| matches!(t, "" | "~" | "null" | "Null" | "NULL");
        matches!(&self.value, Value::Text(t) if t.plain && null(&t.text))
    }
}

/// Reads a document; `None` where there is nothing in it.
///
/// # Errors
/// It is no YAML, or one of what is refused.
pub(super) fn read(text: &str) -> Result<Option<Node>, Fault> {
    // The end of a text without a last line feed is a line of its own to the parser, not to a
    // reader.
    let last = text.lines().count().max(1);
    let mut reader = Reader { last, ..Reader::default() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| {
            let message = format!("it is no YAML: {}", e.info());
            Fault::new(DAMAGED, message, "correct the line; indent by blanks, and quote a text that holds `: ` or begins with a sign")
                .at(e.marker().line().clamp(1, last))
        })?;
        reader.take(event, span)?;
    }
    Ok(reader.root)
}

/// What is being read: the collections that are open, the outermost first.
#[derive(Default)]
struct Reader {
    open: Vec<(usize, Open)>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    /// The last line.
    last: usize,
}

enum Open {
    List(Vec<Node>),
    Map(Vec<(Key, Node)>, Option<Key>),
}

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let line = span.start.line().clamp(1, self.last.max(1));
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let next = "send one document; several as parts of a MIME message";
                    return Err(Fault::new(INVALID, "a second YAML document begins", next).at(line));
                }
            }
            Event::Alias(_) => {
                let next = "write the value itself in its place";
                return Err(
                    Fault::new(UNSUPPORTED, "an alias (*name) is not followed", next).at(line)
                );
            }
            Event::Scalar(text, style, _, tag) => {
                let binary = self.tag(tag.as_deref(), line, true)?;
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let text = Text { text: Cow::into_owned(text), plain, binary };
                self.put(Node { line, value: Value::Text(text) })?;
            }
            Event::SequenceStart(_, tag) => {
                self.tag(tag.as_deref(), line, false)?;
                self.enter(line, Open::List(Vec::new()))?;
            }
            Event::MappingStart(_, tag) => {
                self.tag(tag.as_deref(), line, false)?;
                self.enter(line, Open::Map(Vec::new(), None))?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((line, Open::List(all))) => {
                    self.put(Node { line, value: Value::List(all) })?
                }
                Some((line, Open::Map(all, _))) => {
                    self.put(Node { line, value: Value::Map(all) })?
                }
                None => {}
            },
        }
        Ok(())
    }

    /// Is the value tagged as bytes? A tag that says what is plain anyway may stand.
    fn tag(&self, tag: Option<&Tag>, line: usize, scalar: bool) -> Result<bool, Fault> {
        let Some(tag) = tag else { return Ok(false) };
        let name = if tag.is_yaml_core_schema() { tag.suffix.as_str() } else { "" };
        match (name, scalar) {
            ("binary", true) => Ok(true),
            ("str", true) | ("seq" | "map", false) => Ok(false),
            _ => {
                let next = "leave the tag out; !!binary and !!str are read";
                Err(Fault::new(UNSUPPORTED, "a YAML tag is not understood", next).at(line))
            }
        }
    }

    fn enter(&mut self, line: usize, open: Open) -> Result<(), Fault> {
        // A collection as a key would be lost.
        if let Some((_, Open::Map(_, None))) = self.open.last() {
            return Err(no_text(line));
        }
        if self.open.len() >= MAX_DEPTH {
            let next = "write it flatter; no key that is read needs as many levels";
            return Err(Fault::new(TOO_LARGE, "the YAML is nested too deep", next).at(line));
        }
        self.open.push((line, open));
        Ok(())
    }

    fn put(&mut self, node: Node) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("there are more than {MAX_NODES} values");
            return Err(Fault::new(TOO_LARGE, message, "send less").at(node.line));
        }
        match self.open.last_mut() {
            None => self.root = Some(node).filter(|n| !n.is_null()),
            Some((_, Open::List(all))) => all.push(node),
            Some((_, Open::Map(all, pending))) => match pending.take() {
                Some(key) => all.push((key, node)),
                None => {
                    let key = key_of(node)?;
                    if all.len() >= MAX_ENTRIES {
                        let message = format!("a map has more than {MAX_ENTRIES} entries");
                        return Err(Fault::new(TOO_LARGE, message, "send less").at(key.line));
                    }
                    if let Some((first, _)) = all.iter().find(|(k, _)| k.name == key.name) {
                        let name = shown(&key.name);
                        let message = format!("{name} is there already, in line {}", first.line);
                        return Err(Fault::new(INVALID, message, "join the two")
                            .at(key.line)
                            .key(key.name));
                    }
                    *pending = Some(key);
                }
            },
        }
        Ok(())
    }
}

fn key_of(node: Node) -> Result<Key, Fault> {
    match node.value {
        Value::Text(t) if !t.binary => Ok(Key { name: t.text, line: node.line }),
        _ => Err(no_text(node.line)),
    }
}

fn no_text(line: usize) -> Fault {
    Fault::new(INVALID, "the name of an entry is no text", "write `name: value`").at(line)
}

/// A key as it is quoted.
pub(super) fn shown(name: &str) -> String {
    if is_like_a_key(name) { format!("`{name}`") } else { "this key".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, line: usize, what: &str) {
        let fault = read(text).unwrap_err();
        assert_eq!(fault.line, Some(line), "{fault}");
        assert!(fault.message.contains(what), "{fault}");
    }

    #[test]
    fn an_error_at_the_end_is_in_the_last_line() {
        refused("a: 1\nb", 2, "no YAML");
        refused("a: 1\nb\n", 2, "no YAML");
    }

    #[test]
    fn every_value_has_its_line() {
        let root = read("# c\na: 1\nb:\n- x\n- [y,\n   z]\nc: |\n  t\n  u\n").unwrap().unwrap();
        let Value::Map(all) = root.value else { panic!() };
        let lines: Vec<(&str, usize, usize)> =
            all.iter().map(|(k, n)| (k.name.as_str(), k.line, n.line)).collect();
        assert_eq!(lines, [("a", 2, 2), ("b", 3, 4), ("c", 7, 8)]);
        let Value::List(b) = &all[1].1.value else { panic!() };
        let Value::List(inner) = &b[1].value else { panic!() };
        assert_eq!((b[1].line, inner[1].line), (5, 6));
        let Value::Text(c) = &all[2].1.value else { panic!() };
        assert_eq!((c.text.as_str(), c.plain), ("t\nu\n", false));
    }

    #[test]
    fn what_may_mean_two_things_is_refused_with_its_line() {
        refused("a: 1\nb: 2\na: 3\n", 3, "`a` is there already, in line 1");
        refused("a: &x 1\nb: *x\n", 2, "alias");
        refused("a: 1\n---\nb: 2\n", 2, "second YAML document");
        refused("a: !foo 1\n", 1, "tag");
        refused("? [a]\n: b\n", 1, "no text");
        refused("a:\n\tb: 1\n", 2, "no YAML");
        refused("a: 'x\n", 1, "no YAML");
    }

    #[test]
    fn depth_and_number_have_limits() {
        refused(&"- ".repeat(30), 1, "nested too deep");
        refused(&format!("[{}]", "a,".repeat(MAX_NODES + 1)), 1, "more than");
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn nothing_is_nothing() {
        for text in ["", "#cloud-config\n", "---\n", "~\n", "# a\n\n"] {
            assert!(read(text).unwrap().is_none(), "{text:?}");
        }
    }

    #[test]
    fn what_is_quoted_of_a_key_is_no_more_than_a_key_has() {
        assert_eq!(shown("write_files"), "`write_files`");
        assert_eq!(shown("export TOKEN=abc"), "this key");
    }
}
