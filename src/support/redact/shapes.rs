//! What looks like a credential, whoever's it is. Pure: a text goes in, the text without them comes
//! out, and each is told to the caller with its kind.

use super::MASK;
use super::value::{header, value};
use super::words::{is_name, is_secret, is_token, names_secret, token_in};

/// Is told each value that is masked, and its kind.
pub(super) type Met<'m> = &'m mut dyn FnMut(&'static str, &str);

/// A line of base64 has at least so many signs where `base64` and PEM wrap it (76, 64).
const LONG: usize = 60;

/// A shorter word is none of `gzip`'s output.
const LEAST_GZIP: usize = 20;

/// The text without what looks like a credential.
pub(super) fn mask(text: &str, met: Met<'_>) -> String {
    let text = private_keys(text, met);
    let mut out = String::with_capacity(text.len());
    let mut encoded = false;
    for line in text.split_inclusive('\n') {
        let line = userinfo(line, met);
        let line = tokens(&line, met);
        let line = base64(&line, &mut encoded, met);
        let line = options(&line, met);
        out.push_str(&named(&line, met));
    }
    out
}

/// From the first line of a private key (RFC 7468, RFC 9580) to its last, or to the end of the
/// text.
fn private_keys(text: &str, met: Met<'_>) -> String {
    const ENDS: [&str; 2] = ["PRIVATE KEY-----", "PRIVATE KEY BLOCK-----"];
    let first = |text: &str| {
        ENDS.iter().filter_map(|end| text.find(end).map(|at| (at, at + end.len()))).min()
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, end)) = first(rest) {
        let before = rest.get(..at).unwrap_or_default();
        out.push_str(before.get(..before.rfind("-----BEGIN ").unwrap_or(at)).unwrap_or_default());
        out.push_str(MASK);
        met("private-key", "");
        let body = rest.get(end..).unwrap_or_default();
        rest = first(body).and_then(|(_, end)| body.get(end..)).unwrap_or_default();
    }
    out + rest
}

/// `scheme://USERINFO@host` (RFC 3986, 3.2.1), also where a password has signs that should have
/// been encoded: what looks like a user, a colon and no port goes to the last `@`.
fn userinfo(line: &str, met: Met<'_>) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let run = after.find(|c: char| c.is_whitespace() || "\"'<>".contains(c));
        let run = after.get(..run.unwrap_or(after.len())).unwrap_or_default();
        let authority = run.find(['/', '?', '#']).unwrap_or(run.len());
        let authority = run.get(..authority).unwrap_or_default();
        let user = authority.split('@').next().unwrap_or_default();
        let password = user.split_once(':').map(|(_, password)| password);
        let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let sign = match password {
            Some(p) if authority.contains('@') || !port(p) && !user.starts_with('[') => {
                run.rfind('@')
            }
            _ => authority.rfind('@'),
        };
        rest = after;
        if let Some(sign) = sign {
            let whole = after.get(..sign).unwrap_or_default();
            met("url-userinfo", whole.split_once(':').map_or("", |(_, password)| password));
            out.push_str(MASK);
            rest = after.get(sign..).unwrap_or_default();
        }
    }
    out + rest
}

/// Words that begin as a service's tokens do.
fn tokens(line: &str, met: Met<'_>) -> String {
    words(line, is_token, &mut |word, _| {
        let at = token_in(word)?;
        met("token", word.get(at..).unwrap_or_default());
        Some(at)
    })
}

/// Replaces the words that `judge` names, from where it says; it is told the sign before each.
fn words(
    line: &str,
    belongs: fn(char) -> bool,
    judge: &mut dyn FnMut(&str, &str) -> Option<usize>,
) -> String {
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        match judge(word, line.get(..at).unwrap_or_default()) {
            Some(from) => {
                out.push_str(word.get(..from).unwrap_or_default());
                out.push_str(MASK);
            }
            None => out.push_str(word),
        }
        let sign = tail.chars().next();
        out.extend(sign);
        at += end + sign.map_or(0, char::len_utf8);
    }
    out
}

/// Long words of base64, and what follows such a line. A public key of SSH is none, nor is a
/// number in hexadecimal.
fn base64(line: &str, encoded: &mut bool, met: Met<'_>) -> String {
    let belongs = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let alone = line.trim();
    let goes_on = *encoded && !alone.is_empty() && alone.chars().all(belongs);
    *encoded = false;
    let ends_with = alone.rsplit(|c| !belongs(c)).next().unwrap_or_default().len();
    let mut last = false;
    words(line, |c| c.is_ascii_alphanumeric() || "+/=".contains(c), &mut |word, before| {
        // Within JSON the next line follows a written line break.
        let joined = last && before.ends_with('\\') && word.starts_with('n');
        let is = !word.is_empty() && (goes_on || joined || is_encoded(word));
        if !word.is_empty() {
            last = is;
        }
        if is {
            *encoded = word.len() == ends_with && word.len() >= LONG;
            met("base64", word);
        }
        is.then_some(0)
    })
}

fn is_encoded(word: &str) -> bool {
    let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
    let gzip = word.contains("H4sI") && word.len() >= LEAST_GZIP;
    let mixed =
        has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
    // A path has more of them.
    let few = word.bytes().filter(|b| *b == b'/').count() <= word.len() / 10;
    let public = word.starts_with("AAAA");
    gzip || word.len() >= LONG && mixed && few && !public
}

/// Values of options and of words that announce one: `-u me:pw`, `--password PW`, `mysql -pPW`,
/// `bearer X`, `X-Api-Key X`.
fn options(line: &str, met: Met<'_>) -> String {
    let mut masked: Vec<(usize, usize)> = Vec::new();
    let mut programs: Vec<String> = Vec::new();
    let mut at = 0;
    for piece in line.split_inclusive(char::is_whitespace) {
        let (begin, end) = (at, at + piece.len());
        at = end;
        let word = piece.trim_end();
        let bare = word.trim_start_matches(['"', '\'', '(', '[', '$', '`', '\\', '{']);
        let from = begin + word.len() - bare.len();
        let bare = bare.trim_end_matches([',', '"', '\'', '\\']);
        let is = |names: &[&str]| programs.iter().any(|p| names.iter().any(|n| p.starts_with(n)));
        let next = || {
            let (s, e) = value(line.get(end..).unwrap_or_default());
            (end + s, end + e)
        };
        let text = |(s, e): (usize, usize)| line.get(s..e).unwrap_or_default();
        let attached = |length: usize| {
            let (s, e) = value(line.get(from + length..).unwrap_or_default());
            (from + length + s, from + length + e)
        };
        let range = match bare {
            "-u" | "--user" | "--proxy-user" => Some(next()).filter(|r| is_login(text(*r))),
            _ if bare.starts_with("--user=") => Some(attached(7)).filter(|r| is_login(text(*r))),
            _ if bare.starts_with("-u") => Some(attached(2)).filter(|r| is_login(text(*r))),
            "-p" if is(&["sshpass", "mongo", "login"]) => Some(next()),
            "-a" if is(&["redis-cli"]) => Some(next()),
            _ if bare.starts_with("-p")
                && bare.len() > 2
                && is(&["mysql", "mariadb", "sshpass", "mongo"]) =>
            {
                Some(attached(2))
            }
            _ if announces(bare) => Some(next()).filter(|r| !text(*r).starts_with('-')),
            _ if bare.eq_ignore_ascii_case("bearer") => {
                let shown = text(next());
                let certain = bare == "Bearer" || shown.bytes().any(|b| b.is_ascii_digit());
                Some(next()).filter(|_| shown.len() >= 20 || shown.len() >= 6 && certain)
            }
            _ => None,
        };
        if let Some((s, e)) = range
            && s < e
            && text((s, e)) != MASK
            && masked.last().is_none_or(|(_, last)| *last <= s)
        {
            met("option", text((s, e)));
            masked.push((s, e));
        }
        programs.push(bare.rsplit('/').next().unwrap_or_default().to_owned());
    }
    let mut out = String::with_capacity(line.len());
    let mut from = 0;
    for (s, e) in masked {
        out.push_str(line.get(from..s).unwrap_or_default());
        out.push_str(MASK);
        from = e;
    }
    out + line.get(from..).unwrap_or_default()
}

/// A user and a password; `1000:1000` is a user and a group.
fn is_login(text: &str) -> bool {
    text.split_once(':').is_some_and(|(_, password)| {
        !password.is_empty() && !password.bytes().all(|b| b.is_ascii_digit())
    })
}

/// `--password`, `--api-key`, and a header's name without its colon.
fn announces(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let elsewhere = ["-stdin", "-file", "-path", "-env"].iter().any(|end| lower.ends_with(end));
    let name = lower.strip_prefix("--").or(lower.starts_with("x-").then_some(lower.as_str()));
    name.is_some_and(|name| names_secret(name) && name.chars().all(is_name)) && !elsewhere
}

/// What follows a name that speaks of a secret, behind `=` or `:`, or in an element of XML.
fn named(line: &str, met: Met<'_>) -> String {
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    let mut shown = 0;
    while let Some(found) = line.get(at..).and_then(|rest| rest.find(['=', ':', '>'])) {
        let sign = at + found;
        at = sign + 1;
        let (before, after) = (line.get(..sign), line.get(sign + 1..));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let range = match line.as_bytes().get(sign) {
            Some(b'>') => element(before, after),
            sign => assigned(before, after, sign == Some(&b':')),
        };
        let Some((s, e)) = range.map(|(s, e)| (sign + 1 + s, sign + 1 + e)) else { continue };
        let value = line.get(s..e).unwrap_or_default();
        if s < shown || value.is_empty() || value == MASK || is_nothing(value) {
            continue;
        }
        met("named-value", value);
        out.push_str(line.get(shown..s).unwrap_or_default());
        out.push_str(MASK);
        (at, shown) = (e, e);
    }
    out + line.get(shown..).unwrap_or_default()
}

fn is_nothing(value: &str) -> bool {
    matches!(value, "null" | "true" | "false" | "none")
}

/// `<password>VALUE</password>`.
fn element(before: &str, after: &str) -> Option<(usize, usize)> {
    let tag = before.rsplit('<').next().filter(|tag| tag.len() < before.len())?;
    let tag = tag.split_whitespace().next().unwrap_or_default();
    let name = tag.rsplit(':').next().unwrap_or_default();
    let secret = names_secret(name) && !tag.starts_with('/') && name.chars().all(is_name);
    secret.then(|| (0, after.find(['<', '\n']).unwrap_or(after.len())))
}

/// `NAME=VALUE`, `"name": "value"`, `Header: value`: where in `after` the value is.
fn assigned(before: &str, after: &str, colon: bool) -> Option<(usize, usize)> {
    let name = before.trim_end_matches(['"', '\'', ' ', '\\']);
    let start = name.rfind(|c: char| !is_name(c)).map_or(0, |i| i + 1);
    let (path, name) = (name.get(..start)?.ends_with('/'), name.get(start..)?);
    // The end of a path or a URL, about which something is said.
    if colon && path && after.starts_with([' ', '\n']) {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let (s, e) = value(after);
    let quoted = after.get(..s).is_some_and(|lead| lead.ends_with(['"', '\'']));
    if (lower.ends_with("authorization") || lower.ends_with("cookie")) && !quoted {
        return Some((s, s + header(after.get(s..)?)));
    }
    let shown = after.get(s..e).unwrap_or_default();
    is_secret(name, shown, colon && !quoted && after.starts_with(' ')).then_some((s, e))
}
