//! The instance stops itself, against a mock that checks every signature and permission.

use super::{INSTANCE, PATIENT, account, credentials, made_up};
use crate::front::{Does, Front};
use crate::util::moto::Moto;
use agent::ec2::stop::{ShutdownBehaviour, StopError, shutdown_behaviour, stop_instance};
use agent::ec2::tags::Limits;
use std::time::Duration;

fn stop(
    endpoint: &str,
    instance: &str,
    keys: agent::ec2::credentials::Credentials,
) -> Result<(), StopError> {
    stop_instance(&mut account(endpoint, keys), instance, &PATIENT, &mut || None)
}

#[test]
fn an_instance_is_stopped_and_another_is_not() {
    let moto = Moto::start();
    let (own, other) = (moto.instance(), moto.instance());
    let keys = moto.role("agent", &["ec2:StopInstances"]);
    moto.checks(true);
    stop(&moto.url(), &own, credentials(&keys)).unwrap();
    assert_eq!(moto.state(&own), "stopped");
    assert_eq!(moto.state(&other), "running");
}

#[test]
fn a_missing_permission_is_named_and_asked_for_once() {
    let moto = Moto::start();
    let instance = moto.instance();
    let keys = moto.role("agent", &["ec2:CreateTags"]);
    moto.checks(true);
    let front = Front::of(&moto.url(), |_, _| Does::Forward);
    let error = stop(&front.url(), &instance, credentials(&keys)).unwrap_err();
    let problem = error.problem();
    assert_eq!((problem.code.as_str(), error.attempts), ("stop-denied", 1));
    assert!(problem.next.contains("allow ec2:StopInstances"), "{problem:?}");
    assert_eq!(front.seen().len(), 1);
    assert_eq!(moto.state(&instance), "running");
}

#[test]
fn keys_are_in_no_error() {
    let moto = Moto::start();
    let instance = moto.instance();
    let mut wrong = credentials(&moto.role("agent", &["ec2:StopInstances"]));
    wrong.secret_access_key = "not-the-secret-of-this-key".into();
    moto.checks(true);
    let error = stop(&moto.url(), &instance, wrong.clone()).unwrap_err();
    assert_eq!(error.problem().code, "stop-credentials-refused");
    let printed = format!("{error} {error:?} {:?}", error.problem());
    for secret in [&wrong.secret_access_key, &wrong.session_token, &wrong.access_key_id] {
        assert!(!printed.contains(secret.as_str()), "{printed}");
    }
}

#[test]
fn what_switching_off_makes_of_it_is_asked_and_doubt_is_termination() {
    let moto = Moto::start();
    let keys = moto.role("agent", &["ec2:DescribeInstanceAttribute"]);
    let behaviour = |word| moto.instance_with(&[("InstanceInitiatedShutdownBehavior", word)]);
    let (stops, terminates) = (behaviour("stop"), behaviour("terminate"));
    moto.checks(true);
    let asked = |instance: &str| {
        let mut account = account(&moto.url(), credentials(&keys));
        shutdown_behaviour(&mut account, instance, &PATIENT, &mut || None).unwrap()
    };
    assert_eq!(asked(&stops), ShutdownBehaviour::Stops);
    assert_eq!(asked(&terminates), ShutdownBehaviour::Terminates);
    let odd = "<DescribeInstanceAttributeResponse><instanceInitiatedShutdownBehavior/>\
               </DescribeInstanceAttributeResponse>";
    let front = Front::alone(move |_, _| Does::Answer(200, String::new(), odd.into()));
    let told =
        shutdown_behaviour(&mut account(&front.url(), made_up()), INSTANCE, &PATIENT, &mut || None);
    assert_eq!(told.unwrap(), ShutdownBehaviour::Terminates);
}

#[test]
fn a_protected_instance_is_told_from_one_that_may_not() {
    let front = Front::alone(|_, _| Does::error(400, "OperationNotPermitted"));
    let error = stop(&front.url(), INSTANCE, made_up()).unwrap_err();
    assert!(error.protected());
    assert_eq!((error.problem().code.as_str(), error.attempts), ("stop-protected", 1));
}

#[test]
fn an_api_that_is_busy_is_asked_again_within_the_deadline() {
    let limits =
        Limits { request_deadline: Duration::from_secs(5), deadline: Duration::from_secs(3) };
    let busy = || Does::error(503, "RequestLimitExceeded");
    let good = "<StopInstancesResponse><requestId>r</requestId></StopInstancesResponse>";
    let front = Front::alone(move |_, before| match before {
        0 => busy(),
        _ => Does::Answer(200, String::new(), good.into()),
    });
    stop(&front.url(), INSTANCE, made_up()).unwrap();
    assert_eq!(front.seen().len(), 2);
    let front = Front::alone(move |_, _| busy());
    let mut account = account(&front.url(), made_up());
    let error = stop_instance(&mut account, INSTANCE, &limits, &mut || None).unwrap_err();
    assert_eq!(error.problem().code, "stop-endpoint-unreachable");
    assert!(error.attempts > 1, "{error}");
}
