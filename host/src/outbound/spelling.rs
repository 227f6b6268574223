//! How servers write a character that they were sent: as it is, in either case, or as an escape of JSON, of URLs or of HTML, also of escapes
//! that were escaped again. Whoever looks for a text in all of these looks for each of its characters in all of these.

/// Escapes of escapes that are looked through.
const DEPTH: usize = 4;
/// Backslashes that stand before one character at most: JSON in JSON doubles them.
const BACKSLASHES: usize = 16;

/// The characters that HTML has names for and that stand in secrets.
const ENTITIES: [(&str, char); 34] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("plus", '+'),
    ("sol", '/'),
    ("bsol", '\\'),
    ("equals", '='),
    ("lowbar", '_'),
    ("num", '#'),
    ("percnt", '%'),
    ("dollar", '$'),
    ("excl", '!'),
    ("ast", '*'),
    ("colon", ':'),
    ("semi", ';'),
    ("comma", ','),
    ("period", '.'),
    ("quest", '?'),
    ("commat", '@'),
    ("lpar", '('),
    ("rpar", ')'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("lcub", '{'),
    ("rcub", '}'),
    ("verbar", '|'),
    ("grave", '`'),
    ("hat", '^'),
    ("tab", '\t'),
    ("newline", '\n'),
];

/// Places at which spellings end. There are seldom two, and never more than a few.
struct Ends {
    places: [usize; 8],
    count: usize,
}

/// Where a spelling of `text` may end that begins at `at`: the furthest.
pub(super) fn spelt(bytes: &[u8], at: usize, text: &str) -> Option<usize> {
    let mut ends = Ends::none();
    ends.add(at);
    for wanted in text.chars() {
        let mut next = Ends::none();
        for end in ends.all() {
            read(bytes, *end, &mut |found, end| {
                if same(found, wanted) {
                    next.add(end);
                }
            });
        }
        if next.count == 0 {
            return None;
        }
        ends = next;
    }
    ends.all().iter().copied().max()
}

/// Whether an escape may begin with that byte.
pub(super) fn escapes(byte: u8) -> bool {
    matches!(byte, b'\\' | b'%' | b'&' | b'+')
}

/// Each character that may be spelt at `at`, and where its spelling ends.
pub(super) fn read(bytes: &[u8], at: usize, found: &mut impl FnMut(char, usize)) {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(first) = rest.first() else { return };
    if first.is_ascii() {
        found(char::from(*first), at + 1);
    } else if let Some(character) = of_utf8(*first, |more| rest.get(more).copied()) {
        found(character, at + character.len_utf8());
    }
    match first {
        b'\\' => escaped(rest, &mut |character, length| found(character, at + length)),
        b'%' => percent(rest, &mut |character, length| found(character, at + length)),
        b'&' => entity(rest, &mut |character, length| found(character, at + length)),
        b'+' => found(' ', at + 1),
        _ => {}
    }
}

impl Ends {
    fn none() -> Self {
        Self { places: [0; 8], count: 0 }
    }

    fn add(&mut self, place: usize) {
        if !self.all().contains(&place)
            && let Some(free) = self.places.get_mut(self.count)
        {
            *free = place;
            self.count += 1;
        }
    }

    fn all(&self) -> &[usize] {
        &self.places[..self.count]
    }
}

fn same(found: char, wanted: char) -> bool {
    found == wanted || found.eq_ignore_ascii_case(&wanted)
}

/// The character whose first byte that is.
fn of_utf8(first: u8, more: impl Fn(usize) -> Option<u8>) -> Option<char> {
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut bytes = [first, 0, 0, 0];
    for (at, byte) in bytes.iter_mut().enumerate().take(length).skip(1) {
        *byte = more(at)?;
    }
    std::str::from_utf8(&bytes[..length]).ok()?.chars().next()
}

/// `\u002B`, `\x2b`, `\/`, `\n`, each behind any number of backslashes.
fn escaped(rest: &[u8], found: &mut impl FnMut(char, usize)) {
    let slashes = rest.iter().take(BACKSLASHES).take_while(|byte| **byte == b'\\').count();
    for doubled in [2, 4, 8] {
        if doubled <= slashes {
            found('\\', doubled);
        }
    }
    let after = &rest[slashes..];
    match after {
        [b'u', digits @ ..] => {
            let Some(unit) = number(digits, 4, 16) else { return };
            if let Some(character) = char::from_u32(unit) {
                return found(character, slashes + 5);
            }
            let more = digits[4..].iter().take_while(|byte| **byte == b'\\').count();
            let low = digits[4 + more..].strip_prefix(b"u").filter(|_| more > 0).and_then(|digits| number(digits, 4, 16));
            if let Some(low) = low
                && (0xd800..0xdc00).contains(&unit)
                && (0xdc00..0xe000).contains(&low)
                && let Some(character) = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
            {
                found(character, slashes + 10 + more);
            }
        }
        [b'x', digits @ ..] => {
            if let Some(character) = number(digits, 2, 16).and_then(char::from_u32) {
                found(character, slashes + 3);
            }
        }
        [b'n', ..] => found('\n', slashes + 1),
        [b'r', ..] => found('\r', slashes + 1),
        [b't', ..] => found('\t', slashes + 1),
        [other, ..] if other.is_ascii_punctuation() => found(char::from(*other), slashes + 1),
        _ => {}
    }
}

/// `%2B`, and `%252B`.
fn percent(rest: &[u8], found: &mut impl FnMut(char, usize)) {
    for depth in 0..DEPTH {
        // Each byte of a character is escaped as often as the others.
        let length = 3 + 2 * depth;
        let byte = |at: usize| {
            let digits = rest.get(at * length..)?.strip_prefix(b"%")?;
            number(skip(digits, b"25", depth)?, 2, 16).and_then(|byte| u8::try_from(byte).ok())
        };
        match byte(0) {
            Some(first) if first.is_ascii() => found(char::from(first), length),
            Some(first) => {
                if let Some(character) = of_utf8(first, byte) {
                    found(character, length * character.len_utf8());
                }
            }
            None => {}
        }
        if skip(&rest[1..], b"25", depth + 1).is_none() {
            return;
        }
    }
}

/// `&#43;`, `&#x2B;`, `&plus;`, and `&amp;plus;`.
fn entity(rest: &[u8], found: &mut impl FnMut(char, usize)) {
    for depth in 0..DEPTH {
        let Some(body) = skip(&rest[1..], b"amp;", depth) else { return };
        // The longest is a number with some zeros before it.
        let Some(length) = body.iter().take(12).position(|byte| *byte == b';') else { return };
        let character = match &body[..length] {
            [b'#', b'x' | b'X', digits @ ..] => number(digits, digits.len(), 16).and_then(char::from_u32),
            [b'#', digits @ ..] => number(digits, digits.len(), 10).and_then(char::from_u32),
            name => ENTITIES.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(_, means)| *means),
        };
        if let Some(character) = character {
            found(character, rest.len() - body.len() + length + 1);
        }
    }
}

/// Without that, so many times, at its beginning.
fn skip<'b>(bytes: &'b [u8], what: &[u8], times: usize) -> Option<&'b [u8]> {
    (0..times).try_fold(bytes, |rest, _| rest.strip_prefix(what))
}

/// The number that so many ASCII digits stand for.
fn number(digits: &[u8], count: usize, radix: u32) -> Option<u32> {
    let digits = digits.get(..count).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0_u32, |number, digit| number.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_known_in_every_spelling_and_ends_where_it_ends() {
        for (character, spellings) in [
            (
                '+',
                &["+", "%2B", "%2b", "%252B", r"\u002B", r"\u002b", r"\\u002B", r"\x2b", r"\+", "&#43;", "&#043;", "&#x2B;", "&plus;"][..],
            ),
            ('&', &["&", "%26", r"\u0026", "&amp;", "&#38;", "&amp;amp;", "&AMP;"]),
            ('<', &["<", "%3C", r"\u003c", "&lt;", "&amp;lt;", "&#x3c;"]),
            ('/', &["/", r"\/", r"\\/", "%2f", "&sol;", "&#47;"]),
            ('"', &["\"", "\\\"", "\\\\\\\"", "&quot;", "&#34;", "%22"]),
            ('\\', &["\\", r"\\", r"\\\\", "%5c", r"\u005C", "&bsol;"]),
            ('a', &["a", "A", "%61", "%41", r"\u0061", r"\u0041"]),
            ('\n', &["\n", r"\n", r"\\n", "%0A", "&#10;"]),
            (' ', &[" ", "+", "%20", "&#32;"]),
            ('\u{e9}', &["\u{e9}", r"\u00E9", "%C3%A9", "%c3%a9", "&#233;", "&#xe9;"]),
            ('\u{1f600}', &["\u{1f600}", r"\uD83D\uDE00", r"\\ud83d\\ude00", "%F0%9F%98%80"]),
        ] {
            for spelling in spellings {
                for (before, after) in [("", ""), ("x", "yz"), ("%", "\u{e9}")] {
                    let text = format!("{before}{spelling}{after}");
                    assert_eq!(spelt(text.as_bytes(), before.len(), &character.to_string()), Some(before.len() + spelling.len()), "{text}");
                    let first = spelling.as_bytes()[0];
                    assert!(escapes(first) || spelling.len() == character.len_utf8(), "{spelling}");
                }
            }
        }
    }

    #[test]
    fn what_is_another_character_or_breaks_off_is_no_spelling() {
        for text in
            ["", "-", "%2C", "%2", "%", r"\", r"\u", r"\u002", r"\u002C", "&", "&#43", "&#", "&#;", "&amp;", "&plu;", "%+b", r"\u+02b"]
        {
            assert_eq!(spelt(text.as_bytes(), 0, "+"), None, "{text}");
        }
        assert_eq!(spelt(b"abc", 7, "a"), None);
    }

    #[test]
    fn an_escape_that_is_meant_as_it_stands_is_found_too() {
        for needle in ["a&amp;b", "a%2Bb", r"a\u002Bb", r"a\\b"] {
            assert_eq!(spelt(needle.as_bytes(), 0, needle), Some(needle.len()));
        }
    }
}
