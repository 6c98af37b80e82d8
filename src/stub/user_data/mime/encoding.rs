//! Transfer encodings (RFC 2045, 6).

use super::super::fault::{DAMAGED, Fault, UNSUPPORTED};
use super::header::Headers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it stands: 7bit, 8bit, binary.
    Plain,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    /// That of a part.
    ///
    /// # Errors
    /// It is none of the RFC's.
    pub(super) fn of(headers: &Headers) -> Result<Self, Fault> {
        let name = headers.get("content-transfer-encoding").unwrap_or("7bit");
        match name.trim_matches('"').to_ascii_lowercase().as_str() {
            "" | "7bit" | "8bit" | "binary" => Ok(Self::Plain),
            "base64" => Ok(Self::Base64),
            "quoted-printable" => Ok(Self::QuotedPrintable),
            _ => Err(Fault::new(
                UNSUPPORTED,
                "its Content-Transfer-Encoding is unknown",
                "write base64, quoted-printable, 7bit or 8bit",
            )),
        }
    }

    /// Decodes a part's content.
    ///
    /// # Errors
    /// It is not what its header says.
    pub(super) fn decode(self, body: &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Plain => Ok(body.to_vec()),
            Self::Base64 => {
                let packed: Vec<u8> =
                    body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
                // No byte of it goes into the message.
                STANDARD.decode(packed).map_err(|_| damaged("base64"))
            }
            Self::QuotedPrintable => {
                quoted_printable(body).ok_or_else(|| damaged("quoted-printable"))
            }
        }
    }
}

fn damaged(what: &str) -> Fault {
    let message = format!("its header says {what}, and its content is none");
    Fault::new(DAMAGED, message, "encode the part again; it may have been cut short")
}

/// Decodes RFC 2045, 6.7. `None` where a `=` is followed by neither two digits nor a line end.
fn quoted_printable(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&b| b == b'\n') {
        // Blank space at a line's end was added on the way.
        let text = line.trim_ascii_end();
        let (text, soft) = match text.strip_suffix(b"=") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            (rest, _) = (after, ());
            if byte != b'=' {
                out.push(byte);
                continue;
            }
            let digits = rest.get(..2)?;
            let digits = std::str::from_utf8(digits)
                .ok()
                .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = rest.get(2..)?;
        }
        if !soft && line.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &[u8]) -> Option<String> {
        quoted_printable(text).map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn quoted_printable_is_decoded_with_its_soft_line_ends() {
        assert_eq!(quoted(b"a=3Db=\r\nc \t\r\nd").unwrap(), "a=bc\nd");
        assert_eq!(quoted(b"caf=c3=A9=\n").unwrap(), "café");
        assert_eq!(quoted(b"=20\n").unwrap(), " \n");
        for bad in [b"a=zz".as_slice(), b"a=4", b"a=4=\n", b"=+1"] {
            assert_eq!(quoted(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn base64_is_taken_whole_or_not_at_all() {
        assert_eq!(Encoding::Base64.decode(b"aGVs\r\nbG8=\r\n").unwrap(), b"hello");
        let fault = Encoding::Base64.decode(b"aGVs*G8=").unwrap_err();
        assert!(!fault.to_string().contains('*') && fault.code == DAMAGED);
        assert!(Encoding::Base64.decode(b"aGVsbG8").is_err(), "cut short");
    }
}
