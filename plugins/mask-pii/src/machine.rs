//! Account numbers (IBAN, by their checksum) and addresses of machines (IPv4 and IPv6).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Countries have from 15 to 34 characters.
const IBAN_LENGTHS: std::ops::RangeInclusive<usize> = 15..=34;

/// Account numbers, with or without spaces between their groups.
pub(crate) fn ibans(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at + 4 < bytes.len() {
        let begins = bytes[at..at + 2].iter().all(u8::is_ascii_alphabetic) && bytes[at + 2..at + 4].iter().all(u8::is_ascii_digit);
        let end = if begins && !follows_word(text, at) { iban_end(bytes, at) } else { None };
        if let Some(end) = end {
            found.push(at..end);
        }
        at = end.unwrap_or(at + 1);
    }
    found
}

fn follows_word(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The end of the longest number with the right checksum that begins at `at`.
fn iban_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut characters = Vec::new();
    let mut end = None;
    let mut index = at;
    while let Some(&byte) = bytes.get(index) {
        if byte.is_ascii_alphanumeric() {
            characters.push(byte.to_ascii_uppercase());
            let whole = !bytes.get(index + 1).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_');
            if characters.len() > *IBAN_LENGTHS.end() {
                break;
            }
            if whole && IBAN_LENGTHS.contains(&characters.len()) && has_checksum(&characters) {
                end = Some(index + 1);
            }
        } else if !(matches!(byte, b' ' | b'-') && bytes.get(index + 1).is_some_and(u8::is_ascii_alphanumeric)) {
            break;
        }
        index += 1;
    }
    end
}

fn has_checksum(characters: &[u8]) -> bool {
    let digits = characters[4..].iter().chain(&characters[..4]);
    let rest = digits.fold(0_u32, |rest, &c| match c {
        b'0'..=b'9' => (rest * 10 + u32::from(c - b'0')) % 97,
        _ => (rest * 100 + u32::from(c - b'A') + 10) % 97,
    });
    rest == 1
}

/// Addresses of machines, but those that mean this machine, none or all.
pub(crate) fn ips(text: &str) -> Vec<Range<usize>> {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '%');
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(belongs).map(|offset| at + offset) {
        let end = text[start..].find(|c| !belongs(c)).map_or(text.len(), |length| start + length);
        found.extend(ip(text, start..end));
        at = end;
    }
    found
}

/// The address in a run of characters, which may have a port, a zone or the end of a sentence behind it.
fn ip(text: &str, run: Range<usize>) -> Option<Range<usize>> {
    let token = text[run.clone()].trim_end_matches(['.', ':']);
    let before = token.len() - token.trim_start_matches(':').len();
    // `http:10.0.0.1` and `::1` begin with a colon too.
    let v4 = token.rsplit_once(':').map_or(token, |(head, port)| if head.contains('.') && is_digits(port) { head } else { token });
    let v4_start = v4.rfind(':').map_or(0, |colon| colon + 1);
    if let Ok(address) = v4[v4_start..].parse::<Ipv4Addr>() {
        let personal = !(address.is_loopback() || address.is_unspecified() || address.octets()[0] == 255);
        return personal.then(|| run.start + v4_start..run.start + v4.len());
    }
    let v6 = token.split('%').next().unwrap_or(token);
    let plausible = before <= 2 && v6.len() >= 6 && v6.len() <= 45 && v6.contains(|c: char| c.is_ascii_digit());
    let address = plausible.then(|| v6.parse::<Ipv6Addr>().ok()).flatten()?;
    (!address.is_loopback() && !address.is_unspecified()).then(|| run.start..run.start + v6.len())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn all(find: fn(&str) -> Vec<Range<usize>>, text: &str) -> Vec<&str> {
        find(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn account_numbers_have_their_checksum() {
        for (text, found) in [
            ("pay to DE89 3704 0044 0532 0130 00 and so on", vec!["DE89 3704 0044 0532 0130 00"]),
            ("GB82WEST12345698765432, gb82west12345698765432.", vec!["GB82WEST12345698765432", "gb82west12345698765432"]),
            ("FR14 2004 1010 0505 0001 3M02 606 IBAN", vec!["FR14 2004 1010 0505 0001 3M02 606"]),
            ("DE89 3704 0044 0532 0130 01", vec![]),
            ("XDE89370400440532013000 DE89370400440532013000x ünïcode DE", vec![]),
        ] {
            assert_eq!(all(ibans, text), found, "{text}");
        }
    }

    #[test]
    fn addresses_of_machines_are_found() {
        for (text, found) in [
            ("from 203.0.113.7:8080 to 198.51.100.1.", vec!["203.0.113.7", "198.51.100.1"]),
            (
                "http://203.0.113.7/x [2001:db8::1]:80 fe80::1ff:fe23:4567:890a%eth0",
                vec!["203.0.113.7", "2001:db8::1", "fe80::1ff:fe23:4567:890a"],
            ),
            ("127.0.0.1 0.0.0.0 255.255.255.0 ::1 ::", vec![]),
            ("1.2.3 v1.2.3.4 1.2.3.4.5 300.1.1.1 12:30:45 std::fmt dead::beef a::b", vec![]),
        ] {
            assert_eq!(all(ips, text), found, "{text}");
        }
    }
}
