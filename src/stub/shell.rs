//! The little of the shell that a stub needs: quoting a value so that every shell gives it
//! back, and reading a script's assignments without a shell.
//!
//! The reader takes what is written literally, in any quoting. Where a shell would
//! compute something (`$`, a backquote, a pattern) it says so and guesses nothing.

/// `value` as a word of the shell that is this value and nothing else: in single quotes,
/// where no character but the quote itself has a meaning (POSIX, "Shell Command Language",
/// 2.2.2). NUL has no place in a shell; callers have none.
pub fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// An assignment as it stands in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment<'a> {
    pub(super) name: &'a str,
    pub(super) value: Result<Vec<u8>, Obstacle>,
    /// From 1.
    pub(super) line: usize,
    /// Nothing stands behind it, not even the end of its line: it may be a part of more.
    pub(super) at_end: bool,
}

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A shell would compute it.
    Computed,
    /// Its quotes are not closed.
    Unclosed,
}

/// Words that may stand before an assignment without changing its value.
const KEYWORDS: &[&[u8]] = &[b"export", b"readonly", b"declare", b"typeset"];

/// The assignments at the beginning of lines, in order.
pub(super) fn assignments(script: &[u8]) -> Vec<Assignment<'_>> {
    let mut cursor = Cursor { text: script, at: 0 };
    let mut found = Vec::new();
    let (mut counted, mut line) = (0, 1);
    while cursor.at < script.len() {
        cursor.blanks();
        cursor.keyword();
        while let Some((name, appends)) = cursor.name() {
            line += newlines(script.get(counted..cursor.at));
            counted = cursor.at;
            let value = if appends { Err(Obstacle::Computed) } else { cursor.literal() };
            let readable = value.is_ok();
            found.push(Assignment { name, value, line, at_end: cursor.at >= script.len() });
            if !readable {
                break;
            }
            cursor.blanks();
            // Another command on the same line.
            if cursor.peek() == Some(b';') {
                cursor.at += 1;
                cursor.blanks();
                cursor.keyword();
            }
        }
        cursor.next_line();
    }
    found
}

fn newlines(text: Option<&[u8]>) -> usize {
    text.unwrap_or_default().iter().filter(|&&b| b == b'\n').count()
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// `export`, `declare -rx`: the word, its options, and the blanks behind.
    fn keyword(&mut self) {
        let word = |k: &&&[u8]| {
            self.rest()
                .strip_prefix(**k)
                .is_some_and(|r| r.starts_with(b" ") || r.starts_with(b"\t"))
        };
        let Some(keyword) = KEYWORDS.iter().find(word) else { return };
        self.at += keyword.len();
        self.blanks();
        while self.peek() == Some(b'-') {
            while self.peek().is_some_and(|b| !b.is_ascii_whitespace()) {
                self.at += 1;
            }
            self.blanks();
        }
    }

    /// `NAME=` or `NAME+=`, and whether it is the latter; moves only where it is one of these.
    fn name(&mut self) -> Option<(&'a str, bool)> {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|&b| !(b.is_ascii_alphanumeric() || b == b'_'))
            .unwrap_or(rest.len());
        let (name, behind) = rest.split_at(length);
        if name.first().is_none_or(u8::is_ascii_digit) {
            return None;
        }
        let (appends, sign) = match behind {
            [b'=', ..] => (false, 1),
            [b'+', b'=', ..] => (true, 2),
            _ => return None,
        };
        self.at += length + sign;
        std::str::from_utf8(name).ok().map(|name| (name, appends))
    }

    fn next_line(&mut self) {
        let end = self.rest().iter().position(|&b| b == b'\n').map(|n| n + 1);
        self.at += end.unwrap_or(self.rest().len());
    }

    /// A word: quoted, unquoted, or parts of both.
    fn literal(&mut self) -> Result<Vec<u8>, Obstacle> {
        let mut value = Vec::new();
        loop {
            match self.peek() {
                None | Some(b' ' | b'\t' | b'\n' | b';' | b'&' | b'|') => return Ok(value),
                Some(b'\'') => self.single(&mut value)?,
                Some(b'"') => self.double(&mut value)?,
                Some(b'\\') => match self.escaped()? {
                    b'\n' => {}
                    b => value.push(b),
                },
                Some(b) if plain(b) => {
                    value.push(b);
                    self.at += 1;
                }
                Some(_) => return Err(Obstacle::Computed),
            }
        }
    }

    /// The byte behind a backslash.
    fn escaped(&mut self) -> Result<u8, Obstacle> {
        self.at += 1;
        let byte = self.peek().ok_or(Obstacle::Unclosed)?;
        self.at += 1;
        Ok(byte)
    }

    fn single(&mut self, value: &mut Vec<u8>) -> Result<(), Obstacle> {
        self.at += 1;
        let rest = self.rest();
        let end = rest.iter().position(|&b| b == b'\'').ok_or(Obstacle::Unclosed)?;
        value.extend_from_slice(rest.get(..end).unwrap_or_default());
        self.at += end + 1;
        Ok(())
    }

    fn double(&mut self, value: &mut Vec<u8>) -> Result<(), Obstacle> {
        self.at += 1;
        loop {
            match self.peek().ok_or(Obstacle::Unclosed)? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'$' | b'`' => return Err(Obstacle::Computed),
                b'\\' => match self.escaped()? {
                    b'\n' => {}
                    // Only before these has a backslash a meaning here (POSIX, 2.2.3).
                    b @ (b'$' | b'`' | b'"' | b'\\') => value.push(b),
                    // Two bytes that bash marks its own with: it loses them here, dash doesn't.
                    1 | 0x7f => return Err(Obstacle::Computed),
                    b => value.extend([b'\\', b]),
                },
                b => {
                    value.push(b);
                    self.at += 1;
                }
            }
        }
    }
}

/// Has this byte no meaning to any shell where it stands unquoted in a value? Patterns,
/// braces and tildes have one in some shells and places, so they count as computed.
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// What a real shell makes of the word, as bytes; `None` where it refuses it.
    fn evaluated(shell: &str, words: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let dir = tempfile::tempdir().unwrap();
        words
            .iter()
            .enumerate()
            .map(|(n, word)| {
                let path = dir.path().join(n.to_string());
                // The value is ended by a mark, since the word may not end where it seems to.
                let script = [b"X=".as_slice(), word, b"\nprintf '%s' \"$X\"\nexit 0\n"].concat();
                std::fs::write(&path, script).unwrap();
                let out = Command::new(shell)
                    .arg(&path)
                    .stdin(Stdio::null())
                    .env_clear()
                    .output()
                    .unwrap();
                out.status.success().then_some(out.stdout)
            })
            .collect()
    }

    fn read(word: &[u8]) -> Result<Vec<u8>, Obstacle> {
        let script = [b"X=", word, b"\n"].concat();
        let mut found = assignments(&script);
        found.remove(0).value
    }

    /// A random text of the characters that matter to shells.
    fn nasty(rng: &mut fastrand::Rng, most: usize) -> String {
        let alphabet = [
            '\'', '"', '$', '`', '\\', '\n', ' ', '\t', '(', ')', '{', '}', ';', '&', '|', '<',
            '>', '*', '?', '[', ']', '~', '#', '!', '=', '%', 'a', 'Z', '0', '_', '-', '/', '\r',
            'ä', '\u{7f}', '\u{1}',
        ];
        (0..rng.usize(..=most)).map(|_| alphabet[rng.usize(..alphabet.len())]).collect()
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let value = nasty(&mut rng, 40);
            let got = read(quote(&value).as_bytes());
            assert_eq!(got.as_deref(), Ok(value.as_bytes()), "seed {seed}");
        }
    }

    /// Whatever the reader takes, bash and dash make the same of it. What it refuses may
    /// be anything.
    #[test]
    fn what_is_read_is_what_bash_and_dash_make_of_it() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut words = Vec::new();
        while words.len() < 150 {
            let word: String = (0..rng.usize(1..4))
                .map(|_| {
                    let text = nasty(&mut rng, 5);
                    match rng.u8(..4) {
                        0 => format!("\"{text}\""),
                        1 => format!("'{text}'"),
                        2 => text,
                        _ => text.chars().map(|c| format!("\\{c}")).collect(),
                    }
                })
                .collect();
            // Bytes behind the word are other commands; those are not run here.
            let script = format!("X={word}\n");
            let mut cursor = Cursor { text: script.as_bytes(), at: 2 };
            if cursor.literal().is_ok() {
                words.push(script.as_bytes()[2..cursor.at].to_vec());
            }
        }
        for shell in ["bash", "dash"] {
            for (word, got) in words.iter().zip(evaluated(shell, &words)) {
                let shown = String::from_utf8_lossy(word);
                assert_eq!(got, read(word).ok(), "{shell}: {shown:?}, seed {seed}");
            }
        }
    }

    #[test]
    fn every_usual_quoting_is_read() {
        let cases: &[(&str, &str)] = &[
            ("X='a b'", "a b"),
            ("X=\"a b\"", "a b"),
            ("X=a-b_c.d/e:f@g%h+i,j=k", "a-b_c.d/e:f@g%h+i,j=k"),
            ("X=", ""),
            ("X=''", ""),
            ("X='it'\\''s'", "it's"),
            ("X=\"a\\\"b\\\\c\\$d\\`e\\f\"", "a\"b\\c$d`e\\f"),
            ("X='a'\"b\"c\\ d", "abc d"),
            ("  export X=a", "a"),
            ("\tdeclare -rx X=a", "a"),
            ("readonly X=a # why", "a"),
            ("X=a; export X", "a"),
            ("X='a\nb'", "a\nb"),
            ("X=a\\\nb", "ab"),
        ];
        for (script, value) in cases {
            let found = assignments(script.as_bytes());
            assert_eq!(found.len(), 1, "{script}");
            assert_eq!(found[0].value.as_deref(), Ok(value.as_bytes()), "{script}");
        }
    }

    #[test]
    fn what_a_shell_would_compute_is_not_guessed() {
        for value in [
            "$Y",
            "\"${Y:-60}\"",
            "`id`",
            "\"`id`\"",
            "$(id)",
            "$'a'",
            "~/x",
            "a*",
            "{a,b}",
            "(a b)",
            "a<b",
        ] {
            assert_eq!(read(value.as_bytes()), Err(Obstacle::Computed), "{value}");
        }
        assert_eq!(assignments(b"X+=a")[0].value, Err(Obstacle::Computed));
        for value in ["'a", "\"a", "a\\", "\"a\\\""] {
            assert_eq!(
                assignments(format!("X={value}").as_bytes())[0].value,
                Err(Obstacle::Unclosed)
            );
        }
    }

    #[test]
    fn several_assignments_of_a_line_are_read() {
        let script = b"A=1; export B='2;3';C=\"4\" D=5; echo E=6\n";
        let found = assignments(script);
        let read: Vec<(&str, &[u8])> =
            found.iter().map(|a| (a.name, a.value.as_deref().unwrap())).collect();
        let all: [(&str, &[u8]); 4] = [("A", b"1"), ("B", b"2;3"), ("C", b"4"), ("D", b"5")];
        assert_eq!(read, all);
    }

    #[test]
    fn names_and_lines_are_told() {
        let script = b"#!/bin/sh\n# A=1\nexport A='x\ny' B=2\n\nif true; then C=3; fi\nD == 3\n9E=1\nF[0]=1\n  G=7";
        let found: Vec<(&str, usize)> =
            assignments(script).iter().map(|a| (a.name, a.line)).collect();
        assert_eq!(found, [("A", 3), ("B", 4), ("G", 10)]);
    }
}
