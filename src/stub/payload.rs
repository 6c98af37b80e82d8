//! The user script on its way from the host to the guest: plain or gzip, then base64.
//!
//! The script may hold tokens. [`Script`] shows neither in `Debug` nor in any error
//! more than its length and hash.

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine};
use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::Read;

/// The variable that carries the encoded script (the contract's name).
pub const VARIABLE: &str = "MINT_USER_BOOTSTRAP";

/// The largest script that is unpacked, in bytes. A gzip member of some kilobytes can
/// swell a thousandfold; no bootstrap script is this long.
pub const MAX_SCRIPT: u64 = 8 << 20;

/// How gzip data begins (RFC 1952).
pub(super) const GZIP: &[u8] = &[0x1f, 0x8b];

/// With or without padding: both are in use.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user script's bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Script(Vec<u8>);

impl Script {
    /// A script from its own bytes, unpacked where they are gzip.
    ///
    /// # Errors
    /// The gzip data is damaged, or unpacks to more than [`MAX_SCRIPT`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, PayloadError> {
        if bytes.starts_with(GZIP) {
            return inflate(&bytes).map(Self);
        }
        Self::verbatim(bytes)
    }

    /// A script of exactly these bytes, whatever they are.
    ///
    /// # Errors
    /// There are more than [`MAX_SCRIPT`].
    pub fn verbatim(bytes: Vec<u8>) -> Result<Self, PayloadError> {
        if bytes.len() as u64 > MAX_SCRIPT {
            return Err(PayloadError::TooLarge);
        }
        Ok(Self(bytes))
    }

    /// A script from base64 text, as [`VARIABLE`] holds it. `None` where the text is
    /// empty: no script is wanted. White space is passed over.
    ///
    /// # Errors
    /// The text is no base64, or what it holds is no script (see [`Script::from_bytes`]).
    pub fn decode(text: &[u8]) -> Result<Option<Self>, PayloadError> {
        let packed: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        if packed.is_empty() {
            return Ok(None);
        }
        let bytes = LENIENT.decode(&packed).map_err(|e| PayloadError::NotBase64 {
            // The offset alone: base64's own message shows the offending byte.
            at: match e {
                base64::DecodeError::InvalidByte(at, _) => Some(at),
                _ => None,
            },
        })?;
        let script = Self::from_bytes(bytes)?;
        Ok((!script.0.is_empty()).then_some(script))
    }

    /// The text for [`VARIABLE`]: base64 of the script, or of its gzip where that is shorter.
    pub fn encode(&self) -> String {
        let packed = self.packed();
        match self.plain() {
            Some(plain) if plain.len() <= packed.len() => plain,
            _ => packed,
        }
    }

    /// Base64 of the script as it is, which any tool can read. `None` where it is itself
    /// gzip data: the reader would unpack it.
    pub(super) fn plain(&self) -> Option<String> {
        (!self.0.starts_with(GZIP)).then(|| STANDARD.encode(&self.0))
    }

    /// Base64 of the script's gzip.
    pub(super) fn packed(&self) -> String {
        let mut packed = Vec::new();
        // Reading from memory into memory doesn't fail; text that cannot be unpacked would
        // be seen by the reader.
        let _ = GzEncoder::new(self.0.as_slice(), Compression::best()).read_to_end(&mut packed);
        STANDARD.encode(&packed)
    }

    /// This one, and the other behind it.
    pub fn followed_by(&self, other: &Self) -> Self {
        Self([self.0.as_slice(), &other.0].concat())
    }

    /// The script itself.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the script's bytes, in hexadecimal: the payload's name in the ledger.
    pub fn sha256(&self) -> String {
        sha256(&self.0)
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({} bytes)", self.0.len())
    }
}

/// Unpacks gzip data whole: every member, and nothing behind the last.
pub(super) fn inflate(bytes: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(MAX_SCRIPT + 1)
        .read_to_end(&mut out)
        .map_err(|_| PayloadError::DamagedGzip)?;
    if out.len() as u64 > MAX_SCRIPT {
        return Err(PayloadError::TooLarge);
    }
    Ok(out)
}

/// Why a payload is no script. No byte of it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// Not base64; the first offending byte's offset where it is known.
    NotBase64 {
        /// Offset in the text without white space.
        at: Option<usize>,
    },
    /// It starts as gzip and cannot be unpacked.
    DamagedGzip,
    /// It is, or unpacks to, more than [`MAX_SCRIPT`] bytes.
    TooLarge,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64 { at: Some(at) } => write!(f, "it is not base64 (byte {at})"),
            Self::NotBase64 { at: None } => f.write_str("it is not base64 (cut short)"),
            Self::DamagedGzip => f.write_str("its gzip data is damaged or cut short"),
            Self::TooLarge => write!(f, "it is larger than {} MiB", MAX_SCRIPT >> 20),
        }
    }
}

impl std::error::Error for PayloadError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(bytes: &[u8]) -> Script {
        Script::from_bytes(bytes.to_vec()).unwrap()
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).cycle().take(4096).collect();
        for bytes in [b"#!/bin/sh\necho hi\n".as_slice(), &all, b"x"] {
            let s = script(bytes);
            assert_eq!(Script::decode(s.encode().as_bytes()).unwrap().unwrap(), s);
        }
    }

    #[test]
    fn empty_text_means_no_script() {
        assert_eq!(Script::decode(b"").unwrap(), None);
        assert_eq!(Script::decode(b" \n").unwrap(), None);
    }

    #[test]
    fn wrapped_and_unpadded_base64_is_read() {
        assert_eq!(Script::decode(b"IyEv\nYmlu").unwrap().unwrap().bytes(), b"#!/bin");
        assert_eq!(Script::decode(b"IyE").unwrap().unwrap().bytes(), b"#!");
    }

    #[test]
    fn damage_is_named_without_showing_a_byte() {
        let e = Script::decode(b"secret*token").unwrap_err();
        assert_eq!(e, PayloadError::NotBase64 { at: Some(6) });
        assert!(!e.to_string().contains("secret"));
        let mut gz = STANDARD.decode(script(&[b'a'; 4096]).encode()).unwrap();
        gz.truncate(gz.len() - 6);
        assert_eq!(Script::from_bytes(gz).unwrap_err(), PayloadError::DamagedGzip);
    }

    #[test]
    fn gzip_is_unpacked_whole_or_not_at_all() {
        let member = |text: &[u8]| STANDARD.decode(script(text).packed()).unwrap();
        let two = [member(b"#!/bin/sh\n"), member(b"echo\n")].concat();
        assert_eq!(script(&two).bytes(), b"#!/bin/sh\necho\n");
        let more = [member(b"#!/bin/sh\n"), b"rest".to_vec()].concat();
        assert_eq!(Script::from_bytes(more).unwrap_err(), PayloadError::DamagedGzip);
        let twice = Script::verbatim(member(b"x")).unwrap();
        assert_eq!(twice.plain(), None);
        assert_eq!(Script::decode(twice.encode().as_bytes()).unwrap().unwrap(), twice);
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut gz = Vec::new();
        let zeros = std::io::repeat(0).take(MAX_SCRIPT + 1);
        GzEncoder::new(zeros, Compression::best()).read_to_end(&mut gz).unwrap();
        assert!(gz.len() < 20_000);
        assert_eq!(Script::from_bytes(gz).unwrap_err(), PayloadError::TooLarge);
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", script(b"token")), "Script(5 bytes)");
    }
}
