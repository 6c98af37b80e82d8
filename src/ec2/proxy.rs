//! Which proxy the environment asks for, by the rules that `curl(1)` has made common.
//!
//! An address in a private network may have no other way to the EC2 API. The variable
//! goes by the scheme of the address: `https_proxy` or `HTTPS_PROXY`, for plain HTTP
//! `http_proxy` alone (in capitals a web server's client could set it), and for both
//! `all_proxy` or `ALL_PROXY`. `no_proxy` or `NO_PROXY` lists the hosts that need none:
//! names, which include what is below them, and `*` for all.

/// The proxy for `host`, as it was written. Empty variables count as unset.
pub(super) fn proxy_for(
    scheme: &str,
    host: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let first =
        |names: &[&str]| names.iter().find_map(|n| environment(n).filter(|v| !v.trim().is_empty()));
    let proxy = match scheme {
        "https" => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        _ => first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
    }?;
    let exempt = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    (!exempt.split([',', ' ']).any(|entry| covers(entry, host))).then(|| proxy.trim().to_owned())
}

/// Does this entry of `no_proxy` speak of `host`?
fn covers(entry: &str, host: &str) -> bool {
    if entry == "*" {
        return true;
    }
    let entry = entry.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
    if entry.is_empty() {
        return false;
    }
    let (entry, host) = (entry.to_ascii_lowercase(), host.to_ascii_lowercase());
    host == entry || host.strip_suffix(&entry).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(scheme: &str, host: &str, environment: &[(&str, &str)]) -> Option<String> {
        proxy_for(scheme, host, |name| {
            environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        })
    }

    const HOST: &str = "ec2.eu-west-1.amazonaws.com";

    #[test]
    fn the_scheme_chooses_the_variable() {
        let all = [("http_proxy", "h"), ("HTTPS_PROXY", "s"), ("ALL_PROXY", "a")];
        assert_eq!(ask("https", HOST, &all).as_deref(), Some("s"));
        assert_eq!(ask("http", HOST, &all).as_deref(), Some("h"));
        assert_eq!(ask("http", HOST, &[("HTTP_PROXY", "h")]), None);
        assert_eq!(ask("https", HOST, &[("http_proxy", "h")]), None);
        assert_eq!(
            ask("https", HOST, &[("https_proxy", " "), ("all_proxy", "a")]).as_deref(),
            Some("a")
        );
        assert_eq!(ask("https", HOST, &[]), None);
    }

    #[test]
    fn hosts_are_exempt_by_name_suffix_or_star() {
        for entry in [
            "*",
            HOST,
            "amazonaws.com",
            ".amazonaws.com",
            "*.amazonaws.com",
            "a, EU-WEST-1.amazonaws.com",
            "x AMAZONAWS.com.",
        ] {
            let got = ask("https", HOST, &[("https_proxy", "p"), ("no_proxy", entry)]);
            assert_eq!(got, None, "{entry}");
        }
        for entry in ["", ",", ".", "naws.com", "ec2", "x.amazonaws.com"] {
            let got = ask("https", HOST, &[("https_proxy", "p"), ("NO_PROXY", entry)]);
            assert_eq!(got.as_deref(), Some("p"), "{entry}");
        }
        assert_eq!(ask("http", "[::1]", &[("http_proxy", "p"), ("no_proxy", "::1")]), None);
    }
}
