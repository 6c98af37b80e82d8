//! Values of a wrong type, form or range: each an error at the value's own place.

use super::config_files::{accepted, refused};

#[test]
fn a_value_of_a_wrong_type_is_an_error() {
    // What is expected is told, and where; how what is there is called is the reader's business.
    let cases: &[(&str, (usize, usize), &str)] = &[
        ("[boot]\ndeadline = 5\n", (2, 12), "expected a "),
        ("[user]\nuid = \"1000\"\n", (2, 7), "expected a whole number"),
        ("[user]\nuid = -1\n", (2, 7), "expected a whole number"),
        ("[user]\nuid = 4294967296\n", (2, 7), "expected a whole number"),
        ("[user]\nhome = true\n", (2, 8), "expected "),
        ("[tools]\nattempts = \"many\"\n", (2, 12), "expected a whole number"),
        ("[tools]\nattempts = 1.5\n", (2, 12), "expected a whole number"),
        ("[tools]\npass_environment = \"A\"\n", (2, 20), "expected a list"),
        ("[tools]\npass_environment = [\"A\", 1]\n", (2, 26), "expected a "),
        ("[bootstrap]\noptional = \"yes\"\n", (2, 12), "expected "),
        ("[bootstrap]\nenvironment = { A = 1 }\n", (2, 21), "expected a "),
        ("[bootstrap]\nenvironment = [\"A\"]\n", (2, 15), "this is a list"),
        ("[boot]\non_failure = 1\n", (2, 14), ""),
        ("[[volume]]\ntarget = 1\n", (2, 10), "expected "),
        ("[[step]]\ncommand = 1\n", (2, 11), "expected a list of words, or a text for the shell"),
        ("[[step]]\ncommand = [\"a\", 1]\n", (2, 17), "expected a "),
        ("[[step]]\nattempts = \"3\"\n", (2, 12), "expected a whole number"),
        ("[[step]]\nenvironment = { A = 1 }\n", (2, 21), "expected a "),
        ("[health]\ncommands = \"git\"\n", (2, 12), "expected a list"),
        ("[[volume]]\nmin_inodes = \"5\"\n", (2, 14), "expected a whole number"),
        ("boot = 3\n", (1, 8), "expected a table"),
    ];
    for (text, place, part) in cases {
        refused(text, Some(*place), &[part]);
    }
}

#[test]
fn a_bad_length_of_time_is_an_error() {
    for bad in ["", "10", "ten", "5 parsecs", "-5s", "5m!", "1h -30m"] {
        refused(
            &format!("[boot]\ndeadline = \"{bad}\"\n"),
            Some((2, 12)),
            &["is not a length of time; write a number with a unit, such as \"90s\""],
        );
    }
}

#[test]
fn a_length_of_time_out_of_range_is_an_error() {
    for bad in ["0s", "500us", "169h", "9000h"] {
        refused(
            &format!("[boot]\ndeadline = \"{bad}\"\n"),
            Some((2, 12)),
            &["is out of range; a deadline lies between \"1ms\" and \"168h\""],
        );
    }
    accepted("[boot]\ndeadline = \"168h\"\n[bootstrap]\ndeadline = \"1ms\"\n");
}

#[test]
fn every_key_that_is_a_length_of_time_is_read_as_one() {
    let keys = [
        ("[boot]", "deadline"),
        ("[boot]", "grace"),
        ("[init]", "grace"),
        ("[init]", "leftover_grace"),
        ("[tools]", "deadline"),
        ("[bootstrap]", "deadline"),
        ("[[step]]", "deadline"),
        ("[health]", "deadline"),
        ("[[volume]]\ntarget = \"/a\"\n[volume.mount]", "deadline"),
        ("[[volume]]\ntarget = \"/a\"\n[volume.efs]", "deadline"),
        ("[[volume]]\ntarget = \"/a\"\n[volume.ebs]", "wait"),
        ("[[volume]]\ntarget = \"/a\"\n[volume.ebs]", "deadline"),
    ];
    for (table, key) in keys {
        let line = table.lines().count() + 1;
        refused(
            &format!("{table}\n{key} = \"soon\"\n"),
            Some((line, key.len() + 4)),
            &["\"soon\" is not a length of time"],
        );
    }
}

#[test]
fn a_bad_size_is_an_error() {
    for bad in ["lots", "64 parsecs", "-1", "64MiB!"] {
        refused(
            &format!("[[volume]]\ntarget = \"/a\"\nmin_free = \"{bad}\"\n"),
            Some((3, 12)),
            &["is not a size; write one such as \"64MiB\""],
        );
    }
    for bad in ["-1", "true", "[]"] {
        refused(
            &format!("[log]\nmax_size = {bad}\n"),
            Some((2, 12)),
            &["a size such as \"64MiB\" or a number of bytes"],
        );
    }
    accepted("[log]\nmax_size = \"1.5 GB\"\n");
}

#[test]
fn an_unknown_word_is_an_error_in_every_key_that_takes_one_of_a_few() {
    let cases = [
        ("[boot]", "on_failure", "holdd", "did you mean `hold`?"),
        ("[boot]", "on_failure", "panic", "valid here: exit, hold"),
        ("[tools]", "enabled", "yes", "valid here: on, auto, off"),
        ("[tools]", "on_failure", "degraded", "did you mean `degrade`?"),
        ("[bootstrap]", "retry", "next_boot", "did you mean `next-boot`?"),
        ("[bootstrap]", "retry", "always", "valid here: never, next-boot"),
        ("[log]", "format", "xml", "valid here: text, json"),
        ("[log]", "level", "warning", "did you mean `warn`?"),
        ("[[step]]", "run", "onec", "did you mean `once`?"),
        ("[[step]]", "run", "never", "valid here: every-boot, once"),
        ("[[volume]]", "on_full", "ignore", "valid here: fail, degrade"),
    ];
    for (table, key, word, hint) in cases {
        refused(
            &format!("{table}\n{key} = \"{word}\"\n"),
            Some((2, key.len() + 4)),
            &[&format!("unknown value `{word}`; {hint}")],
        );
    }
}

#[test]
fn words_are_written_in_small_letters() {
    refused(
        "[boot]\non_failure = \"Hold\"\n",
        Some((2, 14)),
        &["unknown value `Hold`; did you mean `hold`?"],
    );
}
