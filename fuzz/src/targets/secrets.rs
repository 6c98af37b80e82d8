//! What is quoted of other people's text: no secret that is known, nothing a terminal obeys.

use agent::engine::excerpt;
use agent::engine::redact::redact;
use agent::support::redact::Redactor;

/// The first line is a secret, the rest a text that may quote it.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (secret, text) = text.split_once('\n').unwrap_or((&text, ""));
    let secret = secret.trim();
    // A mask is no leak, whatever stands in it.
    let counts = secret.len() >= 6 && !secret.contains(['[', ']']) && !"redacted".contains(secret);
    let masked = redact(text, [("API_TOKEN", secret), ("LANG", "C")].into_iter());
    if counts {
        assert!(!masked.contains(secret), "a variable is quoted: {masked:?}");
    }
    let mut redactor = Redactor::default();
    redactor.know(secret, "configuration");
    let masked = redactor.redact(text);
    if counts {
        assert!(!masked.contains(secret), "it goes to a stranger: {masked:?}");
    }
    let mut redactor = Redactor::default();
    redactor.know_script(text.as_bytes());
    let masked = redactor.redact(text);
    for line in text.lines().map(str::trim) {
        let counts = line.len() >= 10 && !line.starts_with("#!") && !line.contains(['[', ']']);
        assert!(!counts || !masked.lines().any(|l| l == line), "a line of the script: {line:?}");
    }
    let short = excerpt(text);
    assert!(short.chars().count() <= 403, "too long");
    assert!(!short.contains(|c: char| c.is_control() && c != '\n'), "it obeys: {short:?}");
}
