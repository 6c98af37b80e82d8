use super::*;

fn message(parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|p| format!("--b\n{p}\n")).collect();
    format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n{parts}--b--\n")
}

fn part(kind: &str, text: &str) -> String {
    format!("Content-Type: {kind}\n\n{text}")
}

fn texts(message: &str) -> Vec<(String, String)> {
    let all = leaves(message.as_bytes()).unwrap();
    all.into_iter().map(|l| (l.content_type, String::from_utf8(l.bytes).unwrap())).collect()
}

#[track_caller]
fn refused(message: &str, what: &str) {
    let faults = leaves(message.as_bytes()).unwrap_err();
    assert!(faults.iter().any(|f| f.to_string().contains(what)), "{faults:?}");
}

#[test]
fn parts_come_in_order_with_type_and_name() {
    let named = "Content-Type: text/x-shellscript; charset=\"us-ascii\"\nContent-Disposition: attachment;\n filename=\"set \\\"up.sh\"\n\n#!/bin/sh\n";
    let text = message(&[named, &part("TEXT/Cloud-Config", "#cloud-config\n")]);
    let all = leaves(text.as_bytes()).unwrap();
    assert_eq!(all[0].label.to_string(), "part 1 (set \"up.sh)");
    assert_eq!(all[1].label.to_string(), "part 2");
    assert_eq!(all[1].content_type, "text/cloud-config");
    assert!(all[0].bytes.starts_with(b"#!/bin/sh\n"));
}

#[test]
fn nested_multiparts_are_one_row_of_parts() {
    let inner = "Content-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: text/plain\n\ntwo\n--c\n\nthree\n--c--\nepilogue";
    let text = message(&[&part("text/plain", "one"), inner, &part("text/plain", "four")]);
    let found: Vec<String> = texts(&text).into_iter().map(|(_, t)| t.trim().to_owned()).collect();
    assert_eq!(found, ["one", "two", "three", "four"]);
}

#[test]
fn a_message_with_crlf_has_texts_with_line_feeds() {
    let text = message(&[&part("text/x-shellscript", "#!/bin/sh\necho\n")]).replace('\n', "\r\n");
    assert_eq!(texts(&text)[0].1, "#!/bin/sh\necho\n");
    // As Go's writer makes it: delimiters and headers alone have them.
    let mixed = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/x-shellscript\r\n\r\n#!/bin/sh\necho a\r\n--b--\r\n";
    assert_eq!(texts(mixed)[0].1, "#!/bin/sh\necho a");
}

#[test]
fn an_encoding_is_undone_and_gzip_within_it() {
    use base64::Engine;
    use flate2::{Compression, read::GzEncoder};
    use std::io::Read;
    let mut packed = Vec::new();
    GzEncoder::new(b"#!/bin/sh\n".as_slice(), Compression::best())
        .read_to_end(&mut packed)
        .unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(&packed);
    let text = message(&[&format!(
        "Content-Type: application/x-gzip\nContent-Transfer-Encoding: BASE64\n\n{text}\n"
    )]);
    assert_eq!(texts(&text)[0].1, "#!/bin/sh\n");
}

#[test]
fn what_may_have_been_cut_short_is_refused() {
    let whole = message(&[&part("text/plain", "one"), &part("text/plain", "two")]);
    for length in 0..whole.len() - 1 {
        if is_message(&whole.as_bytes()[..length]) {
            assert!(
                leaves(&whole.as_bytes()[..length]).is_err()
                    || !whole[..length].contains("multipart/"),
                "{length}"
            );
        }
    }
    assert!(
        leaves(&whole.as_bytes()[..whole.len() - 1]).is_ok(),
        "the last line feed carries nothing"
    );
}

#[test]
fn what_a_mail_program_would_mend_is_refused() {
    refused(
        &message(&["Content-Type: text/x-shellscript\n#!/bin/sh\n"]),
        "part 1: a line among the headers",
    );
    refused("Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n", "names no boundary");
    refused("Content-Type: multipart/mixed; boundary=b\n\n--b--\n", "no parts");
    let encoded =
        "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\nAAAA";
    refused(encoded, "itself encoded");
    refused(&message(&["Content-Transfer-Encoding: x-uuencode\n\nx"]), "unknown");
    refused(&message(&["X-Merge-Type: list()\n\nx"]), "merge-type");
}

#[test]
fn depth_and_number_have_limits() {
    let mut deep = String::from("x");
    for n in 0..6 {
        deep =
            format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n{deep}\n--b{n}--\n");
    }
    refused(&deep, "too deep");
    let many = vec![part("text/plain", "x"); MAX_PARTS + 1];
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    refused(&message(&many), "more than 64 parts");
}

#[test]
fn only_what_begins_with_headers_is_a_message() {
    assert!(is_message(b"Content-Type: multipart/mixed; boundary=b\n\n"));
    assert!(is_message(b"X-Tool: y\nmime-version: 1.0\nContent-Type: text/plain\n\n"));
    assert!(is_message(b"From nobody Sat\nContent-Type: multipart/mixed; boundary=b\n"));
    for text in ["hostname: x\n", "#!/bin/sh\n", "", "a: b\n\nContent-Type: x\n", "echo hi\n"] {
        assert!(!is_message(text.as_bytes()), "{text:?}");
    }
}
