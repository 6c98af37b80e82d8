//! A configuration without the values of its `environment` tables: they are given to programs,
//! and only who wrote them knows which are secret. Pure.
//!
//! The TOML reader says where each value stands, over however many lines; a text that it cannot
//! read is not shown at all.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

const TABLE: &str = "environment";

/// What may be shown, and what was taken out.
pub(super) struct Written {
    /// The text, with every value of such a table masked.
    pub(super) text: String,
    /// The values.
    pub(super) values: Vec<String>,
}

/// Takes the values out; `None` where `text` is no TOML.
pub(super) fn without_environments(text: &str) -> Option<Written> {
    let whole = DeTable::parse(text).ok()?;
    let mut found = Vec::new();
    table(whole.get_ref(), false, &mut found);
    found.sort_by_key(|(span, _)| span.start);
    let mut written = Written { text: String::with_capacity(text.len()), values: Vec::new() };
    let mut from = 0;
    for (span, value) in found {
        written.text.push_str(text.get(from..span.start)?);
        written.text.push_str("\"[redacted]\"");
        from = span.end;
        written.values.extend(value);
    }
    written.text.push_str(text.get(from..)?);
    Some(written)
}

type Found = Vec<(Range<usize>, Option<String>)>;

fn table(table: &DeTable<'_>, inside: bool, found: &mut Found) {
    for (key, entry) in table {
        value(entry.get_ref(), entry.span(), inside || key.get_ref() == TABLE, found);
    }
}

fn value(one: &DeValue<'_>, span: Range<usize>, inside: bool, found: &mut Found) {
    match one {
        DeValue::Table(below) => table(below, inside, found),
        DeValue::Array(all) => {
            all.iter().for_each(|one| value(one.get_ref(), one.span(), inside, found));
        }
        _ if inside => found.push((span, one.as_str().map(str::to_owned))),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_an_environment_is_left_however_it_is_written() {
        let text = r#"
# kept
[bootstrap]
environment.DOTTED = "planted-a"
environment."QU OTED" = 'planted-b'
deadline = "30s"
[[step]]
name = "a"
environment = { ONE = "planted-c", TWO = """planted-d
planted-e""" }
command = "true"
[[step]]
name = "b"
[step.environment]
MANY = '''
planted-f
planted-g = 1'''
NUMBER = 4711
"#;
        let written = without_environments(text).unwrap();
        assert!(
            !written.text.contains("planted") && !written.text.contains("4711"),
            "{}",
            written.text
        );
        for kept in ["# kept", "deadline = \"30s\"", "name = \"b\"", "command = \"true\"", "DOTTED"]
        {
            assert!(written.text.contains(kept), "{kept}: {}", written.text);
        }
        assert!(without_environments(&written.text).is_some(), "{}", written.text);
        assert_eq!(written.values.len(), 5);
        assert!(written.values.contains(&"planted-d\nplanted-e".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        assert!(without_environments("environment.A = \"planted\nx").is_none());
    }
}
