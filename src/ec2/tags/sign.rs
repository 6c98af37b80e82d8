//! Signature Version 4, by AWS's own library.

use crate::ec2::credentials::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use std::time::SystemTime;

/// The headers that make a POST of `body` to `url` one of these credentials: `signed`
/// and what the signature adds. `at` is the time that AWS takes it to be.
///
/// The error says no more than that: the library's could hold what it was given.
pub(super) fn headers(
    url: &str,
    signed: &[(&'static str, &str)],
    body: &str,
    credentials: &Credentials,
    region: &str,
    at: SystemTime,
) -> Result<Vec<(String, String)>, &'static str> {
    let identity = aws_credential_types::Credentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.as_str(),
        (!credentials.session_token.is_empty()).then(|| credentials.session_token.clone()),
        None,
        "instance role",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("ec2")
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| "a parameter of the signature is missing")?
        .into();
    let body = SignableBody::Bytes(body.as_bytes());
    let request = SignableRequest::new("POST", url, signed.iter().copied(), body)
        .map_err(|_| "the request cannot be signed")?;
    let (added, _) =
        sign(request, &parameters).map_err(|_| "the request cannot be signed")?.into_parts();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Ok(signed.iter().copied().map(owned).chain(added.headers().map(owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn signed(token: &str) -> Vec<(String, String)> {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: token.into(),
            expires_at: jiff::Timestamp::MAX,
        };
        let known = [("host", "ec2.eu-west-1.amazonaws.com"), ("content-type", "text/plain")];
        let at = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        headers(
            "https://ec2.eu-west-1.amazonaws.com/",
            &known,
            "Action=X",
            &credentials,
            "eu-west-1",
            at,
        )
        .unwrap()
    }

    fn value<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
        headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn the_scope_and_the_signed_headers_are_those_of_the_request() {
        let headers = signed("FQoGtoken");
        assert_eq!(value(&headers, "x-amz-date"), Some("20150830T123600Z"));
        assert_eq!(value(&headers, "x-amz-security-token"), Some("FQoGtoken"));
        let authorization = value(&headers, "authorization").unwrap();
        for part in [
            "Credential=AKIDEXAMPLE/20150830/eu-west-1/ec2/aws4_request",
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token",
        ] {
            assert!(authorization.contains(part), "{authorization}");
        }
        assert!(value(&signed(""), "x-amz-security-token").is_none());
    }
}
