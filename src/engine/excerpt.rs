//! The end of a command's output, as a problem quotes it.

use super::redact;

/// The most that is quoted, in characters.
const LONGEST: usize = 400;

/// The end of a text, where the reason stands, within bounds and without the secrets of
/// this process's environment. They are masked first: half of one that was cut would
/// not be known for what it is.
pub fn excerpt(text: &str) -> String {
    let text = without_colours(&redact::redact_own(text));
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(LONGEST);
    let tail: String = text.chars().skip(skip).filter(|c| !c.is_control() || *c == '\n').collect();
    match (skip, tail.split_once('\n')) {
        (0, _) => tail,
        // The rest of a line that was cut tells less than the whole ones behind it.
        (_, Some((_, whole))) if whole.len() > tail.len() / 2 => format!("… {whole}"),
        _ => format!("…{tail}"),
    }
}

/// A text without the control sequences that colour it on a terminal (ECMA-48, CSI).
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| ('@'..='~').contains(&c)).map_or(part.len(), |i| i + 1);
        out.push_str(part.get(end..).unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_no_colours_and_keeps_the_end() {
        assert_eq!(excerpt("\x1b[31merror\x1b[0m: no\x1b[1;2m\n"), "error: no");
        let long = excerpt(&"x".repeat(LONGEST + 5));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.starts_with('…'));
        let lines = format!("{}\nlast {}", "x".repeat(LONGEST), "y".repeat(LONGEST / 2));
        assert!(excerpt(&lines).starts_with("… last y"));
        assert!(excerpt(&format!("{}\nlast", "x".repeat(LONGEST))).starts_with("…x"));
    }
}
