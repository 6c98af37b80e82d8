//! `hosts(5)` and `resolv.conf(5)`, as far as they matter for finding an address.

use std::net::IpAddr;
use std::time::Duration;

/// The C library asks no more servers.
const MOST_SERVERS: usize = 3;
/// Nor for more suffixes than anybody has in earnest.
const MOST_SUFFIXES: usize = 6;

/// The addresses of `name` in a hosts file.
pub(super) fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    words(hosts, &['#'])
        .filter_map(|mut words| {
            let address = words.next()?.parse().ok()?;
            words.any(|alias| alias.eq_ignore_ascii_case(name)).then_some(address)
        })
        .collect()
}

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolv {
    /// The servers, in order.
    pub(super) servers: Vec<IpAddr>,
    /// What names without many dots may be short for.
    suffixes: Vec<String>,
    /// A name with so many dots is tried as it is first.
    dots: usize,
    /// How long one server has for an answer.
    pub(super) timeout: Duration,
    /// How often each server is asked.
    pub(super) attempts: u32,
}

impl Resolv {
    /// What the file says; lines that are not understood say nothing.
    pub(super) fn parse(text: &str) -> Self {
        let mut found = Self {
            servers: Vec::new(),
            suffixes: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for mut line in words(text, &['#', ';']) {
            match line.next() {
                Some("nameserver") => {
                    found.servers.extend(line.next().and_then(|a| a.parse::<IpAddr>().ok()))
                }
                // The last of these lines counts.
                Some("search") => found.suffixes = line.map(str::to_owned).collect(),
                Some("domain") => found.suffixes = line.take(1).map(str::to_owned).collect(),
                Some("options") => line.for_each(|option| found.option(option)),
                _ => {}
            }
        }
        found.servers.truncate(MOST_SERVERS);
        found.suffixes.truncate(MOST_SUFFIXES);
        if found.servers.is_empty() {
            // As the manual says.
            found.servers.push(IpAddr::from([127, 0, 0, 1]));
        }
        found
    }

    fn option(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        // The limits are the manual's.
        match name {
            "ndots" => self.dots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// What to ask for, in order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let own = [name.to_owned()];
        let longer =
            self.suffixes.iter().map(|suffix| format!("{name}.{}", suffix.trim_start_matches('.')));
        if name.matches('.').count() >= self.dots {
            own.into_iter().chain(longer).collect()
        } else {
            longer.chain(own).collect()
        }
    }
}

/// The lines that say something, as words.
fn words<'t>(
    text: &'t str,
    comments: &'t [char],
) -> impl Iterator<Item = std::str::SplitWhitespace<'t>> {
    text.lines().map(move |line| line.split(comments).next().unwrap_or_default().split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_hosts_file_is_searched_for_names_and_aliases() {
        let hosts = "127.0.0.1\tlocalhost # me\n# 1.1.1.1 ec2.test\n10.0.0.7 ec2.test EC2 \n::7 x ec2.test\nnonsense ec2\n";
        assert_eq!(in_hosts(hosts, "ec2.test"), [ip("10.0.0.7"), ip("::7")]);
        assert_eq!(in_hosts(hosts, "ec2.TEST."), [ip("10.0.0.7"), ip("::7")]);
        assert_eq!(in_hosts(hosts, "ec2"), [ip("10.0.0.7")]);
        assert!(in_hosts(hosts, "me").is_empty());
        assert!(in_hosts(hosts, "10.0.0.7").is_empty());
    }

    #[test]
    fn what_resolv_conf_says_is_obeyed_within_limits() {
        let text = "; made by a tool\nsearch a.test\nnameserver 10.0.0.2\nnameserver fd00:ec2::253\nnameserver no\n\
                    search eu-west-1.compute.internal b\noptions edns0 ndots:3 timeout:99 attempts:0 trust-ad\n";
        let found = Resolv::parse(text);
        assert_eq!(found.servers, [ip("10.0.0.2"), ip("fd00:ec2::253")]);
        assert_eq!((found.timeout, found.attempts), (Duration::from_secs(30), 1));
        assert_eq!(
            found.candidates("proxy"),
            ["proxy.eu-west-1.compute.internal", "proxy.b", "proxy"]
        );
        assert_eq!(found.candidates("a.b.c.d").first().map(String::as_str), Some("a.b.c.d"));
        assert_eq!(found.candidates("proxy."), ["proxy."]);
    }

    #[test]
    fn an_empty_file_means_a_server_of_this_machine() {
        let found = Resolv::parse("");
        assert_eq!(found.servers, [ip("127.0.0.1")]);
        assert_eq!(found.candidates("ec2.test"), ["ec2.test"]);
        assert_eq!(Resolv::parse(&"nameserver 10.0.0.1\n".repeat(9)).servers.len(), 3);
    }
}
