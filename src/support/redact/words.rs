//! Words by which a credential is told: how services' tokens begin, and names of secrets.

/// Beginnings of tokens that are told by them, and the least length of what follows.
pub(super) const TOKENS: &[(&str, usize)] = &[
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("glrt-", 16),
    ("gldt-", 16),
    ("glptt-", 16),
    ("npm_", 20),
    ("pypi-", 20),
    ("sk-", 16),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("whsec_", 16),
    ("SG.", 30),
    ("hvs.", 20),
    ("hvb.", 20),
    ("ya29.", 20),
    ("tskey-", 10),
    ("dckr_pat_", 16),
    ("shpat_", 20),
    ("shpss_", 20),
    ("lin_api_", 20),
    ("ATATT3", 20),
    ("xapp-", 10),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxs-", 10),
    ("xoxe-", 10),
    ("hooks.slack.com/services/", 10),
    ("discord.com/api/webhooks/", 10),
    ("AIza", 30),
    ("hf_", 20),
    ("dop_v1_", 20),
    ("eyJ", 30),
    ("FQoG", 40),
    ("IQoJ", 40),
    ("AGE-SECRET-KEY-", 20),
];

/// Names whose values are secrets, in any case and with `-` or `_`.
const NAMES: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "apikey",
    "api_key",
    "access_key",
    "accesskey",
    "private_key",
    "privatekey",
    "signature",
    "authorization",
    "_auth",
    "authtoken",
    "cookie",
    "bearer",
    "mint_user_bootstrap",
    "session_key",
];

/// Does a variable or key of this name hold a secret?
pub fn names_secret(name: &str) -> bool {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().any(|word| plain.contains(word))
        || matches!(last_part(name).as_str(), "pass" | "psk")
        || last_part(name) == "pwd" && !matches!(name, "PWD" | "OLDPWD")
}

/// Is `value` a secret behind `name`? Names that mean something else as often do so only with a
/// value that looks like one. `plain` is what stands behind a colon, in no quotes.
pub(super) fn is_secret(name: &str, value: &str, plain: bool) -> bool {
    const NO_SECRETS: &[&str] = &["public", "pub", "primary", "foreign", "sort", "host", "cache"];
    let last = last_part(name);
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    match last.as_str() {
        "pwd" => names_secret(name) && !value.starts_with(['/', '~']),
        "pass" => value.len() >= 6 || !digits,
        _ if names_secret(name) => true,
        "sig" => value.len() >= 16,
        "auth" => value.len() >= 8 && !plain,
        "key" => {
            let whole = name.to_ascii_lowercase();
            let known = NO_SECRETS.iter().any(|word| whole.starts_with(word));
            name.len() > last.len() && !known && value.len() >= 8 && !value.starts_with('/')
        }
        _ => false,
    }
}

/// The last word of a name: behind `_` or `-`, or from the last capital that follows a small
/// letter (`AccountKey`).
fn last_part(name: &str) -> String {
    let part = name.rsplit(['_', '-']).next().unwrap_or_default();
    let bytes = part.as_bytes();
    let camel = (1..bytes.len()).rev().find(|at| {
        let (before, here) = (bytes.get(at - 1), bytes.get(*at));
        before.is_some_and(u8::is_ascii_lowercase) && here.is_some_and(u8::is_ascii_uppercase)
    });
    part.get(camel.unwrap_or(0)..).unwrap_or_default().to_ascii_lowercase()
}

/// Is there a word in it that begins as a service's tokens do?
pub fn has_token(line: &str) -> bool {
    line.split(|c| !is_token(c)).any(|word| token_in(word).is_some())
}

/// Where in a word a token begins.
pub(super) fn token_in(word: &str) -> Option<usize> {
    // What stands before it may be of the same signs: `x=ghp_…` is not, `a-ghp_…` is.
    let starts = TOKENS.iter().filter_map(|(start, least)| {
        let at = word.find(start)?;
        (word.len() >= at + start.len() + least).then_some(at)
    });
    starts.min()
}

pub(super) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.+/".contains(c)
}

pub(super) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-".contains(c)
}
