//! The addresses of a host's name, without the C library.
//!
//! `getaddrinfo(3)` goes by `nsswitch.conf(5)`, and a static program that meets a `resolve`,
//! `myhostname` or `mymachines` there loads that module together with a second C library and
//! crashes (docs/decisions/0012-talking-to-the-ec2-api.md). So this reads
//! `/etc/hosts` and asks the servers of `/etc/resolv.conf` itself; where systemd-resolved
//! runs, that file names it.
//!
//! Every lookup has a limit, which is shared out among the servers and attempts, so that a
//! dead first server does not cost everything.

mod ask;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod wire;

use ask::ask;
use files::{Resolv, in_hosts};
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// No lookup takes longer, whatever its caller would allow.
const LONGEST_LOOKUP: Duration = Duration::from_secs(30);
/// Neither file is read where it is longer, in bytes.
const LONGEST_FILE: u64 = 1024 * 1024;
/// DNS.
const PORT: u16 = 53;

/// Where names are looked up.
#[derive(Clone, Debug)]
pub struct Names {
    hosts: PathBuf,
    resolv: PathBuf,
    port: u16,
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// Which name.
    pub name: String,
    /// What was seen.
    pub why: String,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

impl std::error::Error for NameError {}

impl Names {
    /// The files of this system.
    pub fn of_this_system() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv: "/etc/resolv.conf".into(), port: PORT }
    }

    /// The addresses of `name`, which may be an address itself. IPv4 comes first: it is what
    /// the endpoints have, and where there is no way for it, connecting fails at once.
    pub fn lookup(&self, name: &str, limit: Duration) -> Result<Vec<IpAddr>, NameError> {
        let failed = |why: String| NameError { name: name.to_owned(), why };
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![address]);
        }
        let own = in_hosts(&read(&self.hosts), name);
        if !own.is_empty() {
            return Ok(own);
        }
        if is_localhost(name) {
            return Ok(vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]);
        }
        let resolv = Resolv::parse(&read(&self.resolv));
        let end = Instant::now() + limit.min(LONGEST_LOOKUP);
        let mut trouble = None;
        for candidate in resolv.candidates(name) {
            match ask(&resolv, self.port, &candidate, end) {
                Ok(found) if !found.is_empty() => return Ok(found),
                Ok(_) => {}
                Err(why) => trouble = trouble.or(Some(why)),
            }
            if Instant::now() >= end {
                break;
            }
        }
        Err(failed(trouble.unwrap_or_else(|| "it has no address in DNS".into())))
    }
}

/// RFC 6761, 6.3.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// A file that may be missing.
fn read(path: &PathBuf) -> String {
    let small = fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= LONGEST_FILE);
    let bytes = if small { fs::read(path).unwrap_or_default() } else { Vec::new() };
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let scheme_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(scheme_port);
        let found =
            self.lookup(host, *timeout.after).map_err(|e| ureq::Error::Other(Box::new(e)))?;
        let mut addresses = self.empty();
        // As many as it holds.
        for address in found.into_iter().take(16) {
            addresses.push(SocketAddr::new(address, port));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::net::UdpSocket;
    use std::thread;
    use tempfile::TempDir;

    /// How a server behaves.
    #[derive(Clone, Copy)]
    enum Server {
        /// `ec2.test` and `proxy.inside.test` have 10.0.0.7, nothing else is there.
        Good,
        /// The same, and nothing for IPv6, not even that there is nothing.
        MuteForV6,
        /// First a lie under another id, then the truth.
        AfterALie,
        Fails,
        Mute,
    }

    impl Server {
        fn replies(self, asked: &[u8]) -> Vec<Vec<u8>> {
            let v6 = asked.iter().rev().nth(2) == Some(&28);
            let known =
                |name: &[u8]| asked.windows(name.len()).any(|w| w.eq_ignore_ascii_case(name));
            let reply = |code: u8, address: Option<[u8; 4]>| {
                let mut reply = asked.to_vec();
                reply[2] = 0x81;
                reply[3] = 0x80 | code;
                if let Some(address) = address {
                    reply[7] = 1;
                    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    reply.extend(address);
                }
                reply
            };
            let found = known(b"\x03ec2\x04test\0") || known(b"\x05proxy\x06inside\x04test\0");
            let good = reply(if found { 0 } else { 3 }, (found && !v6).then_some([10, 0, 0, 7]));
            match self {
                Self::Good => vec![good],
                Self::MuteForV6 if v6 => vec![],
                Self::MuteForV6 => vec![good],
                Self::AfterALie => {
                    let mut lie = reply(0, Some([6, 6, 6, 6]));
                    lie[0] ^= 0xff;
                    vec![b"no message".to_vec(), lie, good]
                }
                Self::Fails => vec![reply(2, None)],
                Self::Mute => vec![],
            }
        }
    }

    /// Servers at 127.0.0.1, 127.0.0.2 and so on, all at one port, and files that name them.
    fn system(servers: &[Server], hosts: &str, resolv: &str) -> (TempDir, Names) {
        let dir = tempfile::tempdir().unwrap();
        let mut port = 0;
        let mut lines = resolv.to_owned();
        for (n, server) in servers.iter().copied().enumerate() {
            let ip = format!("127.0.0.{}", n + 1);
            let socket = UdpSocket::bind((ip.as_str(), port)).unwrap();
            port = socket.local_addr().unwrap().port();
            lines += &format!("nameserver {ip}\n");
            thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    for reply in server.replies(&buffer[..length]) {
                        socket.send_to(&reply, from).unwrap();
                    }
                }
            });
        }
        let names =
            Names { hosts: dir.path().join("hosts"), resolv: dir.path().join("resolv.conf"), port };
        fs::write(&names.hosts, hosts).unwrap();
        fs::write(&names.resolv, lines).unwrap();
        (dir, names)
    }

    const LIMIT: Duration = Duration::from_secs(4);

    fn looked_up(
        servers: &[Server],
        resolv: &str,
        name: &str,
    ) -> (Result<Vec<IpAddr>, String>, Duration) {
        let (_dir, names) = system(servers, "", resolv);
        let began = Instant::now();
        let found = names.lookup(name, LIMIT).map_err(|e| e.to_string());
        (found, began.elapsed())
    }

    fn seven() -> Vec<IpAddr> {
        vec![IpAddr::from([10, 0, 0, 7])]
    }

    #[test]
    fn addresses_and_the_hosts_file_need_no_server() {
        let (_dir, names) = system(&[], "10.0.0.9 ec2.test\n", "nameserver 127.0.0.1\n");
        let found = |name| names.lookup(name, LIMIT).unwrap();
        assert_eq!(found("ec2.test"), [IpAddr::from([10, 0, 0, 9])]);
        assert_eq!(found("127.0.0.1"), [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(found("[fd00:ec2::254]"), ["fd00:ec2::254".parse::<IpAddr>().unwrap()]);
        assert_eq!(found("localhost").len(), 2);
    }

    #[test]
    fn dns_finds_what_is_there_and_tells_what_is_not() {
        assert_eq!(looked_up(&[Server::Good], "", "ec2.test").0, Ok(seven()));
        let (none, took) = looked_up(&[Server::Good], "", "missing.test");
        assert_eq!(none, Err("missing.test: it has no address in DNS".into()));
        assert!(took < Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn short_names_are_completed() {
        let search = "search elsewhere.test inside.test\n";
        assert_eq!(looked_up(&[Server::Good], search, "proxy").0, Ok(seven()));
        assert!(looked_up(&[Server::Good], search, "proxy.").0.is_err());
    }

    #[test]
    fn the_next_server_is_asked_when_one_is_dead_or_fails() {
        for first in [Server::Mute, Server::Fails] {
            let (found, took) = looked_up(&[first, Server::Good], "", "ec2.test");
            assert_eq!(found, Ok(seven()));
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
    }

    #[test]
    fn a_lie_under_another_id_is_not_believed() {
        assert_eq!(looked_up(&[Server::AfterALie], "", "ec2.test").0, Ok(seven()));
    }

    #[test]
    fn silence_for_ipv6_does_not_cost_a_whole_wait() {
        let (found, took) = looked_up(&[Server::MuteForV6], "", "ec2.test");
        assert_eq!(found, Ok(seven()));
        assert!(took < Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn dead_servers_are_named_within_the_limit() {
        let (found, took) = looked_up(&[Server::Mute, Server::Fails], "", "ec2.test");
        let error = found.unwrap_err();
        assert!(error.contains("127.0.0.1 does not answer within"), "{error}");
        assert!(error.contains("127.0.0.2 answers with the error SERVFAIL"), "{error}");
        assert!(took <= LIMIT + Duration::from_millis(500), "{took:?}");
        // Nobody listens: that is known at once.
        let (_dir, names) = system(&[], "", "nameserver 127.0.0.1\n");
        let began = Instant::now();
        let error = Names { port: 9, ..names }.lookup("ec2.test", LIMIT).unwrap_err().to_string();
        assert!(error.contains("127.0.0.1 cannot be asked"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
