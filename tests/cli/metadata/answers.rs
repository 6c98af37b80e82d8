//! What the service says, and what is taken of it.

use super::{ID, assert_no_v1, patient, problem};
use crate::util::metadata::Service;
use crate::util::{file, fresh};
use agent::ec2::imds::{self, Session};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

#[test]
fn everything_is_asked_with_one_token_and_comes_back_as_it_was_given() {
    let dir = fresh();
    let bytes: Vec<u8> = (0..=255).cycle().take(16_384).collect();
    let user_data = file(dir.path(), "user-data", &bytes);
    let service = Service::start(&[
        "--region",
        "us-gov-west-1",
        "--block-device",
        "ebs1=sdf",
        "--user-data",
        user_data.to_str().unwrap(),
    ]);
    let metadata = imds::collect(&patient(&[&service.url()])).unwrap();
    assert_eq!((metadata.instance_id.as_str(), metadata.region.as_str()), (ID, "us-gov-west-1"));
    assert!(metadata.user_data == Some(bytes), "other bytes came back");
    let devices = [("ami", "/dev/sda1"), ("ebs1", "sdf"), ("root", "/dev/sda1")];
    let devices = devices.map(|(name, device)| (name.to_owned(), device.to_owned()));
    assert_eq!(metadata.block_devices, devices.into());

    let log = service.log();
    assert_eq!(log[0]["method"], "PUT");
    assert_eq!(log[0]["ttl"], "300");
    assert_eq!(service.count("PUT"), 1);
    assert!(log.iter().skip(1).all(|r| r["method"] == "GET" && r["token"] == "valid"), "{log:#?}");
}

#[test]
fn no_user_data_and_empty_user_data_are_none() {
    let service = Service::start(&[]);
    let settings = patient(&[&service.url()]);
    assert_eq!(imds::collect(&settings).unwrap().user_data, None);
    assert_eq!(service.count("GET /latest/user-data 404"), 1, "a 404 is not asked again");
    service.change(json!({"user_data": ""}));
    assert_eq!(imds::collect(&settings).unwrap().user_data, None);
}

#[test]
fn user_data_has_a_cap_to_the_byte() {
    let service = Service::start(&[]);
    let settings = patient(&[&service.url()]);
    for (length, fits) in [(65_536, true), (65_537, false), (8 << 20, false)] {
        service.change(json!({"user_data_base64": BASE64.encode(vec![b'x'; length])}));
        let result = imds::collect(&settings);
        if fits {
            assert_eq!(result.unwrap().user_data.unwrap().len(), length);
        } else {
            problem(result, "metadata-too-big", "/latest/user-data: more than 65536 bytes");
        }
    }
}

#[test]
fn other_answers_have_a_cap_too() {
    let service = Service::start(&[]);
    for (only, path) in [("PUT", "/latest/api/token"), ("GET", "/latest/meta-data/instance-id")] {
        service.faults(json!([{"do": "huge", "bytes": 1 << 20, "only": only}]));
        problem(imds::collect(&patient(&[&service.url()])), "metadata-too-big", path);
    }
}

#[test]
fn a_device_that_vanishes_is_left_out() {
    let service = Service::start(&["--block-device", "ebs1=sdf"]);
    service.faults(json!([
        {"do": "status", "status": 404, "only": "GET /latest/meta-data/block-device-mapping/ebs1"}
    ]));
    let metadata = imds::collect(&patient(&[&service.url()])).unwrap();
    assert_eq!(metadata.block_devices.into_keys().collect::<Vec<_>>(), ["ami", "root"]);
}

#[test]
fn the_role_gives_credentials() {
    let service = Service::start(&["--role", "mint-vm+role=1,a.b@c_d"]);
    let credentials = imds::credentials(&patient(&[&service.url()])).unwrap();
    assert_eq!(credentials.access_key_id, "ASIATESTTESTTESTTEST");
    assert_eq!(credentials.secret_access_key, "test+secret/0123456789abcdefghijklmnopqr");
    assert_eq!(credentials.session_token, "test-session-token//////////0123456789==");
    assert!(credentials.expires_at > jiff::Timestamp::now());
    let path = "GET /latest/meta-data/iam/security-credentials/mint-vm+role=1,a.b@c_d 200";
    assert_eq!(service.count(path), 1, "{:#?}", service.requests());
    assert_no_v1(&service);
}

#[test]
fn an_instance_without_a_role_is_told_so() {
    let service = Service::start(&[]);
    let settings = patient(&[&service.url()]);
    problem(imds::credentials(&settings), "no-role", "/iam/security-credentials/: no role");
    // The role is listed, and gone when it is asked for.
    service.change(json!({"role": {"name": "r"}}));
    service.faults(json!([
        {"do": "status", "status": 404, "only": "GET /latest/meta-data/iam/security-credentials/r"}
    ]));
    problem(imds::credentials(&settings), "no-role", "/iam/security-credentials/r: 404");
}

#[test]
fn a_role_that_may_not_be_assumed_is_told_by_its_code() {
    let service = Service::start(&[]);
    service.change(json!({"role": {"name": "r", "Code": "AssumeRoleUnauthorizedAccess"}}));
    let result = imds::credentials(&patient(&[&service.url()]));
    problem(result, "role-refused", "security-credentials/r: AssumeRoleUnauthorizedAccess");
}

#[test]
fn broken_credentials_are_refused_and_none_of_them_is_told() {
    let service = Service::start(&[]);
    let secret = "very secret indeed";
    for role in [
        json!({"name": "r", "SecretAccessKey": secret}),
        json!({"name": "r", "Token": "", "SecretAccessKey": "very-secret"}),
        json!({"name": "r", "Expiration": "soon", "SecretAccessKey": "very-secret"}),
        json!({"name": "r", "Code": "very secret"}),
    ] {
        service.change(json!({"role": role}));
        let error = imds::credentials(&patient(&[&service.url()])).unwrap_err();
        let all = format!("{error} {error:?}");
        assert!(!all.contains("secret ") && !all.contains("very"), "{all}");
        problem(Err::<(), _>(error), "metadata-garbage", "security-credentials/r: no credentials");
    }
}

#[test]
fn a_token_that_ran_out_is_renewed_in_mid_session() {
    let service = Service::start(&["--role", "r"]);
    let mut session = Session::open(&patient(&[&service.url()])).unwrap();
    assert_eq!(session.instance_id().unwrap(), ID);
    service.expire_tokens();
    assert_eq!(session.region().unwrap(), "eu-central-1");
    assert!(session.credentials().is_ok());
    service.expire_tokens();
    assert!(session.block_devices().is_ok(), "a second renewal in a later request");
    assert_eq!(service.count("PUT /latest/api/token 200"), 3);
    assert_eq!(service.log().iter().filter(|r| r["status"] == 401).count(), 2);
    assert_no_v1(&service);
}

/// Whatever has another shape did not come from EC2.
#[test]
fn garbage_is_refused_wherever_it_comes() {
    let service = Service::start(&[]);
    let settings = patient(&[&service.url()]);
    let meta = "/latest/meta-data";
    for (only, body, seen) in [
        ("PUT", "<html>log in</html>", "/latest/api/token: 19 bytes, not a token"),
        ("PUT", "", "0 bytes, not a token"),
        (
            "GET /latest/meta-data/instance-id",
            "<html>log in</html>",
            "/instance-id: 19 bytes that look like a web page, not an instance id",
        ),
        ("GET /latest/meta-data/instance-id", "i-123", "\"i-123\", not an instance id"),
        ("GET /latest/meta-data/instance-id", "", "nothing, not an instance id"),
        ("GET /latest/meta-data/placement/region", "eu-central-1.evil", "not a region"),
        ("GET /latest/meta-data/block-device-mapping/", "../../api", "not a listing of devices"),
        ("GET /latest/meta-data/block-device-mapping/ami", "/dev/a b", "not a device name"),
    ] {
        service.faults(json!([{"do": "garbage", "body": body, "only": only}]));
        problem(imds::collect(&settings), "metadata-garbage", seen);
    }
    for missing in ["instance-id", "placement/region"] {
        let only = format!("GET {meta}/{missing}");
        service.faults(json!([{"do": "status", "status": 404, "only": only}]));
        problem(imds::collect(&settings), "metadata-garbage", &format!("{missing}: 404"));
    }
    service.faults(json!([{"do": "garbage", "body": "../../user-data", "only": "GET"}]));
    problem(imds::credentials(&settings), "metadata-garbage", "not a role's name");
}

/// A service that repeats the request would have its token quoted.
#[test]
fn an_error_never_quotes_the_token() {
    let service = Service::start(&[]);
    let settings = patient(&[&service.url()]);
    for body in ["it-is-only-a-word", "{headers}"] {
        service.faults(json!([
            {"do": "garbage", "body": "only-a-word", "only": "PUT"},
            {"do": "garbage", "body": body, "only": "GET"}
        ]));
        let error = imds::collect(&settings).unwrap_err();
        let all = format!("{error} {error:?} {:?}", error.problem());
        assert!(!all.contains("only-a-word"), "{all}");
        problem(Err::<(), _>(error), "metadata-garbage", "bytes, not an instance id");
    }
}
