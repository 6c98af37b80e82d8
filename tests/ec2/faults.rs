//! Faults of the API, of the credentials and of the clock.

use super::{
    INSTANCE, Outcome, PATIENT, account, credentials, has_note, made_up, printed, problem,
};
use super::{write, write_one, write_renewing};
use crate::front::{Does, Front};
use crate::util::moto::Moto;
use agent::ec2::credentials::Credentials;
use agent::ec2::tags::{Failure, Note};
use jiff::{SignedDuration, Timestamp};

/// What a front that misbehaves `times` times, and is good then, makes of a tag.
fn after(times: usize, fault: Does) -> (Outcome, usize) {
    let front = Front::alone(move |_, n| if n < times { fault.clone() } else { Does::good() });
    let outcome = write_one(&front.url(), &PATIENT);
    (outcome, front.seen().len())
}

#[test]
fn what_passes_is_tried_again() {
    let html = Does::Answer(503, String::new(), "<html>Service Unavailable</html>".into());
    let login =
        Does::Answer(200, String::new(), "<html>Sign in to the guest network</html>".into());
    for fault in [
        Does::error(503, "RequestLimitExceeded"),
        Does::error(400, "Throttling"),
        Does::error(500, "InternalError"),
        Does::error(503, "Unavailable"),
        // Just after the launch.
        Does::error(400, "InvalidInstanceID.NotFound"),
        html,
        login,
        Does::Close,
        Does::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        Does::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n<CreateTagsResp".to_vec()),
    ] {
        let (outcome, requests) = after(2, fault.clone());
        let written = outcome.unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!((written.attempts, requests), (3, 3), "{fault:?}");
    }
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    let moved = "Location: http://127.0.0.1:9/\r\n".to_owned();
    for (fault, code) in [
        (Does::error(403, "UnauthorizedOperation"), "tag-denied"),
        (Does::error(400, "InvalidID"), "tag-refused"),
        (Does::error(400, "TagLimitExceeded"), "tag-refused"),
        (Does::error(400, "MadeUpCode"), "tag-refused"),
        (Does::error(401, "AuthFailure"), "tag-credentials-refused"),
        (Does::error(403, "SignatureDoesNotMatch"), "tag-credentials-refused"),
        (Does::error(400, "RequestExpired"), "tag-credentials-expired"),
        (Does::Answer(404, String::new(), "no such page".into()), "tag-endpoint-strange"),
        // Its request would go elsewhere, with its token.
        (Does::Answer(307, moved.clone(), String::new()), "tag-endpoint-strange"),
        (Does::Answer(302, moved, String::new()), "tag-endpoint-strange"),
    ] {
        let (outcome, requests) = after(1, fault.clone());
        problem(&outcome, code);
        assert_eq!(requests, 1, "{fault:?}");
    }
}

#[test]
fn one_tag_that_cannot_be_written_does_not_stop_the_next() {
    let front = Front::alone(|request, _| {
        if request.key() == "a" { Does::error(403, "UnauthorizedOperation") } else { Does::good() }
    });
    let mut account = account(&front.url(), made_up());
    let outcomes = write(&mut account, INSTANCE, &[("a", "1"), ("b", "2"), ("c", "3")], &PATIENT);
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn expired_credentials_are_renewed_and_kept() {
    let moto = Moto::start();
    let instance = moto.instance();
    let good = credentials(&moto.role("agent", &["ec2:CreateTags"]));
    moto.checks(true);
    let id = good.access_key_id.clone();
    // What the mock, which lets no keys run out, would say to the old ones.
    let front = Front::of(&moto.url(), move |request, _| {
        let fresh = request.header("authorization").is_some_and(|a| a.contains(&id));
        if fresh { Does::Forward } else { Does::error(400, "ExpiredToken") }
    });
    let mut account = account(&front.url(), made_up());
    let mut asked = 0;
    let mut renew = || -> Option<Credentials> {
        asked += 1;
        Some(good.clone())
    };
    let tags = [("a", "1"), ("b", "2")];
    let outcomes = write_renewing(&mut account, &instance, &tags, &PATIENT, &mut renew);
    assert_eq!(asked, 1);
    assert!(has_note(&outcomes[0], |n| *n == Note::CredentialsRenewed), "{outcomes:?}");
    let attempts: Vec<u32> = outcomes.into_iter().map(|o| o.unwrap().attempts).collect();
    assert_eq!(attempts, [2, 1]);
    assert_eq!(moto.tags(&instance).len(), 2);
}

#[test]
fn credentials_that_are_not_new_are_not_tried() {
    let old = made_up();
    let mut newer = made_up();
    newer.access_key_id = "ASIANEWERBUTREFUSED".into();
    for (fresh, requests) in [(None, 1), (Some(old), 1), (Some(newer), 2)] {
        let front = Front::alone(|_, _| Does::error(400, "ExpiredToken"));
        let mut account = account(&front.url(), made_up());
        let mut renew = || fresh.clone();
        let outcomes = write_renewing(&mut account, INSTANCE, &[("k", "v")], &PATIENT, &mut renew);
        problem(&outcomes[0], "tag-credentials-expired");
        assert_eq!(front.seen().len(), requests);
    }
}

#[test]
fn a_wrong_clock_is_corrected_by_the_servers() {
    for (hours, code) in [(-5, "RequestExpired"), (7, "AuthFailure"), (1, "SignatureDoesNotMatch")]
    {
        let ahead = SignedDuration::from_hours(hours);
        let front = Front::alone(move |request, _| {
            let now = Timestamp::now() + ahead;
            let near = request.header("x-amz-date").is_some_and(|date| {
                let date = jiff::fmt::strtime::parse("%Y%m%dT%H%M%S%z", date.replace('Z', "+0000"));
                let date = date.unwrap().to_timestamp().unwrap();
                date.duration_since(now).abs() < SignedDuration::from_mins(5)
            });
            let header = now.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n").to_string();
            if near { Does::good() } else { Does::error_at(400, code, &header) }
        });
        let mut account = account(&front.url(), made_up());
        let outcomes = write(&mut account, INSTANCE, &[("a", "1"), ("b", "2")], &PATIENT);
        assert!(has_note(&outcomes[0], |n| matches!(n, Note::ClockCorrected(_))), "{outcomes:?}");
        let attempts: Vec<u32> = outcomes.into_iter().map(|o| o.unwrap().attempts).collect();
        assert_eq!(attempts, [2, 1], "what was learned is kept");
    }
    // A server that refuses by any clock is asked twice and no more.
    let front = Front::alone(|_, n| {
        let years = SignedDuration::from_hours(24 * 365 * (i64::try_from(n).unwrap() + 1));
        let header = (Timestamp::now() + years).strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n");
        Does::error_at(400, "RequestExpired", &header.to_string())
    });
    problem(&write_one(&front.url(), &PATIENT), "tag-credentials-expired");
    assert_eq!(front.seen().len(), 2);
}

#[test]
fn an_answer_that_repeats_the_request_gives_no_secret_away() {
    for status in [400, 503, 200] {
        let front = Front::alone(move |request, _| {
            let told = format!("{} {}", request.head, made_up().secret_access_key);
            let body = format!(
                "<Response><Error><Code>MadeUp</Code><Message>{told}</Message></Error></Response>"
            );
            Does::Answer(status, String::new(), body)
        });
        let limits =
            agent::ec2::tags::Limits { deadline: std::time::Duration::from_secs(2), ..PATIENT };
        let outcome = write_one(&front.url(), &limits);
        let error = outcome.unwrap_err();
        let (printed, own) = (printed(&error), made_up());
        for secret in [own.secret_access_key, own.session_token, own.access_key_id] {
            assert!(!printed.contains(&secret), "{printed}");
        }
        // The fake did repeat it.
        let repeated =
            matches!(&error.failure, Failure::Refused(r) if r.message.contains("[redacted]"));
        assert_eq!(repeated, status != 200, "{error:?}");
    }
}
