//! The way in for `fuzz/`; in no program.

use super::files::{Resolv, in_hosts};
use super::wire::{self, Family, Said};
use std::net::IpAddr;
use std::time::Duration;

/// The question for a name's addresses, of IPv4 or (`six`) IPv6.
pub fn question(id: u16, name: &str, six: bool) -> Option<Vec<u8>> {
    wire::question(id, name, family(six))
}

/// The addresses in the answer to `question`; `None` where it is no answer to it, or has none.
pub fn answer(question: &[u8], six: bool, message: &[u8]) -> Option<Vec<IpAddr>> {
    match wire::answer(question, family(six), message)? {
        Said::Addresses(all) => Some(all),
        Said::NoSuchName | Said::Failure(_) => None,
    }
}

fn family(six: bool) -> Family {
    if six { Family::V6 } else { Family::V4 }
}

/// The addresses of a name in the text of a hosts file.
pub fn hosts(text: &str, name: &str) -> Vec<IpAddr> {
    in_hosts(text, name)
}

/// From the text of a resolv.conf: the servers, what is asked for in place of `name`, and how
/// long all of it may take.
pub fn resolv(text: &str, name: &str) -> (Vec<IpAddr>, Vec<String>, Duration) {
    let found = Resolv::parse(text);
    let names = found.candidates(name);
    let asked = found.servers.len() as u32 * names.len() as u32 * found.attempts;
    (found.servers, names, found.timeout * asked)
}
