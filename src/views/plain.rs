//! Text that came from elsewhere (a config, a program's output, a file of the user's), as it may
//! be shown on a terminal: no control character of it is obeyed, no line of it stands for one
//! of ours.

use std::fmt::{self, Display, Formatter, Write};

/// Shows a text on one line, its control characters as escapes.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\t' => f.write_char(' '),
            c if c.is_control() => write!(f, "{}", c.escape_debug()),
            c => f.write_char(c),
        })
    }
}

/// The widest column, in characters. What is longer moves what stands behind it; a formatter
/// panics at a width of more than 16 bits.
const WIDEST: usize = 60;

/// The width of a column of these names.
pub(super) fn column<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.map(|name| name.chars().count()).max().unwrap_or(0).min(WIDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        let text = Plain("a\u{1b}[2Jb\nfailed: forged\u{9b}ü\t.").to_string();
        assert_eq!(text, "a\\u{1b}[2Jb\\nfailed: forged\\u{9b}ü .");
    }
}
