//! The stand-in is as strict as the real service: else the tests beside this one could
//! not fail.

use crate::util::metadata::{Service, client};
use serde_json::json;

const TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "X-aws-ec2-metadata-token";

fn put(service: &Service, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = client().put(format!("{}/latest/api/token", service.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = request.send_empty().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

fn get(service: &Service, path: &str, token: Option<&str>) -> (u16, String) {
    let mut request = client().get(format!("{}{path}", service.url()));
    if let Some(token) = token {
        request = request.header(TOKEN, token);
    }
    let mut answer = request.call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn a_token_is_given_only_to_those_who_ask_rightly() {
    let service = Service::start(&[]);
    assert_eq!(put(&service, &[]).0, 400);
    for bad in ["", "0", "21601", "-1", "1.5", "soon"] {
        assert_eq!(put(&service, &[(TTL, bad)]).0, 400, "{bad:?}");
    }
    assert_eq!(put(&service, &[(TTL, "60"), ("X-Forwarded-For", "192.0.2.1")]).0, 403);
    assert_eq!(put(&service, &[(TTL, "21600")]).0, 200);
}

#[test]
fn nothing_is_told_without_a_token_that_is_valid() {
    let service = Service::start(&[]);
    let path = "/latest/meta-data/instance-id";
    assert_eq!(get(&service, path, None).0, 401);
    assert_eq!(get(&service, path, Some("made-up")).0, 401);
    let (_, short) = put(&service, &[(TTL, "1")]);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(get(&service, path, Some(&short)).0, 401);
    let (_, token) = put(&service, &[(TTL, "60")]);
    assert_eq!(get(&service, path, Some(&token)), (200, "i-0123456789abcdef0".into()));
    service.expire_tokens();
    assert_eq!(get(&service, path, Some(&token)).0, 401);
    let tokens: Vec<_> = service.log().iter().map(|r| r["token"].clone()).collect();
    let told = json!(["none", "unknown", "none", "expired", "none", "valid", "expired"]);
    assert_eq!(json!(tokens), told);
}

#[test]
fn directories_are_listed_and_what_is_not_there_is_404() {
    let service = Service::start(&["--role", "r", "--ssh-key", "ssh-ed25519 AAAA me"]);
    let (_, token) = put(&service, &[(TTL, "60")]);
    let asked = |path: &str| get(&service, path, Some(&token));
    for path in ["/latest/meta-data/iam", "/2021-03-23/meta-data/iam/"] {
        assert_eq!(asked(path), (200, "info\nsecurity-credentials/".into()), "{path}");
    }
    assert!(asked("/").1.lines().any(|v| v == "2009-04-04"));
    assert_eq!(asked("/latest").1, "dynamic\nmeta-data");
    assert_eq!(asked("/latest/meta-data/public-keys/").1, "0=test-key");
    assert_eq!(asked("/latest/meta-data/instance-id/").1, "i-0123456789abcdef0");
    for path in ["/latest/user-data", "/2001-01-01/meta-data", "/latest/meta-data/nothing"] {
        assert_eq!(asked(path).0, 404, "{path}");
    }
    service.change(json!({"user_data": "hello", "instance_id": "i-0aaaaaaaaaaaaaaaa"}));
    assert_eq!(asked("/latest/user-data").1, "hello");
    assert_eq!(asked("/latest/meta-data/instance-id").1, "i-0aaaaaaaaaaaaaaaa");
}
