//! A MIME message, taken apart (RFC 2045, 2046): its leaves in order, each decoded.
//!
//! What a mail program would mend is refused here. A message that ends before its closing
//! delimiter may have been cut short, and a header without the blank line behind it would
//! become a part's first line.

mod encoding;
mod header;

use super::super::payload::{self, GZIP, MAX_SCRIPT};
use super::super::told::{Label, MAX_PARTS};
use super::fault::{DAMAGED, Fault, INVALID, TOO_LARGE, UNSUPPORTED};
use encoding::Encoding;
use header::Headers;

/// How deep multiparts may lie in one another.
const MAX_DEPTH: usize = 4;

/// A part that holds something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) label: Label,
    /// In lower case, without parameters.
    pub(super) content_type: String,
    /// Decoded, and unpacked where it was gzip.
    pub(super) bytes: Vec<u8>,
}

/// Is it a message? One that isn't multipart is one too.
pub(super) fn is_message(text: &[u8]) -> bool {
    let (headers, _) = header::split(text);
    headers.is_ok_and(|h| h.get("content-type").is_some() || h.get("mime-version").is_some())
        || header::looks_like_one(text)
}

/// The leaves of a message, in order.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn leaves(text: &[u8]) -> Result<Vec<Leaf>, Vec<Fault>> {
    let mut taken = Taken::default();
    taken.entity(text, 0, None);
    let Taken { leaves, faults, .. } = taken;
    if faults.is_empty() { Ok(leaves) } else { Err(faults) }
}

#[derive(Default)]
struct Taken {
    leaves: Vec<Leaf>,
    faults: Vec<Fault>,
    /// Leaves so far, those with faults too.
    count: usize,
    /// What they hold, in bytes.
    size: u64,
}

impl Taken {
    /// Takes an entity: headers, a blank line, content. `default` is the type that one without a
    /// type has.
    fn entity(&mut self, text: &[u8], depth: usize, within: Option<&Label>) {
        let (headers, body) = header::split(text);
        let headers = match headers {
            Ok(headers) => headers,
            Err(line) => {
                self.count += 1;
                let label = Label { number: self.count, name: None };
                let message = "a line among the headers is no header";
                let next = "put a blank line between the part's headers and its content, and none before the headers";
                let fault = Fault::new(INVALID, message, next).within(Some(&label));
                // Lines of the content are counted from behind the headers: this is none.
                self.faults.push(if within.is_none() { fault.at(line) } else { fault });
                return;
            }
        };
        let content_type = headers.content_type();
        match content_type.strip_prefix("multipart/") {
            Some(_) => self.multipart(&headers, body, depth, within),
            None => self.leaf(&headers, content_type, body),
        }
    }

    fn multipart(&mut self, headers: &Headers, body: &[u8], depth: usize, within: Option<&Label>) {
        let mut fault = |code, message: &str, next: &str| {
            self.faults.push(Fault::new(code, message, next).within(within));
        };
        if depth >= MAX_DEPTH {
            let next = "put the parts side by side into one multipart";
            return fault(TOO_LARGE, "multiparts lie too deep in one another", next);
        }
        let Some(boundary) =
            headers.parameter("content-type", "boundary").filter(|b| !b.is_empty())
        else {
            let next = "write Content-Type: multipart/mixed; boundary=\"==BOUNDARY==\"";
            return fault(INVALID, "the multipart names no boundary", next);
        };
        if !matches!(Encoding::of(headers), Ok(Encoding::Plain)) {
            let next = "leave its Content-Transfer-Encoding out; encode the parts (RFC 2045, 6.4)";
            return fault(INVALID, "a multipart is itself encoded", next);
        }
        let Some(parts) = between(body, boundary.as_bytes()) else {
            let next =
                "end it with the closing line --BOUNDARY--, each delimiter on a line of its own";
            return fault(DAMAGED, "the MIME message has no closing line: it was cut short", next);
        };
        if parts.is_empty() {
            let next = "write each part behind a line --BOUNDARY";
            return fault(INVALID, "the MIME message has no parts", next);
        }
        for part in parts {
            if self.count >= MAX_PARTS || self.size > MAX_SCRIPT {
                let message = match self.count >= MAX_PARTS {
                    true => format!("it has more than {MAX_PARTS} parts"),
                    false => format!("its parts unpack to more than {} MiB", MAX_SCRIPT >> 20),
                };
                self.faults.push(Fault::new(TOO_LARGE, message, "send less"));
                return;
            }
            self.entity(part, depth + 1, Some(&Label { number: self.count + 1, name: None }));
        }
    }

    fn leaf(&mut self, headers: &Headers, content_type: String, body: &[u8]) {
        self.count += 1;
        let label = Label { number: self.count, name: headers.file_name() };
        if let Some(name) = ["merge-type", "x-merge-type", "launch-index"]
            .into_iter()
            .find(|name| headers.get(name).is_some())
        {
            let message = format!("the header {name} is not understood");
            let next = "leave it out, and write the cloud-config as it shall be";
            self.faults.push(Fault::new(UNSUPPORTED, message, next).within(Some(&label)));
        }
        match decoded(headers, &content_type, body) {
            Ok(bytes) => {
                self.size += bytes.len() as u64;
                self.leaves.push(Leaf { label, content_type, bytes });
            }
            Err(fault) => self.faults.push(fault.within(Some(&label))),
        }
    }
}

fn decoded(headers: &Headers, content_type: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
    let encoding = Encoding::of(headers)?;
    let bytes = encoding.decode(body)?;
    let bytes = match encoding {
        Encoding::Plain if content_type.starts_with("text/") => line_feeds(bytes),
        _ => bytes,
    };
    if !bytes.starts_with(GZIP) {
        return Ok(bytes);
    }
    payload::inflate(&bytes).map_err(|e| {
        let code = if e == payload::PayloadError::TooLarge { TOO_LARGE } else { DAMAGED };
        Fault::new(code, e.to_string(), "pack it again, and send gzip data in base64")
    })
}

/// An unencoded text of which every line ends with CR LF has them of the message (RFC 2046,
/// 4.1.1), not of its own.
fn line_feeds(bytes: Vec<u8>) -> Vec<u8> {
    let lines = || bytes.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n"));
    if lines().next().is_none() || !lines().all(|line| line.ends_with(b"\r\n")) {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// What stands between the delimiters; `None` where the closing one is missing. The line end
/// before a delimiter belongs to it (RFC 2046, 5.1.1).
fn between<'a>(body: &'a [u8], boundary: &[u8]) -> Option<Vec<&'a [u8]>> {
    let mut parts = Vec::new();
    let mut start = None;
    let mut at = 0;
    for line in body.split_inclusive(|&b| b == b'\n') {
        let (begin, end) = (at, at + line.len());
        at = end;
        let Some(rest) = line.strip_prefix(b"--").and_then(|l| l.strip_prefix(boundary)) else {
            continue;
        };
        // Blank space may follow a delimiter (RFC 2046, 5.1.1), nothing else may.
        let closing = match rest.trim_ascii() {
            b"" => false,
            b"--" => true,
            _ => continue,
        };
        if let Some(start) = start {
            let part: &[u8] = body.get(start..begin).unwrap_or_default();
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            parts.push(part.strip_suffix(b"\r").unwrap_or(part));
        }
        if closing {
            return Some(parts);
        }
        start = Some(end);
    }
    None
}

#[cfg(test)]
mod tests;
