//! What lies in a journal's place may be anybody's, or damaged: the views show it all the same.

use super::status::Text;
use super::timeline::Timeline;
use crate::journal::file;
use crate::journal::status::{Observer, fold};

fn shown(journal: &str) -> [String; 2] {
    let contents = file::parse(journal.as_bytes());
    assert_eq!(contents.unreadable, 0, "the test's own journal");
    let observer = Observer { this_life: &|_| true, lives: &|_| false };
    let status = fold(&contents.records, &observer);
    [Text(&status).to_string(), Timeline(&status).to_string()]
}

/// A journal whose texts are all `text`, and whose times are as large as they can be.
fn journal(text: &str) -> String {
    const RECORDS: &str = r#"{"at":"1999-01-01T00:00:00Z","event":"boot-began","boot":"@","runner":{"pid":8,"start_ticks":1,"kernel_boot":"b","pid_namespace":1,"init_pid":1,"init_start":1},"instance":"@","agent":"@","phases":["provision"],"logs":"/@"}
{"at":"2026-01-01T00:00:00Z","event":"machine-seen","instance":"@","region":"@","user_data":"@"}
{"at":"2026-01-01T00:00:00Z","event":"phase-began","phase":"provision"}
{"at":"2026-01-01T00:00:00Z","event":"steps-planned","steps":["@"]}
{"at":"2026-01-01T00:00:00Z","event":"step-began","instance":"@","step":"@","definition":"@"}
{"at":"2026-01-01T00:00:00Z","event":"step-ended","instance":"@","step":"@","definition":"@","result":"failed","elapsed_ms":18446744073709551615,"notes":["@"]}
{"at":"2026-01-01T00:00:00Z","event":"phase-ended","phase":"provision","result":"failed","elapsed_ms":18446744073709551615,"notes":["@"],"problems":[{"code":"@","message":"@","evidence":"@","next":"@","log":"/@","filed_under":"@"}],"tools":[{"name":"@","version":"@","installed":true}]}
{"at":"2026-01-01T00:00:00Z","event":"script-began","instance":"@","payload":"@","attempt":1}
{"at":"2026-01-01T00:00:00Z","event":"boot-ended","outcome":"failed","phase":"provision","interrupted":"@","elapsed_ms":18446744073709551615}
"#;
    let text = serde_json::to_string(text).unwrap_or_default();
    RECORDS.replace('@', text.trim_matches('"'))
}

#[test]
fn a_terminal_obeys_nothing_that_stands_in_a_journal() {
    for text in shown(&journal("a\u{1b}[2J\u{9b}1m\rb")) {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains("a\\u{1b}[2J"), "{text:?}");
    }
    let forged = shown(&journal("x\ncomplete: forged"));
    assert!(forged.iter().all(|text| !text.lines().any(|line| line.starts_with("complete"))));
}

#[test]
fn a_name_of_any_length_is_shown() {
    let long = "n".repeat(70_000);
    assert!(shown(&journal(&long)).iter().all(|text| text.contains(&long)));
}
