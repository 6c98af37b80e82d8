//! What the API's answer means. It is XML of a known, flat form; only five elements are
//! looked for, and what doesn't have them is no answer of the API.

use super::error::{Action, Failure, Refusal};
use crate::ec2::credentials::Credentials;
use crate::ec2::http::Answer;

/// So much of the API's words is kept, in characters.
const LONGEST_MESSAGE: usize = 300;
/// And of its names for errors and requests.
const LONGEST_NAME: usize = 80;

/// What the API said to a request that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ec2) struct Taken {
    /// What AWS calls the request.
    pub(in crate::ec2) request_id: Option<String>,
    /// The one value that was asked for: one word.
    pub(in crate::ec2) value: Option<String>,
}

/// Success with what was said, or how it failed. An answer may repeat the request, with
/// the credentials' token among it: none of that is kept.
pub(super) fn read(
    action: Action,
    answer: &Answer,
    credentials: &Credentials,
) -> Result<Taken, Failure> {
    let status = answer.status;
    let body = answer.body.as_str();
    // One word of what was asked with is not quoted as a name either.
    let name = |text: &str| name(text).filter(|name| credentials.masked(name) == *name);
    let request_id = ["requestId", "RequestId", "RequestID"]
        .into_iter()
        .find_map(|name| element(body, name))
        .or_else(|| answer.request_id.clone())
        .and_then(|id| name(&id));
    let strange = |what: &str| Failure::Strange { status, what: what.into() };
    if (200..300).contains(&status) {
        let root = format!("{}Response", action.word());
        // EC2 says `<return>true</return>`; it has never been seen to say false.
        return match (begins_with(body, &root), element(body, "return").as_deref()) {
            (true, None | Some("true")) => {
                Ok(Taken { request_id, value: element(body, "value").and_then(|v| name(&v)) })
            }
            (true, Some(_)) => Err(strange("the API says that it did not do it")),
            (false, _) => Err(strange("that is no answer of the EC2 API")),
        };
    }
    let Some(code) = element(body, "Code").and_then(|code| name(&code)) else {
        return Err(strange("an error that is not the EC2 API's"));
    };
    let message = element(body, "Message").unwrap_or_default();
    let message = excerpt(&credentials.masked(&message));
    Err(Failure::Refused(Refusal { status, code, message, request_id }))
}

/// Is this the document's first element?
fn begins_with(body: &str, name: &str) -> bool {
    let mut rest = body.trim_start_matches('\u{feff}').trim_start();
    if let Some((_, after)) = rest.strip_prefix("<?").and_then(|r| r.split_once("?>")) {
        rest = after.trim_start();
    }
    rest.strip_prefix('<')
        .and_then(|r| r.strip_prefix(name))
        .is_some_and(|r| r.starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace()))
}

/// The text of the first element of this name, which must hold text alone.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    (!text.contains('<')).then(|| unescaped(text))
}

/// The five entities that XML knows without a declaration; `&` last, so that nothing is undone twice.
fn unescaped(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

/// A code or an id: one word.
fn name(text: &str) -> Option<String> {
    let text = text.trim();
    let plain =
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
    ((1..=LONGEST_NAME).contains(&text.len()) && plain).then(|| text.to_owned())
}

/// One line, bounded. The long code that EC2 adds to a refused permission says nothing to a reader, and
/// neither does the request that it repeats where a signature is wrong.
fn excerpt(message: &str) -> String {
    let told = ["Encoded authorization failure message", "The Canonical String"]
        .into_iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .and_then(|end| message.get(..end))
        .unwrap_or(message);
    let words = told.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            access_key_id: "ASIAEXAMPLE".into(),
            secret_access_key: "wJalrSecret".into(),
            session_token: "FQoGtoken+/=".into(),
            expires_at: jiff::Timestamp::MAX,
        }
    }

    fn told(status: u16, body: &str) -> Result<Option<String>, Failure> {
        let answer = Answer { status, date: None, request_id: None, body: body.into() };
        read(Action::CreateTags, &answer, &credentials()).map(|taken| taken.request_id)
    }

    #[test]
    fn an_attributes_value_is_one_word() {
        let said = |value: &str| {
            let body = format!(
                "<DescribeInstanceAttributeResponse><requestId>r-1</requestId><instanceId>i-0</instanceId>\
                 <instanceInitiatedShutdownBehavior><value>{value}</value>\
                 </instanceInitiatedShutdownBehavior></DescribeInstanceAttributeResponse>"
            );
            let answer = Answer { status: 200, date: None, request_id: None, body };
            read(Action::DescribeInstanceAttribute, &answer, &credentials()).unwrap().value
        };
        assert_eq!(said("stop").as_deref(), Some("stop"));
        assert_eq!(said("two words"), None);
    }

    fn refused(status: u16, body: &str) -> Refusal {
        match told(status, body) {
            Err(Failure::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    const GOOD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <CreateTagsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n  \
        <requestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</requestId>\n  <return>true</return>\n</CreateTagsResponse>";

    #[test]
    fn success_is_the_apis_own_word() {
        let id = Some("7a62c49f-347e-4fc4-9331-6e8eEXAMPLE".to_owned());
        assert_eq!(told(200, GOOD), Ok(id));
        assert_eq!(told(200, "<CreateTagsResponse/>"), Ok(None));
        for bad in [
            "",
            "<html>Sign in to the guest network</html>",
            "<CreateTagsResponses/>",
            "<DeleteTagsResponse><return>true</return></DeleteTagsResponse>",
            &GOOD.replace("true", "false"),
        ] {
            assert!(matches!(told(200, bad), Err(Failure::Strange { status: 200, .. })), "{bad}");
        }
        assert!(matches!(told(302, GOOD), Err(Failure::Strange { status: 302, .. })));
    }

    #[test]
    fn a_refusal_has_its_code_its_words_and_the_requests_id() {
        let body = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not \
            authorized\n to perform: ec2:CreateTags &amp;lt; &quot;x&quot;. Encoded authorization failure \
            message: 4GIOHlTkIaWHQD0Q</Message></Error></Errors><RequestID>0-1_a</RequestID></Response>";
        let refusal = refused(403, body);
        assert_eq!(refusal.code, "UnauthorizedOperation");
        assert_eq!(
            refusal.message,
            "You are not authorized to perform: ec2:CreateTags &lt; \"x\"."
        );
        assert_eq!(refusal.request_id.as_deref(), Some("0-1_a"));
    }

    #[test]
    fn nothing_of_the_credentials_comes_back_with_an_error() {
        let body = "<Response><Error><Code>SignatureDoesNotMatch</Code><Message>no: wJalrSecret \
            ASIAEXAMPLE FQoGtoken+/= ok The Canonical String is\nx-amz-security-token:FQoGtoken+/=\
            </Message></Error></Response>";
        let message = refused(403, body).message;
        assert_eq!(message, "no: [redacted] [redacted] [redacted] ok");
    }

    #[test]
    fn a_key_in_the_place_of_a_name_is_not_kept() {
        let taken = told(
            200,
            "<CreateTagsResponse><requestId>ASIAEXAMPLE</requestId></CreateTagsResponse>",
        );
        assert_eq!(taken, Ok(None));
        let body = "<Code>AuthFailure</Code><RequestID>x-ASIAEXAMPLE</RequestID>";
        assert_eq!(refused(403, body).request_id, None);
        assert!(matches!(told(403, "<Code>wJalrSecret</Code>"), Err(Failure::Strange { .. })));
    }

    #[test]
    fn an_error_without_a_code_is_not_the_apis() {
        let long = format!("<Code>{}</Code>", "x".repeat(81));
        for bad in [
            "",
            "Service Unavailable",
            "<Code></Code>",
            "<Code>a b</Code>",
            "<Code><b/></Code>",
            "<Code>x",
            &long,
        ] {
            assert!(matches!(told(503, bad), Err(Failure::Strange { status: 503, .. })), "{bad}");
        }
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let body = format!("<Code>A</Code><Message>{}</Message>", "ä".repeat(1000));
        assert_eq!(refused(400, &body).message.chars().count(), 300);
    }
}
