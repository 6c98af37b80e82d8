//! The DNS messages that are needed (RFC 1035, RFC 3596): a question for the addresses of
//! one name, and the addresses in the answer. A server that resolves for others follows
//! aliases itself and sends the whole chain, so no name in an answer has to be read, only
//! stepped over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// The record type: A or AAAA.
    fn code(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// What a server said of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The addresses; none where the name has none of this family.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// The server cannot tell; its code (RFC 1035, 4.1.1).
    Failure(u8),
}

/// The class of the internet.
const IN: u16 = 1;
/// Longest label, and longest name with its lengths and end.
const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 255;

/// The question for a name's addresses; nothing where it is no name.
pub(super) fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    // Recursion desired; one question.
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.splice(..2, id.to_be_bytes());
    let header = message.len();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok()?;
        let plain = label.bytes().all(|b| b.is_ascii_graphic());
        if label.is_empty() || label.len() > LONGEST_LABEL || !plain {
            return None;
        }
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    if message.len() - header > LONGEST_NAME {
        return None;
    }
    message.extend(family.code().to_be_bytes());
    message.extend(IN.to_be_bytes());
    Some(message)
}

/// The answer to `question`; nothing where this is no answer to it.
pub(super) fn answer(question: &[u8], family: Family, message: &[u8]) -> Option<Said> {
    let mut reader = Reader { message, at: 0 };
    let id = reader.take(2)?;
    let (flags, code) = (reader.byte()?, reader.byte()? & 0x0f);
    let (questions, answers) = (reader.number()?, reader.number()?);
    reader.take(4)?;
    let asked = question.get(12..)?;
    let is_response = flags & 0x80 != 0;
    if id != question.get(..2)? || !is_response {
        return None;
    }
    match code {
        0 | 3 => {}
        // Some servers that refuse don't repeat the question.
        code => return Some(Said::Failure(code)),
    }
    if questions != 1 || !reader.take(asked.len())?.eq_ignore_ascii_case(asked) {
        return None;
    }
    if code == 3 {
        return Some(Said::NoSuchName);
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        // An answer that was cut off to fit ends here; what it has will do.
        let Some(record) = reader.record() else { break };
        match (record.kind, record.data) {
            (1, &[a, b, c, d]) if family == Family::V4 => {
                found.push(Ipv4Addr::new(a, b, c, d).into())
            }
            (28, data) if family == Family::V6 => {
                found.extend(
                    <[u8; 16]>::try_from(data).ok().map(|d| IpAddr::from(Ipv6Addr::from(d))),
                );
            }
            _ => {}
        }
    }
    Some(Said::Addresses(found))
}

struct Record<'m> {
    kind: u16,
    data: &'m [u8],
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let end = self.at.checked_add(length)?;
        let part = self.message.get(self.at..end)?;
        self.at = end;
        Some(part)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// Steps over a name: labels up to the empty one, or to a reference, which ends it.
    fn name(&mut self) -> Option<()> {
        loop {
            match self.byte()? {
                0 => return Some(()),
                length @ 1..64 => _ = self.take(length.into())?,
                0xc0.. => return self.byte().map(|_| ()),
                _ => return None,
            }
        }
    }

    fn record(&mut self) -> Option<Record<'m>> {
        self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        // How long it may be kept is nobody's business here.
        self.take(4)?;
        let length = self.number()?;
        let data = self.take(length.into())?;
        // Of another class: a kind that nobody looks for.
        Some(Record { kind: if class == IN { kind } else { 0 }, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "ec2.eu-west-1.amazonaws.com";

    /// A record of the asked name, by reference.
    fn record(kind: u16, class: u16, data: &[u8]) -> Vec<u8> {
        let mut record = vec![0xc0, 12];
        record.extend(kind.to_be_bytes());
        record.extend(class.to_be_bytes());
        record.extend([0, 0, 0, 60]);
        record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend(data);
        record
    }

    fn reply(question: &[u8], code: u8, records: &[Vec<u8>]) -> Vec<u8> {
        let mut reply = question.to_vec();
        reply[2] = 0x81;
        reply[3] = 0x80 | code;
        reply[7] = records.len().try_into().unwrap();
        reply.extend(records.concat());
        reply
    }

    #[test]
    fn a_question_is_what_the_rfc_says() {
        let question = question(0x1234, "a.bc.", Family::V6).unwrap();
        assert_eq!(question, *b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x1c\0\x01");
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        let (long, deep) = ("a".repeat(64), "a.".repeat(128));
        for bad in ["", ".", "a..b", ".a", "a b", "ä", &long, &deep] {
            assert_eq!(question(1, bad, Family::V4), None, "{bad}");
        }
        assert!(question(1, &"a".repeat(63), Family::V4).is_some());
    }

    #[test]
    fn addresses_are_found_behind_an_alias() {
        let asked = question(7, NAME, Family::V4).unwrap();
        let records = [
            record(5, 1, b"\x01x\xc0\x0c"),
            record(1, 1, &[10, 0, 0, 7]),
            record(1, 1, &[10, 0, 0, 8]),
            record(1, 3, &[6, 6, 6, 6]),
            record(1, 1, &[1, 2, 3]),
            record(28, 1, &[1; 16]),
        ];
        let message = reply(&asked, 0, &records);
        let expected = ["10.0.0.7", "10.0.0.8"].map(|a| a.parse().unwrap()).to_vec();
        assert_eq!(answer(&asked, Family::V4, &message), Some(Said::Addresses(expected)));
        let six = question(7, NAME, Family::V6).unwrap();
        let message = reply(&six, 0, &records);
        let expected = vec![IpAddr::from([1_u8; 16])];
        assert_eq!(answer(&six, Family::V6, &message), Some(Said::Addresses(expected)));
    }

    #[test]
    fn failures_are_told_apart() {
        let asked = question(7, NAME, Family::V4).unwrap();
        assert_eq!(answer(&asked, Family::V4, &reply(&asked, 3, &[])), Some(Said::NoSuchName));
        assert_eq!(answer(&asked, Family::V4, &reply(&asked, 2, &[])), Some(Said::Failure(2)));
        assert_eq!(
            answer(&asked, Family::V4, &reply(&asked, 0, &[])),
            Some(Said::Addresses(vec![]))
        );
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let asked = question(7, NAME, Family::V4).unwrap();
        let good = reply(&asked, 0, &[record(1, 1, &[10, 0, 0, 7])]);
        for other in [
            question(8, NAME, Family::V4).unwrap(),
            question(7, "ec2.eu-west-2.amazonaws.com", Family::V4).unwrap(),
            question(7, NAME, Family::V6).unwrap(),
        ] {
            assert_eq!(answer(&other, Family::V4, &good), None);
        }
        // A question is none either.
        assert_eq!(answer(&asked, Family::V4, &asked), None);
        // Servers may change the case of letters.
        let loud = question(7, &NAME.to_uppercase(), Family::V4).unwrap();
        assert!(answer(&loud, Family::V4, &good).is_some());
    }

    #[test]
    fn no_bytes_whatever_make_it_panic_or_hang() {
        let asked = question(7, NAME, Family::V4).unwrap();
        let good =
            reply(&asked, 0, &[record(5, 1, b"\x01x\xc0\x0c"), record(1, 1, &[10, 0, 0, 7])]);
        for end in 0..good.len() {
            _ = answer(&asked, Family::V4, &good[..end]);
        }
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let mut bad = good.clone();
            for _ in 0..rng.usize(1..8) {
                let at = rng.usize(2..bad.len());
                bad[at] = rng.u8(..);
            }
            _ = answer(&asked, Family::V4, &bad);
        }
    }
}
