//! The quick way for the many events of a stream that differ in nothing but their text. A template is made of an event that was read in full and
//! changed nothing of the reply's state; an event that fits it would be read to the same end, so that only its texts are looked at.

use serde_json::value::RawValue;

use super::shape::Raw;
use super::splice::Splice;

const BEGIN: &[u8] = b"data: ";
const END: &[u8] = b"\n\n";

/// An event with holes where its texts were.
pub(super) struct Template {
    /// The event goes out as it came.
    pub(super) passes: bool,
    /// The first is the text of the delta, which holds something; the other is padding, as some providers add it.
    holes: usize,
    text_at: usize,
    /// What stands before, between and behind the holes, as it comes and as it goes out.
    comes: Vec<Vec<u8>>,
    goes: Vec<Vec<u8>>,
}

/// An event that fits: where its holes begin and end.
pub(super) struct Found {
    holes: [(usize, usize); 2],
    len: usize,
}

impl Found {
    /// Bytes of the event with its line ends.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Template {
    /// Of the event that `splice` changes. `text` is the string in its delta, `padding` another string that means nothing.
    pub(super) fn of<'a>(splice: &Splice<'a>, text: &'a RawValue, padding: Raw<'a>) -> Option<Self> {
        let whole = splice.text().as_bytes();
        if memchr::memchr2(b'\n', b'\r', whole).is_some() {
            return None;
        }
        let text = splice.place(text);
        let padding = padding.filter(|raw| raw.get().starts_with('"')).map(|raw| splice.place(raw));
        let mut holes: Vec<(usize, usize)> = [Some(text), padding].into_iter().flatten().collect();
        holes.sort_unstable();
        if holes.iter().any(|(begin, end)| splice.touches(*begin, *end)) {
            return None;
        }
        let begins = std::iter::once(0).chain(holes.iter().map(|(_, end)| *end));
        let ends = holes.iter().map(|(begin, _)| *begin).chain([whole.len()]);
        let (mut comes, mut goes) = (Vec::with_capacity(3), Vec::with_capacity(3));
        for (begin, end) in begins.zip(ends) {
            comes.push(whole[begin..end].to_vec());
            goes.push(splice.part(begin, end));
        }
        let text_at = usize::from(holes[0] != text);
        for parts in [&mut comes, &mut goes] {
            parts[0].splice(0..0, BEGIN.iter().copied());
            parts[holes.len()].extend_from_slice(END);
        }
        Some(Self { passes: splice.is_empty(), holes: holes.len(), text_at, comes, goes })
    }

    /// The event at the beginning of `block`, if it fits.
    pub(super) fn find(&self, block: &[u8]) -> Option<Found> {
        let mut holes = [(0, 0); 2];
        let mut at = 0;
        for (nth, part) in self.comes.iter().enumerate() {
            if !block[at..].starts_with(part) {
                return None;
            }
            at += part.len();
            if nth < self.holes {
                let len = string(&block[at..])?;
                if nth == self.text_at && len == 2 {
                    return None;
                }
                holes[nth] = (at, at + len);
                at += len;
            }
        }
        Some(Found { holes, len: at })
    }

    /// Appends what goes out for an event that was found at the beginning of `block`.
    pub(super) fn write(&self, block: &[u8], found: &Found, out: &mut Vec<u8>) {
        for (nth, part) in self.goes.iter().enumerate() {
            out.extend_from_slice(part);
            if nth < self.holes {
                let (begin, end) = found.holes[nth];
                out.extend_from_slice(&block[begin..end]);
            }
        }
    }
}

/// Bytes of the JSON string at the beginning of `bytes`, quotes included; none if there is no whole and valid one.
fn string(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes.strip_prefix(b"\"")?.iter().enumerate();
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'"' => return std::str::from_utf8(&bytes[1..=at]).is_ok().then_some(at + 2),
            b'\\' => match rest.next()?.1 {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => {
                    for _ in 0..4 {
                        rest.next().filter(|(_, digit)| digit.is_ascii_hexdigit())?;
                    }
                }
                _ => return None,
            },
            0..0x20 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn a_string_is_taken_for_one_exactly_if_a_parser_takes_it() {
        for text in [
            r#""""#,
            r#""a""#,
            r#""é漢""#,
            r#""a\"b\\""#,
            r#""\ud83d\u00e9""#,
            r#""\ud83""#,
            r#""\x""#,
            "\"a\nb\"",
            "\"a",
            "a\"",
            "",
            "\"\\",
            "\"\u{7f}\"",
            "\"\u{1f}\"",
        ] {
            let parsed = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            assert_eq!(string(text.as_bytes()), parsed.then_some(text.len()), "{text:?}");
        }
        assert_eq!(string(b"\"\xff\""), None);
        assert_eq!(string(b"\"a\",\"b\""), Some(3));
    }
}
