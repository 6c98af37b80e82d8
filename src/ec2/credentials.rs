//! What a request to AWS is signed with. It is printed nowhere: `Debug` tells that it is
//! there, and nothing of it.

use std::fmt;

/// Keys of a role, as the instance metadata service hands them out.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Names the keys; no secret, but nobody's business either.
    pub access_key_id: String,
    /// Signs.
    pub secret_access_key: String,
    /// Goes with temporary keys, which those of a role are.
    pub session_token: Option<String>,
}

impl Credentials {
    /// `text` without any of these keys: an answer may repeat what it was asked with.
    pub fn masked(&self, text: &str) -> String {
        let secrets =
            [Some(&self.secret_access_key), self.session_token.as_ref(), Some(&self.access_key_id)];
        secrets
            .into_iter()
            .flatten()
            .filter(|s| !s.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "[redacted]"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([redacted])")
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
            session_token: Some("FQoGtoken==".into()),
        };
        assert_eq!(format!("{own:?}"), "Credentials([redacted])");
        let text = "key ASIAEXAMPLE, token:FQoGtoken==, wJalr/secret.";
        assert_eq!(own.masked(text), "key [redacted], token:[redacted], [redacted].");
        let none = Credentials { access_key_id: String::new(), session_token: None, ..own };
        assert_eq!(none.masked("plain"), "plain");
    }
}
