//! What the mock has afterwards. It checks every signature and permission.

use super::{PATIENT, account, credentials, has_note, printed, problem, write};
use crate::front::{Does, Front};
use crate::util::moto::Moto;
use agent::ec2::tags::{self, Note};
use agent::journal::State;
use agent::journal::tags::wanted;
use std::collections::BTreeMap;

fn pairs<'t>(tags: &[(&'t str, &'t str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_tags_of_a_failure_are_written_in_order_and_can_be_read_back() {
    let moto = Moto::start();
    let instance = moto.instance();
    let other = moto.instance();
    let keys = moto.role("agent", &["ec2:CreateTags"]);
    moto.checks(true);
    let front = Front::of(&moto.url(), |_, _| Does::Forward);
    let all: Vec<(&str, String)> = wanted(State::Failed, Some("efs-mount"))
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (*key, value.as_str())).collect();

    let mut account = account(&front.url(), credentials(&keys));
    let outcomes = write(&mut account, &instance, &all, &PATIENT);

    for outcome in &outcomes {
        let written = outcome.as_ref().unwrap();
        assert_eq!((written.attempts, written.notes.as_slice()), (1, &[][..]), "{written:?}");
        assert!(written.request_id.is_some());
    }
    let seen = front.seen();
    let order: Vec<&str> = seen.iter().map(super::front::Request::key).collect();
    assert_eq!(order, ["mint%3Abootstrap-failure-phase", "mint%3Abootstrap", "mint%3Ahealth"]);
    assert_eq!(moto.tags(&instance), pairs(&all));
    assert!(moto.tags(&other).is_empty());
}

#[test]
fn any_value_comes_back_as_it_was() {
    let moto = Moto::start();
    let instance = moto.instance();
    let keys = moto.role("agent", &["ec2:CreateTags"]);
    moto.checks(true);
    let all = [("plain", "a b+c%20d&Tag.2.Key=x"), ("ä ö", "€ = \"<&>\""), ("empty", "")];
    let outcomes = write(&mut account(&moto.url(), credentials(&keys)), &instance, &all, &PATIENT);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(moto.tags(&instance), pairs(&all));
}

#[test]
fn a_wrong_key_is_refused_once_a_tag_and_named() {
    let moto = Moto::start();
    let instance = moto.instance();
    let mut wrong = credentials(&moto.role("agent", &["ec2:CreateTags"]));
    wrong.secret_access_key = "not-the-secret-of-this-key".into();
    moto.checks(true);
    let front = Front::of(&moto.url(), |_, _| Does::Forward);
    let mut account = account(&front.url(), wrong.clone());
    let outcomes = write(&mut account, &instance, &[("a", "1"), ("b", "2")], &PATIENT);
    for outcome in &outcomes {
        let problem = problem(outcome, "tag-credentials-refused");
        assert!(problem.evidence.unwrap().contains("AuthFailure (HTTP 401)"));
        let printed = printed(outcome.as_ref().unwrap_err());
        for secret in [&wrong.secret_access_key, &wrong.session_token, &wrong.access_key_id] {
            assert!(!printed.contains(secret.as_str()), "{printed}");
        }
    }
    assert_eq!(front.seen().len(), 2, "no second attempt");
    assert!(moto.tags(&instance).is_empty());
}

#[test]
fn a_missing_permission_is_named_and_not_asked_for_again() {
    let moto = Moto::start();
    let instance = moto.instance();
    let keys = moto.role("agent", &["ec2:StopInstances"]);
    moto.checks(true);
    let front = Front::of(&moto.url(), |_, _| Does::Forward);
    let mut account = account(&front.url(), credentials(&keys));
    let outcomes = write(&mut account, &instance, &[("mint:bootstrap", "failed")], &PATIENT);
    let problem = problem(&outcomes[0], "tag-denied");
    assert_eq!(
        problem.message,
        "the tag mint:bootstrap: the instance's role may not do ec2:CreateTags"
    );
    for part in ["allow ec2:CreateTags", &instance, "mint:bootstrap"] {
        assert!(problem.next.contains(part), "{}", problem.next);
    }
    assert_eq!(front.seen().len(), 1, "no second attempt");
}

#[test]
fn a_tag_is_removed_where_the_role_may_and_emptied_where_not() {
    let moto = Moto::start();
    let instance = moto.instance();
    let full = moto.role("full", &["ec2:CreateTags", "ec2:DeleteTags"]);
    let contract = moto.role("contract", &["ec2:CreateTags", "ec2:StopInstances"]);
    let none = moto.role("none", &["ec2:StopInstances"]);
    moto.checks(true);
    let all = [("phase", "tools"), ("other", "stays")];
    let mut account = account(&moto.url(), credentials(&contract));
    let remove = |account: &mut tags::Account| {
        tags::delete(account, &instance, "phase", &PATIENT, &mut || None)
    };
    assert!(write(&mut account, &instance, &all, &PATIENT).iter().all(Result::is_ok));

    let emptied = remove(&mut account);
    assert!(has_note(&emptied, |n| *n == Note::EmptiedInstead), "{emptied:?}");
    assert_eq!(emptied.unwrap().attempts, 2);
    assert_eq!(moto.tags(&instance), pairs(&[("phase", ""), ("other", "stays")]));

    account.credentials = credentials(&none);
    let problem = problem(&remove(&mut account), "tag-denied");
    assert!(problem.next.contains("ec2:CreateTags"), "the one that the contract has: {problem:?}");

    account.credentials = credentials(&full);
    for _ in 0..2 {
        // The second time there is nothing to remove, which is as good.
        let removed = remove(&mut account).unwrap();
        assert_eq!((removed.attempts, removed.notes.len()), (1, 0));
        assert_eq!(moto.tags(&instance), pairs(&[("other", "stays")]));
    }
}
