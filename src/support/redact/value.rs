//! Where a value ends: in quotes, in quotes within JSON, as a word, as a header.

/// What a value is, beginning at the start of `text`: where its own text begins, and where it
/// ends. In quotes it ends with them; a backslash before one counts as JSON counts it, at the
/// depth at which the value was opened (`\"` is a quote within a string).
pub(super) fn value(text: &str) -> (usize, usize) {
    let lead = text.len() - text.trim_start_matches([' ', '\t']).len();
    let rest = text.get(lead..).unwrap_or_default();
    match opened(rest) {
        Some((quote, depth)) => {
            let begin = lead + depth + 1;
            let inner = text.get(begin..).unwrap_or_default();
            (begin, begin + closed(inner, quote, depth))
        }
        None => {
            let ends = |c: char| c.is_whitespace() || "\"'\\,}&;)]".contains(c);
            let masked = rest.strip_prefix(super::MASK).map_or(0, |_| super::MASK.len());
            let tail = rest.get(masked..).unwrap_or_default();
            (lead, lead + masked + tail.find(ends).unwrap_or(tail.len()))
        }
    }
}

/// Where a header's value ends, which goes to the end of its line: its parameters' quotes
/// (`Digest username="…"`) are its own, any other ends what the header stands in.
pub(super) fn header(text: &str) -> usize {
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        if c == '\n' || c == '\r' || rest.starts_with("\\n") || rest.starts_with("\\r") {
            return at;
        }
        match opened(rest) {
            Some((quote, depth)) if text.get(..at).is_some_and(|t| t.ends_with('=')) => {
                let begin = at + depth + 1;
                let inner = text.get(begin..).unwrap_or_default();
                at = (begin + closed(inner, quote, depth) + depth + 1).min(text.len());
            }
            Some(_) => return at,
            None => at += c.len_utf8(),
        }
    }
    at
}

/// The quote that `text` begins with, and how many backslashes stand before it.
fn opened(text: &str) -> Option<(char, usize)> {
    let plain = text.trim_start_matches('\\');
    let depth = text.len() - plain.len();
    let quote = plain.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some((quote, depth))
}

/// Where the value ends that was opened so; the end of the line, where it is not closed on it.
fn closed(text: &str, quote: char, depth: usize) -> usize {
    let mut before = 0;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\n' => return at,
            b'\\' => before += 1,
            _ if byte == quote as u8 => {
                // The shell's way to a quote within quotes, and YAML's.
                let rest = text.get(at..).unwrap_or_default();
                let on = match () {
                    () if quote == '\'' && rest.starts_with("'\\''") => 3,
                    () if quote == '\'' && depth == 0 && rest.starts_with("''") => 1,
                    () => 0,
                };
                if on > 0 {
                    bytes.nth(on - 1);
                } else if before % (2 * (depth + 1)) == depth {
                    return at - depth;
                }
                before = 0;
            }
            _ => before = 0,
        }
    }
    text.len()
}
