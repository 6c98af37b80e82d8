//! Two releases of mise beside each other: which backends came and went. Pure.

use super::backends;
use serde::Serialize;

/// What differs, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Backends that only the other one has.
    pub gained: Vec<String>,
    /// Backends that only this one has.
    pub lost: Vec<String>,
    /// What is to be denied so that either may be installed.
    pub denied: Vec<String>,
    /// The line for a mise config's `[settings]`.
    pub config_line: String,
    /// The line for an image's `ENV`.
    pub variable_line: String,
    /// The line beside it, where no plugin may resolve.
    pub plugins_line: Option<String>,
}

/// Compares what two of them list.
pub fn compare(this: &[String], other: &[String], allowed: &[String]) -> Comparison {
    let without = |all: &[String], less: &[String]| -> Vec<String> {
        all.iter().filter(|n| !less.contains(n)).cloned().collect()
    };
    let denied = backends::denied(allowed, this.iter().chain(other).map(String::as_str));
    Comparison {
        gained: without(other, this),
        lost: without(this, other),
        config_line: backends::config_line(&denied),
        variable_line: backends::variable_line(&denied),
        plugins_line: backends::plugins_line(allowed),
        denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_either_has_is_denied_unless_it_is_allowed() {
        let names = |all: &[&str]| all.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let c = compare(&names(&["npm", "old"]), &names(&["npm", "new"]), &names(&["npm"]));
        assert_eq!((c.gained, c.lost), (names(&["new"]), names(&["old"])));
        assert!(c.config_line.contains("\"new\"") && c.config_line.contains("\"old\""));
        assert!(!c.variable_line.contains("npm") && c.variable_line.contains("cargo"));
    }
}
