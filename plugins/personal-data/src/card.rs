//! Payment card numbers: 13 to 19 digits with the Luhn checksum. One in ten numbers of that length has it by chance, so timestamps,
//! barcodes and order numbers are told apart by the digits that card issuers use, or by the way in which cards group theirs.

use crate::number::{Run, Separator};

/// The end of the card number that begins with the group `from`, if there is one.
pub(crate) fn end(run: &Run<'_>, from: usize) -> Option<usize> {
    (from + 1..=run.len().min(from + 5)).rev().find(|&to| is_card(run, from, to))
}

fn is_card(run: &Run<'_>, from: usize, to: usize) -> bool {
    let inner = run.inner(from, to);
    let even = inner.iter().all(|separator| separator == &inner[0]);
    let plain = matches!(inner.first(), None | Some(Separator::Space | Separator::Dash));
    let in_word = (from == 0 && run.begins_in_word()) || (to == run.len() && run.ends_in_word());
    let decimal = run.separator_before(from) == Some(Separator::Dot) || run.separator_after(to) == Some(Separator::Dot);
    if !even || !plain || in_word || decimal {
        return false;
    }
    let digits: Vec<u8> = run.digits(from, to).map(|digit| digit - b'0').collect();
    if !(13..=19).contains(&digits.len()) || !luhn(&digits) {
        return false;
    }
    let sizes = run.sizes(from, to);
    let fours = sizes.len() >= 4 && sizes[..4] == [4; 4];
    if fours && digits[0] != 0 && !continues_fours(run, from, to) {
        return true;
    }
    sizes[..sizes.len() - 1].iter().all(|&size| size >= 3) && is_issued(&digits)
}

/// Whether the run goes on in groups of four on either side: then any four of them are a card by chance only.
fn continues_fours(run: &Run<'_>, from: usize, to: usize) -> bool {
    let separator = run.inner(from, to).first().copied();
    let before = from > 0 && run.separator_before(from) == separator && run.group(from - 1).len() == 4;
    let after = to < run.len() && run.separator_after(to) == separator && run.group(to).len() == 4;
    before || after
}

fn luhn(digits: &[u8]) -> bool {
    let double = |digit: u8| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let weigh = |(place, &digit): (usize, &u8)| u32::from(if place % 2 == 1 { double(digit) } else { digit });
    digits.iter().rev().enumerate().map(weigh).sum::<u32>() % 10 == 0
}

/// Whether some network issues numbers that begin so, of that length.
fn is_issued(digits: &[u8]) -> bool {
    let prefix = digits[..4].iter().fold(0, |number, &digit| number * 10 + u32::from(digit));
    match (digits.len(), prefix) {
        // Visa
        (13 | 16..=19, 4000..=4999) => true,
        // Diners Club
        (14..=19, 3000..=3059 | 3600..=3699 | 3800..=3999) => true,
        // American Express
        (15, 3400..=3499 | 3700..=3799) => true,
        // Mastercard, Mir, Troy
        (16, 5100..=5599 | 2221..=2720 | 9792) => true,
        (16..=19, 2200..=2204) => true,
        // JCB, Maestro, Discover, UnionPay, RuPay
        (16..=19, 3528..=3589 | 5000..=5099 | 5600..=5899 | 6000..=6999 | 8100..=8299) => true,
        _ => false,
    }
}
