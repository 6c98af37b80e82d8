//! A service that is ill, or is another one.

use super::{CLOSED, ID, assert_no_v1, hasty, patient, problem};
use crate::util::metadata::Service;
use agent::ec2::imds::{self, ImdsError, Metadata};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Collects from a service with these faults, with time enough or with just enough to see
/// that nothing comes.
fn with_faults(rules: Value, is_patient: bool) -> (Service, Result<Metadata, ImdsError>, Duration) {
    let service = Service::start(&["--block-device", "ebs1=sdf"]);
    service.change(json!({"user_data": "#!/bin/sh\n"}));
    service.faults(rules);
    let url = service.url();
    let began = Instant::now();
    let settings = if is_patient { patient(&[&url]) } else { hasty(&[&url]) };
    let result = imds::collect(&settings);
    (service, result, began.elapsed())
}

#[track_caller]
fn mended_by_itself(rules: Value) -> Service {
    let (service, result, _) = with_faults(rules, true);
    let metadata = result.unwrap_or_else(|e| panic!("{e}: {:#?}", service.requests()));
    assert_eq!(metadata.instance_id, ID);
    assert_eq!(metadata.user_data.as_deref(), Some(b"#!/bin/sh\n".as_slice()));
    assert_eq!(metadata.block_devices.len(), 3);
    assert_no_v1(&service);
    service
}

/// Ends with `code` at the deadline, neither before nor long after.
#[track_caller]
fn ends_at_the_deadline(rules: Value, code: &str, seen: &str) -> Service {
    let (service, result, took) = with_faults(rules, false);
    problem(result, code, seen);
    assert!(took >= Duration::from_millis(700), "it did not try again: {took:?}");
    assert!(took < Duration::from_secs(15), "the deadline was 4 s: {took:?}");
    assert_no_v1(&service);
    service
}

/// Ends with `code` at the first answer.
#[track_caller]
fn ends_at_once(rules: Value, code: &str, seen: &str) -> Service {
    let (service, result, took) = with_faults(rules, true);
    problem(result, code, seen);
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_no_v1(&service);
    service
}

#[test]
fn a_slow_service_is_waited_for() {
    let (_, result, took) = with_faults(json!([{"do": "slow", "seconds": 0.2}]), true);
    assert!(result.is_ok() && took >= Duration::from_millis(1_600), "{took:?} {result:?}");
}

#[test]
fn a_service_that_is_starting_is_asked_again() {
    for status in [500, 502, 503, 429] {
        let service = mended_by_itself(json!([
            {"do": "status", "status": status, "only": "PUT", "times": 2},
            {"do": "status", "status": status, "only": "GET /latest/user-data", "times": 1}
        ]));
        assert_eq!(service.count(&format!("PUT /latest/api/token {status}")), 2);
        assert_eq!(service.count("GET /latest/user-data"), 2);
    }
}

#[test]
fn connections_that_break_off_are_made_again() {
    mended_by_itself(json!([{"do": "reset", "times": 2}]));
    mended_by_itself(json!([{"do": "reset", "only": "GET", "times": 2}]));
}

#[test]
fn requests_that_get_no_answer_are_made_again() {
    let service = Service::start(&[]);
    service.faults(json!([
        {"do": "hang", "only": "PUT", "times": 1},
        {"do": "hang", "only": "GET", "times": 1}
    ]));
    let settings = super::settings(&[&service.url()], 1_000, 20_000);
    assert_eq!(imds::collect(&settings).unwrap().instance_id, ID);
    assert_eq!((service.count("PUT"), service.count("GET /latest/meta-data/instance-id")), (2, 2));
}

/// Half of a script must never pass for the whole.
#[test]
fn half_a_body_is_not_taken() {
    let only = "GET /latest/user-data";
    let service = mended_by_itself(json!([{"do": "cut", "only": only, "times": 1}]));
    assert_eq!(service.count(only), 2);
    let (code, seen) = ("metadata-unavailable", "/latest/user-data: broke off");
    ends_at_the_deadline(json!([{"do": "cut", "only": only}]), code, seen);
}

#[test]
fn errors_without_an_end_are_told_with_their_status() {
    let (code, seen) = ("metadata-unavailable", "PUT http://127.0.0.1:");
    let service = ends_at_the_deadline(json!([{"do": "status", "status": 503}]), code, seen);
    assert!(service.count("PUT /latest/api/token 503") >= 3, "{:?}", service.requests());
    let rules = json!([{"do": "status", "status": 503, "only": "GET"}]);
    ends_at_the_deadline(rules, code, "/latest/meta-data/instance-id: 503, attempt ");
}

#[test]
fn resets_without_an_end_are_told() {
    let rules = json!([{"do": "reset"}]);
    ends_at_the_deadline(rules, "metadata-unavailable", "/latest/api/token: broke off");
}

#[test]
fn a_port_that_takes_connections_and_gives_no_token_is_a_hop_limit() {
    let service = Service::start(&[]);
    service.faults(json!([{"do": "hang", "only": "PUT"}]));
    let began = Instant::now();
    let result = imds::collect(&hasty(&[&service.url()]));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let problem = problem(result, "metadata-hop-limit", "connected, no whole answer within 1.0 s");
    assert!(problem.message.contains("hop limit is probably 1"), "{problem:?}");
    assert!(problem.next.contains("--http-put-response-hop-limit 2"), "{problem:?}");
    assert_eq!(service.count("GET"), 0);
    assert!(service.count("PUT") >= 2);
}

/// Where a token did come, a silence has another cause.
#[test]
fn a_silence_after_the_token_is_slowness() {
    let rules = json!([{"do": "hang", "only": "GET"}]);
    ends_at_the_deadline(rules, "metadata-slow", "/latest/meta-data/instance-id: connected");
    let rules = json!([
        {"do": "status", "status": 503, "only": "PUT", "times": 1},
        {"do": "hang", "only": "PUT"}
    ]);
    ends_at_the_deadline(rules, "metadata-slow", "/latest/api/token: connected");
}

#[test]
fn nothing_that_listens_is_told_at_the_deadline() {
    let began = Instant::now();
    let result = imds::collect(&hasty(&[CLOSED]));
    let took = began.elapsed();
    problem(result, "metadata-absent", "connection refused");
    assert!(took >= Duration::from_millis(700), "it did not wait for a network: {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn switched_off_is_told_at_once() {
    let rules = json!([{"do": "status", "status": 403}]);
    let service = ends_at_once(rules, "metadata-off", "PUT http://127.0.0.1:");
    assert_eq!(service.requests(), ["PUT /latest/api/token 403"]);
}

#[test]
fn a_service_without_tokens_is_never_asked_the_old_way() {
    for status in [404, 405, 501] {
        let rules = json!([{"do": "status", "status": status, "only": "PUT"}]);
        let seen = format!("/latest/api/token: {status}");
        let service = ends_at_once(rules, "metadata-no-tokens", &seen);
        assert_eq!(service.requests(), [format!("PUT /latest/api/token {status}")]);
    }
}

#[test]
fn a_token_that_is_never_taken_is_renewed_once() {
    let rules = json!([{"do": "status", "status": 401, "only": "GET"}]);
    let service = ends_at_once(rules, "metadata-token-refused", "/instance-id: 401");
    assert_eq!((service.count("PUT"), service.count("GET")), (2, 2));
}

#[test]
fn a_refusal_is_not_asked_again() {
    for only in ["PUT", "GET"] {
        let rules = json!([{"do": "status", "status": 400, "only": only}]);
        let service = ends_at_once(rules, "metadata-refused", ": 400");
        assert_eq!(service.count(only), 1);
    }
}

#[test]
fn what_is_not_http_is_garbage() {
    ends_at_once(json!([{"do": "not-http"}]), "metadata-garbage", "/latest/api/token: not HTTP");
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Service::start(&[]);
    for only in ["PUT", "GET"] {
        let to = format!("{}/latest/meta-data/instance-id", elsewhere.url());
        let rules = json!([{"do": "redirect", "to": to, "only": only}]);
        ends_at_once(rules, "metadata-garbage", ": 302");
    }
    assert_eq!(elsewhere.requests(), [""; 0]);
}
