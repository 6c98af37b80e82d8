//! Asking the servers, one after the other.

use super::files::Resolv;
use super::wire::{Family, Said, answer, question};
use crate::config::value::human;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// When one family's addresses are there, the other's are waited for so much longer: some
/// servers never answer for IPv6.
const OTHER_FAMILY: Duration = Duration::from_millis(300);
/// No wait is shorter: a server must have a chance.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
/// Longest message that comes by UDP, in bytes, and some more.
const LONGEST_MESSAGE: usize = 4096;

/// The addresses of exactly this name; none where it has none. The error tells of every
/// server why it could not say.
pub(super) fn ask(
    resolv: &Resolv,
    port: u16,
    name: &str,
    end: Instant,
) -> Result<Vec<IpAddr>, String> {
    let servers = u32::try_from(resolv.servers.len()).unwrap_or(u32::MAX);
    let mut rounds_left = servers.saturating_mul(resolv.attempts);
    let mut seen = Vec::new();
    for _ in 0..resolv.attempts {
        seen.clear();
        for server in &resolv.servers {
            let left = end.saturating_duration_since(Instant::now());
            let wait = resolv.timeout.min(left / rounds_left.max(1)).max(SHORTEST_WAIT);
            rounds_left = rounds_left.saturating_sub(1);
            match ask_one(SocketAddr::new(*server, port), name, wait) {
                Ok(found) => return Ok(found),
                Err(why) => seen.push(format!("{server} {why}")),
            }
            if Instant::now() >= end {
                return Err(seen.join(", "));
            }
        }
    }
    Err(seen.join(", "))
}

/// Asks one server for both families at once.
fn ask_one(server: SocketAddr, name: &str, wait: Duration) -> Result<Vec<IpAddr>, String> {
    let mut open = Vec::new();
    for family in [Family::V4, Family::V6] {
        let asked = question(fastrand::u16(..), name, family);
        open.push((asked.ok_or("was not asked: that is no name")?, family));
    }
    let io = |e: io::Error| format!("cannot be asked: {e}");
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A port of its own for each question and, once connected, messages of this server alone.
    let socket = UdpSocket::bind((any, 0)).map_err(io)?;
    socket.connect(server).map_err(io)?;
    for (asked, _) in &open {
        socket.send(asked).map_err(io)?;
    }
    let mut end = Instant::now() + wait;
    let (mut four, mut six, mut failure) = (Vec::new(), Vec::new(), None);
    let mut buffer = [0; LONGEST_MESSAGE];
    while !open.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left)).map_err(io)?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                break;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // Nobody listens there.
            Err(e) => return Err(io(e)),
        };
        let message = buffer.get(..length).unwrap_or_default();
        let Some((at, family, said)) = open.iter().enumerate().find_map(|(at, (asked, family))| {
            answer(asked, *family, message).map(|said| (at, *family, said))
        }) else {
            continue;
        };
        open.remove(at);
        match said {
            Said::Addresses(found) if family == Family::V4 => four = found,
            Said::Addresses(found) => six = found,
            // True of both families, but some servers say it where only the one is missing.
            Said::NoSuchName => {}
            Said::Failure(code) => failure = Some(code),
        }
        if !four.is_empty() || !six.is_empty() {
            end = end.min(Instant::now() + OTHER_FAMILY);
        }
    }
    four.append(&mut six);
    match failure {
        _ if !four.is_empty() => Ok(four),
        Some(code) => Err(format!("answers with the error {}", word(code))),
        None if open.is_empty() => Ok(four),
        None => Err(format!("does not answer within {}", human(wait))),
    }
}

/// The codes' names (RFC 1035, 4.1.1).
fn word(code: u8) -> String {
    match code {
        1 => "FORMERR".into(),
        2 => "SERVFAIL".into(),
        4 => "NOTIMP".into(),
        5 => "REFUSED".into(),
        other => other.to_string(),
    }
}
