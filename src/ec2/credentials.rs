//! What a request to AWS is signed with. It is printed nowhere: `Debug` tells when it
//! ends, and nothing else of it.

use jiff::Timestamp;
use std::fmt;

/// What a role may do for a while. Never written anywhere: no Debug, no JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Names the key; no secret, but nobody's business either.
    pub access_key_id: String,
    /// Signs requests.
    pub secret_access_key: String,
    /// Goes with them; empty for keys that have none.
    pub session_token: String,
    /// When they end (UTC).
    pub expires_at: Timestamp,
}

impl Credentials {
    /// `text` without any of these keys: an answer may repeat what it was asked with.
    pub fn masked(&self, text: &str) -> String {
        [&self.secret_access_key, &self.session_token, &self.access_key_id]
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_them_is_printed_or_left_in_a_text() {
        let own = Credentials {
            access_key_id: "ASIAEXAMPLE".into(),
            secret_access_key: "wJalr/secret".into(),
            session_token: "FQoGtoken==".into(),
            expires_at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(format!("{own:?}"), "Credentials { expires_at: 1970-01-01T00:00:00Z, .. }");
        let text = "key ASIAEXAMPLE, token:FQoGtoken==, wJalr/secret.";
        assert_eq!(own.masked(text), "key [redacted], token:[redacted], [redacted].");
        let none =
            Credentials { access_key_id: String::new(), session_token: String::new(), ..own };
        assert_eq!(none.masked("plain"), "plain");
    }
}
