//! The headers of a message or a part (RFC 5322, 2.2; RFC 2045, 5.1).

/// The headers, names in lower case, in order.
#[derive(Debug, Default)]
pub(super) struct Headers(Vec<(String, String)>);

/// The longest header that is looked at with its continuations, in bytes.
const MAX_HEADER: usize = 4096;

/// The most headers of a part.
const MAX_HEADERS: usize = 64;

/// Headers and content. A content without headers begins with a blank line.
///
/// # Errors
/// This line, from 1, is no header, and no blank line has come before it.
pub(super) fn split(text: &[u8]) -> (Result<Headers, usize>, &[u8]) {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut at = 0;
    for (number, line) in (1..).zip(text.split_inclusive(|&b| b == b'\n')) {
        at += line.len();
        if line.trim_ascii().is_empty() {
            return (Ok(Headers(headers)), text.get(at..).unwrap_or_default());
        }
        let line = String::from_utf8_lossy(line);
        let continued = line.starts_with([' ', '\t']);
        let count = headers.len();
        match (continued, headers.last_mut(), field(&line)) {
            (true, Some((_, value)), _) if value.len() < MAX_HEADER => {
                value.push(' ');
                value.push_str(line.trim());
            }
            (false, _, Some(field)) if count < MAX_HEADERS => headers.push(field),
            // An mbox line, as some tools put it first.
            (false, None, None) if line.starts_with("From ") => {}
            _ => return (Err(number), b""),
        }
    }
    // Without a blank line there are headers alone.
    (Ok(Headers(headers)), b"")
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let good = |b: u8| b.is_ascii_graphic() && b != b':';
    let is_name = !name.is_empty() && name.len() <= 76 && name.bytes().all(good);
    (is_name && value.len() <= MAX_HEADER)
        .then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// Does a text begin as a message, whatever becomes of it?
pub(super) fn looks_like_one(text: &[u8]) -> bool {
    let first = text.split(|&b| b == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first).to_ascii_lowercase();
    ["content-type:", "mime-version:", "content-transfer-encoding:", "from "]
        .iter()
        .any(|start| first.starts_with(start))
}

impl Headers {
    /// The value of the first header of that name (in lower case).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The type in lower case, without parameters (RFC 2045, 5.2: plain text where none is told).
    pub(super) fn content_type(&self) -> String {
        let value = self.get("content-type").unwrap_or("text/plain");
        let name = value.split(';').next().unwrap_or_default().trim();
        name.to_ascii_lowercase()
    }

    /// A parameter of a header's value, without its quotes.
    pub(super) fn parameter(&self, header: &str, name: &str) -> Option<String> {
        let (_, mut rest) = self.get(header)?.split_once(';')?;
        loop {
            let (key, after) = rest.split_once('=')?;
            let (value, after) = value(after.trim_start());
            if key.trim().eq_ignore_ascii_case(name) {
                return Some(value);
            }
            rest = after.split_once(';')?.1;
        }
    }

    /// The file name, as far as it can be shown.
    pub(super) fn file_name(&self) -> Option<String> {
        let name = self
            .parameter("content-disposition", "filename")
            .or_else(|| self.parameter("content-type", "name"))?;
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        (!shown.is_empty()).then_some(shown)
    }
}

/// A token or a quoted text, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return (token.trim().to_owned(), rest);
    };
    let mut out = String::new();
    let mut signs = quoted.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return (out, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => out.extend(signs.next().map(|(_, escaped)| escaped)),
            other => out.push(other),
        }
    }
    (out, "")
}
