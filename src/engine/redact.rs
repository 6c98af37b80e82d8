//! Keeping secrets out of what is quoted.
//!
//! An excerpt of a tool's output may repeat a token from the environment (a URL with
//! credentials, a verbose error). Every value of a variable whose name speaks of a
//! secret is masked, and so is the userinfo part of a URL (RFC 3986, 3.2.1).

/// Values shorter than this are no secrets and would mask half a text.
const SHORTEST: usize = 6;

/// Parts of names whose variables hold secrets.
const NAMES: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL", "AUTH"];

/// Masks the secrets of `environment` in `text`.
pub fn redact<'a>(text: &str, environment: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let is_secret = |(name, value): &(&str, &str)| {
        let name = name.to_uppercase();
        value.len() >= SHORTEST && NAMES.iter().any(|n| name.contains(n))
    };
    let mut secrets: Vec<&str> = environment.filter(is_secret).map(|(_, value)| value).collect();
    // Longest first: of one that holds another, the rest would be left.
    secrets.sort_by_key(|value| std::cmp::Reverse(value.len()));
    secrets.into_iter().fold(mask_userinfo(text), |out, value| out.replace(value, "[redacted]"))
}

/// Masks the secrets of this process's own environment.
pub fn redact_own(text: &str) -> String {
    let all: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    redact(text, all.iter().map(|(n, v)| (n.as_str(), v.as_str())))
}

fn mask_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| c == '/' || c == '?' || c == '#' || c == '"' || c.is_whitespace())
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rfind('@') {
            Some(sign) => {
                out.push_str("[redacted]");
                out.push_str(authority.get(sign..).unwrap_or_default());
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_variables_and_url_credentials_are_masked() {
        let env = [("NPM_TOKEN", "npm_abcdef123"), ("LANG", "C.UTF-8"), ("MY_KEY", "abc")];
        let text = "401 for https://bob:hunter2@example.org/x with npm_abcdef123 in C.UTF-8 abc";
        assert_eq!(
            redact(text, env.into_iter()),
            "401 for https://[redacted]@example.org/x with [redacted] in C.UTF-8 abc"
        );
    }

    #[test]
    fn of_a_secret_that_holds_another_nothing_is_left() {
        let env = [("A_TOKEN", "abcdef"), ("B_TOKEN", "12abcdef34")];
        assert_eq!(redact("x 12abcdef34 abcdef", env.into_iter()), "x [redacted] [redacted]");
    }

    #[test]
    fn plain_text_stays() {
        let text = "a://b c://d@ e@f ://";
        assert_eq!(redact(text, std::iter::empty()), "a://b c://[redacted]@ e@f ://");
    }
}
