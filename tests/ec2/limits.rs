//! Every wait ends.

use super::{INSTANCE, account, made_up, problem, write, write_one};
use crate::front::{Does, Front};
use agent::ec2::tags::Limits;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const fn limits(request_ms: u64, all_ms: u64) -> Limits {
    Limits {
        request_deadline: Duration::from_millis(request_ms),
        deadline: Duration::from_millis(all_ms),
    }
}

/// What a slow machine may add.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn retries_end_with_the_deadline_and_are_no_storm() {
    let front = Front::alone(|_, _| Does::error(503, "RequestLimitExceeded"));
    let mut account = account(&front.url(), made_up());
    let began = Instant::now();
    let limits = limits(1_000, 6_000);
    let outcomes = write(&mut account, INSTANCE, &[("a", "1"), ("b", "2"), ("c", "3")], &limits);
    let took = began.elapsed();
    assert!(took < limits.deadline + SLACK, "{took:?}");
    assert!(took > Duration::from_secs(2), "it was tried for a while: {took:?}");
    let seen = front.seen();
    for (outcome, key) in outcomes.iter().zip(["a", "b", "c"]) {
        problem(outcome, "tag-throttled");
        let tries: Vec<Instant> = seen.iter().filter(|r| r.key() == key).map(|r| r.at).collect();
        assert!((2..=20).contains(&tries.len()), "{key}: {}", tries.len());
        assert_eq!(outcome.as_ref().unwrap_err().attempts as usize, tries.len());
    }
}

#[test]
fn a_server_that_says_nothing_costs_a_request_its_deadline_and_no_more() {
    for fault in [Does::Silence(Duration::from_secs(9)), Does::Drip(Duration::from_secs(9))] {
        let front = Front::alone(move |_, n| if n == 0 { fault.clone() } else { Does::good() });
        let began = Instant::now();
        let written = write_one(&front.url(), &limits(800, 20_000)).unwrap();
        assert_eq!(written.attempts, 2);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    let front = Front::alone(|_, _| Does::Silence(Duration::from_secs(9)));
    let outcome = write_one(&front.url(), &limits(500, 1_500));
    let problem = problem(&outcome, "tag-endpoint-unreachable");
    assert!(problem.evidence.unwrap().contains("no answer in time (the request)"));
}

#[test]
fn where_nobody_listens_every_tag_still_has_its_share() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut account = account(&format!("http://127.0.0.1:{port}"), made_up());
    let began = Instant::now();
    let limits = limits(1_000, 3_000);
    let outcomes = write(&mut account, INSTANCE, &[("a", "1"), ("b", "2")], &limits);
    assert!(began.elapsed() < limits.deadline + SLACK, "{:?}", began.elapsed());
    for outcome in &outcomes {
        let problem = problem(outcome, "tag-endpoint-unreachable");
        assert!(problem.evidence.unwrap().contains("no connection"));
        assert!(outcome.as_ref().unwrap_err().attempts >= 2);
    }
}

#[test]
fn an_endless_answer_is_cut() {
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(20_000_000, b'x');
    let front =
        Front::alone(move |_, n| if n == 0 { Does::Bytes(endless.clone()) } else { Does::good() });
    assert_eq!(write_one(&front.url(), &super::PATIENT).unwrap().attempts, 2);
}

#[test]
fn without_time_nothing_is_sent_and_each_tag_is_told_of() {
    let front = Front::alone(|_, _| Does::good());
    let mut account = account(&front.url(), made_up());
    let outcomes = write(&mut account, INSTANCE, &[("a", "1"), ("b", "2")], &limits(1_000, 0));
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|o| o.as_ref().unwrap_err().attempts == 0), "{outcomes:?}");
    assert!(front.seen().is_empty());
}

#[test]
fn what_is_not_valid_is_not_sent() {
    let front = Front::alone(|_, _| Does::good());
    let tags = [("k", "v")];
    let mut good = account(&front.url(), made_up());
    let bad_instance = write(&mut good, "i-0123abcd&Tag.2.Key=x", &tags, &super::PATIENT);
    problem(&bad_instance[0], "tag-refused");
    let mut bad_endpoint = account("https://user:pass@127.0.0.1/", made_up());
    let outcome = write(&mut bad_endpoint, INSTANCE, &tags, &super::PATIENT).remove(0);
    problem(&outcome, "tag-refused");
    assert!(!super::printed(&outcome.unwrap_err()).contains("pass@"));
    assert!(front.seen().is_empty());
}
