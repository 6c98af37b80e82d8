//! An error in the configuration, with its place and the way out.

use std::fmt;
use std::ops::Range;

/// What is wrong, where, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or the environment variable.
    pub origin: String,
    /// Line and column, counted from 1; `None` for a variable or an unreadable file.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    pub(super) fn of(origin: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            place: None,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// From an error of the TOML reader in `text`.
    pub(super) fn in_text(origin: &str, text: &str, e: &toml::de::Error) -> Self {
        let (message, hint) = reword(e.message().trim());
        Self { origin: origin.into(), place: e.span().map(|s| place(text, &s)), message, hint }
    }

    /// From an error in the value of an environment variable, which has no lines.
    pub(super) fn in_variable(name: &str, e: &toml::de::Error) -> Self {
        let (message, hint) = reword(e.message().trim());
        Self { origin: format!("environment variable {name}"), place: None, message, hint }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Line and column of the start of `span`, counted from 1.
pub(super) fn place(text: &str, span: &Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// serde says ``unknown field `x`, expected one of `a`, `b` ``; a person wants to
/// know which one was meant. The same form comes for words of a closed set.
fn reword(message: &str) -> (String, Option<String>) {
    let quoted = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (what, rest) = if let Some(rest) = message.strip_prefix("unknown field ") {
        ("unknown key", rest)
    } else if let Some(rest) = message.strip_prefix("unknown variant ") {
        ("unknown value", rest)
    } else {
        // The names of Rust's types mean nothing to who writes a config,
        // and a value of the wrong type may be a secret in the wrong place.
        let plain = ["u8", "u16", "u32", "u64"]
            .iter()
            .fold(without_text(message), |m, t| {
                m.replace(&format!("expected {t}"), "expected a whole number, 0 or more")
            })
            .replace("invalid type: sequence", "this is a list")
            .replace("invalid type: map", "this is a table")
            .replace("expected a sequence", "expected a list")
            .replace("expected a map", "expected a table")
            .replace("wanted string or table", "expected a word in quotes")
            .replace("invalid type: ", "this is ");
        return (plain, None);
    };
    let words = quoted(rest);
    let Some((wrong, valid)) = words.split_first() else {
        return (message.to_owned(), None);
    };
    let hint = match nearest(wrong, valid) {
        Some(near) => format!("did you mean `{near}`?"),
        None if valid.is_empty() => "no key is known here".to_owned(),
        None => format!("valid here: {}", valid.join(", ")),
    };
    (format!("{what} `{wrong}`"), Some(hint))
}

/// `invalid type: string "…", expected` without what stands in the quotes.
fn without_text(message: &str) -> String {
    let marks = message.split_once("string \"").and_then(|(before, rest)| {
        let (_, after) = rest.rsplit_once("\", expected")?;
        Some(format!("{before}a text, expected{after}"))
    });
    marks.unwrap_or_else(|| message.to_owned())
}

fn nearest<'a>(wrong: &str, valid: &'a [String]) -> Option<&'a str> {
    let (distance, near) = valid
        .iter()
        .map(|v| (strsim::damerau_levenshtein(&wrong.to_lowercase(), v), v.as_str()))
        .min()?;
    let near_enough = distance <= (wrong.len().max(near.len()) / 3).max(1);
    (near_enough || near.starts_with(wrong) || wrong.starts_with(near)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_offered_and_a_far_one_lists_them_all() {
        let (message, hint) =
            reword("unknown field `deadlin`, expected one of `on_failure`, `deadline`");
        assert_eq!(message, "unknown key `deadlin`");
        assert_eq!(hint.unwrap(), "did you mean `deadline`?");
        let (_, hint) = reword("unknown field `colour`, expected one of `on_failure`, `deadline`");
        assert_eq!(hint.unwrap(), "valid here: on_failure, deadline");
    }

    #[test]
    fn places_count_characters_from_one() {
        assert_eq!(place("a\nbé x", &(6..7)), (2, 4));
        assert_eq!(place("", &(0..0)), (1, 1));
    }
}
