use super::*;
use crate::tools::lock::{file, request};
use std::path::Path;

/// Codes, tools and messages of what is wrong; the tree of each entry is as `state` says.
fn judged(config: &str, lock: &str, asked: &[&str], state: State) -> Judgement {
    let configs = [request::parse(Path::new("/x/mise.toml"), config).unwrap()];
    let lock = file::parse(Path::new("/x/mise.lock"), lock).unwrap();
    let asked: Vec<Platform> = asked.iter().map(|p| Platform::parse(p).unwrap()).collect();
    let asked = (!asked.is_empty()).then_some(asked.as_slice());
    let case = Case { configs: &configs, lock: &lock, asked, other_npm: false };
    judge(&case, &|_, _| state.clone())
}

fn codes(config: &str, lock: &str, asked: &[&str]) -> Vec<Code> {
    judged(config, lock, asked, State::Whole).findings.iter().map(|f| f.code).collect()
}

fn tools(line: &str) -> String {
    format!("[tools]\n{line}\n")
}

fn entry(tool: &str, version: &str, more: &str) -> String {
    format!("[[tools.{tool:?}]]\nversion = {version:?}\n{more}\n")
}

#[test]
fn versions_are_compared_as_mise_does() {
    for (asked, locked, fits) in [
        ("1.6.0", "1.6.0", true),
        ("1.6.0", "1.5.0", false),
        ("1", "1.6.0", true),
        ("1.6", "1.6.0", true),
        ("1.6", "1.60.0", false),
        ("prefix:1.6", "1.6.9", true),
        ("latest", "9.9.9", true),
        ("^1", "1.2.3", true),
        ("8", "7.6.3", false),
        ("1.6.0", "1.6.0-beta.1", false),
        ("1.6", "1.6-rc.1", false),
        ("1.6.0", "1.6.0.1", false),
        ("temurin", "temurin-21.0.1", true),
        ("temurin-21", "temurin-21.0.1", true),
        ("v1.6.0", "1.6.0", true),
    ] {
        let found =
            codes(&tools(&format!("\"npm:a\" = {asked:?}")), &entry("npm:a", locked, ""), &[]);
        assert_eq!(found.is_empty(), fits, "{asked} against {locked}: {found:?}");
    }
}

/// Tried: `7.6` isn't served by an entry for `7.6.3`, nor `7.6.3` by one for `7`.
#[test]
fn specifiers_decide_where_an_entry_has_them() {
    let lock = entry("npm:a", "7.6.3", "specifiers = [\"7\"]");
    assert!(codes(&tools("\"npm:a\" = \"7\""), &lock, &[]).is_empty());
    for other in ["7.6", "7.6.3", "latest"] {
        let found = codes(&tools(&format!("\"npm:a\" = {other:?}")), &lock, &[]);
        assert_eq!(found, [Code::Unsatisfied], "{other}");
    }
}

#[test]
fn what_is_missing_and_what_is_left_over_is_named() {
    let lock = entry("npm:a", "1.0.0", "")
        + &entry("npm:a", "2.0.0", "")
        + &entry("npm:c", "3", "")
        + &entry("npm:d", "1", "")
        + &entry("npm:d", "2", "");
    let config = tools("\"npm:a\" = [\"1\", \"4\"]\n\"npm:b\" = \"1\"\n\"npm:d\" = \"1\"");
    let found = judged(&config, &lock, &[], State::Whole).findings;
    let told: Vec<_> = found.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "npm:a@4 is not in the lockfile: locked is 1.0.0, 2.0.0, for another request",
            "npm:b@1 is not in the lockfile: it has no entry",
            "npm:c@3 is left over: nothing declares it",
            "npm:d@2 is left over: no request comes to this version",
        ]
    );
}

#[test]
fn tools_of_tasks_and_of_other_systems_are_not_left_over() {
    let lock = entry("npm:a", "1", "") + &entry("npm:b", "1", "");
    let config = "[tools]\n\"npm:a\" = { version = \"1\", os = [\"macos\"] }\n[tasks.t.tools]\n\"npm:b\" = \"1\"\n";
    assert!(codes(config, &lock, &["linux-x64"]).is_empty());
    // Without an entry it is only missing where its system is asked for.
    let lock = entry("npm:b", "1", "");
    assert!(codes(config, &lock, &["linux-x64"]).is_empty());
    assert_eq!(codes(config, &lock, &["linux-x64", "macos-arm64"]), [Code::Missing]);
    let stubs = format!("tool-stubs = [\"bin/x\"]\n{}", entry("npm:z", "1", ""));
    assert!(codes("", &stubs, &[]).is_empty());
}

#[test]
fn an_entry_that_installs_something_else_is_told() {
    let lock = entry("npm:semver", "2.1.3", "backend = \"npm:ms\"");
    assert_eq!(codes(&tools("\"npm:semver\" = \"2.1.3\""), &lock, &[]), [Code::Backend]);
    let lock = entry("node", "1", "backend = \"asdf:node\"");
    assert!(codes(&tools("node = \"1\""), &lock, &[]).is_empty(), "mise's registry decides");
    let alias = "[tools]\nnode = \"1\"\n[tool_alias]\nnode = \"npm:node\"\n";
    assert_eq!(codes(alias, &lock, &[]), [Code::Backend]);
}

#[test]
fn options_are_compared() {
    let lock = entry("npm:a", "1", "options = { allow_builds = '[\"a\"]' }");
    let with = tools("\"npm:a\" = { version = \"1\", allow_builds = [\"a\"] }");
    let plain = tools("\"npm:a\" = \"1\"");
    assert!(codes(&with, &lock, &[]).is_empty());
    assert_eq!(codes(&plain, &lock, &[]), [Code::Options]);
    assert_eq!(codes(&with, &entry("npm:a", "1", ""), &[]), [Code::Options]);
}

#[test]
fn options_of_artifacts_are_compared_both_ways_and_what_is_not_known_is_told() {
    let artifact = |tool: &str, options: &str| {
        let sum = "1".repeat(64);
        let platform = format!(
            "[tools.{tool:?}.\"platforms.linux-x64\"]\nurl = \"https://x\"\nchecksum = \"sha256:{sum}\"\n"
        );
        entry(tool, "2.50.0", options) + &platform
    };
    let with = |tool: &str, options: &str| {
        tools(&format!("{tool:?} = {{ version = \"2.50.0\", {options} }}"))
    };
    let at = ["linux-x64"];
    let gh = "github:cli/cli";
    let pattern = "asset_pattern = \"zzz*\"";
    let locked = format!("options = {{ {pattern} }}");
    assert!(codes(&with(gh, pattern), &artifact(gh, &locked), &at).is_empty());
    assert_eq!(codes(&with(gh, pattern), &artifact(gh, ""), &at), [Code::Options]);
    assert_eq!(codes(&with(gh, "bin = \"gh\""), &artifact(gh, &locked), &at), [Code::Options]);
    assert!(codes(&with(gh, "bin = \"gh\""), &artifact(gh, ""), &at).is_empty());
    let bracketed = tools("\"github:cli/cli[asset_pattern=zzz*]\" = \"2.50.0\"");
    assert_eq!(codes(&bracketed, &artifact(gh, ""), &at), [Code::Options]);
    assert!(codes(&bracketed, &artifact(gh, &locked), &at).is_empty());
    let odd = "odd = \"1\"";
    assert_eq!(codes(&with(gh, odd), &artifact(gh, ""), &at), [Code::Unsure]);
    assert_eq!(codes(&with("aqua:a/b", odd), &artifact("aqua:a/b", ""), &at), [Code::Unsure]);
}

#[test]
fn an_entry_that_is_there_twice_serves_nobody() {
    let one = entry("npm:a", "1.0.0", "");
    assert_eq!(codes(&tools("\"npm:a\" = \"1\""), &(one.clone() + &one), &[]), [Code::Ambiguous]);
    let said = entry("npm:a", "1.0.0", "specifiers = [\"1\"]")
        + &entry("npm:a", "1.1.0", "specifiers = [\"1\"]");
    assert_eq!(codes(&tools("\"npm:a\" = \"1\""), &said, &[]), [Code::Ambiguous]);
    let several = entry("npm:a", "1.0.0", "") + &entry("npm:a", "1.1.0", "");
    assert!(codes(&tools("\"npm:a\" = [\"1\", \"1.1\"]"), &several, &[]).is_empty());
}

#[test]
fn each_platform_needs_a_url_and_a_checksum() {
    let artifact = |platform: &str, more: &str| {
        format!("[tools.\"github:a/b\".\"platforms.{platform}\"]\n{more}\n")
    };
    let both = format!("url = \"https://x\"\nchecksum = \"sha256:{}\"", "1".repeat(64));
    let both = both.as_str();
    let config = tools("\"github:a/b\" = \"1\"");
    let lock = entry("github:a/b", "1", "") + &artifact("linux-x64", both);
    assert!(codes(&config, &lock, &["linux-x64"]).is_empty());
    assert!(codes(&config, &lock, &[]).is_empty(), "what the lock names");
    assert_eq!(codes(&config, &lock, &["linux-x64", "linux-arm64"]), [Code::Platform]);
    let weak = entry("github:a/b", "1", "") + &artifact("linux-x64", "url = \"https://x\"");
    let found = judged(&config, &weak, &["linux-x64"], State::Whole);
    assert_eq!(found.findings[0].message, "github:a/b@1 has no checksum for linux-x64");
    assert_eq!(found.findings[0].platform.as_deref(), Some("linux-x64"));
    assert_eq!(found.tools[0].holds, Holds::Version);
    let odd = lock.replace("sha256:", "banana:");
    let found = judged(&config, &odd, &["linux-x64"], State::Whole);
    assert_eq!(found.findings[0].message, "github:a/b@1 has a checksum that is none for linux-x64");
    // One tool names a platform, the other doesn't.
    let two = "[tools]\n\"github:a/b\" = \"1\"\n\"aqua:c/d\" = \"1\"\n";
    let lock = lock + &entry("aqua:c/d", "1", "");
    assert_eq!(codes(two, &lock, &[]), [Code::Platform]);
}

#[test]
fn an_npm_entry_holds_a_version_or_a_tree_and_says_which() {
    let config = tools("\"npm:a\" = \"1\"");
    let tree = "aube = { path = \"locks/a\", digest = \"sha256:0\" }";
    let holds = |lock: &str, state: State| {
        let done = judged(&config, lock, &[], state);
        (done.tools[0].holds, done.findings.first().map(|f| f.code))
    };
    let plain = entry("npm:a", "1", "");
    let graph = entry("npm:a", "1", tree);
    assert_eq!(holds(&plain, State::Whole), (Holds::Version, None));
    assert_eq!(holds(&graph, State::Whole), (Holds::Tree, None));
    assert_eq!(holds(&graph, State::Changed), (Holds::Version, Some(Code::Digest)));
    assert_eq!(holds(&graph, State::Foreign), (Holds::Version, Some(Code::Sidecar)));
    let missing = State::Missing("gone".into());
    assert_eq!(holds(&graph, missing), (Holds::Version, Some(Code::Sidecar)));
    let unproved = State::Unproved(vec!["b@1".into()]);
    assert_eq!(holds(&graph, unproved), (Holds::TreeVersions, Some(Code::Integrity)));
    // Format 2 wants one; mise refuses the entry.
    let newer = format!("lockfile_version = 2\n{plain}");
    assert_eq!(holds(&newer, State::Whole), (Holds::Version, Some(Code::Tree)));
}
