//! Phone numbers: with `+` or `00` and a country code, in the North American form, in a national form with a trunk `0`, and any
//! digits that the words before them call so. Dates, addresses of machines, decimals and order numbers look alike; each form
//! says how it tells them apart.

use crate::context::{Called, called};
use crate::number::{Run, Separator};

/// E.164 allows 15; below 8 no country's numbers with their code.
const INTERNATIONAL_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// The end of the phone number that begins with the group `from`, if there is one.
pub(crate) fn end(run: &Run<'_>, from: usize) -> Option<usize> {
    if from == 0 && run.begins_in_word() {
        return None;
    }
    if run.has_plus(from) {
        return international(run, from);
    }
    if !stands_alone(run, from) {
        return None;
    }
    let called = if from == 0 { called(run.before(0)) } else { Called::Nothing };
    match called {
        Called::Reference => None,
        Called::Phone => as_called(run, from),
        Called::Nothing => double_zero(run, from).or_else(|| north_american(run, from)).or_else(|| national(run, from)),
    }
}

/// Whether the number does not begin in the middle of something longer, such as `ORD-555-…` or `/orders/555-…`.
fn stands_alone(run: &Run<'_>, from: usize) -> bool {
    match run.separator_before(from) {
        Some(separator) => matches!(separator, Separator::Space | Separator::Paren) || run.before(from).ends_with(' '),
        None => {
            let before = run.before(from);
            let stem = before.strip_suffix(['-', '/', '.', '_', '=', ':', '%']);
            stem.is_none_or(|stem| before.ends_with(['=', ':']) || !stem.ends_with(|c: char| c.is_alphanumeric()))
        }
    }
}

/// What the words before call a phone number is taken as a whole, unless it is a date.
fn as_called(run: &Run<'_>, from: usize) -> Option<usize> {
    let specific = double_zero(run, from).or_else(|| north_american(run, from)).or_else(|| national(run, from));
    let whole = || {
        let to = usable_end(run);
        let plain = to > from && !run.inner(from, to).contains(&Separator::Dot);
        let date = to > from && matches!(run.sizes(from, to)[..], [4, 2, 2] | [2, 2, 4]);
        (plain && !date && (7..=15).contains(&run.digits(from, to).count())).then_some(to)
    };
    specific.or_else(whole)
}

fn international(run: &Run<'_>, from: usize) -> Option<usize> {
    let to = international_end(run, from, 0)?;
    (!run.group(from).starts_with('0') && !is_decimal(run, from, to)).then_some(to)
}

/// `0049 30 …`; the country code must exist, because numbers that begin with zeros are common.
fn double_zero(run: &Run<'_>, from: usize) -> Option<usize> {
    if !run.group(from).starts_with("00") {
        return None;
    }
    let to = international_end(run, from, 2)?;
    let digits: Vec<u8> = run.digits(from, to).skip(2).map(|digit| digit - b'0').collect();
    let grouped = to - from > 1;
    let dotted = run.inner(from, to).contains(&Separator::Dot);
    (is_country(&digits) && !dotted && (grouped || digits.len() >= 10)).then_some(to)
}

/// Takes groups as long as the number may still go on; `prefix` digits are none of its own.
fn international_end(run: &Run<'_>, from: usize, prefix: usize) -> Option<usize> {
    let mut digits = 0;
    let mut end = from;
    for to in from + 1..=usable_end(run) {
        let group = run.group(to - 1).len();
        // A trunk zero in parentheses is written and not dialled.
        let dialled = if run.group(to - 1) == "0" && run.is_in_parens(to - 1) { 0 } else { group };
        // After a complete number, four more digits beyond a space are a year, a postcode or the next number.
        let another = digits >= 11 && group >= 4 && run.separator_before(to - 1) == Some(Separator::Space);
        if digits + dialled > INTERNATIONAL_DIGITS.end() + prefix || another {
            break;
        }
        digits += dialled;
        end = to;
    }
    INTERNATIONAL_DIGITS.contains(&digits.saturating_sub(prefix)).then_some(end)
}

/// Where the run ends for a phone number: before a group that begins a word (`3rd`) or a time (`12:30`).
fn usable_end(run: &Run<'_>) -> usize {
    let after = run.after(run.len());
    let time = after.strip_prefix(':').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    run.len() - usize::from(run.ends_in_word() || time)
}

/// Whether signed groups are one number: `+48.858844`, `+12.345.678` or `+12 345 678`. `+1.5551234567` is a phone number in the
/// form of domain registries.
fn is_decimal(run: &Run<'_>, from: usize, to: usize) -> bool {
    let (sizes, inner) = (run.sizes(from, to), run.inner(from, to));
    let total: usize = sizes.iter().sum();
    let all = |separator| !inner.is_empty() && inner.iter().all(|&other| other == separator);
    let thousands = sizes[1..].iter().all(|&size| size == 3);
    match inner {
        [Separator::Dot] => sizes != [1, 10] || run.group(from) != "1",
        _ => thousands && ((all(Separator::Dot) && total <= 10) || (all(Separator::Space) && total <= 8)),
    }
}

/// `(555) 123-4567`, `555.123.4567`, `1-555-123-4567`. An area code does not begin with 0 or 1, and a longer series of such groups is
/// no phone number.
fn north_american(run: &Run<'_>, from: usize) -> Option<usize> {
    let area = from + usize::from(run.group(from) == "1");
    let to = area + 3;
    if to > usable_end(run) || run.sizes(area, to) != [3, 3, 4] || run.group(area).starts_with(['0', '1']) {
        return None;
    }
    let inner = run.inner(area, to);
    let usual = match inner {
        [Separator::Paren, Separator::Dash | Separator::Space | Separator::Dot] => run.is_in_parens(area),
        [Separator::Space | Separator::Slash, Separator::Dash] => true,
        [first, second] => first == second && matches!(first, Separator::Dash | Separator::Dot | Separator::Space),
        _ => false,
    };
    (usual && !is_series(run, from, to)).then_some(to)
}

fn is_series(run: &Run<'_>, from: usize, to: usize) -> bool {
    let spaced = run.inner(from, to).iter().all(|&separator| separator == Separator::Space);
    let before = run.separator_before(from) == Some(Separator::Space) && spaced;
    let after = match run.separator_after(to) {
        Some(Separator::Space) => spaced,
        Some(Separator::Dash | Separator::Dot) => true,
        Some(Separator::Slash | Separator::Paren) | None => false,
    };
    before || after
}

/// `030 1234567`, `0170/1234567`, `01 23 45 67 89`: a trunk zero, groups, and nine to twelve digits. Dates have eight; what has no
/// groups is left alone.
fn national(run: &Run<'_>, from: usize) -> Option<usize> {
    let mut digits = run.group(from).bytes();
    if digits.next() != Some(b'0') || digits.next().is_none_or(|second| second == b'0') {
        return None;
    }
    let last = usable_end(run).min(from + 5);
    (from + 2..=last).rev().find(|&to| is_national(run, from, to))
}

fn is_national(run: &Run<'_>, from: usize, to: usize) -> bool {
    let sizes = run.sizes(from, to);
    let total: usize = sizes.iter().sum();
    let inner = run.inner(from, to);
    let rest = &inner[1..];
    let even = rest.iter().all(|separator| separator == &rest[0]);
    let pairs = sizes == [2; 5];
    let separated = match inner[0] {
        Separator::Dot => pairs && even && rest.first() == Some(&Separator::Dot),
        Separator::Paren => run.is_in_parens(from) && even,
        Separator::Space | Separator::Dash | Separator::Slash => {
            even && matches!(rest.first(), None | Some(Separator::Space | Separator::Dash))
        }
    };
    // Two digits before the rest are a day or a month too, so that only what countries use is taken.
    let shaped = match sizes[..] {
        [2, rest] => (6..=9).contains(&rest),
        [2, ..] => pairs || matches!(sizes[..], [2, 4, 4] | [2, 3, 4] | [2, 3, 2, 2]),
        [3..=5, ..] => sizes[1..].iter().all(|&size| size >= 2),
        _ => false,
    };
    let series = sizes.iter().all(|size| size == &sizes[0]) && is_among_equals(run, from, to);
    (9..=12).contains(&total) && separated && shaped && !series && run.separator_after(to) != Some(Separator::Dot)
}

/// Whether groups of one size go on beyond `from..to`, as in a voucher, a serial number or bytes in hexadecimal.
fn is_among_equals(run: &Run<'_>, from: usize, to: usize) -> bool {
    let size = run.group(from).len();
    let separator = run.inner(from, to).first().copied();
    let after = to < run.len() && run.separator_after(to) == separator && run.group(to).len() == size;
    let before = match from.checked_sub(1) {
        Some(previous) => run.separator_before(from) == separator && run.group(previous).len() == size,
        None => {
            let word = run.before(0).trim_end().rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            word.len() == size && word.contains(|c: char| c.is_ascii_digit())
        }
    };
    before || after
}

/// Whether digits begin with a country code that exists, and are as many as that country's numbers have, if that is known.
fn is_country(digits: &[u8]) -> bool {
    match digits {
        [1, 2..=9, ..] | [7, ..] => digits.len() == 11,
        [2, 0 | 7, ..] | [3, 0..=4 | 6 | 9, ..] | [4, 0 | 1 | 3..=9, ..] | [5, 1..=8, ..] => true,
        [6, 0..=6, ..] | [8, 1 | 2 | 4 | 6, ..] | [9, 0..=5 | 8, ..] => true,
        [2, 1..=6 | 8 | 9, ..] | [3, 5 | 7 | 8, ..] | [4, 2, ..] | [5, 0 | 9, ..] => true,
        [6, 7..=9, ..] | [8, 0 | 5 | 7 | 8, ..] | [9, 6 | 7 | 9, ..] => true,
        _ => false,
    }
}
