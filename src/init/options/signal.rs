//! Signals as people write them.

use nix::sys::signal::Signal;

/// The number of `15`, `TERM`, `SIGTERM` or `RTMIN+3` (`signal(7)`); `None` where it is none.
pub(super) fn number(text: &str) -> Option<i32> {
    if let Ok(n) = text.parse::<i32>() {
        return (1..=libc::SIGRTMAX()).contains(&n).then_some(n);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |rest: &str, base: i32, sign: i32| {
        let offset: i32 = if rest.is_empty() { 0 } else { rest.get(1..)?.parse().ok()? };
        let n = base + sign * offset;
        (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&n).then_some(n)
    };
    match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) if rest.is_empty() || rest.starts_with('+') => {
            real_time(rest, libc::SIGRTMIN(), 1)
        }
        (_, Some(rest)) if rest.is_empty() || rest.starts_with('-') => {
            real_time(rest, libc::SIGRTMAX(), -1)
        }
        _ => format!("SIG{name}").parse::<Signal>().ok().map(|s| s as i32),
    }
}

/// What is said of a text that names none.
pub(super) fn unknown(text: &str) -> String {
    format!("{text:?} is no signal; write a name such as SIGTERM or a number such as 15")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_signals() {
        for (text, n) in [("15", 15), ("TERM", 15), ("SIGTERM", 15), ("sigint", 2), ("64", 64)] {
            assert_eq!(number(text), Some(n), "{text}");
        }
        assert_eq!(number("RTMIN+1"), Some(libc::SIGRTMIN() + 1));
        assert_eq!(number("SIGRTMAX-1"), Some(libc::SIGRTMAX() - 1));
        for text in ["", "0", "-1", "65", "TERMINATE", "RTMIN+99", "RTMIN1", "SIG"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
